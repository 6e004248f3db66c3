"""Fine-tuning and overriding: the loss against numpy and its gradient, what moves and what stays."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from cqd import calibration, graph, judgements, predictor, refinement, training

SIZES = {"num_entities": 10, "num_relations": 4}
WEIGHTS = refinement.Weights(accept=0.5, reject=2.0, keep=3.0, regularization=0.1)


def drawn(model, seed=0, dtype=jnp.float32):
    params = predictor.init(jax.random.key(seed), **SIZES, rank=3, model=model, scale=0.7)
    return jax.tree.map(lambda table: table.astype(dtype), params)


def batch(triples, weights):
    return refinement.Batch(jnp.array(triples), jnp.array(weights, jnp.float32))


REPLAY = batch([(0, 0, 1), (1, 2, 3), (4, 1, 2)], [1, 1, 1])
PAIRS = jnp.array([0, 5]), jnp.array([3, 2])
ACCEPTED = batch([(2, 0, 3), (3, 1, 2)], [1, 1])
REJECTED = batch([(5, 2, 6), (6, 3, 5), (0, 0, 0)], [1, 1, 0])


@pytest.mark.parametrize("model", ["complex", "cp"])
def test_the_loss_is_its_formula(model):
    with jax.enable_x64(True):
        params, before = drawn(model, 0, jnp.float64), drawn(model, 1, jnp.float64)
        found = refinement.loss(params, before, REPLAY, PAIRS, ACCEPTED, REJECTED, WEIGHTS)

        def p(model, head, relation):
            scores = np.exp(np.asarray(predictor.scores(model, head, relation), np.float64))
            return scores / scores.sum()

        def mean(of, triples):
            return np.mean([of(p(params, h, r)[t]) for h, r, t in np.asarray(triples).tolist()])

        replay = mean(lambda x: -np.log(x), REPLAY.triples)
        replay += 0.1 * np.mean(np.asarray(predictor.n3(params, *REPLAY.triples.T)))
        pairs = list(zip(*(part.tolist() for part in PAIRS)))
        kept = np.mean([np.sum(p(before, *at) * np.log(p(before, *at) / p(params, *at))) for at in pairs])
        accepted = mean(lambda x: -np.log(x), ACCEPTED.triples)
        rejected = mean(lambda x: -np.log(1 - x), REJECTED.triples[:2])
        assert found == pytest.approx(replay + 0.5 * accepted + 2 * rejected + 3 * kept, rel=1e-9)


@pytest.mark.parametrize("model", ["complex", "rotate"])
def test_the_gradient_in_float64(model):
    with jax.enable_x64(True):
        before = drawn(model, 1, jnp.float64)

        def loss(params):
            return refinement.loss(params, before, REPLAY, PAIRS, ACCEPTED, REJECTED, WEIGHTS)

        check_grads(loss, (drawn(model, 0, jnp.float64),), order=1, modes=["rev"])


def test_nothing_judged_is_no_term():
    params, nothing = drawn("complex"), refinement.batch_of(np.zeros((0, 3), int), 2)
    found = refinement.loss(params, params, REPLAY, PAIRS, nothing, nothing, WEIGHTS)
    alone = training.loss(params, REPLAY.triples, REPLAY.weights, 0.1)
    assert found == pytest.approx(float(alone), rel=1e-5)


def test_a_batch_is_filled_up():
    found = refinement.batch_of([(1, 0, 2)], 3)
    assert found.triples.tolist() == [[1, 0, 2], [2, 1, 1]] + [[0, 0, 0]] * 4
    assert found.weights.tolist() == [1, 1, 0, 0, 0, 0]


@pytest.fixture(scope="module")
def trained():
    """Returns (training triples, a predictor that has learnt them)."""
    rng = np.random.default_rng(0)
    triples = np.unique(
        np.stack([rng.integers(10, size=25), 2 * rng.integers(2, size=25), rng.integers(10, size=25)], 1), axis=0
    )
    run = functools.partial(jax.jit, static_argnames=("num_epochs", "batch_size"))(training.epochs)
    state, _ = run(
        training.init(jax.random.key(0), **SIZES, rank=8),
        jax.random.key(1),
        0,
        graph.with_inverses(triples),
        num_epochs=60,
        batch_size=10,
        learning_rate=0.1,
        regularization=0.01,
    )
    return triples, state.params


def tuned(trained, judged, **changes):
    triples, params = trained
    run = functools.partial(jax.jit, static_argnames=("epochs", "batch_size"))(refinement.fine_tune)
    options = {"accept": 1.0, "reject": 10.0, "keep": 100.0, "regularization": 0.01} | changes
    return run(
        params,
        jax.random.key(2),
        jnp.asarray(graph.with_inverses(triples)),
        *(refinement.batch_of(edges, 3) for edges in judged),
        refinement.Weights(**options),
        epochs=30,
        batch_size=20,
        learning_rate=0.01,
    )


def truths(params):
    """Returns [N, R, N]."""
    heads, relations = jnp.meshgrid(jnp.arange(10), jnp.arange(4), indexing="ij")
    found = calibration.truths(params, heads.reshape(-1), relations.reshape(-1), normalize="softmax")
    return np.asarray(found).reshape(10, 4, 10)


def an_edge_of_truth(params, low, high, without):
    found = truths(params)[:, ::2]
    places = np.argwhere((found > low) & (found < high))
    edges = [(int(h), 2 * int(r), int(t)) for h, r, t in places if (h, 2 * r, t) not in without]
    return edges[0]


def test_rejected_truths_fall_accepted_ones_rise_and_the_rest_stays(trained):
    triples, params = trained
    known = set(map(tuple, triples.tolist()))
    false = an_edge_of_truth(params, 0.05, 0.6, known)
    true = an_edge_of_truth(params, 0.001, 0.03, known | {false})
    judged = judgements.Judged(np.array([true]), np.array([false]))
    after, info = tuned(trained, judged)
    old, new = truths(params), truths(after)
    assert new[false] < 0.6 * old[false]
    assert new[true] > 1.2 * old[true]
    touched = np.zeros(old.shape, bool)
    for head, relation, tail in (false, true):
        touched[head, relation] = touched[tail, relation + 1] = True
    assert np.abs(new - old)[~touched].mean() < 0.01
    assert info["loss"].shape == (30,)
    strong, _ = tuned(trained, judged, reject=100.0)
    assert truths(strong)[false] < new[false]
    loose, _ = tuned(trained, judged, keep=0.0)
    assert np.abs(truths(loose) - old)[~touched].mean() > np.abs(new - old)[~touched].mean()


def test_the_same_key_tunes_alike(trained):
    judged = judgements.Judged(np.zeros((0, 3), int), np.array([(0, 0, 0)]))
    jax.tree.map(np.testing.assert_array_equal, tuned(trained, judged)[0], tuned(trained, judged)[0])


@pytest.mark.parametrize("model", ["complex", "distmult", "cp"])
def test_overriding_changes_judged_scores_alone(model):
    params = drawn(model)
    judged = judgements.Judged(np.array([(1, 0, 2), (1, 0, 4)]), np.array([(3, 2, 3), (1, 0, 5)]))
    heads, relations = jnp.repeat(jnp.arange(10), 4), jnp.tile(jnp.arange(4), 10)
    old = np.asarray(predictor.scores(params, heads, relations)).reshape(10, 4, 10)
    new = np.asarray(predictor.scores(refinement.overridden(params, judged, 12), heads, relations)).reshape(10, 4, 10)
    due = old.copy()
    for sign, edges in zip((1, -1), judged):
        for head, relation, tail in edges.tolist():
            due[head, relation, tail] += sign * refinement.CERTAIN
            due[tail, relation + 1, head] += sign * refinement.CERTAIN
    np.testing.assert_allclose(new, due, atol=2e-5)


def test_overriding_refuses_what_it_cannot_do():
    judged = judgements.Judged(np.array([(1, 0, 2)]), np.zeros((0, 3), int))
    with pytest.raises(ValueError, match="RotatE compares distances"):
        refinement.overridden(drawn("rotate"), judged, 2)
    with pytest.raises(ValueError, match="size=1: the judged edges have 2"):
        refinement.overridden(drawn("complex"), judged, 1)
