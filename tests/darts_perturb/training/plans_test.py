import jax
import jax.numpy as jnp
import numpy as np
import pytest

from darts_perturb.training import plans


def test_batches_take_every_row_once_before_any_twice():
    rows = jnp.arange(10, 22)
    index = np.asarray(plans.batches(jax.random.key(0), rows, batch_size=4, num_steps=7))
    assert index.shape == (7, 4)
    for epoch in (index[:3], index[3:6]):
        assert sorted(epoch.ravel()) == list(range(10, 22))
    assert not np.array_equal(index[:3], index[3:6])
    with pytest.raises(ValueError, match="batch_size=13 is larger than the 12 images"):
        plans.batches(jax.random.key(0), rows, batch_size=13, num_steps=1)


def test_a_bilevel_plan_alternates_halves_and_follows_the_cosine():
    weight_rows, alpha_rows = plans.halves(41)
    assert len(weight_rows) == len(alpha_rows) == 20
    options = {"batch_size": 5, "num_steps": 8, "learning_rate": 0.2, "final_learning_rate": 0.1}
    plan = plans.bilevel_plan(jax.random.key(0), weight_rows, alpha_rows, epsilon=(0.03, 0.3), **options)
    np.testing.assert_array_equal(plan.for_alpha, [True, False] * 8)
    assert (np.asarray(plan.index[0::2]) >= 20).all()
    assert (np.asarray(plan.index[1::2]) < 20).all()
    expected = 0.1 + 0.05 * (1 + np.cos(np.pi * np.arange(8) / 8))
    np.testing.assert_allclose(plan.learning_rate[1::2], expected, rtol=1e-6)
    np.testing.assert_allclose(plan.epsilon[::2], 0.03 + 0.27 * np.arange(8) / 8, rtol=1e-6)


def test_by_epochs_the_rate_and_epsilon_stand_still_within_one():
    rows = jnp.arange(12)
    options = {"batch_size": 4, "num_steps": 6, "learning_rate": 1.0, "final_learning_rate": 0.0, "epoch_steps": 3}
    plan = plans.bilevel_plan(jax.random.key(0), rows, rows, epsilon=(0.0, 1.0), **options)
    np.testing.assert_allclose(plan.learning_rate, [1.0] * 6 + [0.5] * 6, atol=1e-6)
    np.testing.assert_allclose(plan.epsilon, [0.0] * 6 + [0.5] * 6, atol=1e-6)
