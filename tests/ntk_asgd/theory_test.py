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


@pytest.mark.parametrize(("r", "beta", "named"), [(0.4, 2, "r must"), (1.1, 2, "r must"), (0.5, 1, "beta must")])
def test_settings_outside_the_theorem_are_refused(r, beta, named):
    for call in (lambda: theory.rate_exponent(r, beta), lambda: theory.regularization(10, r, beta)):
        with pytest.raises(ValueError, match=named):
            call()


def test_misspecified_settings_take_the_formula_on_request():
    assert theory.rate_exponent(0.1, 2.0, misspecified=True) == pytest.approx(0.4 / 1.4)
    assert theory.regularization(1_024, 0.1, 2.0, misspecified=True) == pytest.approx(1_024 ** (-2 / 1.4))
    with pytest.raises(ValueError, match="positive"):
        theory.rate_exponent(0.0, 2.0, misspecified=True)


def test_constant_scales_the_schedule_and_keeps_its_rate():
    at = theory.regularization(np.array([100, 6_400]), 0.5, 2.0, constant=0.3)
    np.testing.assert_allclose(at, 0.3 * np.array([100, 6_400]) ** (-2 / 3))


def test_bound_has_the_terms_of_theorem_one():
    """Term by term from the statement, in float64 numpy, and by degree with multiplicities as by index."""
    mu, counts, per_degree = np.array([0.5, 0.2, 0.05]), np.array([1, 2, 2]), np.array([0.3, 0.1, 0.02])
    eigenvalues = np.repeat(mu, counts)
    coefficients = np.concatenate([[0.3], [0.1, 0.0], [0.012, 0.016]])
    r, lam, total, eta = 0.75, 0.01, 101, 0.03
    source = np.sum((coefficients / eigenvalues**r) ** 2)
    rkhs = np.sum(coefficients**2 / eigenvalues)
    free = np.trace(np.diag(eigenvalues) @ np.linalg.inv(np.diag(eigenvalues) + lam * np.eye(5)))
    expected = (
        lam ** (2 * r) * source,
        rkhs / total,
        rkhs / (lam * eta**2 * total**2),
        (1 + np.sum(coefficients**2) + source) * free / total,
    )
    settings = {"r": r, "regularization": lam, "num_samples": 100, "learning_rate": eta}
    np.testing.assert_allclose(theory.bound(eigenvalues, coefficients, **settings), expected, rtol=1e-12)
    np.testing.assert_allclose(theory.bound(mu, per_degree, multiplicity=counts, **settings), expected, rtol=1e-12)


def test_bound_is_infinite_for_a_target_the_kernel_cannot_see():
    settings = {"r": 0.5, "regularization": 0.01, "num_samples": 100, "learning_rate": 0.03}
    terms = theory.bound([1.0, 0.0], [0.1, 0.1], **settings)
    assert np.isinf([terms.source, terms.initial, terms.step_size, terms.variance]).all()
    assert np.isfinite(theory.bound([1.0, 0.0], [0.1, 0.0], **settings)).all()


def test_bound_holds_above_the_expected_risk_at_the_theorems_step_size():
    """With alpha = 1, noise at most 1 and the largest step the theorem allows."""
    eigenvalues = np.arange(1, 201) ** -2.0
    for r in (0.5, 1.0):
        target = 0.5 * eigenvalues**r * np.arange(1, 201) ** -0.6
        for num_samples in (100, 10_000):
            lam = theory.regularization(num_samples, r, 2.0)
            settings = {"num_samples": num_samples, "learning_rate": theory.max_learning_rate(lam)}
            bound = sum(theory.bound(eigenvalues, target, r=r, regularization=lam, **settings))
            risk = sum(theory.reference_error(eigenvalues, target, regularization=lam, noise=0.5, **settings))
            assert risk < bound


def test_largest_learning_rate_meets_the_theorems_condition():
    assert 4 * (6 + 0.3) * theory.max_learning_rate(0.3) == pytest.approx(1)


def test_balancing_constant_balances():
    eigenvalues = np.arange(1, 101) ** -2.0
    problem = {"learning_rate": 0.1, "noise": 0.3}
    target = 0.5 * eigenvalues * np.arange(1, 101) ** -0.6
    settings = {"num_samples": 4_000, "r": 1.0, "beta": 2.0}
    constant = theory.balancing_constant(eigenvalues, target, bias_over_variance=0.5, **settings, **problem)
    lam = theory.regularization(4_000, 1.0, 2.0, constant=constant)
    bias, variance = theory.reference_error(eigenvalues, target, num_samples=4_000, regularization=lam, **problem)
    assert bias / variance == pytest.approx(0.5, rel=1e-6)
    with pytest.raises(ValueError, match="no lambda gives"):
        theory.balancing_constant(eigenvalues, target, bias_over_variance=1e-9, **settings, **problem)


def test_source_norm_of_edge_targets_falls_on_either_side_of_r():
    """Doubling the number of functions leaves the norm at r and multiplies it past r + tail / (2 beta)."""
    small, large = (np.arange(1, n + 1) ** -2.0 for n in (2**14, 2**18))
    targets_ = [each**0.75 * np.arange(1, len(each) + 1) ** -0.6 for each in (small, large)]
    within, beyond = (
        theory.source_norm(large, targets_[1], r) / theory.source_norm(small, targets_[0], r) for r in (0.75, 0.95)
    )
    assert within < 1.05
    assert beyond > 1.5


def test_other_impossible_values_are_refused():
    with pytest.raises(ValueError, match="num_samples"):
        theory.regularization(0, 0.5, 2.0)
    with pytest.raises(ValueError, match="dim"):
        theory.decay_exponent(1)
    with pytest.raises(ValueError, match="learning_rate"):
        theory.reference_error([1.0], [1.0], num_samples=5, learning_rate=2.0, regularization=0.1, noise=0.1)
    for changed in ({"num_samples": 0}, {"learning_rate": 0.0}, {"regularization": 0.0}, {"r": 0.2}):
        settings = {"r": 0.5, "regularization": 0.01, "num_samples": 10, "learning_rate": 0.03} | changed
        with pytest.raises(ValueError, match=next(iter(changed))):
            theory.bound([1.0], [1.0], **settings)


def test_expected_error_of_weighted_averages_is_that_of_the_linear_recursion():
    """The recursion unrolled in float64 with a decreasing step, its noise kept as coefficients of unit draws."""
    eigenvalues, target = np.array([0.5, 0.1, 0.02]), np.array([0.3, -0.2, 0.1])
    lam, noise, num_samples = 0.05, 0.7, 12
    eta = 0.4 * (1 + np.arange(num_samples)) ** -0.5
    weights = np.random.default_rng(0).dirichlet(np.ones(num_samples + 1), 2)
    g, draws = np.zeros(3), np.zeros((num_samples, 3))
    kept, kept_draws = [g], [draws]
    for t in range(num_samples):
        g = (1 - eta[t] * lam) * g - eta[t] * eigenvalues * (g - target)
        draws = (1 - eta[t] * (lam + eigenvalues))[None, :] * draws
        draws[t] += eta[t] * noise * eigenvalues
        kept, kept_draws = [*kept, g], [*kept_draws, draws]
    found = theory.averaging_error(eigenvalues, target, weights, learning_rate=eta, regularization=lam, noise=noise)
    for row in range(2):
        mean = sum(weight * each for weight, each in zip(weights[row], kept))
        spread = sum(weight * each for weight, each in zip(weights[row], kept_draws))
        assert found[0][row] == pytest.approx(np.sum((mean - target) ** 2), rel=1e-10)
        assert found[1][row] == pytest.approx(np.sum(spread**2), rel=1e-10)


def test_expected_error_of_the_plain_average_is_the_closed_form():
    eigenvalues, target = np.arange(1, 21) ** -2.0, np.arange(1, 21) ** -1.0
    settings = {"learning_rate": 0.3, "regularization": 0.02, "noise": 0.4}
    closed = theory.reference_error(eigenvalues, target, num_samples=50, **settings)
    found = theory.averaging_error(eigenvalues, target, np.full(51, 1 / 51), **settings)
    np.testing.assert_allclose(np.concatenate(found), closed, rtol=1e-10)
