import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk_asgd import asgd, network, one_pass

GAMMA = 0.7


def _problem(num_samples=12, width=10, dim=3):
    rng = np.random.default_rng(0)
    shapes = ((width,), (width, dim), (width,))
    weights = network.Params(*(jnp.asarray(rng.standard_normal(shape)) for shape in shapes))
    x = rng.standard_normal((num_samples, dim))
    return weights, jnp.asarray(x), jnp.asarray(rng.uniform(-1, 1, num_samples))


def _by_steps(state, x, y, *, activation, part="both", linearized=False, **settings):
    """The same steps of `asgd.step`, gradients by autodiff."""
    model = functools.partial(network.apply, activation=activation, gamma=GAMMA)
    model = asgd.linearize(model, state.initial) if linearized else model
    model = asgd.freeze(model, network.Params(a=part != "input", b=part != "output", c=part != "output"))

    def one_step(state, sample):
        return asgd.step(state, *sample, apply_fn=model, **settings)

    return jax.jit(lambda state: jax.lax.scan(one_step, state, (x, y)))(state)


def _assert_close(actual, expected, rtol=1e-12):
    for one, other in zip(jax.tree.leaves(actual), jax.tree.leaves(expected)):
        np.testing.assert_allclose(one, other, rtol=rtol, atol=rtol)


@pytest.mark.parametrize(
    ("activation", "part", "linearized", "regularization"),
    [
        ("swish:10", "both", False, 0.2),
        ("relu", "both", False, 0.0),
        ("erf", "both", True, 0.2),
        ("swish:10", "output", False, 0.2),
        ("relu", "input", False, 0.2),
        (jnp.sin, "input", True, 0.0),
    ],
)
def test_advance_is_its_steps(activation, part, linearized, regularization):
    """In float64, blocks of 4 over twice 6 samples, the second call from moved weights."""
    settings = {
        "activation": activation,
        "part": part,
        "linearized": linearized,
        "learning_rate": 0.1,
        "regularization": regularization,
    }
    with jax.enable_x64(True):
        weights, x, y = _problem()
        expected, info = _by_steps(asgd.init(weights), x, y, **settings)
        advance = jax.jit(functools.partial(one_pass.advance, gamma=GAMMA, block_size=4, **settings))
        state, first = advance(asgd.init(weights), x[:6], y[:6])
        state, second = advance(state, x[6:], y[6:])
        _assert_close(state, expected)
        np.testing.assert_allclose(np.concatenate([first["loss"], second["loss"]]), info["loss"], rtol=1e-11)
        assert np.abs(state.displacement.b).max() > 1e-3 or part == "output"


def test_tail_average_horizon_and_decreasing_step():
    def both_ways(weights, x, y, average_from, horizon):
        settings = {"activation": "swish:10", "learning_rate": lambda t: 0.1 / (1.0 + t.astype(float))}
        settings |= {"regularization": 0.2, "average_from": average_from, "horizon": horizon}
        start = asgd.init(weights)
        return (
            one_pass.advance(start, x, y, gamma=GAMMA, block_size=4, **settings)[0],
            _by_steps(start, x, y, **settings)[0],
        )

    with jax.enable_x64(True):
        both_ways = jax.jit(both_ways)
        for average_from, horizon in ((5, 99), (0, 6), (3, 7), (99, 99)):
            _assert_close(*both_ways(*_problem(), average_from, horizon))


def test_a_wide_input_takes_the_same_steps():
    """More input dimensions than samples a block."""
    settings = {"activation": "relu", "learning_rate": 0.01, "regularization": 0.5}
    with jax.enable_x64(True):
        weights, x, y = _problem(num_samples=6, dim=40)
        expected, _ = _by_steps(asgd.init(weights), x, y, **settings)
        state, _ = jax.jit(functools.partial(one_pass.advance, gamma=GAMMA, **settings))(asgd.init(weights), x, y)
        _assert_close(state, expected)


def test_seeds_step_sizes_regularisations_and_lengths_map():
    """A vmapped grid is its runs one by one, a shorter run being one on fewer samples."""
    advance = functools.partial(one_pass.advance, activation="swish:10", gamma=GAMMA, block_size=4)
    with jax.enable_x64(True):
        _, x, y = _problem()
        starts = jax.vmap(lambda key: asgd.init(network.init(key, width=6, dim=3)))(
            jax.random.split(jax.random.key(0), 2)
        )
        grid = jnp.array([0.1, 0.2]), jnp.array([0.3, 0.0]), jnp.array([12, 6])

        def one_run(state, eta, lam, horizon):
            return advance(state, x, y, learning_rate=eta, regularization=lam, horizon=horizon)[0]

        over_grid = jax.vmap(one_run, in_axes=(None, 0, 0, 0))
        states = jax.jit(jax.vmap(over_grid, in_axes=(0, None, None, None)))(starts, *grid)  # [seeds, grid]
        for seed in range(2):
            start = jax.tree.map(lambda leaf, seed=seed: leaf[seed], starts)
            for place, (eta, lam, n) in enumerate(zip(*grid)):
                alone, _ = jax.jit(advance)(start, x[:n], y[:n], learning_rate=eta, regularization=lam)
                _assert_close(jax.tree.map(lambda leaf, at=(seed, place): leaf[at], states), alone)


def test_float32_keeps_the_digits_of_the_displacement():
    """A wide network from its symmetric initialisation: float32 against float64 on the same samples."""
    settings = {"activation": "swish:10", "gamma": 1.0, "learning_rate": 0.1, "regularization": 0.01}
    weights = network.init(jax.random.key(0), width=1_000, dim=3)
    _, x, y = _problem(num_samples=300)
    x = x / jnp.linalg.norm(x, axis=1, keepdims=True)
    advance = jax.jit(functools.partial(one_pass.advance, **settings))
    ours, info = advance(asgd.init(weights), x, y)
    with jax.enable_x64(True):
        exact, _ = advance(asgd.init(jax.tree.map(jnp.float64, weights)), jnp.float64(x), jnp.float64(y))
    assert info["loss"].dtype == jnp.float32
    for one, other in zip(ours.mean_displacement, exact.mean_displacement):
        np.testing.assert_allclose(one, other, atol=2e-5 * np.abs(other).max())


def test_no_samples_leave_the_state():
    weights, x, y = _problem()
    state = asgd.init(weights)
    new, info = one_pass.advance(
        state, x[:0], y[:0], activation="relu", gamma=GAMMA, learning_rate=0.1, regularization=0.0
    )
    jax.tree.map(np.testing.assert_array_equal, new, state)
    assert info["loss"].shape == (0,)


@pytest.mark.parametrize(
    ("change", "words"),
    [({"part": "all"}, "part 'all'"), ({"block_size": 0}, "block_size"), ({"activation": "tanh"}, "activation 'tanh'")],
)
def test_impossible_arguments_are_refused(change, words):
    weights, x, y = _problem()
    settings = {"activation": "relu", "gamma": GAMMA, "learning_rate": 0.1, "regularization": 0.0}
    with pytest.raises(ValueError, match=words):
        one_pass.advance(asgd.init(weights), x, y, **{**settings, **change})


def test_inputs_of_another_shape_are_refused():
    weights, x, y = _problem()
    settings = {"activation": "relu", "gamma": GAMMA, "learning_rate": 0.1, "regularization": 0.0}
    with pytest.raises(ValueError, match="x must be"):
        one_pass.advance(asgd.init(weights), x[:, :2], y, **settings)
