"""Ranks against their definition, ties included, and the order of averages."""

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


def test_not_a_number_is_an_error():
    with pytest.raises(ValueError, match="not a number"):
        ranking.filtered_ranks(np.array([1.0, np.nan]), [], [0])


def test_means_over_answers_then_queries_then_types():
    ranks = [np.array([1.0]), np.array([2.0, 4.0, 20.0])]
    metrics = ranking.metrics(ranks)
    assert metrics["mrr"] == pytest.approx((1 + (1 / 2 + 1 / 4 + 1 / 20) / 3) / 2)
    assert metrics["hits_at_1"] == pytest.approx(1 / 2)
    assert metrics["hits_at_3"] == pytest.approx((1 + 1 / 3) / 2)
    assert metrics["hits_at_10"] == pytest.approx((1 + 2 / 3) / 2)
    both = ranking.mean_over_types({"1p": metrics, "2p": ranking.metrics([np.array([1.0])] * 9)})
    assert both["mrr"] == pytest.approx((metrics["mrr"] + 1) / 2)
