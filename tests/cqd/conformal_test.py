"""The guarantee of conformal sets, by enumeration and by simulation; thresholds against brute force, with ties."""

import itertools

import numpy as np
import pytest

from cqd import conformal


def brute_force(scores, owner, alpha):
    """Returns the greatest score at which the mean share missed, one query more counted as all missed, is alpha."""
    fitting = [-np.inf]
    for t in scores:
        missed = [np.mean(scores[owner == query] < t) for query in np.unique(owner)]
        if sum(missed) <= alpha * (len(missed) + 1) - 1 + 1e-9:
            fitting.append(t)
    return max(fitting)


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.25, 0.5, 0.9])
def test_threshold_against_brute_force(alpha):
    rng = np.random.default_rng(0)
    for _ in range(60):
        owner = rng.permutation(np.repeat(rng.permutation(50)[:12], rng.integers(1, 5, size=12)))
        scores = rng.integers(6, size=len(owner)) / 5  # many ties
        assert conformal.threshold(scores, owner, alpha) == brute_force(scores, owner, alpha)


def test_one_answer_a_query_is_the_split_conformal_quantile():
    scores = np.random.default_rng(1).random(99)
    for alpha in (0.05, 0.1, 0.33):
        due = np.sort(scores)[int(alpha * 100 + 1e-9) - 1]  # the floor(alpha (n + 1))-th smallest
        assert conformal.threshold(scores, np.arange(99), alpha) == due
    assert conformal.threshold(scores[:8], np.arange(8), 0.1) == -np.inf, "9 queries are the least for alpha = .1"


def every_order(scores_of_queries, alpha):
    """Returns the mean coverage of each query by the threshold of the others: of n + 1 in a random order, the last."""
    covered = []
    for last in range(len(scores_of_queries)):
        others = [of for number, of in enumerate(scores_of_queries) if number != last]
        owner = np.repeat(np.arange(len(others)), [len(of) for of in others])
        least = conformal.threshold(np.concatenate(others), owner, alpha)
        covered.append(np.mean(np.asarray(scores_of_queries[last]) >= least))
    return np.mean(covered)


@pytest.mark.parametrize("alpha", [0.1, 0.2, 0.35, 0.5])
def test_coverage_is_exact_over_every_order(alpha):
    """Exchangeability is all that is used: over the orders of any fixed queries coverage is as promised."""
    rng = np.random.default_rng(2)
    for n in (9, 19, 24):
        one_each = [[score] for score in rng.permutation(n + 1)]
        found = every_order(one_each, alpha)
        assert 1 - alpha - 1e-9 <= found <= 1 - alpha + 1 / (n + 1) + 1e-9
        tied = [[score] for score in rng.integers(3, size=n + 1)]
        assert every_order(tied, alpha) >= 1 - alpha - 1e-9
        several = [rng.random(rng.integers(1, 6)) for _ in range(n + 1)]
        found = every_order(several, alpha)
        assert 1 - alpha - 1e-9 <= found <= 1 - alpha + 2 / (n + 1) + 1e-9


@pytest.mark.parametrize("alpha", [0.1, 0.3])
def test_coverage_over_many_draws(alpha):
    """Queries of two kinds, one with many low answers: what is covered is a share of a query's, not of all answers."""
    rng = np.random.default_rng(3)
    n, draws = 30, 4000

    def scores():
        return rng.random(1) if rng.random() < 0.5 else rng.random(5) ** 3

    covered, pooled = np.zeros(draws), np.zeros(2)
    for number in range(draws):
        queries = [scores() for _ in range(n + 1)]
        owner = np.repeat(np.arange(n), [len(of) for of in queries[:n]])
        least = conformal.threshold(np.concatenate(queries[:n]), owner, alpha)
        covered[number] = np.mean(queries[n] >= least)
        pooled += np.sum(queries[n] >= least), len(queries[n])
    error = 4 * covered.std() / np.sqrt(draws)
    assert 1 - alpha - error < covered.mean() < 1 - alpha + 2 / (n + 1) + error
    assert pooled[0] / pooled[1] < 1 - alpha - error, "the weights matter here"


def test_groups_have_thresholds_of_their_own():
    rng = np.random.default_rng(4)
    owner = np.repeat(np.arange(40), 2)
    group = np.where(owner < 15, "2p", "1p")
    scores = rng.random(80) * np.where(owner < 15, 0.1, 1)
    found = conformal.threshold_by_group(scores, owner, group, 0.2)
    assert set(found) == {"1p", "2p"}
    for name, least in found.items():
        assert least == brute_force(scores[group == name], owner[group == name], 0.2)
    one = conformal.threshold(scores, owner, 0.2)
    least = np.array([found[name] for name in group])
    assert conformal.coverage(scores, owner, least)[:15].mean() >= 0.8
    assert conformal.coverage(scores, owner, one)[:15].mean() < 0.6


def test_coverage_and_sizes_by_hand():
    scores = np.array([[0.9, 0.5, 0.1, 0.5], [0.2, 0.4, 0.6, 0.8]])
    is_candidate = np.array([[False, True, True, True], [True, True, True, True]])
    np.testing.assert_array_equal(conformal.sizes(scores, is_candidate, 0.5), [2, 2])
    np.testing.assert_array_equal(conformal.sizes(scores, is_candidate, np.array([-np.inf, 0.7])), [3, 1])
    found = conformal.coverage(np.array([0.5, 0.1, 0.8]), np.array([7, 7, 3]), np.array([0.5, 0.5, 0.9]))
    np.testing.assert_array_equal(found, [0, 0.5])


def test_thirds_sum_to_one():
    """Three queries of three answers each: at alpha = .5 what may be missed is exactly one query's weight."""
    scores, owner = np.arange(9.0), np.repeat(np.arange(3), 3)
    assert conformal.threshold(scores, owner, 0.5) == 3
    assert list(itertools.accumulate([1 / 3] * 3))[-1] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.5], [0], 0.0), "alpha=0.0: between 0 and 1"),
        (([0.5], [0], 1), "alpha=1"),
        (([], [], 0.1), "one or more"),
        (([0.5, 0.4], [0], 0.1), "as many of both"),
        (([np.nan], [0], 0.1), "not a number"),
    ],
)
def test_mistakes_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        conformal.threshold(*arguments)
