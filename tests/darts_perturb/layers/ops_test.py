import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from darts_perturb.layers import ops

IMAGE = np.random.default_rng(0).normal(size=(3, 5, 6, 2))


def conv_by_loops(x, kernel, stride):
    size = kernel.shape[0]
    _, height, width, batch = x.shape
    out = np.zeros((kernel.shape[3], -(-height // stride), -(-width // stride), batch))
    for row, column in np.ndindex(*out.shape[1:3]):
        for i, j in np.ndindex(size, size):
            y, z = row * stride + i - size // 2, column * stride + j - size // 2
            if 0 <= y < height and 0 <= z < width:
                out[:, row, column] += np.einsum("cd,cb->db", kernel[i, j], x[:, y, z])
    return out


@pytest.mark.parametrize(("size", "stride"), [(1, 1), (3, 1), (3, 2)])
def test_conv_is_the_sum_over_the_window(size, stride):
    kernel = np.random.default_rng(1).normal(size=(size, size, 3, 4))
    found = ops.conv(jnp.float32(IMAGE), jnp.float32(kernel), stride)
    np.testing.assert_allclose(found, conv_by_loops(IMAGE, kernel, stride), atol=1e-5)


def test_average_pool_leaves_the_border_out_of_its_count():
    expected = np.zeros_like(IMAGE)
    for i, j in np.ndindex(5, 6):
        window = IMAGE[:, max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2]
        expected[:, i, j] = window.mean((1, 2))
    np.testing.assert_allclose(ops.average_pool(jnp.float32(IMAGE)), expected, atol=1e-6)


def test_half_size_is_the_mean_of_four_pixels():
    expected = sum(IMAGE[:, i:4:2, j::2] for i in range(2) for j in range(2)) / 4
    np.testing.assert_allclose(ops.half_size(jnp.float32(IMAGE[:, :4])), expected, atol=1e-6)


def test_batch_norm_is_over_this_batch():
    spread = IMAGE.std((1, 2, 3), keepdims=True)
    expected = (IMAGE - IMAGE.mean((1, 2, 3), keepdims=True)) / np.sqrt(spread**2 + ops.BN_EPSILON)
    np.testing.assert_allclose(ops.batch_norm(jnp.float32(IMAGE)), expected, atol=1e-5)
    moved = 7.0 * IMAGE + 3.0
    np.testing.assert_allclose(ops.batch_norm(jnp.float32(moved)), expected, atol=1e-4)


def test_batch_norm_of_a_constant_channel_is_finite():
    value, gradient = jax.value_and_grad(lambda x: ops.batch_norm(x).sum())(jnp.full((2, 4, 4, 3), 5.3))
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_gradients_are_those_of_finite_differences():
    x, kernel = jnp.float32(IMAGE), jnp.float32(np.random.default_rng(1).normal(size=(3, 3, 3, 2)))
    check_grads(lambda x, k: ops.conv(x, k, 2), (x, kernel), order=1, modes=("rev",), atol=2e-2, rtol=2e-2)
    check_grads(lambda x: ops.average_pool(ops.batch_norm(x)), (x,), order=1, modes=("rev",), atol=2e-2, rtol=2e-2)
