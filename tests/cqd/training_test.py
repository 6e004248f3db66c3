"""Adagrad and the loss against float64 numpy; epochs that see every triple once and resume exactly."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.test_util import check_grads

from cqd import graph, loading, predictor, ranking, training

SIZES = {"num_entities": 6, "num_relations": 4}
TRIPLES = graph.with_inverses(np.array([(0, 0, 1), (1, 2, 2), (2, 0, 3), (4, 2, 5), (5, 0, 0)], np.int32))
run_epochs = functools.partial(jax.jit, static_argnames=("num_epochs", "batch_size"))(training.epochs)


def adagrad_float64(params, gradients, learning_rate, eps=1e-10):
    """Returns the parameters after steps by torch's rule: p -= lr g / (sqrt(sum g^2) + eps), sums from zero."""
    params, squares = np.array(params, np.float64), 0.0
    for gradient in np.array(gradients, np.float64):
        squares = squares + gradient**2
        params = params - learning_rate * gradient / (np.sqrt(squares) + eps)
    return params


def optimized(optimizer, params, gradients):
    state = optimizer.init(params)
    for gradient in gradients:
        updates, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    return params


def test_adagrad_follows_float64_down_to_tiny_gradients():
    params = jnp.array([1.0, -2.0, 3.0, 0.5])
    gradients = jnp.array([[1e-6, 0.0, 2.0, -1e-9], [3e-6, 1e-7, -1.0, 1e-9], [-1e-6, 0.0, 0.5, 0.0]])
    wanted = adagrad_float64(params, gradients, 0.1)
    np.testing.assert_allclose(optimized(training.adagrad(0.1), params, gradients), wanted, rtol=1e-6)
    other = optimized(optax.adagrad(0.1, initial_accumulator_value=0.0, eps=1e-10), params, gradients)
    assert np.abs(np.asarray(other) - wanted).max() > 0.05


def loss_float64(params, triples, weights, regularization):
    entity, relation = (np.asarray(table, np.float64) for table in params)
    rank = entity.shape[1] // 2
    e, q = entity[:, :rank] + 1j * entity[:, rank:], relation[:, :rank] + 1j * relation[:, rank:]
    total = 0.0
    for (h, r, t), weight in zip(triples, weights):
        scores = ((e[h] * q[r]) @ e.conj().T).real
        penalty = sum((np.abs(factor) ** 3).sum() for factor in (e[h], q[r], e[t]))
        total += weight * (np.log(np.exp(scores).sum()) - scores[t] + regularization * penalty)
    return total / np.sum(weights)


def test_loss_is_float64s():
    params = predictor.init(jax.random.key(0), **SIZES, rank=3, scale=0.7)
    weights = np.array([1.0] * 7 + [0.0] * 3)
    loss = training.loss(params, TRIPLES, weights, 0.05)
    np.testing.assert_allclose(loss, loss_float64(params, TRIPLES, weights, 0.05), rtol=1e-5)


def test_loss_gradient():
    params = predictor.init(jax.random.key(1), **SIZES, rank=2, scale=0.7)
    objective = functools.partial(training.loss, triples=TRIPLES, weights=jnp.ones(10), regularization=0.1)
    check_grads(objective, (params,), order=1, modes=["rev"], atol=0.05, rtol=0.02)


def test_one_epoch_is_float64_adagrad_over_a_permutation():
    """The whole epoch in one batch sees every triple once: the order does not matter, the step can be done by hand."""
    state = training.init(jax.random.key(0), **SIZES, rank=3)
    after, info = run_epochs(
        state, jax.random.key(7), 0, TRIPLES, num_epochs=1, batch_size=16, learning_rate=0.1, regularization=0.05
    )
    gradient = jax.grad(training.loss)(state.params, TRIPLES, jnp.ones(10), 0.05)
    for before, moved, slope in zip(state.params, after.params, gradient):
        np.testing.assert_allclose(moved, adagrad_float64(before, [slope], 0.1), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(info["loss"], [loss_float64(state.params, TRIPLES, np.ones(10), 0.05)], rtol=1e-5)


def test_every_triple_is_seen_once_an_epoch():
    """With a step of zero the mean loss of batches of one is the loss of all."""
    state = training.init(jax.random.key(0), **SIZES, rank=3)
    state = state._replace(params=predictor.init(jax.random.key(5), **SIZES, rank=3, scale=1.0))
    _, info = run_epochs(
        state, jax.random.key(7), 3, TRIPLES, num_epochs=2, batch_size=1, learning_rate=0.0, regularization=0.0
    )
    np.testing.assert_allclose(info["loss"], loss_float64(state.params, TRIPLES, np.ones(10), 0.0), rtol=1e-5)


def test_two_calls_are_one():
    settings = {"batch_size": 4, "learning_rate": 0.1, "regularization": 0.01}
    start = training.init(jax.random.key(2), **SIZES, rank=3)
    key = jax.random.key(3)
    whole, losses = run_epochs(start, key, 0, TRIPLES, num_epochs=4, **settings)
    half, first = run_epochs(start, jax.random.clone(key), 0, TRIPLES, num_epochs=2, **settings)
    twice, second = run_epochs(half, jax.random.clone(key), 2, TRIPLES, num_epochs=2, **settings)
    np.testing.assert_array_equal(losses["loss"], np.concatenate([first["loss"], second["loss"]]))
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(twice)):
        np.testing.assert_array_equal(a, b)


def test_training_learns_the_triples():
    state = training.init(jax.random.key(0), **SIZES, rank=8)
    state, info = run_epochs(
        state, jax.random.key(1), 0, TRIPLES, num_epochs=60, batch_size=4, learning_rate=0.1, regularization=1e-3
    )
    assert info["loss"][-1] < 0.2 * info["loss"][0]
    assert (np.argmax(predictor.scores(state.params, TRIPLES[:, 0], TRIPLES[:, 1]), axis=1) == TRIPLES[:, 2]).all()


@pytest.mark.slow
def test_umls_reaches_the_reference(request):
    """Filtered test MRR .942 is the figure of ComplEx-N3, rank 100, 100 epochs, by PyTorch (one seed)."""
    folder = pathlib.Path(request.config.rootpath) / "out" / "umls"
    if not folder.exists():
        pytest.skip(
            "needs train.txt, valid.txt and test.txt of UMLS (villmow/datasets_knowledge_embedding) in out/umls"
        )
    loaded = loading.load(str(folder))
    sizes = {"num_entities": loaded.vocabulary.num_entities, "num_relations": loaded.vocabulary.num_relations}
    full = graph.build_index(np.concatenate(list(loaded.parts.values())), **sizes)
    state, _ = run_epochs(
        training.init(jax.random.key(0), **sizes, rank=100),
        jax.random.key(1),
        0,
        graph.with_inverses(loaded.parts["train"]),
        num_epochs=100,
        batch_size=100,
        learning_rate=0.1,
        regularization=0.01,
    )
    test = graph.with_inverses(loaded.parts["test"])
    ranks = [
        ranking.filtered_ranks(row, full.tails_of(h, r), [t])
        for row, (h, r, t) in zip(np.asarray(predictor.scores(state.params, test[:, 0], test[:, 1])), test)
    ]
    assert ranking.metrics(ranks)["mrr"] > 0.93
