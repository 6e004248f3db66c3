import numpy as np
import pytest
from scipy import stats

from darts_perturb import agreement


def accuracies(num_cells, noise, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(num_cells, 1)) + noise * rng.normal(size=(num_cells, 3))


def test_pairs_are_spearman_s_with_ties():
    values = np.round(accuracies(20, 0.5), 1)
    pairs = [stats.spearmanr(values[:, a], values[:, b]).statistic for a, b in ((0, 1), (0, 2), (1, 2))]
    np.testing.assert_allclose(agreement.rank_correlations(values), pairs)


def test_seeds_that_agree_correlate_and_constants_do_not():
    np.testing.assert_allclose(agreement.rank_correlations(accuracies(10, 0.0)), 1)
    np.testing.assert_allclose(agreement.rank_correlations(np.ones((5, 2))), 0)


def test_figures_tell_cells_from_seeds():
    values = 0.3 * accuracies(2000, 0.5)
    found = agreement.figures(values, resamples=200)
    np.testing.assert_allclose(found["sd_of_seeds"], 0.15, rtol=0.05)
    np.testing.assert_allclose(found["sd_of_cells"], 0.3 * np.sqrt(1 + 0.25 / 3), rtol=0.05)
    np.testing.assert_allclose(found["mean"], np.mean(found["pairs"]))
    low, high = found["interval"]
    assert low < found["mean"] < high < low + 0.1
    assert found["upper_half"] < found["mean"]


def test_the_interval_covers_as_often_as_it_says():
    # of two normal variables with correlation r Spearman's is 6 / pi asin(r / 2)
    truth = 6 / np.pi * np.arcsin(0.8 / 2)
    hits = 0
    for seed in range(100):
        values = accuracies(60, 0.5, seed)
        low, high = agreement.bootstrap(values, lambda rows: agreement.rank_correlations(rows).mean(), resamples=200)
        hits += low <= truth <= high
    assert 84 <= hits <= 100


@pytest.mark.parametrize("shape", [(2, 3), (5, 1), (5,)])
def test_too_few_cells_or_seeds(shape):
    with pytest.raises(ValueError, match="need three or more cells"):
        agreement.rank_correlations(np.ones(shape))
