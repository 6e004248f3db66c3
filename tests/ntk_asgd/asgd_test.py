import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk_asgd import asgd, network, sphere

ETA, LAM = 0.3, 0.2


def _stream(num_steps, dim=2):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((num_steps, dim))
    return x / np.linalg.norm(x, axis=1, keepdims=True), rng.uniform(-1, 1, num_steps)


def _iterates(a, b, c, xs, ys, gamma):
    """Algorithm 1 on the softplus network in float64, gradients by hand: all iterates, flattened."""
    start = np.concatenate([a, b.ravel(), c])
    width, iterates, w = len(a), [start], start
    for x, y in zip(xs, ys):
        a, b, c = w[:width], w[width:-width].reshape(width, -1), w[-width:]
        u = b @ x + gamma * c
        residual = a @ np.log1p(np.exp(u)) / np.sqrt(width) - y
        slope = a / (1 + np.exp(-u))
        gradient = np.concatenate([np.log1p(np.exp(u)), np.outer(slope, x).ravel(), gamma * slope])
        w = w - ETA * residual * gradient / np.sqrt(width) - ETA * LAM * (w - start)
        iterates.append(w)
    return np.array(iterates)


def _flat(weights):
    return np.concatenate([np.ravel(leaf) for leaf in weights])


def test_steps_and_average_are_those_of_a_plain_loop():
    xs, ys = _stream(7)
    rng = np.random.default_rng(1)
    a, b, c = rng.standard_normal(6), rng.standard_normal((6, 2)), rng.standard_normal(6)
    iterates = _iterates(a, b, c, xs, ys, 0.7)
    apply_fn = functools.partial(network.apply, activation="softplus", gamma=0.7)
    with jax.enable_x64(True):
        state = asgd.init(network.Params(*map(jnp.asarray, (a, b, c))))
        np.testing.assert_array_equal(_flat(asgd.averaged_weights(state)), iterates[0])
        for t, (x, y) in enumerate(zip(jnp.asarray(xs), jnp.asarray(ys))):
            state, info = asgd.step(state, x, y, apply_fn=apply_fn, learning_rate=ETA, regularization=LAM)
            np.testing.assert_allclose(_flat(asgd.last_weights(state)), iterates[t + 1], rtol=1e-12)
            np.testing.assert_allclose(_flat(asgd.averaged_weights(state)), iterates[: t + 2].mean(axis=0), rtol=1e-12)
        assert state.num_steps == 7
        assert info["loss"] > 0


def test_loss_is_half_the_squared_residual_before_the_step():
    state = asgd.init(jnp.array([1.0, 2.0]))
    _, info = asgd.step(
        state, jnp.array([3.0, 1.0]), 1.0, apply_fn=lambda w, x: x @ w, learning_rate=0.1, regularization=0.0
    )
    assert info["loss"] == pytest.approx((5 - 1) ** 2 / 2)


def test_reference_step_is_the_paper_recursion_on_functions():
    """In float64, with functions held by their values on a grid of the circle."""
    grid = np.arange(32) * 2 * np.pi / 32
    eigenvalues = np.array([0.4, 0.3, 0.2, 0.1, 0.05])
    with jax.enable_x64(True):
        basis = np.asarray(sphere.circle_eigenfunctions(jnp.asarray(grid), 5))
        state = asgd.reference_init(5)
        g, values = np.zeros(32), [np.zeros(32)]
        for place, y in ((3, 0.5), (17, -0.7), (8, 0.1), (30, 0.9)):
            kernel = basis @ (eigenvalues * basis[place])  # k(x, .)
            g = (1 - ETA * LAM) * g - ETA * (g[place] - y) * kernel
            values.append(g)
            state, _ = asgd.reference_step(
                state,
                jnp.asarray(basis[place]),
                y,
                eigenvalues=jnp.asarray(eigenvalues),
                learning_rate=ETA,
                regularization=LAM,
            )
            np.testing.assert_allclose(basis @ np.asarray(state.coefficients), g, rtol=1e-12, atol=1e-14)
            np.testing.assert_allclose(basis @ np.asarray(state.mean), np.mean(values, axis=0), rtol=1e-12, atol=1e-14)


def test_reference_is_algorithm_one_on_linear_features():
    """g = sum_i w_i sqrt(lambda_i) e_i from w_0 = 0 has the same iterates."""
    eigenvalues = jnp.array([0.5, 0.2, 0.1])
    linear, reference = asgd.init(jnp.zeros(3)), asgd.reference_init(3)
    for seed in range(5):
        angle, y = jax.random.uniform(jax.random.key(seed), (2,))
        features = sphere.circle_eigenfunctions(angle[None], 3)[0]
        settings = {"learning_rate": ETA, "regularization": LAM}
        linear, _ = asgd.step(linear, features * jnp.sqrt(eigenvalues), y, apply_fn=lambda w, x: x @ w, **settings)
        reference, _ = asgd.reference_step(reference, features, y, eigenvalues=eigenvalues, **settings)
    np.testing.assert_allclose(asgd.averaged_weights(linear) * jnp.sqrt(eigenvalues), reference.mean, rtol=1e-5)


def test_average_of_displacements_keeps_in_float32_what_an_average_of_weights_loses():
    """A drift of 1e-6 a step from weights of size 1, over 100,000 steps: the mean displacement is half the last."""

    def one_step(state, _):
        return asgd.step(
            state,
            jnp.ones(1),
            -1.0,
            apply_fn=lambda w, x: 0 * x @ w + (w - 1).sum(),
            learning_rate=1e-6,
            regularization=0.0,
        )[0], None

    state, _ = jax.jit(lambda s: jax.lax.scan(one_step, s, None, length=100_000))(asgd.init(jnp.ones(1)))
    t = np.arange(100_001)
    expected = (1 - 1e-6) ** t - 1  # w - 1 shrinks the residual w - 1 + 1
    np.testing.assert_allclose(state.mean_displacement, expected.mean(), rtol=2e-3)
    np.testing.assert_allclose(state.displacement, expected[-1], rtol=2e-3)


def test_sweeps_over_step_size_and_regularisation_map():
    state = asgd.init(jnp.zeros(2))
    sweep = jax.vmap(
        lambda eta, lam: (
            asgd.step(state, jnp.ones(2), 1.0, apply_fn=lambda w, x: x @ w, learning_rate=eta, regularization=lam)[
                0
            ].displacement
        )
    )
    np.testing.assert_allclose(sweep(jnp.array([0.1, 0.2]), jnp.array([0.0, 1.0])), [[0.1, 0.1], [0.2, 0.2]], rtol=1e-6)
