"""Relation frequency: how often an entity is the tail of the relation that leads to the answer."""

import numpy as np

from cqd.query import And, Entity, Not, Or, Projection


def frequency(index, queries):
    """Returns [Q, N] float64: the share of the last relation's observed edges that end in each entity.

    The anchors and all but the last relation of a branch are ignored; an And multiplies the shares of its parts, an Or
    takes 1 - prod(1 - share), a Not 1 - share; a bare entity says nothing (1).

    Args:
        index: Index of the observed edges.
        queries: list of queries with ids.
    """
    shares = np.zeros((index.num_relations, index.num_entities))
    _, relations, tails = index.triples().T
    np.add.at(shares, (relations, tails), 1)
    shares /= np.maximum(shares.sum(axis=1, keepdims=True), 1)
    return np.stack([_share(shares, query) for query in queries])


def _share(shares, query):
    match query:
        case Entity():
            return np.ones(shares.shape[1])
        case Projection(relation, _):
            return shares[relation]
        case And(parts):
            return np.prod([_share(shares, part) for part in parts], axis=0)
        case Or(parts):
            return 1 - np.prod([1 - _share(shares, part) for part in parts], axis=0)
        case Not(child):
            return 1 - _share(shares, child)
