"""Platt's and isotonic maps recover known ones, keep the order, and do not mind how candidates are grouped."""

import numpy as np
import pytest
from scipy import optimize
from scipy.special import expit, logit

from cqd import recalibration, reliability


def candidates(map_fn, count=100_000):
    """Returns truths and labels of candidates whose probability is map_fn(truth)."""
    rng = np.random.default_rng(0)
    truths = rng.beta(0.5, 1.5, size=count)
    return truths, rng.random(count) < map_fn(truths)


def test_platt_recovers_its_own_map():
    truths, answers = candidates(lambda p: expit(0.6 * logit(p) - 1.5))
    fitted = recalibration.fit("platt", recalibration.count(truths, answers))
    assert fitted.slope == pytest.approx(0.6, abs=0.02)
    assert fitted.intercept == pytest.approx(-1.5, abs=0.03)
    found = recalibration.apply(fitted, truths)
    assert reliability.measures(found, answers)["ece"] < 0.005 < reliability.measures(truths, answers)["ece"]


def test_platt_is_the_likelihoods_maximum():
    rng = np.random.default_rng(3)
    counts = recalibration.Counts(rng.random(30), rng.integers(0, 4, 30), rng.integers(4, 9, 30))
    above, below = ((n + 1) / (n + 2) for n in (counts.answers.sum(), (counts.count - counts.answers).sum()))
    label = counts.answers * above + (counts.count - counts.answers) * (1 - below)

    def loss(at):
        value = at[0] * logit(counts.truths) + at[1]
        return np.sum(counts.count * np.logaddexp(0, value) - label * value)

    due = optimize.minimize(loss, [1.0, 0.0], method="BFGS", options={"gtol": 1e-9}).x
    np.testing.assert_allclose(recalibration.fit("platt", counts), due, rtol=1e-5)


def test_platt_of_candidates_that_a_threshold_parts_or_of_one_kind():
    truths = np.array([0.1, 0.2, 0.8, 0.9])
    parted = recalibration.fit("platt", recalibration.count(truths, truths > 0.5))
    assert 0 < parted.slope < 10
    none = recalibration.fit("platt", recalibration.count(truths, np.zeros(4, bool)))
    np.testing.assert_allclose(recalibration.apply(none, truths), 1 / 6, atol=1e-6)
    none = recalibration.fit("isotonic", recalibration.count(truths, np.zeros(4, bool)))
    np.testing.assert_array_equal(recalibration.apply(none, truths), 0)


def test_isotonic_recovers_a_map_that_platt_has_not():
    def steps(p):
        return np.where(p < 0.3, 0.05, np.where(p < 0.6, 0.4, 0.45))

    truths, answers = candidates(steps)
    fitted = recalibration.fit("isotonic", recalibration.count(truths, answers))
    at = np.array([0.05, 0.2, 0.4, 0.55, 0.7, 0.9])
    np.testing.assert_allclose(recalibration.apply(fitted, at), steps(at), atol=0.03)
    assert np.all(np.diff(recalibration.apply(fitted, np.linspace(0, 1, 1000))) >= 0)


def test_isotonic_pools_violators_by_hand():
    truths = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    fitted = recalibration.fit("isotonic", recalibration.count(truths, np.array([0, 1, 0, 0, 1], bool), decimals=9))
    np.testing.assert_allclose(recalibration.apply(fitted, truths), [0, 1 / 3, 1 / 3, 1 / 3, 1])
    np.testing.assert_allclose(recalibration.apply(fitted, np.array([0.0, 1.0])), [0, 1])


def test_platt_keeps_the_order_and_the_shape():
    truths = np.sort(np.random.default_rng(0).random((3, 5)), axis=1)
    found = recalibration.apply(recalibration.Platt(2.0, -1.0), truths)
    assert found.shape == (3, 5)
    assert np.all(np.diff(found, axis=1) > 0)
    np.testing.assert_allclose(recalibration.apply(recalibration.Platt(1.0, 0.0), truths), truths)
    assert recalibration.apply(None, truths) is not None
    np.testing.assert_array_equal(recalibration.apply(None, truths), truths)


def test_counting_loses_nothing_but_decimals():
    truths, answers = candidates(lambda p: p, count=3000)
    counts = recalibration.count(truths, answers)
    assert len(counts.truths) < 1500
    assert (counts.answers.sum(), counts.count.sum()) == (answers.sum(), 3000)
    fine, coarse = (recalibration.fit("platt", recalibration.count(truths, answers, decimals=d)) for d in (8, 2))
    np.testing.assert_allclose(fine, coarse, atol=0.01)
    extreme = recalibration.count(np.array([0.0, 1.0, 1e-38]), np.array([0, 1, 0], bool))
    assert extreme.count.tolist() == [2, 1]
    assert np.isfinite(recalibration.log_odds(extreme.truths)).all()


def test_mistakes_are_named():
    counts = recalibration.count(np.array([0.5]), np.array([True]))
    with pytest.raises(ValueError, match="map 'spline': choose one of platt, isotonic"):
        recalibration.fit("spline", counts)
    with pytest.raises(ValueError, match="no candidates"):
        recalibration.fit("platt", recalibration.count(np.zeros(0), np.zeros(0, bool)))
    with pytest.raises(TypeError, match="tuple is no map"):
        recalibration.apply((1, 2), np.array([0.5]))
