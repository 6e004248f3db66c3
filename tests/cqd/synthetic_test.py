"""The synthetic graph: its counts, clusters and degrees, and its file."""

import numpy as np
import pytest

from cqd import loading, synthetic

SIZES = {"num_entities": 600, "num_relations": 8, "num_triples": 9000, "num_clusters": 6}


def test_counts_and_seeds():
    triples = synthetic.triples(0, **SIZES)
    assert triples.shape == (9000, 3)
    assert triples.dtype == np.int32
    assert len(np.unique(triples, axis=0)) == 9000
    assert set(triples[:, 0].tolist()) == set(range(600))
    assert set(triples[:, 1].tolist()) == set(range(0, 16, 2))
    np.testing.assert_array_equal(triples, synthetic.triples(0, **SIZES))
    assert not np.array_equal(triples, synthetic.triples(1, **SIZES))


def test_a_relation_leads_from_each_cluster_to_one_other():
    triples = synthetic.triples(0, **SIZES)
    # Tails that two heads share by one relation are of one cluster: so many joined sets as clusters remain, or fewer.
    joined = np.arange(600)

    def top(entity):
        while joined[entity] != entity:
            entity = joined[entity]
        return entity

    groups = {}
    for head, relation, tail in triples.tolist():
        other = groups.setdefault((head, relation), tail)
        joined[top(tail)] = top(other)
    tails = np.unique(triples[:, 2])
    sizes = np.unique([top(entity) for entity in tails], return_counts=True)[1]
    assert sizes.max() <= 100
    assert len(sizes) < 20


def test_degrees_follow_a_power_law():
    triples = synthetic.triples(0, num_entities=20_000, num_relations=20, num_triples=200_000, num_clusters=20)
    degrees = np.sort(np.bincount(triples[20_000:, [0, 2]].ravel(), minlength=20_000))[::-1].astype(float)
    ranks = np.arange(1, 20_001)
    chosen = slice(200, 10_000)
    slope = np.polyfit(np.log(ranks[chosen]), np.log(degrees[chosen] + 1), 1)[0]
    assert -0.8 < slope < -0.5  # degree of the j-th: j^(-2/3)


def test_what_is_written_is_read_back(tmp_path):
    triples = synthetic.triples(0, **SIZES)
    synthetic.write(triples, tmp_path / "g.tsv", num_entities=600, num_relations=8)
    assert (tmp_path / "g.tsv").read_text().count("\n") == 9000
    loaded = loading.load(tmp_path / "g.tsv")
    assert loaded.vocabulary.entities[:2] == ("e000", "e001")
    assert loaded.vocabulary.relations[-1] == "r7"
    np.testing.assert_array_equal(loaded.parts["all"], triples)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"num_clusters": 7}, "num_entities=600 is not a multiple of num_clusters=7"),
        ({"num_triples": 599}, "num_triples=599: from num_entities=600 to 240000 are due"),
        ({"num_triples": 240_001}, "num_triples=240001: from"),
    ],
)
def test_numbers_that_do_not_go_together(sizes, message):
    with pytest.raises(ValueError, match=message):
        synthetic.triples(0, **{**SIZES, **sizes})
