"""Calibration errors by hand, against plain numpy and scikit-learn, and of truths that are probabilities."""

import numpy as np
import pytest
from sklearn import metrics

from cqd import reliability

TRUTHS = np.array([0.05, 0.15, 0.15, 0.3, 0.7, 0.75, 0.9, 1.0])
ANSWERS = np.array([0, 1, 0, 0, 1, 0, 1, 1], bool)


def test_the_error_by_hand():
    """Four bins of two: .05 .15 | .15 .3 | .7 .75 | .9 1, but equal truths share the bin of the first of them."""
    found = reliability.bins(TRUTHS, ANSWERS, num_bins=4)
    np.testing.assert_allclose(found.count, [3, 1, 2, 2])
    np.testing.assert_allclose(found.truth, [0.35 / 3, 0.3, 0.725, 0.95])
    np.testing.assert_allclose(found.share, [1 / 3, 0, 0.5, 1])
    gaps = [3 * abs(1 / 3 - 0.35 / 3), 0.3, 2 * 0.225, 2 * 0.05]
    assert reliability.expected_error(found) == pytest.approx(sum(gaps) / 8)


def test_bins_of_equal_width_by_hand():
    """Quarters: .05 .15 .15 | .3 | .7 | .75 .9 1, of which .75 is on a bound."""
    found = reliability.bins(TRUTHS, ANSWERS, num_bins=4, kind="width")
    np.testing.assert_allclose(found.count, [3, 1, 1, 3])
    np.testing.assert_allclose(found.share, [1 / 3, 0, 1, 2 / 3])
    gaps = [3 * abs(1 / 3 - 0.35 / 3), 0.3, 0.3, 3 * abs(2 / 3 - 2.65 / 3)]
    assert reliability.expected_error(found) == pytest.approx(sum(gaps) / 8)
    assert len(reliability.bins(TRUTHS, ANSWERS, num_bins=40, kind="width").count) == 7, "empty bins are left out"


@pytest.mark.parametrize("kind", reliability.KINDS)
def test_neither_order_nor_grouping_matters(kind):
    rng = np.random.default_rng(0)
    truths = np.round(rng.random(500), 2)
    answers = rng.random(500) < truths
    distinct, place = np.unique(truths, return_inverse=True)
    grouped = distinct, np.bincount(place, answers), np.bincount(place)
    order = rng.permutation(500)
    due = reliability.bins(truths, answers, kind=kind)
    for found in (
        reliability.bins(truths[order], answers[order], kind=kind),
        reliability.bins(*grouped, kind=kind),
    ):
        for part, of_due in zip(found, due):
            np.testing.assert_allclose(part, of_due)
    for name, value in reliability.measures(*grouped).items():
        assert value == pytest.approx(reliability.measures(truths, answers)[name])


def test_measures_against_scikit_learn():
    rng = np.random.default_rng(1)
    truths = np.round(rng.random(400), 2)  # with ties
    answers = rng.random(400) < 0.3 + 0.4 * truths
    found = reliability.measures(truths, answers)
    inside = np.clip(truths, reliability.LEAST, 1 - reliability.LEAST)
    assert found["brier"] == pytest.approx(metrics.brier_score_loss(answers, truths))
    assert found["log_loss"] == pytest.approx(metrics.log_loss(answers, inside))
    assert found["auc"] == pytest.approx(metrics.roc_auc_score(answers, truths))
    assert reliability.measures(truths**3, answers)["auc"] == pytest.approx(found["auc"])
    assert "auc" not in reliability.measures(truths, np.zeros(400, bool))


@pytest.mark.parametrize("kind", reliability.KINDS)
def test_probabilities_have_almost_no_error(kind):
    rng = np.random.default_rng(2)
    truths = rng.beta(0.3, 2.0, size=200_000)
    error = reliability.expected_error(reliability.bins(truths, rng.random(200_000) < truths, kind=kind))
    assert error < 0.004, "noise alone: some sqrt(p (1 - p) num_bins / n)"
    off = reliability.expected_error(reliability.bins(truths, rng.random(200_000) < truths**2, kind=kind))
    assert off == pytest.approx(np.mean(truths - truths**2), abs=0.004), "p - p^2 is of one sign, hence its mean"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.5, np.nan], [0, 1]), "numbers from 0 to 1"),
        (([0.5, 1.1], [0, 1]), "truths from 0.5 to 1.1"),
        (([0.5], [0, 1]), "three of one length"),
        (([], []), "one candidate or more"),
        (([0.5], [2]), "more than the candidates"),
    ],
)
def test_mistakes_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        reliability.measures(*arguments)


def test_unknown_bins_are_named():
    with pytest.raises(ValueError, match="kind='depth': choose one of mass, width"):
        reliability.bins(TRUTHS, ANSWERS, kind="depth")
    with pytest.raises(ValueError, match="num_bins=0"):
        reliability.bins(TRUTHS, ANSWERS, num_bins=0)
