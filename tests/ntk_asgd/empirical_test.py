import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk_asgd import empirical, network

PARTS = {"both": "abc", "output": "a", "input": "bc"}


def _case(seed=0, width=10, dim=3):
    rng = np.random.default_rng(seed)
    params = network.Params(rng.standard_normal(width), rng.standard_normal((width, dim)), rng.standard_normal(width))
    return params, rng.standard_normal((4, dim)), rng.standard_normal((5, dim))


def _by_gradients(apply_fn, params, x1, x2, leaves="abc"):
    """The kernel from one gradient an example, every leaf flattened."""
    gradient_fn = jax.jit(lambda x: jax.grad(lambda p: apply_fn(p, x[None])[0])(params))

    def row(x):
        gradient = gradient_fn(x)
        return np.concatenate([np.ravel(getattr(gradient, leaf)) for leaf in leaves])

    rows1, rows2 = (np.array([row(x) for x in xs]) for xs in (x1, x2))
    return rows1 @ rows2.T


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("activation", ["swish:10", "relu", jnp.tanh])
def test_closed_contraction_is_the_gram_of_gradients(part, activation):
    with jax.enable_x64(True):
        params, x1, x2 = jax.tree.map(jnp.asarray, _case())
        apply_fn = functools.partial(network.apply, activation=activation, gamma=0.6)
        expected = _by_gradients(apply_fn, params, x1, x2, PARTS[part])
        actual = empirical.two_layer_ntk(params, x1, x2, activation=activation, gamma=0.6, part=part)
        np.testing.assert_allclose(actual, expected, rtol=1e-11, atol=1e-13)
    single = jax.tree.map(lambda v: jnp.asarray(v, jnp.float32), _case())
    actual = empirical.two_layer_ntk(*single, activation=activation, gamma=0.6, part=part)
    assert actual.dtype == jnp.float32
    np.testing.assert_allclose(actual, expected, rtol=2e-4, atol=2e-5)


def test_parts_add_up_and_the_gram_is_symmetric_and_psd():
    params = network.init(jax.random.key(0), width=64, dim=3)
    x = jax.random.normal(jax.random.key(1), (12, 3))
    kernel = functools.partial(empirical.two_layer_ntk, params, x, activation="relu", gamma=1.0)
    both = kernel()
    np.testing.assert_allclose(both, kernel(part="output") + kernel(part="input"), rtol=1e-5)
    np.testing.assert_allclose(both, both.T, rtol=1e-6)
    assert np.linalg.eigvalsh(np.asarray(both, np.float64)).min() > -1e-5
    np.testing.assert_allclose(jax.jit(kernel)(), both, rtol=1e-5)


def test_any_model_gives_the_kernel_of_its_gradients():
    with jax.enable_x64(True):
        params, x1, x2 = jax.tree.map(jnp.asarray, _case())
        apply_fn = functools.partial(network.apply, activation="swish:2", gamma=0.6)
        expected = empirical.two_layer_ntk(params, x1, x2, activation="swish:2", gamma=0.6)
        for method, block_size in (("jacrev", 3), ("jacfwd", 9), ("auto", None)):
            kernel_fn = functools.partial(empirical.ntk, apply_fn, method=method, block_size=block_size)
            np.testing.assert_allclose(jax.jit(kernel_fn)(params, x1, x2), expected, rtol=1e-11)
        own = empirical.two_layer_ntk(params, x1, activation="swish:2", gamma=0.6)
        np.testing.assert_allclose(empirical.ntk(apply_fn, params, x1), own, rtol=1e-11)


def test_vector_outputs_over_a_nested_pytree():
    rng = np.random.default_rng(4)
    with jax.enable_x64(True):
        params = {"layers": [jnp.asarray(rng.standard_normal((3, 4))), jnp.asarray(rng.standard_normal((4, 2)))]}
        x1, x2 = jnp.asarray(rng.standard_normal((3, 3))), jnp.asarray(rng.standard_normal((2, 3)))

        def apply_fn(params, x):
            return jnp.tanh(x @ params["layers"][0]) @ params["layers"][1]

        def jacobian(x):  # [2, 20], one gradient an output
            rows = [jax.grad(lambda p, i=i: apply_fn(p, x[None])[0, i])(params) for i in range(2)]
            return np.array([np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(row)]) for row in rows])

        expected = np.array([[jacobian(x) @ jacobian(y).T for y in x2] for x in x1])
        for method in ("jacrev", "jacfwd"):
            kernel_fn = jax.jit(functools.partial(empirical.ntk, apply_fn, method=method, block_size=2))
            actual = kernel_fn(params, x1, x2)
            assert actual.shape == (3, 2, 2, 2)
            np.testing.assert_allclose(actual, expected, rtol=1e-11)


def test_impossible_requests_are_refused():
    params, x, _ = jax.tree.map(jnp.asarray, _case())
    apply_fn = functools.partial(network.apply, activation="relu", gamma=1.0)
    with pytest.raises(ValueError, match="part 'top' is unknown"):
        empirical.two_layer_ntk(params, x, activation="relu", gamma=1.0, part="top")
    with pytest.raises(ValueError, match="method 'jac' is unknown"):
        empirical.ntk(apply_fn, params, x, method="jac")
    with pytest.raises(ValueError, match="block_size"):
        empirical.ntk(apply_fn, params, x, block_size=0)
    with pytest.raises(ValueError, match=r"must return \[n\] or \[n, k\]"):
        empirical.ntk(lambda p, v: apply_fn(p, v).sum(), params, x)
