import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from darts_perturb.layers.depthwise import depthwise

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(2, 3, 5, 6, 2))


def by_loops(x, kernel, stride, dilation):
    size = kernel.shape[1]
    height, width = x.shape[2:4]
    out = np.zeros((kernel.shape[0], x.shape[1], -(-height // stride), -(-width // stride), x.shape[4]))
    for row, column in np.ndindex(*out.shape[2:4]):
        for i, j in np.ndindex(size, size):
            y, z = (at * stride + dilation * (k - size // 2) for at, k in ((row, i), (column, j)))
            if 0 <= y < height and 0 <= z < width:
                out[:, :, row, column] += kernel[:, i, j, :, None] * x[:, :, y, z]
    return out


@pytest.mark.parametrize("library", [False, True])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(
    ("size", "stride", "dilation"), [(3, 1, 1), (3, 2, 1), (3, 1, 2), (3, 2, 2), (5, 2, 1), (5, 2, 2)]
)
def test_it_is_the_sum_over_the_window(size, stride, dilation, shared, library):
    kernel, x = RNG.normal(size=(2, size, size, 3)), IMAGES[: 1 if shared else 2]
    found = depthwise(jnp.float32(x), jnp.float32(kernel), stride=stride, dilation=dilation, library=library)
    np.testing.assert_allclose(found, by_loops(x, kernel, stride, dilation), atol=1e-5)


@pytest.mark.parametrize(("size", "stride", "dilation", "shared"), [(3, 1, 1, True), (3, 2, 1, False), (3, 1, 2, True)])
def test_written_gradients_are_those_of_finite_differences(size, stride, dilation, shared):
    x, kernel = jnp.float32(IMAGES[: 1 if shared else 2]), jnp.float32(RNG.normal(size=(2, size, size, 3)))

    def fn(x, kernel):
        return jnp.sin(depthwise(x, kernel, stride=stride, dilation=dilation, library=False))

    check_grads(jax.jit(fn), (x, kernel), order=1, modes=("rev",), atol=2e-2, rtol=2e-2)


def test_written_gradients_are_xla_s():
    x, kernel = jnp.float32(IMAGES[:1]), jnp.float32(RNG.normal(size=(2, 5, 5, 3)))

    def gradients(library):
        def loss(x, kernel):
            return jnp.sin(depthwise(x, kernel, stride=2, dilation=2, library=library)).sum()

        return jax.jit(jax.grad(loss, argnums=(0, 1)))(x, kernel)

    for own, library in zip(gradients(False), gradients(True)):
        np.testing.assert_allclose(own, library, atol=1e-5)
