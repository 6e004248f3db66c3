import jax
import jax.numpy as jnp
import numpy as np
import pytest

from darts_perturb.training import sdarts

WEIGHTS = {
    "normal": jax.nn.softmax(jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)), jnp.float32)),
    "reduce": jnp.asarray([[0.0, 1.0, 0.0], [0.2, 0.3, 0.5]]),
}
FREE = {"normal": jnp.asarray([True] * 4), "reduce": jnp.asarray([False, True])}


def test_random_weights_lie_within_epsilon_and_normalise_to_sum_one():
    moved = sdarts.uniform(jax.random.key(0), WEIGHTS, 0.2, free=FREE)
    distance = {name: np.abs(np.asarray(moved[name] - WEIGHTS[name])) for name in moved}
    assert all(value.max() <= 0.2 + 1e-6 for value in distance.values())
    assert distance["normal"].max() > 0.1
    assert all(float(value.min()) >= 0.0 and float(value.max()) <= 1.0 for value in moved.values())
    np.testing.assert_array_equal(moved["reduce"][0], WEIGHTS["reduce"][0])
    found = sdarts.normalised(moved, free=FREE)
    for name in found:
        np.testing.assert_allclose(found[name].sum(axis=1), 1.0, atol=1e-6)
        ratio = np.asarray(found[name]) * np.asarray(moved[name]).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(ratio, moved[name], atol=1e-6)


def test_random_moves_are_uniform_where_nothing_clamps():
    weights = jnp.full((400, 5), 0.5)
    moved = sdarts.uniform(jax.random.key(1), weights, 0.3, free=jnp.ones(400, bool)) - 0.5
    assert float(moved.mean()) == pytest.approx(0.0, abs=0.015)
    assert float(moved.var()) == pytest.approx(0.3**2 / 3, rel=0.05)


def test_the_attack_finds_the_worst_corner_of_a_linear_loss():
    """A linear loss is largest where every weight is epsilon further in the direction of its slope, then clamped."""
    slopes = {name: jnp.asarray(np.random.default_rng(1).normal(size=value.shape)) for name, value in WEIGHTS.items()}

    def loss_fn(weights):
        return sum((slopes[name] * weights[name]).sum() for name in slopes)

    moved = sdarts.adversarial(jax.random.key(0), WEIGHTS, 0.1, loss_fn, free=FREE)
    for name in moved:
        corner = np.clip(np.asarray(WEIGHTS[name]) + 0.1 * np.sign(slopes[name]), 0, 1)
        corner = np.where(np.asarray(FREE[name])[:, None], corner, WEIGHTS[name])
        np.testing.assert_allclose(moved[name], corner, atol=1e-6)


def test_one_attack_step_against_a_plain_loop():
    weights, free = WEIGHTS["normal"], FREE["normal"]
    start = np.asarray(sdarts.uniform(jax.random.key(3), weights, 0.2, free=free), np.float64)
    moved = sdarts.adversarial(jax.random.key(3), weights, 0.2, lambda w: (w**2).sum(), free=free, num_attacks=2)
    for _ in range(2):
        start = start + 0.2 * np.sign(2 * start)
        start = np.clip(np.clip(start, np.asarray(weights) - 0.2, np.asarray(weights) + 0.2), 0, 1)
    np.testing.assert_allclose(moved, start, atol=1e-6)


def test_an_edge_clamped_to_nothing_is_left_as_it_is():
    found = sdarts.normalised(jnp.asarray([[0.0, 0.0], [0.2, 0.6]]), free=jnp.asarray([True, True]))
    np.testing.assert_allclose(found, [[0.0, 0.0], [0.25, 0.75]], atol=1e-6)
