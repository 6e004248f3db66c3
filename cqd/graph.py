"""Triples, their labels, and the index that queries walk.

A graph of R named relations has 2 R relation ids: 2 i is the i-th name, 2 i + 1 its inverse, written `name^-1`. Triples
are int32 arrays [M, 3] of (head, relation, tail) with even relations; `with_inverses` adds the odd ones.
"""

import difflib
from typing import NamedTuple

import numpy as np

INVERSE = "^-1"


class Vocabulary:
    """The labels of a graph: entity ids and relation ids from labels and back.

    Args:
        entities: labels in the order of their ids.
        relations: labels of the forward relations in the order of their ids.
    """

    def __init__(self, entities, relations):
        self.entities = tuple(entities)
        self.relations = tuple(relations)
        self._entity_ids = {label: i for i, label in enumerate(self.entities)}
        self._relation_ids = {label: i for i, label in enumerate(self.relations)}

    @property
    def num_entities(self):
        return len(self.entities)

    @property
    def num_relations(self):
        """The number of relation ids, inverses counted."""
        return 2 * len(self.relations)

    def entity_id(self, label):
        """Returns the id of an entity.

        Raises:
            ValueError: no such label; the message names the nearest ones.
        """
        if label not in self._entity_ids:
            raise ValueError(f"unknown entity {label!r}{_nearest(label, self.entities)}")
        return self._entity_ids[label]

    def relation_id(self, label):
        """Returns the id of a relation, odd for a label that ends in `^-1`.

        Raises:
            ValueError: no such label; the message names the nearest ones.
        """
        if label in self._relation_ids:
            return 2 * self._relation_ids[label]
        forward = label.removesuffix(INVERSE)
        if forward not in self._relation_ids:
            raise ValueError(f"unknown relation {forward!r}{_nearest(forward, self.relations)}")
        return 2 * self._relation_ids[forward] + 1

    def relation_label(self, relation):
        """Returns the label of a relation id, with `^-1` where it is odd."""
        return self.relations[relation // 2] + INVERSE * (relation % 2)


def _nearest(label, known):
    """Returns words that name the labels nearest to one that is not there, case ignored."""
    folded = {}
    for name in known:
        folded.setdefault(name.casefold(), name)
    bracketed = [name for name in folded if name.startswith(f"{label.casefold()} [")]  # it is the label of several
    close = bracketed[:3] or difflib.get_close_matches(label.casefold(), folded, n=3, cutoff=0.5)
    names = [repr(folded[name]) for name in close] or [repr(name) for name in known[:3]]
    return f" (nearest: {', '.join(names)})" if close else f" (the graph has {', '.join(names)}, ...)"


def inverse(relation):
    """Returns the id of the relation read backwards: 2 i <-> 2 i + 1."""
    return relation ^ 1


def with_inverses(triples):
    """Returns triples [2 M, 3]: those given, then (tail, inverse relation, head) of each."""
    head, relation, tail = np.asarray(triples).T
    return np.concatenate([triples, np.stack([tail, inverse(relation), head], axis=1)]).astype(np.int32)


class Index(NamedTuple):
    """The sorted tails of every (relation, head) that has one, compressed.

    Edges are grouped by row r N + h. Most of the R' N rows are empty, so only those that occur are kept, and found by
    binary search. `rows` and `edges` end in a number that no search reaches, which spares them a case of its own.

    Attributes:
        rows: [K + 1] int64, sorted.
        starts: [K + 1] int64, where the tails of each row begin.
        counts: [K + 1] int64, how many they are.
        tails: [E] int32, duplicates removed.
        edges: [E + 1] int64, sorted: position in `rows` times N, plus tail.
        num_entities: N.
        num_relations: R', the number of relation ids.
    """

    rows: np.ndarray
    starts: np.ndarray
    counts: np.ndarray
    tails: np.ndarray
    edges: np.ndarray
    num_entities: int
    num_relations: int

    def tails_of(self, head, relation):
        """Returns the sorted tails of one (head, relation) as a view."""
        row = int(relation) * self.num_entities + int(head)
        at = self.rows.searchsorted(row)
        start = self.starts[at]
        return self.tails[start : start + self.counts[at] * (self.rows[at] == row)]

    def expand(self, heads, relations):
        """Returns (positions, tails): every edge out of heads[i] by relations[i], with i as its position.

        Args:
            heads: [K] entity ids.
            relations: [K] relation ids.
        """
        positions, edges = self.edges_from(heads, relations)
        return positions, self.tails[edges]

    def edges_from(self, heads, relations):
        """Returns (positions, edges): as `expand`, each edge as its place in `tails`."""
        at, occurs = self._find(heads, relations)
        count = self.counts[at] * occurs
        positions = np.repeat(np.arange(len(at)), count)
        first = self.starts[at] - (np.cumsum(count) - count)
        return positions, np.arange(len(positions)) + first[positions]

    def degrees(self, heads, relations):
        """Returns [K] int64: how many edges leave heads[i] by relations[i]."""
        at, occurs = self._find(heads, relations)
        return self.counts[at] * occurs

    def contains(self, triples):
        """Returns [K] bool: whether each triple [K, 3] is an edge."""
        return self.find(*np.asarray(triples).reshape(-1, 3).T) >= 0

    def find(self, heads, relations, tails):
        """Returns [K] int64: the place in `tails` of each edge, -1 for one that is not there."""
        at, occurs = self._find(heads, relations)
        wanted = at * self.num_entities + tails
        edge = self.edges.searchsorted(wanted)
        return np.where(occurs & (self.edges[edge] == wanted), edge, -1)

    def triples(self):
        """Returns [E, 3] int64: every edge as (head, relation, tail), inverses included, in the order of `tails`."""
        relation, head = np.divmod(np.repeat(self.rows[:-1], self.counts[:-1]), self.num_entities)
        return np.stack([head, relation, self.tails], axis=1)

    def _find(self, heads, relations):
        """Returns ([K] positions in `rows`, [K] bool: whether the row occurs)."""
        wanted = np.asarray(relations, dtype=np.int64) * self.num_entities + heads
        at = self.rows.searchsorted(wanted)
        return at, self.rows[at] == wanted


def build_index(triples, *, num_entities, num_relations):
    """Returns the Index of forward triples [M, 3], their inverses included.

    Args:
        triples: int array with even relation ids.
        num_entities: N.
        num_relations: the number of relation ids, inverses counted.
    """
    head, relation, tail = np.asarray(triples, np.int32).T
    codes = np.empty((2, len(head)), np.int64)  # of rows, forwards and backwards
    for code, first, way in zip(codes, (head, tail), (relation, inverse(relation))):
        np.multiply(way, num_entities, out=code, dtype=np.int64)
        code += first
    rows, edges = _grouped(codes.reshape(-1))
    edges *= num_entities
    edges[: len(head)] += tail
    edges[len(head) :] += head
    edges.sort()
    if len(edges) and not (is_new := edges[1:] != edges[:-1]).all():
        edges = edges[np.append(True, is_new)]
    starts = np.searchsorted(edges, np.arange(len(rows) + 1) * num_entities)
    counts = np.diff(starts, append=len(edges))
    beyond = np.iinfo(np.int64).max
    return Index(
        np.append(rows, beyond),
        starts,
        counts,
        (edges % num_entities).astype(np.int32),
        np.append(edges, beyond),
        num_entities,
        num_relations,
    )


def _grouped(codes):
    """Returns (the different codes, sorted; int64 [M], the place of each code among them), and uses the codes up.

    A sort of the codes and a search for each would do; with tens of millions, most of them different, the order of the
    sort gives the places in a fraction of the time.
    """
    order = np.argsort(codes)
    in_order = codes[order]
    is_new = np.append(True, in_order[1:] != in_order[:-1])[: len(codes)]
    codes[order] = np.cumsum(is_new) - 1
    return in_order[is_new], codes
