"""Train, validation and test triples without leaks between them.

A random split leaks: a border held out in one direction is known from the other, and a country's region follows from
its subregion. Here facts that give one another away form a group, and a group is never divided.
"""

import itertools
from typing import NamedTuple

import numpy as np


class Splits(NamedTuple):
    """Forward triples, int32 [M, 3] each, in the order of the source."""

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray


def groups(triples, together=()):
    """Returns [M] int: the group of each triple.

    Triples between the same two entities, in either direction and by any relation, are one group; triples of one head
    whose relations are listed together are one group.

    Args:
        triples: [M, 3] forward triples.
        together: tuples of relation ids that give one another away, such as region and subregion.
    """
    triples = np.asarray(triples)
    low, high = np.sort(triples[:, [0, 2]], axis=1).T
    keys = np.stack([np.full(len(triples), -1), low, high], axis=1)
    for number, relations in enumerate(together):
        chosen = np.isin(triples[:, 1], relations)
        keys[chosen] = np.stack([np.full(len(triples), number), triples[:, 0], triples[:, 0]], axis=1)[chosen]
    return np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1)


def grouped_split(triples, *, seed, fractions=(0.85, 0.05, 0.10), together=()):
    """Returns Splits of whole groups, in which every entity keeps a training edge.

    Groups are visited in random order; each goes to test, then to valid, until those are full, unless an entity would
    lose its last training edge.

    Args:
        triples: [M, 3] forward triples.
        seed: fixes the result.
        fractions: of train, valid and test; their sum is 1.
        together: as in `groups`.

    Raises:
        ValueError: fractions that are negative or do not sum to 1.
    """
    if len(fractions) != 3 or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise ValueError(f"fractions={fractions}: three numbers from 0 to 1 that sum to 1 are due")
    triples = np.asarray(triples, dtype=np.int32)
    group = groups(triples, together)
    order = np.argsort(group, kind="stable")
    bounds = np.searchsorted(group[order], np.arange(group.max(initial=-1) + 2))
    members = [order[start:stop] for start, stop in itertools.pairwise(bounds)]
    degree = np.bincount(triples[:, [0, 2]].reshape(-1))
    part = np.zeros(len(triples), dtype=np.int8)
    room = {2: round(fractions[2] * len(triples)), 1: round(fractions[1] * len(triples))}
    for number in np.random.default_rng(seed).permutation(len(members)):
        chosen = members[number]
        target = next((name for name, free in room.items() if free >= len(chosen)), None)
        if target is None:
            continue
        entities, lost = np.unique(triples[chosen][:, [0, 2]], return_counts=True)
        if np.all(degree[entities] > lost):
            degree[entities] -= lost
            part[chosen] = target
            room[target] -= len(chosen)
    return Splits(*(triples[part == name] for name in range(3)))
