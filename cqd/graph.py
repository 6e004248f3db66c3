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
    close = difflib.get_close_matches(label.casefold(), folded, n=3, cutoff=0.5)
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
    """The sorted tails of every (relation, head), compressed: row r N + h is tails[offsets[row] : offsets[row + 1]].

    Attributes:
        offsets: [R' N + 1] int64, R' the number of relation ids.
        tails: [2 M] int32, duplicates removed.
        num_entities: N.
    """

    offsets: np.ndarray
    tails: np.ndarray
    num_entities: int

    @property
    def num_relations(self):
        return (len(self.offsets) - 1) // self.num_entities

    def tails_of(self, head, relation):
        """Returns the sorted tails of one (head, relation) as a view."""
        row = relation * self.num_entities + head
        return self.tails[self.offsets[row] : self.offsets[row + 1]]

    def expand(self, heads, relations):
        """Returns (positions, tails): every edge out of heads[i] by relations[i], with i as its position.

        Args:
            heads: [K] entity ids.
            relations: [K] relation ids.
        """
        rows = relations.astype(np.int64) * self.num_entities + heads
        start, count = self.offsets[rows], self.offsets[rows + 1] - self.offsets[rows]
        positions = np.repeat(np.arange(len(rows)), count)
        within = np.arange(len(positions)) - np.repeat(np.cumsum(count) - count, count)
        return positions, self.tails[start[positions] + within]

    def contains(self, triples):
        """Returns [K] bool: whether each triple [K, 3] is an edge."""
        head, relation, tail = np.asarray(triples, dtype=np.int64).reshape(-1, 3).T
        size = self.num_entities
        counts = np.diff(self.offsets)
        edges = np.repeat(np.arange(len(counts)), counts) * size + self.tails
        wanted = (relation * size + head) * size + tail
        at = np.minimum(np.searchsorted(edges, wanted), max(len(edges) - 1, 0))
        return edges[at] == wanted if len(edges) else np.zeros(len(wanted), bool)


def build_index(triples, *, num_entities, num_relations):
    """Returns the Index of forward triples [M, 3], their inverses included.

    Args:
        triples: int array with even relation ids.
        num_entities: N.
        num_relations: the number of relation ids, inverses counted.
    """
    head, relation, tail = with_inverses(triples).astype(np.int64).T
    edges = np.unique((relation * num_entities + head) * num_entities + tail)
    rows = edges // num_entities
    offsets = np.searchsorted(rows, np.arange(num_relations * num_entities + 1))
    return Index(offsets, (edges % num_entities).astype(np.int32), num_entities)
