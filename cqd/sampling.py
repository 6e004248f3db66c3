"""Seeded queries of the positive types with at least one hard answer.

A query is drawn backwards from a random entity along edges of the full graph, so that it has an answer. It is kept if
it has a hard answer, no more answers than the cap, and is no easier question in disguise:

- no anchor is the answer it was drawn from;
- no step goes back over the relation just taken (r after r^-1);
- no branch is subsumed: on the full graph no branch's answers lie within those of a branch beside it, where one of the
  two would say nothing.

References:
    Ren and Leskovec, arXiv 2010.11465, appendix B.
"""

from typing import NamedTuple

import numpy as np

from cqd import symbolic
from cqd.graph import Index, inverse
from cqd.query import TEMPLATES, And, Entity, Or, Projection, children, parse, rebuild

BATCH = 256
MAX_BATCHES = 200


class Sample(NamedTuple):
    """A query with its answers from observed edges (easy) and those that need a missing one (hard)."""

    query: object
    easy: np.ndarray
    hard: np.ndarray


def sample(type_name, count, *, seed, observed: Index, full: Index, max_answers):
    """Returns a list of `count` distinct Samples of one type.

    Args:
        type_name: a positive benchmark type.
        count: how many.
        seed: an int or a tuple of ints; fixes the result.
        observed: Index of the known edges.
        full: Index of all true edges.
        max_answers: queries with more answers are left out.

    Raises:
        ValueError: a bounded number of draws does not give so many.
    """
    rng = np.random.default_rng(seed)
    template = parse(TEMPLATES[type_name])
    outgoing = _outgoing_relations(full)
    found, seen = [], set()
    for _ in range(MAX_BATCHES):
        drawn = (_draw(rng, template, full, outgoing) for _ in range(BATCH))
        fresh = [query for query in dict.fromkeys(drawn) if query is not None and query not in seen]
        seen.update(fresh)
        kept = [
            Sample(query, easy, hard)
            for query, easy, hard in zip(fresh, *symbolic.easy_and_hard(observed, full, fresh))
            if len(hard) and len(easy) + len(hard) <= max_answers
        ]
        found += [item for item, good in zip(kept, every_branch_counts(full, [k.query for k in kept])) if good]
        if len(found) >= count:
            return found[:count]
    raise ValueError(
        f"{count} queries of type {type_name}: {MAX_BATCHES * BATCH} draws gave {len(found)} with a hard answer and "
        f"at most {max_answers} answers; ask for fewer"
    )


def _outgoing_relations(index):
    """Returns a list of arrays: the relation ids that leave each entity."""
    leaves = np.diff(index.offsets).reshape(-1, index.num_entities).T > 0
    return [np.flatnonzero(of_entity) for of_entity in leaves]


def _draw(rng, template, full, outgoing):
    """Returns one query of the template that a random entity answers, or None if it turned out unsound."""
    target = int(rng.integers(full.num_entities))

    def walk(node, answer, taken):
        match node:
            case Entity():
                return Entity(answer)
            case Projection(_, child):
                back = outgoing[answer]
                back = back[back != taken] if taken is not None else back
                if not len(back):
                    return None
                relation = int(rng.choice(back))
                child = walk(child, int(rng.choice(full.tails_of(answer, relation))), inverse(relation))
                return child and Projection(inverse(relation), child)
            case _:
                parts = [walk(part, answer, taken) for part in children(node)]
                return None if None in parts else rebuild(node, parts)

    query = walk(template, target, None)
    return None if query is None or Entity(target) in _nodes(query) else query


def every_branch_counts(full, queries):
    """Returns a list of bool: whether no branch of an And or Or has its answers within those of one beside it.

    Args:
        full: Index of all true edges.
        queries: list of queries with ids.
    """
    branches = [[node.children for node in _nodes(query) if isinstance(node, And | Or)] for query in queries]
    flat = list(dict.fromkeys(branch for of_query in branches for group in of_query for branch in group))
    found = dict(zip(flat, symbolic.answers(full, flat)))

    def independent(group):
        pairs = ((a, b) for i, a in enumerate(group) for b in group[i + 1 :])
        sizes = ((len(np.intersect1d(found[a], found[b])), len(found[a]), len(found[b])) for a, b in pairs)
        return all(common < min(first, second) for common, first, second in sizes)

    return [all(independent(group) for group in of_query) for of_query in branches]


def _nodes(query):
    yield query
    for child in children(query):
        yield from _nodes(child)
