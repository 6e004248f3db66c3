import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from darts_perturb import space, supernet
from darts_perturb.layers import windows

SPACE = space.get("nas_bench_201")
IMAGES = jax.random.normal(jax.random.key(1), (3, 8, 8, 3))
apply = jax.jit(functools.partial(supernet.apply, space=SPACE))


def init(layers=1, affine=False):
    return supernet.init(jax.random.key(0), SPACE, channels=2, layers=layers, num_classes=5, affine=affine)


def only(edge, op):
    """Returns op weights with one operation on one edge and none elsewhere."""
    return jnp.zeros((6, 5)).at[edge, SPACE.ops.index(op)].set(1.0)


def test_init_is_uniform_with_the_fan_in_s_scale():
    params = supernet.init(jax.random.key(0), SPACE, channels=8, layers=2, num_classes=10)
    kernel = np.asarray(params["stage_1"]["from_0_nor_conv_3x3"]["conv"]["kernel"])
    assert kernel.shape == (2, 3, 3, 16, 48)
    bound = 1 / np.sqrt(9 * 16)
    assert 0.99 * bound < np.abs(kernel).max() <= bound
    np.testing.assert_allclose(kernel.std(), bound / np.sqrt(3), rtol=0.02)
    np.testing.assert_array_equal(params["stem_norm"]["scale"], 1.0)
    np.testing.assert_array_equal(params["classifier_bias"], 0.0)
    assert abs(np.corrcoef(kernel[0].ravel(), kernel[1].ravel())[0, 1]) < 0.05
    other = supernet.init(jax.random.key(1), SPACE, channels=8, layers=2, num_classes=10)
    assert not np.array_equal(kernel, other["stage_1"]["from_0_nor_conv_3x3"]["conv"]["kernel"])


def test_a_cell_that_only_copies_is_the_same_at_any_depth():
    identity = only(3, "skip_connect")
    shallow, deep = init(layers=1), init(layers=3)
    deep = {**shallow, **{name: deep[name] for name in deep if name.startswith("stage_")}}
    np.testing.assert_allclose(apply(shallow, identity, IMAGES), apply(deep, identity, IMAGES), atol=1e-6)
    mixed = jnp.full((6, 5), 0.2)
    assert np.abs(apply(shallow, mixed, IMAGES) - apply(deep, mixed, IMAGES)).max() > 1e-3


def test_weights_that_reach_no_output_change_nothing():
    params = init()
    identity = only(3, "skip_connect")
    np.testing.assert_array_equal(
        apply(params, identity, IMAGES), apply(params, identity + only(0, "nor_conv_3x3"), IMAGES)
    )
    assert (
        np.abs(apply(params, identity, IMAGES) - apply(params, identity + only(3, "nor_conv_3x3"), IMAGES)).max() > 1e-4
    )


def test_one_channel_is_repeated():
    params, weights, grey = init(), jnp.full((6, 5), 0.2), IMAGES[..., :1]
    np.testing.assert_allclose(
        apply(params, weights, grey), apply(params, weights, jnp.tile(grey, (1, 1, 1, 3))), atol=1e-6
    )


def test_the_order_of_a_batch_does_not_matter():
    params, weights = init(), jnp.full((6, 5), 0.2)
    np.testing.assert_allclose(apply(params, weights, IMAGES[::-1]), apply(params, weights, IMAGES)[::-1], atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 8, 8, 2), (2, 6, 8, 3), (8, 8, 3)])
def test_images_that_do_not_fit_are_refused(shape):
    with pytest.raises(ValueError, match="images of shape"):
        supernet.apply(init(), jnp.zeros((6, 5)), jnp.zeros(shape), space=SPACE)


def test_op_weights_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"weights of shape \(5, 6\)"):
        supernet.apply(init(), jnp.zeros((5, 6)), IMAGES, space=SPACE)


def test_the_forms_of_a_cpu_and_of_an_accelerator_are_one_function(monkeypatch):
    small = space.Space("small", ("skip_connect", "nor_conv_3x3", "avg_pool_3x3"), ((0, 1), (0, 2), (1, 2)))
    params = supernet.init(jax.random.key(0), small, channels=2, layers=2, num_classes=5)
    weights = jax.nn.softmax(jax.random.normal(jax.random.key(2), (3, 3)))

    def gradients(accelerator):
        monkeypatch.setattr(windows, "on_accelerator", lambda: accelerator)

        def value(params, weights):
            return jnp.sin(supernet.apply(params, weights, IMAGES, space=small)).sum()

        return jax.jit(jax.value_and_grad(value, argnums=(0, 1)))(params, weights)

    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-4), gradients(False), gradients(True))
