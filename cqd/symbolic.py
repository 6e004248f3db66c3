"""Exact answers of queries on a set of edges, what a graph database would say, and how many edges each of them lacks.

A batch of queries of one structure is one tree whose entities and relations are arrays [B]. Its value gives every code,
query N + entity, a number of missing links: 0 where observed edges suffice, NONE where the entity is no answer. A
`Found` holds it as the sorted codes that differ from the rest and the value of the rest: NONE for a set, 0 for a
complement, which thus costs what it leaves out. Only a projection has to spell a complement out, and then no more of it
than the heads of its relation.

Missing links are counted on the full graph, as the least over assignments of the variables:

    entity                0
    r(q) at y             least over edges (x, r, y) of q at x, plus 1 if (x, r, y) is not observed
    and, or               the sum, the least
    !q                    0 where q does not hold on the full graph, however many links that takes to know

so that a link that two atoms of a query need counts for both.
"""

from typing import NamedTuple

import numpy as np

from cqd.graph import Index
from cqd.query import And, Entity, Not, Or, Projection, children, fill, row, structure

NONE = np.iinfo(np.uint16).max  # the number of missing links of what is no answer
CODES_PER_BATCH = 1 << 22  # queries times entities: a table of them fits a cache
MIN_BATCH = 64


class Found(NamedTuple):
    """Missing links of every (query, entity) of a batch.

    Attributes:
        codes: [K] int64, sorted: query N + entity.
        links: [K] uint16, none equal to that of the rest.
        complement: whether the rest are answers (0 links) or none (NONE).
    """

    codes: np.ndarray
    links: np.ndarray
    complement: bool = False

    def look_up(self, codes):
        """Returns [C] uint16: the missing links of sorted codes [C]."""
        rest = np.uint16(0 if self.complement else NONE)
        at = self.codes.searchsorted(codes)
        listed = _is_at(self.codes, at, codes)
        return np.where(listed, np.append(self.links, rest)[at], rest)


def answers(index: Index, queries):
    """Returns a list of sorted int64 arrays: the entities that satisfy each query.

    Args:
        index: the edges, inverses included.
        queries: list of queries with ids, of any structures.
    """
    return [entities for entities, _ in _of_each(queries, lambda *of: evaluate(index, *of))]


def missing_links(observed: Index, full: Index, queries):
    """Returns a list of (answers on the full graph, the least number of missing links of each); int64 and uint16.

    Args:
        observed: the known edges, among those of `full`.
        full: all true edges.
        queries: list of queries with ids, of any structures.
    """
    missing = missing_edges(observed, full)
    return _of_each(queries, lambda *of: evaluate(full, *of, missing))


def missing_edges(observed, full):
    """Returns [E] uint16: 1 for each edge of `full`, in the order of its tails, that is not observed."""
    return 1 - observed.contains(full.triples()).astype(np.uint16)


def easy_and_hard(observed, full, queries):
    """Returns (easy, hard) lists of entity arrays: answers from observed edges, and those that need a missing one.

    An answer of the observed edges that the full graph refutes, possible under negation, is neither. Without negation
    the hard answers are those with missing links. With it, an answer of the observed edges may need missing ones on
    the full graph, where an assignment that proves it is refuted.

    Args:
        observed: Index of the known edges, among those of `full`.
        full: Index of all true edges.
        queries: list of queries with ids.
    """
    missing = missing_edges(observed, full)
    found = _of_each(queries, lambda *of: evaluate_both(observed, full, missing, *of))
    return [entities[easy] for entities, _, easy in found], [entities[~easy] for entities, _, easy in found]


def among(codes, wanted):
    """Returns [W] bool: which of wanted [W] are among sorted codes."""
    return _is_at(codes, codes.searchsorted(wanted), wanted)


def _is_at(codes, places, wanted):
    return np.append(codes, -1)[places] == wanted


def has_negation(query):
    """Returns whether there is a Not in a query."""
    return isinstance(query, Not) or any(map(has_negation, children(query)))


def by_structure(queries):
    """Returns {structure: [positions]} in the order of first occurrence."""
    groups = {}
    for position, query in enumerate(queries):
        groups.setdefault(structure(query), []).append(position)
    return groups


def _of_each(queries, evaluate_rows):
    """Returns a list of tuples of arrays, one a query: its share of what evaluate_rows(shape, rows) gives."""
    found = [None] * len(queries)
    for shape, positions in by_structure(queries).items():
        rows = np.array([row(queries[i]) for i in positions], dtype=np.int64).reshape(len(positions), -1)
        owner, *columns = evaluate_rows(shape, rows)
        bounds = np.searchsorted(owner, np.arange(1, len(positions)))
        for position, of_query in zip(positions, zip(*(np.split(column, bounds) for column in columns))):
            found[position] = of_query
    return found


def evaluate(index, shape, rows, missing=None):
    """Returns (queries [K], entities [K], links [K]) in that order: the answers of queries of one structure.

    Args:
        index: the edges.
        shape: a query; its ids do not matter.
        rows: [Q, L] ids, as `cqd.query.row` gives them.
        missing: [E] uint16, the links that each edge of the index lacks: 1 or 0; None for 0.
    """
    size = max(MIN_BATCH, CODES_PER_BATCH // max(index.num_entities, 1))
    parts = []
    for start in range(0, len(rows), size):
        batch = _Batch(index, len(rows[start : start + size]), missing)
        found = batch.walk(fill(shape, rows[start : start + size].T))
        codes, links, _ = batch.spelled_out(found)
        owner, entities = np.divmod(codes, index.num_entities)
        parts.append((owner + start, entities, links))
    if not parts:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint16)
    return tuple(map(np.concatenate, zip(*parts)))


def evaluate_both(observed, full, missing, shape, rows):
    """Returns (queries [K], entities [K], links [K], easy [K]) of the answers on the full graph, as `evaluate`.

    Args:
        observed: Index of the known edges, among those of `full`.
        full: Index of all true edges.
        missing: `missing_edges(observed, full)`.
        shape, rows: as in `evaluate`.
    """
    owner, entities, links = evaluate(full, shape, rows, missing)
    if not has_negation(shape):
        return owner, entities, links, links == 0
    known_by, known, _ = evaluate(observed, shape, rows)
    easy = among(known_by * full.num_entities + known, owner * full.num_entities + entities)
    return owner, entities, links, easy


class _Batch:
    """Evaluates trees whose entities and relations are arrays [B]."""

    def __init__(self, index, size, missing):
        self.index = index
        self.size = size
        self.missing = None if missing is None else np.append(missing, NONE)  # place -1 is that of no edge
        self.starts = np.arange(size) * index.num_entities

    def walk(self, node):
        """Returns the Found of a tree."""
        match node:
            case Entity(entities):
                return Found(self.starts + entities, np.zeros(self.size, np.uint16))
            case Projection(relations, Entity(entities)):
                return self._edges(entities, relations)
            case Projection(relations, child):
                return self._project(self.walk(child), relations)
            case Not(child):
                return _negation(self.walk(child))
            case And(parts):
                return self._conjunction(parts)
            case Or(parts):
                return _some_of([self.walk(part) for part in parts])

    def spelled_out(self, found):
        """Returns the Found of the same answers that is no complement."""
        if not found.complement:
            return found
        everything = np.arange(self.size * self.index.num_entities)
        return _differing(everything, found.look_up(everything), complement=False)

    def _edges(self, heads, relations):
        """Returns the Found of the tails of one edge a query, which come sorted and without repetition."""
        owner, edges = self.index.edges_from(heads, relations)
        return Found(self.starts[owner] + self.index.tails[edges], self._links(edges))

    def _links(self, edges):
        """Returns [K] uint16: the missing links of edges by their places, NONE for -1."""
        if self.missing is None:
            return np.where(edges < 0, NONE, 0).astype(np.uint16)
        return self.missing[edges]

    def _project(self, inner, relations):
        if inner.complement:
            inner = self._restricted(inner, relations)
        owner, heads = np.divmod(inner.codes, self.index.num_entities)
        positions, edges = self.index.edges_from(heads, relations[owner])
        codes = self.starts[owner[positions]] + self.index.tails[edges]
        return _least(codes, inner.links[positions] + self._links(edges))

    def _restricted(self, complement, relations):
        """Returns a complement as a set of those entities that have an edge of each query's relation."""
        size = self.index.num_entities
        first, last = (self.index.rows.searchsorted((relations + i) * size) for i in (0, 1))
        owner = np.repeat(np.arange(self.size), last - first)
        at = np.arange(len(owner)) + (last - np.cumsum(last - first))[owner]
        codes = self.starts[owner] + self.index.rows[at] % size
        return _differing(codes, complement.look_up(codes), complement=False)

    def _conjunction(self, parts):
        """Starts from the smallest part and looks its codes up in the others, of which single atoms are not listed."""
        found = [self.walk(part) for part in parts if not _is_atom(part)]
        atoms = [part for part in parts if _is_atom(part)]
        bases = [part for part in found if not part.complement] + self._smallest_atoms(atoms)
        if not bases:
            return _all_of([*found, *(self.walk(part) for part in atoms)])
        codes = min(bases, key=lambda part: len(part.codes)).codes
        links = np.zeros(len(codes), np.uint16)
        for look_up in [*(part.look_up for part in found), *(self._looks_up(part) for part in atoms)]:
            more = look_up(codes)
            held = more != NONE
            codes, links = codes[held], links[held] + more[held]
        return Found(codes, links)

    def _smallest_atoms(self, atoms):
        """Returns [the Found of, for each query, the one of its atoms that has the fewest tails], [] without atoms."""
        atoms = [part for part in atoms if isinstance(part, Projection)]
        if not atoms:
            return []
        heads, relations = np.stack([(part.child.name, part.relation) for part in atoms], axis=1)
        least = self.index.degrees(heads.ravel(), relations.ravel()).reshape(heads.shape).argmin(axis=0)
        return [self._edges(*(np.take_along_axis(ids, least[None], axis=0)[0] for ids in (heads, relations)))]

    def _looks_up(self, atom):
        """Returns the function codes -> links of an atom, negated or not."""
        negated = isinstance(atom, Not)
        edge = atom.child if negated else atom

        def look_up(codes):
            owner, tails = np.divmod(codes, self.index.num_entities)
            at = self.index.find(edge.child.name[owner], edge.relation[owner], tails)
            return np.where(at < 0, 0, NONE).astype(np.uint16) if negated else self._links(at)

        return look_up


def _is_atom(node):
    """Returns whether a node is an edge out of an entity, or the negation of one."""
    edge = node.child if isinstance(node, Not) else node
    return isinstance(edge, Projection) and isinstance(edge.child, Entity)


def _all_of(complements):
    """Returns the Found of a conjunction of complements."""
    listed = np.concatenate([part.codes for part in complements])
    codes, links, _ = _least(listed, np.zeros(len(listed), np.uint16))
    for part in complements:
        more = part.look_up(codes)
        links = np.where((links == NONE) | (more == NONE), NONE, links + more)
    return _differing(codes, links, complement=True)


def _some_of(parts):
    """Returns the Found of a disjunction."""
    complements = [part for part in parts if part.complement]
    if not complements:
        return _least(np.concatenate([part.codes for part in parts]), np.concatenate([part.links for part in parts]))
    # What a complement does not list has no missing links, hence is not listed in the disjunction either.
    codes = min(complements, key=lambda part: len(part.codes)).codes
    return _differing(codes, np.minimum.reduce([part.look_up(codes) for part in parts]), complement=True)


def _negation(found):
    """Returns the Found of a negation: what is no answer has no missing links, an answer is no answer."""
    links = np.where(found.links == NONE, 0, NONE).astype(np.uint16)
    return _differing(found.codes, links, complement=not found.complement)


def _differing(codes, links, *, complement):
    """Returns a Found that does not list what has the value of the rest."""
    listed = links != (0 if complement else NONE)
    return Found(codes[listed], links[listed], complement)


def _least(codes, links):
    """Returns the Found of codes that may repeat, each with the least of its links.

    A table of all codes is several times faster than a sort, where it is not much larger than their number.
    """
    if not len(codes):
        return Found(codes, links)
    first, last = codes.min(), codes.max()
    if last - first < 16 * len(codes):
        table = np.full(last - first + 1, NONE, np.uint16)
        for level in range(links.max(), -1, -1):  # the least is written last
            table[codes[links == level] - first] = level
        listed = np.flatnonzero(table != NONE)
        return Found(listed + first, table[listed])
    keys = np.sort(codes << 16 | links)
    codes = keys >> 16
    new = np.append(True, codes[1:] != codes[:-1])
    return Found(codes[new], (keys[new] & NONE).astype(np.uint16))
