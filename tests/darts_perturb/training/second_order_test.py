import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from darts_perturb.training import second_order, updates


def loss_fn(params, alpha, x, y):
    weights = jax.nn.softmax(alpha)
    hidden = weights[0, 0] * jnp.tanh(x @ params["a"]) + weights[0, 1] * (x @ params["b"])
    return ((hidden.sum(axis=1) * weights[1, 0] + (hidden**2).sum(axis=1) * weights[1, 1] - y) ** 2).mean()


@pytest.fixture(scope="module")
def found():
    """Returns what a step in float64 gives beside autodiff through the unrolled step, and the first-order gradient."""
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        params = {name: jnp.asarray(rng.normal(size=(3, 4)) / 2) for name in "ab"}
        momentum = {name: jnp.asarray(rng.normal(size=(3, 4)) / 5) for name in "ab"}
        alpha = jnp.asarray(rng.normal(size=(2, 2)))
        x, y = jnp.asarray(rng.normal(size=(2, 6, 3))), jnp.asarray(rng.normal(size=(2, 6)))
        settings = updates.Settings(momentum=0.9, weight_decay=0.1, alpha_weight_decay=0.0)
        state = updates.State(params, momentum, alpha, optax.scale_by_adam().init(alpha), jnp.full(2, -1))
        rate = 0.05

        def gradient_fn(params, alpha, on_alpha_rows):
            batch = jnp.where(on_alpha_rows, 0, 1)
            loss, gradient = jax.value_and_grad(loss_fn, argnums=(0, 1))(params, alpha, x[batch], y[batch])
            return (loss, loss), gradient

        def unrolled(alpha):
            gradient = jax.grad(loss_fn)(params, alpha, x[1], y[1])
            ahead = jax.tree.map(lambda w, m, g: w - rate * (0.9 * m + g + 0.1 * w), params, momentum, gradient)
            return loss_fn(ahead, alpha, x[0], y[0])

        after, info = second_order.step(state, gradient_fn, rate, settings)
        exact = jax.grad(unrolled)(alpha)
        expected = updates.move_weights(
            state._replace(alpha=after.alpha), jax.grad(loss_fn)(params, after.alpha, x[1], y[1]), rate, settings
        )
        return {
            # Adam's first moment after one step is (1 - .5) times the gradient
            "gradient": np.asarray(after.alpha_moments.mu) / 0.5,
            "exact": np.asarray(exact),
            "first_order": np.asarray(jax.grad(loss_fn, argnums=1)(params, alpha, x[0], y[0])),
            "params": jax.device_get((after.params, expected.params)),
            "loss": (np.asarray(info["loss"]), float(unrolled(alpha)), float(loss_fn(params, after.alpha, x[1], y[1]))),
        }


def test_the_alpha_gradient_is_that_of_the_unrolled_loss(found):
    # the central difference over 0.01 is off by its third derivative, here 6e-7
    np.testing.assert_allclose(found["gradient"], found["exact"], atol=5e-6)
    assert np.abs(found["first_order"] - found["exact"]).max() > 0.02


def test_the_weights_then_take_their_own_step_with_the_new_alpha(found):
    after, expected = found["params"]
    for name in expected:
        np.testing.assert_allclose(after[name], expected[name], rtol=1e-10)


def test_the_losses_are_those_of_the_two_batches(found):
    losses, ahead, before = found["loss"]
    np.testing.assert_allclose(losses, [ahead, before], rtol=1e-10)
