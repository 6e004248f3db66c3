"""Seeded queries of the 14 types, each with an answer that observed edges do not give.

A query is drawn backwards from a random entity, the target, along edges of the full graph: at every step a relation
that leaves the entity, each alike, then one of its tails. A negated branch is drawn from another answer of the
branches beside it, so that it takes something away. A draw is kept if

- no anchor is the target, and some hard answer is no anchor;
- there are no more answers than the cap;
- no step goes back over the relation just taken (r after r^-1);
- no branch is subsumed: on the full graph no positive branch's answers lie within those of one beside it, where one of
  the two would say nothing;
- on the full graph the query without its negated branch has other answers;
- it was not drawn before, in any order of its branches.

References:
    Ren and Leskovec, arXiv 2010.11465, appendix B; arXiv 2410.12537 (missing links).
"""

import itertools
from collections import Counter
from typing import NamedTuple

import numpy as np

from cqd import symbolic
from cqd.graph import Index, inverse
from cqd.query import TEMPLATES, And, Entity, Not, Or, Projection, Query, children, fill, parse, rebuild, row

BATCH = 1024
MAX_BATCHES = 200


class Sample(NamedTuple):
    """A query and its answers.

    Attributes:
        query: the tree, with ids.
        easy: answers from observed edges that the full graph confirms, sorted.
        hard: answers that need a missing edge, sorted.
        missing: [easy + hard] the least number of missing links of each (`cqd.symbolic`), those of easy ones first.
    """

    query: Query
    easy: np.ndarray
    hard: np.ndarray
    missing: np.ndarray


def sample(type_name, count, *, seed, observed: Index, full: Index, max_answers, max_share=1.0):
    """Returns a list of `count` distinct Samples of one type.

    With max_share=1 a larger count begins with the samples of a smaller one.

    Args:
        type_name: a benchmark type.
        count: how many.
        seed: an int or a tuple of ints; fixes the result.
        observed: Index of the known edges, among those of `full`.
        full: Index of all true edges.
        max_answers: queries with more answers are left out.
        max_share: no relation (r and r^-1 count apart), no anchor and no hard answer is in more than this share of the
            queries, or in more than one where that is less than one.

    Raises:
        ValueError: an unknown type, an impossible share, or a bounded number of draws does not give so many.
    """
    if type_name not in TEMPLATES:
        raise ValueError(f"query type {type_name!r}: choose one of {', '.join(TEMPLATES)}")
    if not 0 < max_share <= 1:
        raise ValueError(f"max_share={max_share}: above 0 and at most 1 is due")
    if not len(full.tails):
        raise ValueError("the full graph has no edges: there is nothing to ask about")
    template, limit = parse(TEMPLATES[type_name]), max(1, int(max_share * count))
    drawn = _all_sound(np.random.default_rng(seed), template, observed, full, max_answers)
    found = list(itertools.islice(_distinct(drawn, limit), count))
    if len(found) < count:
        rare = f" and no name in more than {limit} of them" if max_share < 1 else ""
        raise ValueError(
            f"{count} queries of type {type_name}: {MAX_BATCHES * BATCH} draws gave {len(found)} with a hard answer "
            f"and at most {max_answers} answers{rare}; ask for fewer"
        )
    return found


def _distinct(samples, limit):
    """Yields those samples that repeat no query and use no name for more than the limit-th time."""
    uses, seen = Counter(), set()
    for item in samples:
        key, names = unordered(item.query), _names(item)
        if key not in seen and all(uses[name] < limit for name in names):
            seen.add(key)
            uses.update(names)
            yield item


def unordered(query):
    """Returns a key that those queries share which differ in the order of their branches alone."""
    inside = [unordered(child) for child in children(query)]
    match query:
        case Entity(name):
            return name
        case Projection(relation, _):
            return (relation, *inside)
        case _:
            return type(query), frozenset(inside)


def _names(item):
    """Returns the set of what a cap counts: relations, anchors, and hard answers."""
    names = {("answer", int(entity)) for entity in item.hard}
    for node in _nodes(item.query):
        if isinstance(node, Entity | Projection):
            names.add(("anchor", node.name) if isinstance(node, Entity) else ("relation", node.relation))
    return names


class _Steps:
    """The full graph by entity, to walk from entities by random relations."""

    def __init__(self, full):
        self.full = full
        relation, head = np.divmod(full.rows[:-1], full.num_entities)
        self.row = np.lexsort((relation, head))
        self.relation = relation[self.row]
        self.codes = (head * full.num_relations + relation)[self.row]
        self.first = np.searchsorted(head[self.row], np.arange(full.num_entities + 1))

    def take(self, rng, entities, taken):
        """Returns (relations, tails, possible): a random edge out of each entity, by another relation than `taken`.

        Args:
            rng: draws two numbers an entity.
            entities: [B].
            taken: [B] relation ids, -1 for none.
        """
        first, last = self.first[entities], self.first[entities + 1]
        at, possible = _pick(rng, first, last, self.codes, entities * self.full.num_relations + taken)
        start, count = (part[self.row[at]] for part in (self.full.starts, self.full.counts))
        tails = self.full.tails[start + (rng.random(len(at)) * count).astype(np.int64)]
        return self.relation[at], tails.astype(np.int64), possible


def _pick(rng, first, last, codes, left_out):
    """Returns (places [B], possible [B]): a random place from first to last in sorted codes, not that of left_out."""
    place = codes.searchsorted(left_out)
    within = (first <= place) & (place < last)
    within[within] = codes[place[within]] == left_out[within]
    choices = last - first - within
    at = first + (rng.random(len(first)) * choices).astype(np.int64)
    at += within & (at >= place)
    return np.where(choices > 0, at, 0), choices > 0


def _draw(rng, template, steps):
    """Returns (rows [Q, L], targets [Q]) of at most BATCH queries, whose steps and anchors are sound."""
    possible = np.ones(BATCH, bool)

    def walk(node, answers, taken):
        nonlocal possible
        match node:
            case Entity():
                return Entity(answers)
            case Projection(_, child):
                relations, tails, can = steps.take(rng, answers, taken)
                possible &= can
                back = inverse(relations)
                return Projection(back, walk(child, tails, back))
        parts = [None if isinstance(part, Not) else walk(part, answers, taken) for part in node.children]
        if None in parts:
            others, can = _other_answers(rng, steps.full, _together(node, [part for part in parts if part]), answers)
            possible &= can
            parts = [part or Not(walk(of.child, others, taken)) for part, of in zip(parts, node.children)]
        return rebuild(node, parts)

    targets = rng.integers(steps.full.num_entities, size=BATCH)
    rows = np.stack(row(walk(template, targets, np.full(BATCH, -1))), axis=1)
    possible &= (rows[:, _anchor_columns(template)] != targets[:, None]).all(axis=1)
    return rows[possible], targets[possible]


def _together(node, parts):
    """Returns the And or Or of parts, or the part if it is one."""
    return rebuild(node, parts) if len(parts) > 1 else parts[0]


def _other_answers(rng, full, query, answers):
    """Returns ([B] a random answer of each query other than the one given, [B] bool: whether there is one)."""
    owner, entities, _ = symbolic.evaluate(full, query, np.stack(row(query), axis=1))
    numbers = np.arange(len(answers))
    first, last = (owner.searchsorted(numbers, side=side) for side in ("left", "right"))
    at, possible = _pick(rng, first, last, owner * full.num_entities + entities, numbers * full.num_entities + answers)
    return np.append(entities, 0)[at], possible


def _anchor_columns(template):
    """Returns the list of those columns of a row that hold entities."""
    columns = _columns(template)
    return [node.name for node in _nodes(columns) if isinstance(node, Entity)]


def _columns(template):
    """Returns the template with the columns of a row as ids."""
    return fill(template, range(len(row(template))))


def _all_sound(rng, template, observed, full, max_answers):
    """Yields sound Samples until MAX_BATCHES are drawn."""
    steps, missing = _Steps(full), symbolic.missing_edges(observed, full)
    for _ in range(MAX_BATCHES):
        rows, _ = _draw(rng, template, steps)
        yield from _sound(template, rows, observed, full, missing, max_answers)


def _sound(template, rows, observed, full, missing, max_answers):
    """Yields the Samples of those rows that have a hard answer and whose every part matters."""
    owner, entities, links, is_easy = symbolic.evaluate_both(observed, full, missing, template, rows)
    is_new = ~is_easy
    for column in _anchor_columns(template):
        is_new &= entities != rows[owner, column]
    num_answers, num_new = (np.bincount(of, minlength=len(rows)) for of in (owner, owner[is_new]))
    good = np.flatnonzero((num_new > 0) & (num_answers <= max_answers))
    good = good[_every_part_matters(template, rows[good], full, num_answers[good])]
    ends = np.cumsum(num_answers)
    for number in good:
        of_query = slice(ends[number] - num_answers[number], ends[number])
        easy, found, lacking = is_easy[of_query], entities[of_query], links[of_query]
        query = fill(template, rows[number].tolist())
        yield Sample(query, found[easy], found[~easy], np.concatenate([lacking[easy], lacking[~easy]]))


def _every_part_matters(template, rows, full, num_answers):
    """Returns [Q] bool: whether no positive branch is subsumed by one beside it and every negation has an effect."""
    matters = np.ones(len(rows), bool)

    def count(node):
        if isinstance(node, Projection) and isinstance(node.child, Entity):
            return full.degrees(rows[:, node.child.name], rows[:, node.relation])
        return np.bincount(symbolic.evaluate(full, node, rows[:, row(node)])[0], minlength=len(rows))

    for node in _nodes(_columns(template)):
        branches = [part for part in children(node) if isinstance(node, And | Or) and not isinstance(part, Not)]
        for pair in itertools.combinations(branches, 2):
            matters &= count(And(pair)) < np.minimum(*map(count, pair))
    if symbolic.has_negation(template):
        matters &= count(_without_negation(_columns(template))) != num_answers
    return matters


def _without_negation(query):
    """Returns the query with negated branches left out."""
    parts = [_without_negation(part) for part in children(query) if not isinstance(part, Not)]
    return _together(query, parts) if isinstance(query, And) else rebuild(query, parts)


def _nodes(query):
    yield query
    for child in children(query):
        yield from _nodes(child)
