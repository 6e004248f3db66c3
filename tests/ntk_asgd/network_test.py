import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from ntk_asgd import network


def _random_params(seed, width, dim):
    rng = np.random.default_rng(seed)
    return network.Params(rng.standard_normal(width), rng.standard_normal((width, dim)), rng.standard_normal(width))


@pytest.mark.parametrize("width", [6, 7])
def test_apply_is_the_paper_formula(width):
    params, gamma = _random_params(0, width, 3), 0.7
    x = np.random.default_rng(1).standard_normal((5, 3))
    expected = np.zeros(5)
    for i in range(5):
        for r in range(width):
            u = params.b[r] @ x[i] + gamma * params.c[r]
            expected[i] += params.a[r] * u / (1 + np.exp(-10 * u)) / np.sqrt(width)
    with jax.enable_x64(True):
        actual = network.apply(jax.tree.map(jnp.asarray, params), jnp.asarray(x), activation="swish:10", gamma=gamma)
    np.testing.assert_allclose(actual, expected, rtol=1e-12)


@pytest.mark.parametrize("activation", ["relu", "swish:10"])
def test_network_is_exactly_zero_at_initialisation(activation):
    params = network.init(jax.random.key(0), width=1_000, dim=4, scale=2.0)
    x = jax.random.normal(jax.random.key(1), (50, 4))
    outputs = jax.jit(functools.partial(network.apply, activation=activation, gamma=1.0))(params, x)
    np.testing.assert_array_equal(outputs, 0)
    moved = params._replace(a=params.a.at[0].add(1.0))
    assert jnp.abs(network.apply(moved, x, activation=activation, gamma=1.0)).max() > 1e-3


def test_initialisation_is_symmetric_on_the_sphere_and_uniform():
    params = network.init(jax.random.key(0), width=4_000, dim=3, scale=0.5)
    np.testing.assert_array_equal(params.a, np.repeat([0.5, -0.5], 2_000))
    np.testing.assert_array_equal(params.b[:2_000], params.b[2_000:])
    np.testing.assert_array_equal(params.c, 0)
    np.testing.assert_allclose(jnp.linalg.norm(params.b, axis=1), 1, rtol=1e-6)
    half = np.asarray(params.b[:2_000], np.float64)
    np.testing.assert_allclose(half.mean(axis=0), 0, atol=4 / np.sqrt(3 * 2_000))
    np.testing.assert_allclose(half.T @ half / 2_000, np.eye(3) / 3, atol=0.03)


def test_init_maps_over_keys():
    keys = jax.random.split(jax.random.key(0), 3)
    params = jax.jit(jax.vmap(functools.partial(network.init, width=8, dim=2)))(keys)
    assert params.b.shape == (3, 8, 2)
    assert not np.allclose(params.b[0], params.b[1])


def test_gradients():
    with jax.enable_x64(True):
        params = jax.tree.map(jnp.asarray, _random_params(2, 4, 2))
        x = jnp.asarray(np.random.default_rng(3).standard_normal((3, 2)))
        apply_fn = functools.partial(network.apply, activation="softplus:3", gamma=0.5)
        check_grads(apply_fn, (params, x), order=1, modes=("rev",))


@pytest.mark.parametrize(
    ("sizes", "field"), [({"width": 5}, "width"), ({"width": 0}, "width"), ({"width": 4, "dim": 0}, "dim")]
)
def test_impossible_sizes_are_refused(sizes, field):
    with pytest.raises(ValueError, match=field):
        network.init(jax.random.key(0), **{"dim": 2, **sizes})
