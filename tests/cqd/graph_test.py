"""Vocabulary and index against plain Python sets."""

import numpy as np
import pytest

from cqd.graph import Vocabulary, build_index, inverse, with_inverses

VOCABULARY = Vocabulary(("Chad", "China", "India", "The Gambia"), ("borders", "capital"))


def random_triples(num_entities=7, num_relations=4, count=25, seed=0):
    rng = np.random.default_rng(seed)
    columns = (rng.integers(num_entities, size=count), 2 * rng.integers(num_relations // 2, size=count))
    return np.stack([*columns, rng.integers(num_entities, size=count)], axis=1).astype(np.int32)


def test_labels_and_ids():
    assert VOCABULARY.entity_id("India") == 2
    assert VOCABULARY.relation_id("capital") == 2
    assert VOCABULARY.relation_id("capital^-1") == 3
    assert VOCABULARY.relation_label(3) == "capital^-1"
    assert VOCABULARY.num_relations == 4


def test_unknown_labels_name_the_nearest():
    with pytest.raises(ValueError, match=r"unknown entity 'chna' \(nearest: 'China'"):
        VOCABULARY.entity_id("chna")
    with pytest.raises(ValueError, match=r"unknown relation 'border' \(nearest: 'borders'"):
        VOCABULARY.relation_id("border^-1")
    with pytest.raises(ValueError, match=r"the graph has 'Chad'"):
        VOCABULARY.entity_id("xxxxxxxx")


def test_a_label_of_several_names_them_all():
    vocabulary = Vocabulary(("London [/m/1]", "London [/m/2]", "Londonderry"), ("r",))
    with pytest.raises(ValueError, match=r"'London' \(nearest: 'London \[/m/1\]', 'London \[/m/2\]'\)"):
        vocabulary.entity_id("London")


@pytest.mark.parametrize("count", [0, 1, 25, 200])
def test_index_holds_every_edge_and_its_inverse(count):
    triples = random_triples(count=count)
    index = build_index(triples, num_entities=7, num_relations=4)
    edges = {(h, r, t) for h, r, t in triples.tolist()} | {(t, inverse(r), h) for h, r, t in triples.tolist()}
    assert {tuple(row) for row in with_inverses(triples).tolist()} == edges
    for h in range(7):
        for r in range(4):
            assert index.tails_of(h, r).tolist() == sorted(t for a, b, t in edges if (a, b) == (h, r))
    every = [(h, r, t) for h in range(7) for r in range(4) for t in range(7)]
    assert index.contains(every).tolist() == [edge in edges for edge in every]
    assert index.num_relations == 4
    assert [tuple(edge) for edge in index.triples().tolist()] == sorted(edges, key=lambda edge: (edge[1], *edge))
    assert index.find(*index.triples().T).tolist() == list(range(len(edges)))
    heads, relations, _ = np.reshape(every, (-1, 3)).T
    assert index.degrees(heads, relations).tolist() == [len(index.tails_of(h, r)) for h, r, _ in every]


def test_expand_lists_every_edge_of_every_position():
    index = build_index(random_triples(count=9, seed=1), num_entities=7, num_relations=4)
    heads, relations = np.random.default_rng(0).integers([[7], [4]], size=(2, 60))
    positions, tails = index.expand(heads, relations)
    wanted = [(i, t) for i in range(60) for t in index.tails_of(heads[i], relations[i]).tolist()]
    assert list(zip(positions.tolist(), tails.tolist())) == wanted
    assert [len(part) for part in index.expand(heads[:0], relations[:0])] == [0, 0]
