"""Graph search on the observed edges: what no model at all can answer."""

import numpy as np

from cqd import symbolic
from cqd.query import And, Entity, Not, Or, Projection


def exact(index, queries):
    """Returns [Q, N] float32: 1 for the answers on the observed edges, 0 elsewhere.

    Args:
        index: Index of the observed edges.
        queries: list of queries with ids.
    """
    scores = np.zeros((len(queries), index.num_entities), np.float32)
    for position, found in enumerate(symbolic.answers(index, queries)):
        scores[position, found] = 1
    return scores


def relaxed(index, queries):
    """Returns [Q, N] float32: as `exact`, but an And counts the share of its parts that hold, an Or the best part.

    A projection carries the best value among the entities that lead to its tail; a Not is 1 - its child's value.

    Args:
        index: Index of the observed edges.
        queries: list of queries with ids.
    """
    return np.stack([_relaxed(index, query) for query in queries])


def _relaxed(index, query):
    match query:
        case Entity(name):
            values = np.zeros(index.num_entities, np.float32)
            values[name] = 1
            return values
        case Projection(relation, child):
            inner = _relaxed(index, child)
            heads = np.flatnonzero(inner)
            positions, tails = index.expand(heads, np.full(len(heads), relation))
            values = np.zeros(index.num_entities, np.float32)
            np.maximum.at(values, tails, inner[heads][positions])
            return values
        case And(parts):
            return np.mean([_relaxed(index, part) for part in parts], axis=0, dtype=np.float32)
        case Or(parts):
            return np.max([_relaxed(index, part) for part in parts], axis=0)
        case Not(child):
            return 1 - _relaxed(index, child)
