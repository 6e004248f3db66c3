import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk_asgd import asgd, network

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
        one_step = jax.jit(functools.partial(asgd.step, apply_fn=apply_fn, learning_rate=ETA, regularization=LAM))
        for t, (x, y) in enumerate(zip(jnp.asarray(xs), jnp.asarray(ys))):
            state, info = one_step(state, x, y)
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


def _iterates_of(weights, xs, ys, apply_fn, **settings):
    """All iterates (flat) and the last state, stepping one sample at a time."""
    one_step = jax.jit(lambda state, x, y: asgd.step(state, x, y, apply_fn=apply_fn, **settings)[0])
    state, iterates = asgd.init(weights), [_flat(weights)]
    for x, y in zip(xs, ys):
        state = one_step(state, x, y)
        iterates.append(_flat(asgd.last_weights(state)))
    return np.array(iterates), state


def _random_network(width=6, dim=2):
    rng = np.random.default_rng(1)
    shapes = ((width,), (width, dim), (width,))
    return network.Params(*(jnp.asarray(rng.standard_normal(shape)) for shape in shapes))


def test_a_minibatch_steps_along_its_mean_gradient():
    apply_fn = functools.partial(network.apply, activation="softplus", gamma=0.7)
    settings = {"apply_fn": apply_fn, "learning_rate": ETA, "regularization": LAM}
    with jax.enable_x64(True):
        start = asgd.init(_random_network())
        xs, ys = map(jnp.asarray, _stream(3))
        batch, info = asgd.step(start, xs, ys, **settings)
        each, one = jax.vmap(functools.partial(asgd.step, start, **settings))(xs, ys)
        for leaf, leaves in zip(batch.displacement, each.displacement):
            np.testing.assert_allclose(leaf, leaves.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(info["loss"], one["loss"].mean(), rtol=1e-12)


@pytest.mark.parametrize("average_from", [4, 9])
def test_tail_average_is_over_the_iterates_from_a_given_one_on(average_from):
    apply_fn = functools.partial(network.apply, activation="softplus", gamma=0.7)
    with jax.enable_x64(True):
        iterates, state = _iterates_of(
            _random_network(),
            *map(jnp.asarray, _stream(7)),
            apply_fn,
            learning_rate=ETA,
            regularization=LAM,
            average_from=average_from,
        )
        expected = iterates[min(average_from, 7) :].mean(axis=0)  # before any averaged iterate: the last one
        np.testing.assert_allclose(_flat(asgd.averaged_weights(state)), expected, rtol=1e-12)


def test_decreasing_step_takes_the_index_of_the_step():
    xs, ys = jnp.ones((3, 1)), jnp.ones(3)
    iterates, _ = _iterates_of(
        (jnp.zeros(1),), xs, ys, lambda w, x: x @ w[0], learning_rate=lambda t: 0.5 / (t + 1.0), regularization=0.0
    )
    np.testing.assert_allclose(iterates[:, 0], [0, 0.5, 0.625, 0.6875], rtol=1e-6)


def test_steps_from_the_horizon_on_leave_the_state():
    xs, ys = map(jnp.float32, _stream(6))
    run = functools.partial(_iterates_of, jnp.zeros((1, 2)), apply_fn=lambda w, x: x @ w[0])
    settings = {"learning_rate": ETA, "regularization": LAM}
    _, whole = run(xs, ys, horizon=4, **settings)
    _, short = run(xs[:4], ys[:4], **settings)
    jax.tree.map(np.testing.assert_array_equal, whole, short)


def test_linearisation_is_affine_and_tangent():
    apply_fn = functools.partial(network.apply, activation="softplus", gamma=0.7)
    with jax.enable_x64(True):
        weights, x = _random_network(), jnp.asarray(_stream(4)[0])
        linear = asgd.linearize(apply_fn, weights)
        direction = jax.tree.map(lambda leaf: jnp.cos(jnp.arange(leaf.size)).reshape(leaf.shape), weights)
        along = [
            np.asarray(linear(jax.tree.map(lambda w, u, s=s: w + s * u, weights, direction), x))
            for s in (0.0, 1.0, 2.0)
        ]
        _, slope = jax.jvp(lambda w: apply_fn(w, x), (weights,), (direction,))
        np.testing.assert_allclose(along[0], apply_fn(weights, x), rtol=1e-12)
        np.testing.assert_allclose(along[1] - along[0], slope, rtol=1e-10)
        np.testing.assert_allclose(along[2] - along[0], 2 * slope, rtol=1e-10)


def test_frozen_leaves_stay_and_the_others_step_as_alone():
    apply_fn = functools.partial(network.apply, activation="softplus", gamma=0.7)
    trainable = network.Params(a=True, b=False, c=False)
    settings = {"learning_rate": ETA, "regularization": LAM}
    with jax.enable_x64(True):
        weights, stream = _random_network(), [jnp.asarray(each) for each in _stream(5)]
        _, frozen = _iterates_of(weights, *stream, asgd.freeze(apply_fn, trainable), **settings)
        _, alone = _iterates_of((weights.a,), *stream, lambda w, x: apply_fn(weights._replace(a=w[0]), x), **settings)
    np.testing.assert_array_equal(frozen.displacement.b, 0)
    np.testing.assert_array_equal(frozen.displacement.c, 0)
    np.testing.assert_allclose(frozen.mean_displacement.a, alone.mean_displacement[0], rtol=1e-12)


@jax.jit
def _unrolled_and_recursion(w, mean, drifts, options):
    """Iterates and mean after 5 steps from t = 3 of a linear recursion with given drifts, by `unroll` and `rates`."""
    options = {"learning_rate": lambda t: 0.5 / (1.0 + t.astype(float)), **options}
    steps = asgd.unroll(jnp.int32(3), 5, **options)
    unrolled = (1 - steps.mean_weight) * mean + steps.mean_start * w - steps.mean_response @ drifts
    iterates = [w]
    for j, drift in enumerate(drifts):
        now = asgd.rates(jnp.int32(3 + j), **options)
        iterates.append(iterates[-1] - now.pull * iterates[-1] - now.eta * drift)
        mean = mean + now.weight * (iterates[-1] - mean)
    return (steps.start * w - steps.response @ drifts, unrolled), (jnp.stack(iterates), mean), steps.num_steps


@pytest.mark.parametrize("regularization", [0.0, 0.4])
@pytest.mark.parametrize(("average_from", "horizon"), [(0, 99), (5, 99), (2, 6), (9, 99), (0, 3)])
def test_unrolled_steps_are_the_recursion(regularization, average_from, horizon):
    options = {"regularization": regularization, "average_from": average_from, "horizon": horizon}
    with jax.enable_x64(True):
        drifts = jnp.asarray(np.random.default_rng(0).standard_normal(5))
        unrolled, expected, num_steps = _unrolled_and_recursion(1.3, 0.4, drifts, options)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-12), unrolled, expected)
    assert num_steps == min(8, horizon)


def test_unrolled_steps_stay_finite_over_long_runs():
    """2,048 steps at eta lambda = 0.1: the products underflow to zero and nothing overflows."""
    steps = jax.jit(lambda lam: asgd.unroll(jnp.int32(0), 2_048, 1.0, lam))(jnp.float32(0.1))
    assert all(np.isfinite(leaf).all() for leaf in steps)
    assert steps.response[-1, 0] == 0
    np.testing.assert_allclose(steps.response[-1, -3:], [0.81, 0.9, 1.0], rtol=1e-5)
    np.testing.assert_allclose(steps.mean_response[:3], 10 / 2_049, rtol=1e-4)


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
