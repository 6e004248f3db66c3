import jax
import jax.numpy as jnp
import numpy as np
import optax

from darts_perturb.training import updates


def test_op_weights_are_softmax_until_decided_or_dropped():
    alpha = jnp.arange(30.0).reshape(6, 5) / 7
    choice = jnp.full(6, updates.UNDECIDED).at[2].set(4).at[5].set(updates.DROPPED)
    weights = np.asarray(updates.op_weights(alpha, choice))
    np.testing.assert_array_equal(weights[2], [0, 0, 0, 0, 1])
    np.testing.assert_array_equal(weights[5], np.zeros(5))
    expected = np.exp(alpha) / np.exp(alpha).sum(axis=1, keepdims=True)
    undecided = [0, 1, 3, 4]
    np.testing.assert_allclose(weights[undecided], expected[undecided], atol=1e-6)
    both = updates.op_weights({"a": alpha, "b": 2 * alpha}, {"a": choice, "b": choice})
    np.testing.assert_array_equal(both["a"], weights)
    np.testing.assert_array_equal(both["b"], updates.op_weights(2 * alpha, choice))


def toy_state():
    params = {"w": jnp.asarray([3.0, -4.0]), "v": jnp.asarray([[2.0]])}
    alpha = {"normal": jnp.asarray([[0.5, -1.0]])}
    moments = optax.scale_by_adam().init(alpha)
    choice = {"normal": jnp.asarray([-1])}
    return updates.State(params, jax.tree.map(jnp.zeros_like, params), alpha, moments, choice)


def test_the_weight_step_clips_then_decays_then_adds_momentum():
    settings = updates.Settings(momentum=0.9, weight_decay=0.1, clip=1.0)
    gradient = {"w": np.array([6.0, 0.0]), "v": np.array([[8.0]])}
    weights = {"w": np.array([3.0, -4.0]), "v": np.array([[2.0]])}
    momentum = {"w": np.zeros(2), "v": np.zeros((1, 1))}
    state = toy_state()
    for _ in range(3):
        state = updates.move_weights(state, jax.tree.map(jnp.float32, gradient), 0.5, settings)
        for name in weights:
            momentum[name] = 0.9 * momentum[name] + gradient[name] / 10.0 + 0.1 * weights[name]
            weights[name] = weights[name] - 0.5 * momentum[name]
    for name, value in weights.items():
        np.testing.assert_allclose(state.params[name], value, rtol=1e-5)
    np.testing.assert_array_equal(state.alpha["normal"], toy_state().alpha["normal"])


def test_the_alpha_step_is_adam_with_the_published_betas():
    settings = updates.Settings(alpha_learning_rate=0.1, alpha_weight_decay=0.01)
    state, alpha, m, v = toy_state(), np.array([[0.5, -1.0]]), 0.0, 0.0
    for t in range(1, 4):
        gradient = np.array([[1.0, -2.0]]) / t
        state = updates.move_alpha(state, {"normal": jnp.float32(gradient)}, settings)
        total = gradient + 0.01 * alpha
        m, v = 0.5 * m + 0.5 * total, 0.999 * v + 0.001 * total**2
        alpha = alpha - 0.1 * (m / (1 - 0.5**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    np.testing.assert_allclose(state.alpha["normal"], alpha, rtol=1e-4)
    np.testing.assert_array_equal(state.params["w"], toy_state().params["w"])
