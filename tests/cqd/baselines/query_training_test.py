"""Training of query models: batches, the loss by hand, the schedule, and a tiny graph learnt."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cqd import query, ranking
from cqd.baselines import betae, chance, forms, gqe, query2box, query_model, query_training
from cqd.sampling import Sample

SIZE = 24
ANSWERS = [[1, 5, 9], [0], list(range(2, 20))]
ROWS, _ = forms.encode([query.parse(text) for text in ("#0(#1)", "#1(#2)", "#0(#3) & #1(#4)")])
MODEL = gqe.GQE(num_entities=SIZE, num_relations=2, dim=4, gamma=6.0)


def pool(**sizes):
    sizes = {"num_queries": 5, "num_answers": 30, **sizes}
    return jax.tree.map(jnp.asarray, query_training.pool(ROWS, [np.array(of) for of in ANSWERS], [1, 2, 1], **sizes))


def test_a_batch_has_answers_first_and_says_which_others_are_answers():
    sizes = {"num_entities": SIZE, "batch_size": 400, "num_negatives": 6}
    rows, entities, is_answer, weights = query_training.draw(jax.random.key(0), pool(), **sizes)
    which = [ROWS.tolist().index(row) for row in rows.tolist()]
    assert np.bincount(which) / 400 == pytest.approx([0.25, 0.5, 0.25], abs=0.08), "those that fill up are not drawn"
    for number, chosen, among, weight in zip(which, entities.tolist(), is_answer.tolist(), weights.tolist()):
        assert chosen[0] in ANSWERS[number]
        assert among == [entity in ANSWERS[number] for entity in chosen[1:]]
        assert weight == pytest.approx((len(ANSWERS[number]) + 4) ** -0.5)
    assert {entity for number, (entity, *_) in zip(which, entities.tolist()) if number == 0} == {1, 5, 9}
    assert set(np.asarray(entities)[:, 1:].ravel()) == set(range(SIZE))


def test_the_loss_by_hand():
    params = query_training.init(jax.random.key(1), MODEL).params
    entities = jnp.array([[1, 3, 5], [0, 1, 2], [2, 3, 4]])
    is_answer = jnp.array([[False, True], [False, False], [True, True]])
    weights = jnp.array([0.5, 0.25, 1.0])
    scores = np.asarray(MODEL.apply(params, ROWS, entities), np.float64)
    expected = 0
    for row, answers, weight in zip(scores, is_answer, weights):
        negative = [np.log1p(np.exp(score)) for score, answer in zip(row[1:], answers) if not answer]
        expected += weight * (np.log1p(np.exp(-row[0])) + (np.mean(negative) if negative else 0)) / 2
    found = query_training.loss(params, MODEL, ROWS, entities, is_answer, weights)
    np.testing.assert_allclose(found, expected / 1.75, rtol=1e-5)


def test_the_learning_rate_falls_twice():
    """Adam's first step, whatever the gradient, moves a parameter by the rate."""
    state = query_training.init(jax.random.key(1), MODEL)
    options = {"model": MODEL, "batch_size": 8, "num_negatives": 2, "num_steps": 1, "total_steps": 100}
    moves, after_one = [], jax.jit(functools.partial(query_training.steps, learning_rate=0.5, **options))
    for first in (0, 49, 50, 74, 75, 99):
        after, _ = after_one(state, jax.random.key(2), first, pool())
        steps = jax.tree.map(lambda old, new: np.abs(old - new).max(), state.params, after.params)
        moves.append(max(jax.tree.leaves(steps)))
    np.testing.assert_allclose(moves, [0.5, 0.5, 0.1, 0.1, 0.02, 0.02], rtol=1e-3)


def test_filling_up_changes_nothing():
    options = {
        "model": MODEL,
        "batch_size": 8,
        "num_negatives": 2,
        "num_steps": 3,
        "total_steps": 3,
        "learning_rate": 0.1,
    }
    found, steps = [], jax.jit(functools.partial(query_training.steps, **options))
    for sizes in ({"num_queries": 3, "num_answers": 22}, {"num_queries": 40, "num_answers": 99}):
        state = query_training.init(jax.random.key(1), MODEL)
        found.append(steps(state, jax.random.key(2), 0, pool(**sizes)))
    for one, other in zip(*map(jax.tree.leaves, found)):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (gqe.GQE, {"dim": 8, "gamma": 6.0}),
        (query2box.Query2Box, {"dim": 8, "gamma": 6.0}),
        (betae.BetaE, {"dim": 8, "gamma": 2.0, "hidden": 16}),
    ],
)
def test_a_tiny_graph_is_learnt(kind, fields):
    """On a ring, r takes x to x + 1: every query of 1 and 2 hops, and of two branches that meet."""
    model = kind(num_entities=SIZE, num_relations=2, **fields)
    chains = [query.parse(f"#0(#{x})") for x in range(SIZE)] + [query.parse(f"#0(#0(#{x}))") for x in range(SIZE)]
    meets = [query.parse(f"#0(#{x}) & #1(#{(x + 2) % SIZE})") for x in range(SIZE)]
    trees = chains + meets
    answers = [[(x + hops) % SIZE] for hops in (1, 2, 1) for x in range(SIZE)]
    rows, _ = forms.encode(trees)
    sizes = {"num_queries": len(rows), "num_answers": len(rows)}
    queries = query_training.pool(rows, list(map(np.array, answers)), np.ones(len(rows)), **sizes)
    options = {"batch_size": 32, "num_negatives": 8, "learning_rate": 0.02, "total_steps": 800, "num_steps": 800}
    steps = jax.jit(functools.partial(query_training.steps, model=model, **options))
    state, info = steps(query_training.init(jax.random.key(0), model), jax.random.key(1), 0, queries)
    assert np.mean(info["loss"][-20:]) < 0.5 * np.mean(info["loss"][:20])
    samples = [Sample(tree, np.zeros(0, int), np.array(of), np.array([1])) for tree, of in zip(trees, answers)]
    scores = query_model.scores(model, state.params, trees)
    found = ranking.metrics(ranking.batch_ranks(scores, [s.easy for s in samples], [s.hard for s in samples]))["mrr"]
    assert found > 3 * chance.mrr(samples, SIZE)


def test_chance_is_the_mean_over_all_orders():
    samples = [
        Sample(None, np.array([3]), np.array([0, 1]), np.zeros(3)),
        Sample(None, np.zeros(0, int), np.array([4]), np.zeros(1)),
    ]
    rng = np.random.default_rng(0)
    orders = rng.permuted(np.tile(np.arange(6.0), (20_000, 1)), axis=1)
    easy, hard = [samples[0].easy, samples[1].easy], [samples[0].hard, samples[1].hard]
    simulated = np.mean([ranking.metrics(ranking.batch_ranks(o[None].repeat(2, 0), easy, hard))["mrr"] for o in orders])
    exact = np.mean([(1 + 1 / 2 + 1 / 3 + 1 / 4) / 4, (1 + 1 / 2 + 1 / 3 + 1 / 4 + 1 / 5 + 1 / 6) / 6])
    assert chance.mrr(samples, 6) == pytest.approx(exact)
    assert simulated == pytest.approx(exact, rel=0.02)


def test_what_is_no_pool():
    with pytest.raises(ValueError, match="no training queries"):
        query_training.pool(ROWS[:0], [], [], num_queries=1, num_answers=1)
    with pytest.raises(ValueError, match="without an answer"):
        query_training.pool(ROWS[:1], [np.zeros(0, int)], [1], num_queries=1, num_answers=1)
