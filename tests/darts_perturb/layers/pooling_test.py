import jax
import jax.numpy as jnp
import numpy as np
import pytest

from darts_perturb.layers import pooling, windows

IMAGES = np.random.default_rng(0).normal(size=(3, 5, 6, 2)).astype(np.float32)


def pooled(x, size, stride, reduce):
    height, width = x.shape[1:3]
    out = np.zeros((x.shape[0], -(-height // stride), -(-width // stride), x.shape[3]))
    for row, column in np.ndindex(*out.shape[1:3]):
        (top, bottom), (left, right) = (
            (max(at * stride - size // 2, 0), at * stride + size // 2 + 1) for at in (row, column)
        )
        out[:, row, column] = reduce(x[:, top:bottom, left:right], axis=(1, 2))
    return out


@pytest.mark.parametrize("accelerator", [False, True])
@pytest.mark.parametrize(("size", "stride"), [(3, 1), (3, 2), (5, 1)])
def test_average_pool_leaves_the_border_out_of_its_count(size, stride, accelerator, monkeypatch):
    monkeypatch.setattr(windows, "on_accelerator", lambda: accelerator)
    found = pooling.average_pool(jnp.asarray(IMAGES), size=size, stride=stride)
    np.testing.assert_allclose(found, pooled(IMAGES, size, stride, np.mean), atol=1e-6)


@pytest.mark.parametrize("stride", [1, 2])
def test_the_written_gradient_of_an_average_is_xla_s(stride, monkeypatch):
    def gradient(accelerator):
        monkeypatch.setattr(windows, "on_accelerator", lambda: accelerator)
        return jax.jit(jax.grad(lambda x: jnp.sin(pooling.average_pool(x, stride=stride)).sum()))(jnp.asarray(IMAGES))

    np.testing.assert_allclose(gradient(False), gradient(True), atol=1e-6)


@pytest.mark.parametrize("library", [False, True])
@pytest.mark.parametrize(("size", "stride"), [(3, 1), (3, 2), (5, 1)])
def test_max_pool_is_the_largest_in_the_window(size, stride, library):
    # all below zero: what lies around the image must not count
    found = pooling.max_pool(jnp.asarray(IMAGES - 10), size=size, stride=stride, library=library)
    np.testing.assert_allclose(found, pooled(IMAGES - 10, size, stride, np.max), atol=1e-6)


@pytest.mark.parametrize("stride", [1, 2])
def test_the_gradient_of_a_max_goes_to_the_largest(stride):
    weights = np.random.default_rng(1).normal(size=pooling.max_pool(jnp.asarray(IMAGES), stride=stride).shape)

    def gradient(library):
        def loss(x):
            return (jnp.float32(weights) * pooling.max_pool(x, stride=stride, library=library)).sum()

        return jax.jit(jax.grad(loss))(jnp.asarray(IMAGES))

    np.testing.assert_allclose(gradient(False), gradient(True), atol=1e-6)


def test_among_equals_the_first_gets_the_gradient_of_a_max():
    found = jax.grad(lambda x: pooling.max_pool(x, stride=2, library=False).sum())(jnp.ones((1, 2, 2, 1)))
    np.testing.assert_array_equal(found[0, :, :, 0], [[1, 0], [0, 0]])


def test_not_a_number_is_passed_on():
    found = pooling.max_pool(jnp.asarray(IMAGES).at[0, 2, 2, 0].set(jnp.nan), library=False)
    assert np.isnan(found[0, 1:4, 1:4, 0]).all()
    assert np.isnan(found).sum() == 9


def test_half_size_is_the_mean_of_four_pixels():
    expected = sum(IMAGES[:, i:4:2, j::2] for i in range(2) for j in range(2)) / 4
    np.testing.assert_allclose(pooling.half_size(jnp.asarray(IMAGES[:, :4])), expected, atol=1e-6)
