import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk_asgd import asgd, empirical, network, one_pass, rkhs, sphere

ETA, LAM = 0.3, 0.2
SETTINGS = {"learning_rate": ETA, "regularization": LAM}
_ALL = {"average_from": 0, "horizon": 99}
_OPTIONS = [_ALL, {"average_from": 4, "horizon": 99}, {"average_from": 0, "horizon": 9}]


def _stream(num_steps, dim=2):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((num_steps, dim))
    return x / np.linalg.norm(x, axis=1, keepdims=True), rng.uniform(-1, 1, num_steps)


@jax.jit
def _reference_by_steps(features, y, eigenvalues, options):
    def one_step(state, sample):
        return rkhs.reference_step(state, *sample, eigenvalues=eigenvalues, **SETTINGS, **options)

    return jax.lax.scan(one_step, rkhs.reference_init(len(eigenvalues)), (features, y))


_expansion = jax.jit(rkhs.kernel_coefficients)


def _circle_problem(num_samples, num_functions=5):
    """Features [T, N], observations [T] and eigenvalues [N] on the circle, as jax arrays."""
    rng = np.random.default_rng(2)
    features = sphere.circle_eigenfunctions(jnp.asarray(rng.uniform(0, 2 * np.pi, num_samples)), num_functions)
    return features, jnp.asarray(rng.uniform(-1, 1, num_samples)), 0.4 / (1.0 + jnp.arange(num_functions))


def test_reference_step_is_the_paper_recursion_on_functions():
    """In float64, with functions held by their values on a grid of the circle."""
    grid = np.arange(32) * 2 * np.pi / 32
    eigenvalues = np.array([0.4, 0.3, 0.2, 0.1, 0.05])
    with jax.enable_x64(True):
        basis = np.asarray(sphere.circle_eigenfunctions(jnp.asarray(grid), 5))
        state = rkhs.reference_init(5)
        g, values = np.zeros(32), [np.zeros(32)]
        for place, y in ((3, 0.5), (17, -0.7), (8, 0.1), (30, 0.9)):
            kernel = basis @ (eigenvalues * basis[place])  # k(x, .)
            g = (1 - ETA * LAM) * g - ETA * (g[place] - y) * kernel
            values.append(g)
            state, _ = rkhs.reference_step(
                state, jnp.asarray(basis[place]), y, eigenvalues=jnp.asarray(eigenvalues), **SETTINGS
            )
            np.testing.assert_allclose(basis @ np.asarray(state.coefficients), g, rtol=1e-12, atol=1e-14)
            np.testing.assert_allclose(basis @ np.asarray(state.mean), np.mean(values, axis=0), rtol=1e-12, atol=1e-14)


def test_reference_is_algorithm_one_on_linear_features():
    """g = sum_i w_i sqrt(lambda_i) e_i from w_0 = 0 has the same iterates."""
    features, y, eigenvalues = _circle_problem(5, 3)
    linear = asgd.init(jnp.zeros(3))
    for row, label in zip(features, y):
        linear, _ = asgd.step(linear, row * jnp.sqrt(eigenvalues), label, apply_fn=lambda w, x: x @ w, **SETTINGS)
    reference, _ = _reference_by_steps(features, y, eigenvalues, _ALL)
    np.testing.assert_allclose(asgd.averaged_weights(linear) * jnp.sqrt(eigenvalues), reference.mean, rtol=1e-5)


@pytest.mark.parametrize("options", _OPTIONS)
def test_kernel_expansion_is_the_eigenbasis_run(options):
    with jax.enable_x64(True):
        features, y, eigenvalues = _circle_problem(12)
        expected, info = _reference_by_steps(features, y, eigenvalues, options)
        representers = features * eigenvalues[None]
        expansion = _expansion(representers @ features.T, y, **SETTINGS, **options)
        np.testing.assert_allclose(expansion.averaged @ representers, expected.mean, rtol=1e-11)
        np.testing.assert_allclose(expansion.last @ representers, expected.coefficients, rtol=1e-11)
        np.testing.assert_allclose(expansion.residuals**2 / 2, info["loss"], rtol=1e-10)


@pytest.mark.parametrize("part", ["both", "input"])
def test_network_kernel_expansion_is_algorithm_one_on_the_linearisation(part):
    """Three ways to one function: autodiff steps, blocks in closed form, kernel expansion with the Gram matrix."""
    fixed = {"activation": "swish:3", "gamma": 0.7}
    with jax.enable_x64(True):
        weights = network.init(jax.random.key(0), width=12, dim=2)
        x, y = map(jnp.asarray, _stream(11))
        grid = jnp.asarray(_stream(5)[0])[:, ::-1]
        model = functools.partial(network.apply, **fixed)
        linear = asgd.linearize(model, weights)
        trainable = network.Params(a=part != "input", b=part != "output", c=part != "output")

        def one_step(state, sample):
            return asgd.step(state, *sample, apply_fn=asgd.freeze(linear, trainable), **SETTINGS)

        by_steps = jax.jit(lambda state: jax.lax.scan(one_step, state, (x, y))[0])(asgd.init(weights))
        advance = functools.partial(one_pass.advance, part=part, linearized=True, block_size=4, **fixed, **SETTINGS)
        by_blocks, _ = jax.jit(advance)(asgd.init(weights), x, y)
        kernel = jax.jit(functools.partial(empirical.two_layer_ntk, weights, part=part, **fixed))
        expansion = _expansion(kernel(x), y, **SETTINGS)
        kernel_gx, model = kernel(grid, x), jax.jit(linear)
        for state in (by_steps, by_blocks):
            for weights_fn, coefficients in (
                (asgd.averaged_weights, expansion.averaged),
                (asgd.last_weights, expansion.last),
            ):
                outputs = model(weights_fn(state), grid)
                np.testing.assert_allclose(outputs, kernel_gx @ coefficients, rtol=1e-10, atol=1e-14)


def test_expansion_is_finite_and_accurate_in_float32_over_long_runs():
    features, y, eigenvalues = _circle_problem(1_024, 9)
    gram = features @ (features * eigenvalues[None]).T
    settings = {"learning_rate": 0.2, "regularization": 0.3}  # (1 - eta lambda)^1024 underflows
    ours = _expansion(gram, y, **settings)
    with jax.enable_x64(True):
        exact = _expansion(jnp.float64(gram), jnp.float64(y), **settings)
    for one, other in zip(ours, exact):
        np.testing.assert_allclose(one, other, atol=2e-5 * np.abs(other).max())


def test_expansion_maps_over_step_sizes_regularisations_and_lengths():
    features, y, eigenvalues = _circle_problem(16)
    gram = features @ (features * eigenvalues[None]).T
    grid = jnp.array([0.1, 0.3]), jnp.array([0.0, 0.2]), jnp.array([16, 5])
    one_run = lambda eta, lam, n: _expansion(gram, y, learning_rate=eta, regularization=lam, horizon=n).averaged  # noqa: E731
    many = jax.jit(jax.vmap(one_run))(*grid)
    for row, eta, lam, n in zip(many, *grid):
        alone = _expansion(gram[:n, :n], y[:n], learning_rate=eta, regularization=lam).averaged
        np.testing.assert_allclose(row[:n], alone, rtol=1e-4, atol=1e-7)
        np.testing.assert_array_equal(row[n:], 0)


def test_kernel_ridge_has_no_gradient():
    with jax.enable_x64(True):
        features, y, eigenvalues = _circle_problem(20)
        gram = features @ (features * eigenvalues[None]).T
        coefficients = jax.jit(rkhs.kernel_ridge)(gram, y, LAM)
        loss = lambda c: jnp.mean((gram @ c - y) ** 2) / 2 + LAM / 2 * c @ gram @ c  # noqa: E731
        np.testing.assert_allclose(jax.jit(jax.grad(loss))(coefficients), 0, atol=1e-14)


def test_averaged_iterates_tend_to_the_ridge_limit():
    """Noiseless, 64 seeds: the distance's variance falls as 1 / T, its bias as 1 / T^2; the last's does not."""
    eigenvalues, target = np.array([0.5, 0.25, 0.2, 0.1, 0.1]), np.array([0.3, 0.2, 0.2, -0.1, 0.1])
    limit = rkhs.ridge_limit(eigenvalues, target, LAM)
    np.testing.assert_allclose(limit[:2], [0.5 / 0.7 * 0.3, 0.25 / 0.45 * 0.2])

    def distances(key, num_samples):
        angle = jax.random.uniform(key, (num_samples,), maxval=2 * np.pi)
        features = sphere.circle_eigenfunctions(angle, 5)
        numbers = {"eigenvalues": jnp.float32(eigenvalues), "learning_rate": 0.2, "regularization": LAM}
        clean = features @ jnp.float32(target)

        def one_step(state, sample):
            return rkhs.reference_step(state, *sample, **numbers)

        state, _ = jax.lax.scan(one_step, rkhs.reference_init(5), (features, clean))
        return jnp.sum((state.mean - limit) ** 2), jnp.sum((state.coefficients - limit) ** 2)

    risks = []
    for n in (64, 256):
        keys = jax.random.split(jax.random.key(n), 64)
        risks.append(np.mean(jax.jit(jax.vmap(lambda key, n=n: distances(key, n)))(keys), axis=1))
    slope = np.log(risks[1][0] / risks[0][0]) / np.log(4)
    assert -2.1 < slope < -0.9
    assert 0.6 < risks[1][1] / risks[0][1] < 1.6


def test_a_gram_matrix_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="gram must be"):
        rkhs.kernel_coefficients(jnp.eye(3), jnp.ones(4), **SETTINGS)
    with pytest.raises(ValueError, match="gram must be"):
        rkhs.kernel_ridge(jnp.ones((3, 2)), jnp.ones(3), LAM)


def test_step_sizes_that_diverge_are_refused():
    rkhs.check_step_size(0.25, 1.0, sup_k=4.0)
    with pytest.raises(ValueError, match=r"eta lambda = 1 must be below 1 .* \(eta = 0\.25, lambda = 4\)"):
        rkhs.check_step_size(0.25, 4.0, sup_k=1.0)
    with pytest.raises(ValueError, match=r"eta \(sup k \+ lambda\) = 2 below 2"):
        rkhs.check_step_size(0.5, 1.0, sup_k=3.0)
    with pytest.raises(ValueError, match="below 2"):
        rkhs.check_step_size(float("inf"), 1.0, sup_k=1.0)
