"""All methods give the same kernel, on ten random networks."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk_asgd import empirical, network, structured

METHODS = ("jacrev", "jacfwd", "structured")


class _Convolutional(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(3, (3, 3))(x))
        x = nn.avg_pool(x, (2, 2), (2, 2))
        return nn.Dense(2)(jnp.tanh(nn.Conv(2, (2, 2))(x)).reshape(x.shape[0], -1))


class _Perceptron(nn.Module):
    sizes: tuple
    norm: bool = False

    @nn.compact
    def __call__(self, x):
        for size in self.sizes[:-1]:
            x = nn.Dense(size)(x)
            x = nn.gelu(nn.LayerNorm()(x) if self.norm else x)
        x = nn.Dense(self.sizes[-1])(x)
        return x if self.sizes[-1] > 1 else x[:, 0]


class _Attention(nn.Module):
    @nn.compact
    def __call__(self, x):  # [n, s, c]
        x = x + nn.MultiHeadDotProductAttention(num_heads=2)(x, x)
        return nn.Dense(2)(nn.gelu(nn.Dense(5)(x)).mean(axis=1))


def _flax(module, *shape):
    return module.apply, lambda key: module.init(key, jnp.zeros((1, *shape), jnp.float32)), shape


def _drawn(apply_fn, shape, **shapes):
    def init(key):
        keys = jax.random.split(key, len(shapes))
        return {name: jax.random.normal(k, shapes[name]) for name, k in zip(shapes, keys)}

    return apply_fn, init, shape


def _tied(p, x):  # the weight is used twice, once transposed
    return jnp.tanh(x @ p["w"]) @ p["w"].T * p["scale"]


def _scanned(p, x):
    return jax.lax.scan(lambda h, layer: (jnp.tanh(h @ layer), None), x @ p["first"], p["layers"])[0].sum(axis=1)


def _bilinear(p, x):  # heads are a batch dimension of the weight; the left operand of the last product is a weight
    heads = jnp.einsum("nsc,hcd->hnsd", x, p["heads"])
    mixed = jnp.einsum("hnsd,hde,hnte->nst", heads, p["bilinear"], jnp.cos(heads))
    return jnp.einsum("os,nst->no", p["last"], mixed)


def _nested(p, x):
    first, (second, scale) = p["layers"]

    @jax.checkpoint
    def block(w, x):
        return jax.nn.relu(jnp.dot(x, w.T))

    @jax.jit
    def head(w, x):
        return jax.lax.dot_general(w.reshape(4, 3), x, (((0,), (1,)), ((), ()))).T * scale

    return head(second, block(first, x) + p["shift"][0])


NETWORKS = {
    "two_layer": (
        functools.partial(network.apply, activation="swish:2", gamma=0.6),
        lambda key: network.init(key, width=8, dim=3),
        (3,),
    ),
    "mlp": _flax(_Perceptron((5, 4, 1)), 3),
    "mlp_outputs": _flax(_Perceptron((5, 3)), 4),
    "cnn": _flax(_Convolutional(), 4, 4, 2),
    "tied": _drawn(_tied, (3,), w=(3, 4), scale=(1, 3)),
    "layer_norm": _flax(_Perceptron((5, 4, 2), norm=True), 3),
    "scan": _drawn(_scanned, (3,), first=(3, 4), layers=(3, 4, 4)),
    "attention": _flax(_Attention(), 3, 4),
    "bilinear": _drawn(_bilinear, (3, 4), heads=(2, 4, 3), bilinear=(2, 3, 3), last=(2, 3)),
    "nested": (
        _nested,
        lambda key: {
            "layers": [jax.random.normal(key, (4, 3)), (jnp.arange(12.0) / 7, jnp.float32(0.7))],
            "shift": (jnp.full((1, 4), 0.3),),
        },
        (3,),
    ),
}


def _case(name):
    """The network, and its params and inputs in float32."""
    apply_fn, init, shape = NETWORKS[name]
    keys = jax.random.split(jax.random.key(list(NETWORKS).index(name)), 3)
    params, x1, x2 = jax.jit(init)(keys[0]), *(jax.random.normal(keys[n], (5 - n, *shape)) for n in (1, 2))
    return apply_fn, *jax.tree.map(np.asarray, (params, x1, x2))


def _double(*trees):
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), trees)


def _brute_force(apply_fn, params, x1, x2):
    """The kernel [n1, n2, k, k] from one gradient an example and output, every leaf flattened."""

    @jax.jit
    def jacobian(x):
        return jax.jacrev(lambda p: apply_fn(p, x[None]).reshape(-1))(params)

    def rows(xs):
        leaves = [jax.tree.leaves(jacobian(x)) for x in xs]
        return np.array([np.concatenate([leaf.reshape(leaf.shape[0], -1) for leaf in one], axis=1) for one in leaves])

    return np.einsum("aip,bjp->abij", rows(x1), rows(x2))


def _error(actual, expected):
    """The largest difference over the largest entry."""
    return np.abs(np.asarray(actual).reshape(expected.shape) - expected).max() / np.abs(expected).max()


def _kernels(apply_fn, params, x1, x2=None, block_size=None):
    """The kernel by every method."""
    return {method: empirical.ntk(apply_fn, params, x1, x2, method=method, block_size=block_size) for method in METHODS}


@pytest.mark.parametrize("name", NETWORKS)
def test_all_methods_agree_with_brute_force(name):
    apply_fn, *single = _case(name)
    kernels = jax.jit(functools.partial(_kernels, apply_fn))
    with jax.enable_x64(True):
        double = _double(*single)
        expected = _brute_force(apply_fn, *double)
        in_double = kernels(*double)
    for actual, dtype, bound in ((in_double, np.float64, 1e-12), (kernels(*single), np.float32, 1e-5)):
        for method in METHODS:
            assert actual[method].shape == expected.shape if expected.shape[2] > 1 else expected.shape[:2]
            assert actual[method].dtype == dtype
            assert _error(actual[method], expected) < bound, method


def test_blocks_change_nothing_and_the_gram_is_symmetric_and_psd():
    apply_fn, *single = _case("mlp_outputs")
    with jax.enable_x64(True):
        params, x1, x2 = _double(*single)
        for other in (x2, None):
            expected = _brute_force(apply_fn, params, x1, x1 if other is None else other)
            kernels = jax.jit(functools.partial(_kernels, apply_fn, block_size=3))(params, x1, other)
            for method, kernel in kernels.items():
                assert _error(kernel, expected) < 1e-12, method
                if other is None:
                    flat = np.swapaxes(kernel, 1, 2).reshape(4 * kernel.shape[2], -1)
                    np.testing.assert_allclose(flat, flat.T, atol=1e-13 * flat.max())
                    assert np.linalg.eigvalsh(flat).min() > -1e-12 * flat.max()


@pytest.mark.parametrize("name", ["two_layer", "mlp_outputs"])
def test_product_with_a_vector_needs_no_kernel(name):
    apply_fn, *single = _case(name)
    product = jax.jit(functools.partial(empirical.kernel_vector_product, apply_fn, block_size=2))
    with jax.enable_x64(True):
        params, x1, x2 = _double(*single)
        kernel = _brute_force(apply_fn, params, x1, x2)
        vector = np.random.default_rng(0).standard_normal(jax.eval_shape(apply_fn, params, x2).shape)
        expected = np.einsum("abij,bj->ai", kernel, vector.reshape(3, -1))
        assert _error(product(params, x1, vector, x2), expected) < 1e-12
    actual = product(*single[:2], vector.astype(np.float32), single[2])
    assert actual.shape == (4, *vector.shape[1:])
    assert actual.dtype == np.float32
    assert _error(actual, expected) < 1e-5


def _leaves_kept(apply_fn, params, x):
    """The number of leaves that are kept as factors, and as Jacobians."""
    factors, jacobians = jax.eval_shape(structured.method(apply_fn, params, x)[0], params, x)
    return len(factors), len(jacobians)


def test_weights_of_dense_layers_are_kept_as_factors():
    kept = {name: _leaves_kept(*_case(name)[:3]) for name in NETWORKS}
    assert kept["two_layer"] == (1, 2)  # b; a and c
    assert kept["mlp"] == (3, 3)  # kernels; biases
    assert kept["tied"] == (0, 2)
    assert kept["scan"] == (1, 1)
    assert kept["cnn"] == (1, 5)
    assert kept["nested"] == (2, 2)


def test_factors_of_a_sequence_are_summed_where_that_is_cheaper():
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        params = {"w": rng.standard_normal((9, 8)), "left": rng.standard_normal((2, 8, 9))}

        def apply_fn(p, x):  # [n, 2, 2, 9]: a batch of 2 and 2 positions
            mixed = jnp.einsum("zfc,nzsc->nzsf", p["left"], x)
            return jnp.tanh(x[:, 0] @ p["w"]).sum(axis=1) @ jnp.ones((8, 2)) + jnp.sin(mixed).sum(axis=(1, 2))[:, :2]

        x1, x2 = rng.standard_normal((3, 2, 2, 9)), rng.standard_normal((4, 2, 2, 9))
        assert _leaves_kept(apply_fn, params, x1) == (2, 0)
        kernel = jax.jit(functools.partial(empirical.ntk, apply_fn, method="structured"))
        assert _error(kernel(params, x1, x2), _brute_force(apply_fn, params, x1, x2)) < 1e-12
        long = np.concatenate([x1] * 5, axis=2)  # 10 positions: gradients of 72 entries are cheaper
        assert _leaves_kept(apply_fn, params, long) == (0, 2)


def test_a_rule_for_derivatives_is_kept():
    @jax.custom_jvp
    def doubled(w, x):
        return x @ w

    doubled.defjvp(lambda primals, tangents: (doubled(*primals), 2 * primals[1] @ tangents[0]))
    rng = np.random.default_rng(1)
    params, x = rng.standard_normal((3, 1), np.float32), rng.standard_normal((4, 3), np.float32)
    kernel = jax.jit(lambda *args: empirical.ntk(lambda p, v: jax.nn.relu(doubled(p, v)), *args))
    active = np.concatenate([np.maximum(np.sign(x @ params), 0) * x, 0 * x])  # relu'(0) = 0
    np.testing.assert_allclose(kernel(params, np.concatenate([x, 0 * x]))[:, :, 0, 0], 4 * active @ active.T, rtol=1e-5)


def test_auto_counts_multiplications():
    def scanned(p, x):  # no factors within a loop: gradients of 3 * 8 * 8 entries and 6^2 pairs of outputs
        return jax.lax.scan(lambda h, w: (jnp.tanh(h @ w), None), x, p)[0][:, :6]

    params, x = np.float32(np.random.default_rng(0).standard_normal((3, 8, 8))), np.ones((2, 8), np.float32)
    assert structured.num_products(scanned, params, x) == (36 * 192, 192)
    dense = lambda p, x: jax.nn.relu(x @ p[0]) @ p[1]  # noqa: E731
    assert structured.num_products(dense, [params[0], params[1]], x) == (2 * (8 + 64 * 8), 128)
    forward = jax.make_jaxpr(lambda p: empirical.ntk(scanned, p, x, method="jacfwd"))(params)
    assert str(jax.make_jaxpr(lambda p: empirical.ntk(scanned, p, x))(params)) == str(forward)
