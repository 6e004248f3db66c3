import functools
import subprocess
import sys

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


def test_half_the_units_suffice_at_the_symmetric_initialisation():
    with jax.enable_x64(True):
        params = network.init(jax.random.key(0), width=64, dim=3, scale=0.7)
        x = jax.random.normal(jax.random.key(1), (5, 3))
        kernel = functools.partial(empirical.two_layer_ntk, activation="swish:3", gamma=0.5)
        whole = kernel(params, x, symmetric=False)
        np.testing.assert_allclose(kernel(params, x), whole, rtol=1e-13)
        np.testing.assert_allclose(jax.jit(functools.partial(kernel, symmetric=True))(params, x), whole, rtol=1e-13)
        np.testing.assert_array_equal(kernel(params, x), kernel(params, x, symmetric=True))
        for moved in (params._replace(b=params.b.at[-1, 0].add(0.1)), jax.tree.map(lambda leaf: leaf[:-1], params)):
            expected = kernel(moved, x, symmetric=False)
            np.testing.assert_array_equal(kernel(moved, x), expected)
            assert np.abs(np.asarray(expected - whole)).max() > 1e-5
            with pytest.raises(ValueError, match="leave symmetric out"):
                kernel(moved, x, symmetric=True)


@pytest.mark.parametrize("others", [None, 5])
def test_blocks_change_nothing(others):
    rng = np.random.default_rng(2)
    with jax.enable_x64(True):
        params, x1, _ = jax.tree.map(jnp.asarray, _case())
        x1 = jnp.concatenate([x1, rng.standard_normal((3, 3))])
        x2 = None if others is None else rng.standard_normal((others, 3))
        kernel = functools.partial(empirical.two_layer_ntk, activation="relu", gamma=0.6)
        whole = kernel(params, x1, x1 if x2 is None else x2, block_size=100)
        for block_size in (1, 3, 6):
            np.testing.assert_allclose(kernel(params, x1, x2, block_size=block_size), whole, rtol=1e-13)
        many = jax.vmap(functools.partial(kernel, block_size=3), (0, None))
        stacked = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), params)
        np.testing.assert_allclose(
            many(stacked, x1)[1], kernel(jax.tree.map(lambda leaf: 2 * leaf, params), x1), rtol=1e-12
        )


def test_top_eigenvalues_need_no_kernel():
    with jax.enable_x64(True):
        params, x, _ = jax.tree.map(jnp.asarray, _case(width=30))
        x = jnp.concatenate([x, jax.random.normal(jax.random.key(3), (20, 3))])
        apply_fn = functools.partial(network.apply, activation="swish:2", gamma=0.6)
        gram = empirical.two_layer_ntk(params, x, activation="swish:2", gamma=0.6)
        expected = np.linalg.eigvalsh(gram)[::-1][:5] / 24
        np.testing.assert_allclose(
            empirical.top_eigenvalues(apply_fn, params, x, 5, block_size=7), expected, rtol=1e-10
        )


@pytest.mark.slow
def test_gram_of_twenty_thousand_examples_within_4_gb():
    """Peak resident memory of a process of its own; the Gram alone is 1.6 GB."""
    script = """
import resource, jax
from ntk_asgd import empirical, network
params = network.init(jax.random.key(0), width=4096, dim=10)
x = jax.random.normal(jax.random.key(1), (20_000, 10))
for symmetric in (None, False):
    gram = empirical.two_layer_ntk(params, x, activation="relu", gamma=1.0, symmetric=symmetric).block_until_ready()
    assert gram.shape == (20_000, 20_000)
    entry = empirical.two_layer_ntk(params, x[-1:], x[3:4], activation="relu", gamma=1.0)[0, 0]
    assert abs(gram[-1, 3] - entry) < 1e-3
    del gram
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert 1.6e6 < int(result.stdout.split()[-1]) < 4e6  # kB


def test_impossible_requests_are_refused():
    params, x, _ = jax.tree.map(jnp.asarray, _case())
    apply_fn = functools.partial(network.apply, activation="relu", gamma=1.0)
    with pytest.raises(ValueError, match="part 'top' is unknown"):
        empirical.two_layer_ntk(params, x, activation="relu", gamma=1.0, part="top")
    with pytest.raises(ValueError, match="method 'jac' is unknown"):
        empirical.ntk(apply_fn, params, x, method="jac")
    with pytest.raises(ValueError, match="block_size"):
        empirical.ntk(apply_fn, params, x, block_size=0)
    with pytest.raises(ValueError, match="block_size"):
        empirical.kernel_vector_product(apply_fn, params, x, x[:, 0], block_size=0)
    with pytest.raises(ValueError, match=r"vector must have the shape of the outputs, \(4,\)"):
        empirical.kernel_vector_product(apply_fn, params, x, x[:2, 0])
    odd = jax.tree.map(lambda leaf: leaf[:9], params)
    with pytest.raises(ValueError, match="even width, not 9"):
        empirical.two_layer_ntk(odd, x, activation="relu", gamma=1.0, symmetric=True)
    with pytest.raises(ValueError, match=r"must return \[n\] or \[n, k\]"):
        empirical.ntk(lambda p, v: apply_fn(p, v).sum(), params, x)
