import numpy as np
import pytest

from ntk_asgd import theory


def test_rates_of_corollaries_one_and_two():
    assert theory.rate_exponent(0.5, 2.0) == pytest.approx(2 / 3)
    assert theory.rate_exponent(0.75, 1.5) == pytest.approx(9 / 13)
    for dim in (2, 3, 10):
        for r in (0.5, 1.0):
            corollary2 = 2 * r * dim / (2 * r * dim + dim - 1)
            assert theory.rate_exponent(r, theory.decay_exponent(dim)) == pytest.approx(corollary2)


def test_regularization_balances_bias_and_variance():
    """With N(lambda) = lambda^{-1/beta}, lambda^{2r} = N(lambda) / T, and both have the rate of Corollary 1."""
    for r, beta in ((0.5, 2.0), (1.0, 2.0), (0.75, 1.5)):
        lam = theory.regularization(1_000, r, beta)
        assert lam ** (2 * r) == pytest.approx(lam ** (-1 / beta) / 1_000)
        assert lam ** (2 * r) == pytest.approx(1_000 ** -theory.rate_exponent(r, beta))
    np.testing.assert_allclose(theory.regularization(np.array([1, 32]), 1.0, 2.0), [1, 0.25])


def test_expected_error_is_that_of_the_linear_recursion():
    """The recursion unrolled in float64, one coordinate a time, its noise kept as coefficients of unit draws."""
    eigenvalues, target = np.array([0.5, 0.1, 0.02]), np.array([0.3, -0.2, 0.1])
    eta, lam, noise, num_samples = 0.3, 0.05, 0.7, 25
    g, total = np.zeros(3), np.zeros(3)
    draws, draws_total = np.zeros((num_samples, 3)), np.zeros((num_samples, 3))
    for t in range(num_samples):
        g = (1 - eta * lam) * g - eta * eigenvalues * (g - target)
        draws = (1 - eta * (lam + eigenvalues))[None, :] * draws
        draws[t] += eta * noise * eigenvalues
        total, draws_total = total + g, draws_total + draws
    bias, variance = theory.reference_error(
        eigenvalues, target, num_samples=num_samples, learning_rate=eta, regularization=lam, noise=noise
    )
    assert bias == pytest.approx(np.sum((total / (num_samples + 1) - target) ** 2), rel=1e-10)
    assert variance == pytest.approx(np.sum((draws_total / (num_samples + 1)) ** 2), rel=1e-10)


def test_unrolled_noise_has_the_variance_of_its_features():
    """e_i(x) has mean square 1, so a step's noise eta noise lambda_i e_i(x) s has variance (eta noise lambda_i)^2."""
    rng = np.random.default_rng(0)
    angle, sign = rng.uniform(0, 2 * np.pi, 200_000), rng.choice([-1.0, 1.0], 200_000)
    assert np.var(np.sqrt(2) * np.cos(3 * angle) * sign) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(("r", "beta", "named"), [(0.4, 2, "r must"), (1.1, 2, "r must"), (0.5, 1, "beta must")])
def test_settings_outside_the_theorem_are_refused(r, beta, named):
    for call in (lambda: theory.rate_exponent(r, beta), lambda: theory.regularization(10, r, beta)):
        with pytest.raises(ValueError, match=named):
            call()


def test_other_impossible_values_are_refused():
    with pytest.raises(ValueError, match="num_samples"):
        theory.regularization(0, 0.5, 2.0)
    with pytest.raises(ValueError, match="dim"):
        theory.decay_exponent(1)
    with pytest.raises(ValueError, match="learning_rate"):
        theory.reference_error([1.0], [1.0], num_samples=5, learning_rate=2.0, regularization=0.1, noise=0.1)
