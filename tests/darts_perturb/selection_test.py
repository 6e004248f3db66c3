import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from darts_perturb import perturb, search, selection, space

SPACE = space.get("nas_bench_201")


def scores_of(accuracy, loss):
    accuracy, loss = jnp.asarray(accuracy, jnp.float32), jnp.asarray(loss, jnp.float32)
    zeros = jnp.zeros_like(loss)
    return perturb.Scores(accuracy, loss, zeros, zeros, jnp.float32(0.9), jnp.float32(0.1))


def toy_state():
    alpha = jax.random.normal(jax.random.key(0), (6, 5))
    choice = jnp.full(6, search.UNDECIDED, jnp.int32)
    return search.State({"w": jnp.ones(3)}, {"w": jnp.ones(3)}, alpha, optax.scale_by_adam().init(alpha), choice)


def test_magnitude_is_the_largest_alpha():
    alpha = np.random.default_rng(0).normal(size=(6, 5))
    expected = [max(range(5), key=lambda op, row=row: row[op]) for row in alpha]
    np.testing.assert_array_equal(selection.magnitude(jnp.asarray(alpha)), expected)


def test_the_strongest_hurts_most_and_loss_breaks_ties_of_accuracy():
    scores = scores_of([[0.9, 0.6, 0.6, 0.8], [0.5, 0.9, 0.9, 0.9]], [[0.1, 0.5, 0.7, 0.9], [0.2, 0.1, 0.1, 0.1]])
    np.testing.assert_array_equal(selection.strongest(scores, "accuracy"), [2, 0])
    np.testing.assert_array_equal(selection.strongest(scores, "loss"), [3, 0])
    with pytest.raises(ValueError, match="unknown criterion 'f1'; known: accuracy, loss"):
        selection.strongest(scores, "f1")


def test_projection_decides_every_edge_once_and_restarts_momentum():
    state = selection.init(jax.random.key(3), toy_state(), SPACE)
    assert sorted(np.asarray(state.order)) == list(range(6))
    strongest = np.array([3, 1, 4, 1, 0, 2])
    for number in range(6):
        edge = int(selection.next_edge(state)[0])
        assert state.search.choice[edge] == search.UNDECIDED
        loss = np.zeros((1, 5))
        loss[0, strongest[edge]] = 1.0
        state, info = selection.decide(state, scores_of(0.9 - loss, loss), criterion="loss")
        assert (int(info["edge"]), int(info["op"])) == (edge, strongest[edge])
        np.testing.assert_allclose([info["accuracy_drop"], info["loss_rise"]], [1.0, 0.9], atol=1e-6)
        assert int(state.num_decided) == number + 1
        np.testing.assert_array_equal(state.search.momentum["w"], 0.0)
    np.testing.assert_array_equal(state.search.choice, strongest)
    np.testing.assert_array_equal(state.search.alpha, toy_state().alpha)


def test_the_order_of_edges_is_random():
    orders = {tuple(np.asarray(selection.init(jax.random.key(i), toy_state(), SPACE).order)) for i in range(20)}
    assert len(orders) > 10
