"""Exact answers of queries on a set of edges: what a graph database would say.

Sets of (query, entity) are sorted int64 codes, query N + entity, so that a whole batch of one structure is answered by
joins over arrays: projection expands edges, conjunction intersects, negation is a difference, taken from all entities
only where nothing smaller is there to take it from.
"""

import numpy as np

from cqd.graph import Index
from cqd.query import And, Entity, Not, Or, Projection, row, structure


def answers(index: Index, queries):
    """Returns a list of sorted int64 arrays: the entities that satisfy each query.

    Args:
        index: the edges, inverses included.
        queries: list of queries with ids, of any structures.
    """
    found = [None] * len(queries)
    for positions in by_structure(queries).values():
        rows = np.array([row(queries[i]) for i in positions], dtype=np.int64).reshape(len(positions), -1)
        codes = _evaluate(index, queries[positions[0]], rows)
        owner, entity = np.divmod(codes, index.num_entities)
        bounds = np.searchsorted(owner, np.arange(len(positions) + 1))
        for slot, position in enumerate(positions):
            found[position] = entity[bounds[slot] : bounds[slot + 1]]
    return found


def by_structure(queries):
    """Returns {structure: [positions]} in the order of first occurrence."""
    groups = {}
    for position, query in enumerate(queries):
        groups.setdefault(structure(query), []).append(position)
    return groups


def easy_and_hard(observed, full, queries):
    """Returns (easy, hard) lists of entity arrays: answers from observed edges, and those that need a missing one.

    An answer of the observed edges that the full graph refutes, possible under negation, is neither.

    Args:
        observed: Index of the known edges.
        full: Index of all true edges.
        queries: list of queries with ids.
    """
    known, true = answers(observed, queries), answers(full, queries)
    easy = [np.intersect1d(k, t, assume_unique=True) for k, t in zip(known, true)]
    hard = [np.setdiff1d(t, k, assume_unique=True) for k, t in zip(known, true)]
    return easy, hard


def _evaluate(index, query, rows):
    """Returns the sorted codes of a batch whose entities and relations stand in rows [Q, L]."""
    num_queries, size = len(rows), index.num_entities
    columns = iter(rows.T)

    def everything():
        return np.arange(num_queries * size)

    def walk(node):
        match node:
            case Entity():
                return np.arange(num_queries) * size + next(columns)
            case Projection(_, child):
                owner, heads = np.divmod(walk(child), size)
                relation = next(columns)
                positions, tails = index.expand(heads, relation[owner])
                return np.unique(owner[positions] * size + tails)
            case Or(parts):
                return np.unique(np.concatenate([walk(part) for part in parts]))
            case Not(child):
                return np.setdiff1d(everything(), walk(child), assume_unique=True)
            case And(parts):
                inside, outside = None, []
                for part in parts:
                    if isinstance(part, Not):
                        outside.append(walk(part.child))
                    else:
                        codes = walk(part)
                        inside = codes if inside is None else np.intersect1d(inside, codes, assume_unique=True)
                inside = everything() if inside is None else inside
                for codes in outside:
                    inside = np.setdiff1d(inside, codes, assume_unique=True)
                return inside

    return walk(query)
