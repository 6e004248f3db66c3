"""Ranks against their definition, ties included, and the order of averages."""

import jax.numpy as jnp
import numpy as np
import pytest

from cqd import ranking


def by_definition(scores, easy, hard):
    """Returns the mean of the best and the worst rank a hard answer can get among the non-answers."""
    answers = set(easy) | set(hard)
    others = [score for entity, score in enumerate(scores) if entity not in answers]
    best = [1 + sum(score > scores[h] for score in others) for h in hard]
    worst = [1 + sum(score >= scores[h] for score in others) for h in hard]
    return np.add(best, worst) / 2


@pytest.mark.parametrize("seed", range(5))
def test_ranks_with_many_ties(seed):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 6, size=40) / 4
    easy, hard = np.split(rng.permutation(40)[:13], [6])
    np.testing.assert_array_equal(ranking.filtered_ranks(scores, easy, hard), by_definition(scores, easy, hard))


def test_constant_scores_stand_in_the_middle():
    assert ranking.filtered_ranks(np.zeros(11), [], [0]).tolist() == [6.0]
    assert ranking.filtered_ranks(np.zeros(11), [1, 2], [0, 3]).tolist() == [4.5, 4.5]


def test_answers_do_not_stand_in_one_anothers_way():
    scores = np.array([5.0, 4.0, 3.0, 2.0])
    assert ranking.filtered_ranks(scores, [0], [1, 2]).tolist() == [1.0, 1.0]
    assert ranking.filtered_ranks(scores, [], [3]).tolist() == [4.0]


@pytest.mark.parametrize("dtype", [np.float32, np.float16, jnp.bfloat16, np.float64])
def test_streamed_batches_of_any_float(dtype):
    rng = np.random.default_rng(0)
    scores = (rng.integers(-6, 6, size=(11, 40)) / 4).astype(dtype)
    scores[3, :9] = -np.inf
    parts = [np.split(rng.permutation(40)[:13], [rng.integers(14)]) for _ in range(11)]
    easy, hard = (list(part) for part in zip(*parts))
    found = ranking.stream_ranks((scores[start : start + 4] for start in range(0, 11, 4)), easy, hard)
    for of_query, row, e, h in zip(found, scores.astype(float), easy, hard):
        np.testing.assert_array_equal(of_query, by_definition(row, e, h))
    assert min(map(len, hard)) < 3 < max(map(len, hard))


def test_easy_answers_may_include_the_hard_one():
    """As the tails of a row of the full graph do, with the test triple's own tail among them."""
    scores = np.array([5.0, 4.0, 3.0, 2.0, 2.0])
    assert ranking.filtered_ranks(scores, [0, 2, 3], [3]).tolist() == [2.5]
    assert ranking.filtered_ranks(scores, [3, 3, 0], [3, 2]).tolist() == [2.5, 2.0]


def test_not_a_number_is_an_error():
    with pytest.raises(ValueError, match="not a number"):
        ranking.filtered_ranks(np.array([1.0, np.nan]), [], [0])
    with pytest.raises(ValueError, match="not a number"):
        ranking.batch_ranks(np.array([[0.0, 1.0], [np.nan, np.inf]]), [[], []], [[0], [1]])


def test_another_number_of_scores_than_of_queries_is_an_error():
    scores = np.zeros((2, 3))
    with pytest.raises(ValueError, match="scores of 2 queries, easy answers of 1"):
        ranking.batch_ranks(scores, [[]], [[0], [1]])
    with pytest.raises(ValueError, match="scores of 2 queries, answers of 3"):
        ranking.stream_ranks([scores], [[]] * 3, [[0]] * 3)
    with pytest.raises(ValueError, match="scores of 2 queries, easy answers of 1"):
        ranking.stream_ranks([scores], [[]], [[0]])


def test_means_over_answers_then_queries_then_types():
    ranks = [np.array([1.0]), np.array([2.0, 4.0, 20.0])]
    metrics = ranking.metrics(ranks)
    assert metrics["mrr"] == pytest.approx((1 + (1 / 2 + 1 / 4 + 1 / 20) / 3) / 2)
    assert metrics["hits_at_1"] == pytest.approx(1 / 2)
    assert metrics["hits_at_3"] == pytest.approx((1 + 1 / 3) / 2)
    assert metrics["hits_at_10"] == pytest.approx((1 + 2 / 3) / 2)
    both = ranking.mean_over_types({"1p": metrics, "2p": ranking.metrics([np.array([1.0])] * 9)})
    assert both["mrr"] == pytest.approx((metrics["mrr"] + 1) / 2)


def test_by_query_and_by_missing_links():
    ranks = [np.array([1.0, 4.0]), np.array([2.0, 2.0, 10.0]), np.array([8.0])]
    missing = [[1, 2], [1, 1, 3], [1]]
    np.testing.assert_allclose(ranking.by_query(ranks)["mrr"], [5 / 8, (1 / 2 + 1 / 2 + 1 / 10) / 3, 1 / 8])
    np.testing.assert_allclose(ranking.by_query(ranks)["hits_at_3"], [1 / 2, 2 / 3, 0])
    assert np.isnan(ranking.by_query([np.zeros(0)])["mrr"]).all()
    links = ranking.by_missing_links(ranks, missing)
    assert {k: (of_k["queries"], of_k["answers"]) for k, of_k in links.items()} == {1: (3, 4), 2: (1, 1), 3: (1, 1)}
    assert links[1]["mrr"] == pytest.approx((1 + 1 / 2 + 1 / 8) / 3)
    assert links[2]["mrr"] == pytest.approx(1 / 4)
    assert links[3]["hits_at_10"] == 1
    report = ranking.report({"2p": (ranks, missing), "1p": ([np.array([1.0])], [[1]])})
    assert report["types"]["2p"] == ranking.metrics(ranks)
    assert report["average"]["mrr"] == pytest.approx((ranking.metrics(ranks)["mrr"] + 1) / 2)
    assert report["missing_links"]["2p"] == links
