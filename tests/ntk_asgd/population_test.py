import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk_asgd import asgd, infinite, network, population, spectrum, theory, weighting

_SCHEMES = ("average", "tail", "last", "polynomial", "exponential")


def _problem(n=30, dim=4, seed=0):
    """Returns inputs on the sphere [n, d], the ReLU kernel's Gram matrix in float64, and a target in [-1, 1]."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, dim))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    with jax.enable_x64(True):
        gram = np.asarray(infinite.ntk(jnp.asarray(x), activation="relu", gamma=1.0))
    return x.astype(np.float32), gram, 0.8 * np.sign(x[:, 0] + 0.3)


def _table(num_samples):
    return np.stack([weighting.weights(scheme, num_samples) for scheme in _SCHEMES])


def _iterates(gram, place, y, eta, power, level):
    """The reference ASGD by its definition in float64: values of g_0 .. g_T [T+1, n], and the residuals [T]."""
    values, kept, residuals = np.zeros(len(gram)), [np.zeros(len(gram))], []
    for t in range(len(place)):
        now = eta * (1 + t) ** -power
        residuals.append(values[place[t]] - y[t])
        values = (1 - now * level) * values - now * residuals[-1] * gram[place[t]]
        kept.append(values)
    return np.array(kept), np.array(residuals)


def _average(keys, gram, target, setting, num_samples):
    """Returns the average of all iterates of one reference ASGD a key [keys, n]."""
    settings = jax.tree.map(lambda leaf: leaf[None], setting)
    table = np.full((1, num_samples + 1), 1 / (num_samples + 1))

    def one_run(key):
        place, y = population.samples(key, target, num_samples)
        residuals = population.residuals(gram, place, y, settings)[0]
        return population.averages(gram, place, residuals, table, setting)[0]

    return jax.vmap(one_run)(keys)


def test_operator_is_that_of_the_population():
    _, gram, target = _problem()
    ours = population.operator(gram)
    n = len(gram)
    np.testing.assert_allclose(ours.eigenfunctions.T @ ours.eigenfunctions / n, np.eye(n), atol=1e-10)
    g = ours.coefficients(target)
    np.testing.assert_allclose(ours.values(g), target, atol=1e-10)
    # (Sigma f)(x_i) = mean_j k(x_i, x_j) f(x_j)
    np.testing.assert_allclose(ours.values(ours.eigenvalues * g), [np.mean(row * target) for row in gram], atol=1e-12)


def test_degrees_of_freedom_are_the_trace_by_a_matrix_inverse():
    _, gram, _ = _problem()
    ours, n = population.operator(gram), len(gram)
    for level in (1.0, 0.03, 1e-4):
        trace = np.trace(gram / n @ np.linalg.inv(gram / n + level * np.eye(n)))
        assert spectrum.degrees_of_freedom(ours.eigenvalues, level) == pytest.approx(trace, rel=1e-9)


def test_bound_on_a_population_is_that_of_direct_sums():
    """The RKHS norm as g K^{-1} g n, powers of Sigma by matrices, and the terms of the theorem by hand."""
    _, gram, target = _problem()
    ours, n = population.operator(gram), len(gram)
    r, level, num_samples, eta = 0.75, 0.02, 50, 0.03
    sigma = gram / n
    values, vectors = np.linalg.eigh(sigma)
    powered = vectors @ np.diag(values**-r) @ vectors.T @ target
    source = sum(value**2 for value in powered) / n
    rkhs = target @ np.linalg.solve(gram, target)
    free = np.trace(sigma @ np.linalg.inv(sigma + level * np.eye(n)))
    total = num_samples + 1
    expected = (
        level ** (2 * r) * source,
        rkhs / total,
        rkhs / (level * eta**2 * total**2),
        (1 + np.mean(target**2) + source) * free / total,
    )
    settings = {"regularization": level, "num_samples": num_samples, "learning_rate": eta}
    found = theory.bound(ours.eigenvalues, ours.coefficients(target), r=r, **settings)
    np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_equal_inputs_make_an_eigenvalue_of_zero_that_carries_a_target_only_where_it_differs_there():
    x, gram, target = _problem()
    twice = np.append(np.arange(len(x)), 3)
    ours = population.operator(gram[twice][:, twice])
    assert (ours.eigenvalues == 0).sum() == 1
    same, differing = target[twice], target[twice]
    differing[-1] *= -1
    assert np.isfinite(theory.source_norm(ours.eigenvalues, ours.coefficients(same), 0.5))
    assert theory.source_norm(ours.eigenvalues, ours.coefficients(differing), 0.5) == np.inf


def test_risk_is_a_sum_over_the_population():
    rng = np.random.default_rng(0)
    values, target = rng.standard_normal((2, 3, 7)), rng.standard_normal(7)
    risk = population.excess_risk(values, target)
    by_hand = sum((values[1, 2, j] - target[j]) ** 2 for j in range(7)) / 7
    assert risk.shape == (2, 3)
    assert risk[1, 2] == pytest.approx(by_hand)


def test_samples_have_the_mean_of_the_target():
    target = np.array([-0.8, 0.0, 0.5, 1.0], np.float32)
    place, y = map(np.asarray, population.samples(jax.random.key(0), jnp.asarray(target), 40_000))
    assert set(y) == {-1.0, 1.0}
    for each, mean in enumerate(target):
        here = y[place == each]
        assert len(here) == pytest.approx(10_000, rel=0.05)
        assert here.mean() == pytest.approx(mean, abs=0.04)


def test_averages_are_those_of_stored_iterates():
    _, gram, target = _problem()
    num_samples = 60
    place, y = map(np.asarray, population.samples(jax.random.key(1), jnp.asarray(target, jnp.float32), num_samples))
    settings = population.Descent(
        *(np.array(each, np.float32) for each in ([0.2, 0.2, 0.4], [0.1, 0.01, 0.02], [0, 0, 0.5]))
    )
    small = gram.astype(np.float32)
    residuals = population.residuals(small, place, y, settings)
    for m in range(3):
        one = population.Descent(*(each[m] for each in settings))
        iterates, expected = _iterates(gram, place, y, one.learning_rate, one.power, one.regularization)
        np.testing.assert_allclose(residuals[m], expected, rtol=2e-4, atol=2e-5)
        table = _table(num_samples)
        ours = population.averages(small, place, residuals[m], table, one)
        np.testing.assert_allclose(ours, table @ iterates, rtol=2e-4, atol=2e-5)
        # weights that end early make the average of a shorter run
        early = np.zeros((1, num_samples + 1))
        early[0, :21] = weighting.weights("average", 20)
        ours = population.averages(small, place, residuals[m], early, one)[0]
        np.testing.assert_allclose(ours, iterates[:21].mean(axis=0), rtol=2e-4, atol=2e-5)


def test_networks_averages_are_those_of_stored_iterates():
    """Both step sizes one sample at a time; averages of weights and of functions over the ends of blocks."""
    x, _, target = _problem()
    num_samples, size = 24, 4
    place, y = population.samples(jax.random.key(2), jnp.asarray(target, jnp.float32), num_samples)
    weights = network.init(jax.random.key(3), width=8, dim=x.shape[1])
    fixed = {"activation": "erf", "gamma": 1.0}
    table = weighting.by_block(_table(num_samples), size)
    settings = population.Descent(*(jnp.array(each) for each in ([0.2, 0.3], [0.05, 0.02], [0.0, 0.5])))
    state = population.iterates_init(weights, num_settings=2, num_averages=len(table), num_inputs=len(x))
    step = jax.jit(functools.partial(population.iterates_step, **fixed))
    for number, share in enumerate(table.T.astype(np.float32)):
        block = slice(number * size, (number + 1) * size)
        state = step(state, x[place[block]], y[block], x, share, settings)
    ours = population.iterates_outputs(state, x, **fixed)

    def apply_fn(weights, x):
        return network.apply(weights, x, **fixed)

    @jax.jit
    def step_one(state, x, y, eta, level):
        return asgd.step(state, x, y, apply_fn=apply_fn, learning_rate=eta, regularization=level)[0]

    kept = []
    for m in range(2):
        eta, level, power = (float(each[m]) for each in (settings.learning_rate, *settings[1:]))
        state, stored = asgd.init(weights), []
        for t in range(num_samples):
            rate = eta * (1 + t) ** -power
            state = step_one(state, x[place[t]], y[t], rate, level)
            stored.append(asgd.last_weights(state))
        kept.append(stored)
        np.testing.assert_allclose(ours["last"][m], apply_fn(stored[-1], x), atol=2e-5)
        if m == 0:
            np.testing.assert_allclose(ours["averaged"][0], apply_fn(asgd.averaged_weights(state), x), atol=2e-5)

    def mean(trees):
        return jax.tree.map(lambda *leaves: sum(leaves) / len(leaves), *trees)

    tail = mean(kept[0][num_samples // 2 :])
    np.testing.assert_allclose(ours["averaged"][1], apply_fn(tail, x), atol=2e-5)
    ends = kept[0][size - 1 :: size]
    np.testing.assert_allclose(ours["weights"], apply_fn(mean(ends), x), atol=2e-5)
    functions = sum(apply_fn(each, x) for each in ends) / len(ends)
    np.testing.assert_allclose(ours["functions"], functions, atol=2e-5)
    assert np.abs(np.asarray(functions - ours["weights"])).max() > 1e-4  # the two differ


def test_mean_of_many_runs_is_the_expected_one():
    """The design is random here, and the expectation exact all the same; the variance is of the noise alone."""
    _, gram, target = _problem()
    ours, num_samples, num_runs = population.operator(gram), 40, 4_000
    eta, level = 0.25, 0.05
    one = population.Descent(jnp.float32(eta), jnp.float32(level), jnp.float32(0))
    keys = jax.random.split(jax.random.key(0), num_runs)
    run = jax.jit(functools.partial(_average, num_samples=num_samples))
    found = np.asarray(run(keys, gram.astype(np.float32), target.astype(np.float32), one), np.float64)
    settings = {"num_samples": num_samples, "learning_rate": eta, "regularization": level}
    mean = ours.values(theory.reference_mean(ours.eigenvalues, ours.coefficients(target), **settings))
    standard_error = found.std(axis=0) / np.sqrt(num_runs)
    assert np.abs((found.mean(axis=0) - mean) / standard_error).max() < 4.5


def test_risk_is_within_the_bound_with_one_constant_on_a_power_law_population():
    """Inputs evenly on the circle: for every T and r a constant of 1 will do, and the bound is no more than loose."""
    n = 64
    angles = 2 * np.pi * np.arange(n) / n
    order = np.minimum(np.arange(n), n - np.arange(n))  # of the Fourier modes
    gram = n * np.real(np.fft.ifft((1.0 + order) ** -2.0))[(np.arange(n)[:, None] - np.arange(n)[None, :]) % n]
    gram /= gram[0, 0]
    ours = population.operator(gram)
    target = 0.3 * np.cos(angles) + 0.2 * np.sin(2 * angles)
    ratios = []
    for num_samples in (64, 512):
        level = theory.regularization(num_samples, 0.75, 2.0)
        eta = theory.max_learning_rate(level)
        one = population.Descent(jnp.float32(eta), jnp.float32(level), jnp.float32(0))
        keys = jax.random.split(jax.random.key(0), 8)
        values = jax.jit(functools.partial(_average, num_samples=num_samples))(
            keys, gram.astype(np.float32), target.astype(np.float32), one
        )
        risks = population.excess_risk(values, target)
        settings = {"regularization": level, "num_samples": num_samples, "learning_rate": eta}
        for r in (0.5, 0.75, 1.0):
            bound = sum(theory.bound(ours.eigenvalues, ours.coefficients(target), r=r, **settings))
            ratios.append(max(risks) / bound)
    assert max(ratios) < 1
    assert min(ratios) > 1e-3


def test_a_matrix_that_is_not_square_is_refused():
    with pytest.raises(ValueError, match="square"):
        population.operator(np.zeros((3, 2)))
