"""CQD-A: scores of the folded map against the formula, gradients, what training learns, the identity."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

import cqd
from cqd import adapter, predictor, query

NUM_ENTITIES, NUM_RELATIONS, RANK = 12, 6, 4
FOLDED = [name for name in predictor.MODELS if name != "rotate"]
QUERIES = [query.parse(text) for text in ("#0(#1) & #3(#2)", "#2(#4) & #1(#5)", "#0(#3) & !#1(#2)", "#4(#5) & !#2(#7)")]


def params_of(model="complex", seed=0):
    sizes = {"num_entities": NUM_ENTITIES, "num_relations": NUM_RELATIONS, "rank": RANK, "scale": 0.8}
    return predictor.init(jax.random.key(seed), model=model, **sizes)


def random_adapter(params, seed=1):
    keys = jax.random.split(jax.random.key(seed))
    width = params.relation.shape[1]
    return adapter.Adapter(jax.random.normal(keys[0], (width, 2)), jax.random.normal(keys[1], (2,)))


@pytest.mark.parametrize("model", FOLDED)
def test_the_folded_predictor_scores_affinely(model):
    params = params_of(model)
    own = random_adapter(params)
    heads, relations = np.meshgrid(np.arange(NUM_ENTITIES), np.arange(NUM_RELATIONS))
    alpha, beta = np.asarray(params.relation, np.float64) @ own.weight.T[..., None] / params.relation.shape[1]
    alpha, beta = alpha[relations, 0] + own.bias[0], beta[relations, 0] + own.bias[1]
    due = (1 + alpha)[..., None] * predictor.scores(params, heads, relations) + beta[..., None]
    folded = adapter.adapted(params, own)
    assert type(folded) is type(params)
    np.testing.assert_allclose(predictor.scores(folded, heads, relations), due, atol=1e-5)


@pytest.mark.parametrize("model", FOLDED)
def test_the_identity_answers_as_before(model):
    params = params_of(model)
    same = adapter.adapted(params, adapter.identity(params))
    queries = [*QUERIES, query.parse("#0(#1(#3))"), query.parse("#0(#1(#3) | #2(#2))")]
    for method in ("beam", "exact"):
        before, after = (cqd.answer(each, queries, method=method) for each in (params, same))
        np.testing.assert_allclose(after, before, atol=1e-6)


def test_rotate_is_refused():
    params = params_of("rotate")
    with pytest.raises(ValueError, match=r"rotate: .*choose complex, distmult, cp"):
        adapter.adapted(params, adapter.identity(params))


def sets():
    hard = [np.array([3]), np.array([0, 6]), np.array([8]), np.array([1, 2])]
    easy = [np.array([5, 7]), np.array([], int), np.array([4]), np.array([9])]
    return adapter.examples(QUERIES, hard, easy, NUM_ENTITIES)


def test_examples_are_the_queries_of_each_structure():
    found = sets()
    assert [len(of.rows) for of in found.values()] == [2, 2]
    intersections = next(iter(found.values()))
    np.testing.assert_array_equal(intersections.rows, [[1, 0, 2, 3], [4, 2, 5, 1]])
    assert np.argwhere(intersections.hard).tolist() == [[0, 3], [1, 0], [1, 6]]
    assert np.argwhere(intersections.easy).tolist() == [[0, 5], [0, 7]]


@pytest.mark.parametrize("kind", adapter.LOSSES)
def test_loss_against_numpy(kind):
    params = params_of()
    own = random_adapter(params)
    for shape, of in sets().items():
        each = []
        truth = np.asarray(
            cqd.answer(adapter.adapted(params, own), [query.fill(shape, row) for row in of.rows.tolist()])
        )
        for row, hard, easy in zip(truth.astype(np.float64), np.asarray(of.hard), np.asarray(of.easy)):
            others = row[~hard & ~easy]
            if kind == "softmax":
                each.append(np.mean([np.log(np.exp([y, *others]).sum()) - y for y in row[hard]]))
            else:
                each.append(-(np.log(row[hard]).sum() + np.log(1 - others).sum()) / hard.sum())
        found = adapter.loss(own, params, of, shape=shape, kind=kind)
        assert found == pytest.approx(np.mean(each), rel=1e-5)


@pytest.mark.parametrize(
    ("kind", "text"), [("binary", "#0(#1) & !#3(#2)"), ("binary", "#0(#1(#3))"), ("softmax", "#0(#1) & #3(#2)")]
)
def test_gradients_by_finite_differences(kind, text):
    """Through t-norm, negation and the beam of a variable, in float64."""
    with jax.enable_x64(True):
        params = jax.tree.map(lambda table: jnp.asarray(np.asarray(table, np.float64)), params_of())
        own = jax.tree.map(lambda table: 0.3 * jnp.asarray(np.asarray(table, np.float64)), random_adapter(params))
        [(shape, of)] = adapter.examples([query.parse(text)], [np.array([2, 3])], [np.array([5])], NUM_ENTITIES).items()
        check_grads(
            lambda own: adapter.loss(own, params, of, shape=shape, kind=kind, beam_size=NUM_ENTITIES),
            (own,),
            order=1,
            modes=["rev"],
            eps=1e-6,
        )


def train(params, examples, *, by_relation, num_steps=150, kind="binary"):
    state = adapter.init(params, learning_rate=0.1)
    run = jax.jit(adapter.steps, static_argnames=("shapes", "kind", "num_steps"))
    return run(
        state,
        params,
        tuple(examples.values()),
        shapes=tuple(examples),
        num_steps=num_steps,
        by_relation=jnp.asarray(by_relation),
        learning_rate=0.1,
        kind=kind,
    )


@functools.cache
def shifted():
    """Returns (params, examples): answers drawn with the probabilities of an affine map that is not the identity."""
    params = params_of(seed=3)
    true = adapter.adapted(params, adapter.Adapter(jnp.zeros((2 * RANK, 2)), jnp.array([0.5, -2.0])))
    rng = np.random.default_rng(0)
    drawn = rng.integers([NUM_ENTITIES, NUM_RELATIONS] * 2, size=(1500, 4)).tolist()
    queries = [query.from_benchmark("2i", row) for row in drawn]
    is_answer = rng.random((1500, NUM_ENTITIES)) < np.asarray(cqd.answer(true, queries))
    chosen = [number for number in range(1500) if is_answer[number].any()]
    hard = [np.flatnonzero(is_answer[number]) for number in chosen]
    nothing = [np.zeros(0, int)] * len(chosen)
    return params, adapter.examples([queries[number] for number in chosen], hard, nothing, NUM_ENTITIES)


@pytest.mark.parametrize("by_relation", [False, True])
def test_training_lowers_the_loss_and_leaves_the_predictor(by_relation):
    params, examples = shifted()
    state, info = train(params, examples, by_relation=by_relation)
    losses = np.asarray(info["loss"])
    assert losses.shape == (150,)
    assert losses[-1] < 0.9 * losses[0]
    assert bool(jnp.any(state.adapter.weight != 0)) == by_relation
    scale, shift = 1 + state.adapter.bias[0], state.adapter.bias[1]
    if not by_relation:
        assert scale > 1.1
        assert -3 < shift < -0.5


def test_the_loss_of_ranks_lowers_too():
    params, examples = shifted()
    losses = np.asarray(train(params, examples, by_relation=True, kind="softmax")[1]["loss"])
    assert losses[-1] < losses[0] - 0.01
