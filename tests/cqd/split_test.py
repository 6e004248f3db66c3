"""Grouped splits: nothing leaks, nothing is lost, no entity is forgotten."""

import numpy as np
import pytest

from cqd import loading, split


def countries():
    loaded = loading.countries()
    together = [[loaded.vocabulary.relation_id(name) for name in ("region", "subregion", "area")]]
    return loaded.parts["all"], together


@pytest.mark.parametrize("seed", range(3))
def test_parts_are_a_partition_of_the_right_sizes(seed):
    triples, together = countries()
    splits = split.grouped_split(triples, seed=seed, together=together)
    assert sorted(map(tuple, np.concatenate(splits).tolist())) == sorted(map(tuple, triples.tolist()))
    sizes = np.array([len(part) for part in splits]) / len(triples)
    np.testing.assert_allclose(sizes, (0.85, 0.05, 0.10), atol=0.003)


@pytest.mark.parametrize("seed", range(3))
def test_groups_stay_whole_and_every_entity_is_trained(seed):
    triples, together = countries()
    splits = split.grouped_split(triples, seed=seed, together=together)
    place = {tuple(triple): number for number, part in enumerate(splits) for triple in part.tolist()}
    pairs, heads = {}, {}
    for (head, relation, tail), number in place.items():
        if relation in together[0]:
            heads.setdefault(head, set()).add(number)
        else:
            pairs.setdefault(frozenset((head, tail)), set()).add(number)
    assert {len(numbers) for numbers in pairs.values()} == {1}
    assert {len(numbers) for numbers in heads.values()} == {1}
    assert set(splits.train[:, [0, 2]].ravel()) == set(triples[:, [0, 2]].ravel())


def test_seed_fixes_the_split():
    triples, together = countries()
    first, again, other = (split.grouped_split(triples, seed=seed, together=together) for seed in (5, 5, 6))
    assert all(np.array_equal(a, b) for a, b in zip(first, again))
    assert not np.array_equal(first.test, other.test)


def test_a_tree_keeps_all_its_edges():
    chain = np.array([(i, 0, i + 1) for i in range(5)], np.int32)
    splits = split.grouped_split(chain[:1], seed=0, fractions=(0.0, 0.0, 1.0))
    assert [len(part) for part in splits] == [1, 0, 0]
    star = split.grouped_split(np.array([(0, 0, i) for i in range(1, 9)]), seed=0, fractions=(0.5, 0.0, 0.5))
    assert [len(part) for part in star] == [8, 0, 0]


def test_groups_of_a_small_graph():
    triples = np.array([(0, 0, 1), (1, 0, 0), (1, 2, 0), (0, 4, 2), (0, 6, 3), (1, 4, 2)])
    group = split.groups(triples, together=[(4, 6)])
    assert group[0] == group[1] == group[2]
    assert group[3] == group[4]
    assert len({group[0], group[3], group[5]}) == 3


def test_bad_fractions():
    with pytest.raises(ValueError, match="fractions="):
        split.grouped_split(np.zeros((4, 3)), seed=0, fractions=(0.5, 0.5, 0.5))
