"""Scores and penalties of every model against float64 numpy, the laws that tell them apart, and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from cqd import predictor


def tables(seed=0, num_entities=6, num_relations=4, rank=5):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(num_entities, 2 * rank)), rng.normal(size=(num_relations, 2 * rank))


def complexes(table):
    rank = table.shape[1] // 2
    return table[:, :rank] + 1j * table[:, rank:]


def test_scores_are_the_trilinear_form():
    entity, relation = tables()
    params = predictor.complex_params(entity, relation)
    e, r = complexes(entity), complexes(relation)
    wanted = np.einsum("hk,rk,tk->hrt", e, r, e.conj()).real
    heads, relations = np.repeat(np.arange(6), 4), np.tile(np.arange(4), 6)
    scores = predictor.scores(params, heads, relations)
    assert scores.shape == (24, 6)
    np.testing.assert_allclose(scores, wanted.reshape(24, 6), rtol=2e-5, atol=2e-5)


def test_conjugate_relation_is_the_inverse():
    entity, relation = tables()
    relation[1] = relation[0] * np.repeat([1, -1], 5)
    params = predictor.complex_params(entity, relation)
    forward = predictor.scores(params, np.arange(6), np.zeros(6, int))
    backward = predictor.scores(params, np.arange(6), np.ones(6, int))
    np.testing.assert_allclose(forward, backward.T, rtol=1e-5, atol=1e-5)


def test_n3_is_the_sum_of_cubed_moduli():
    entity, relation = tables(1)
    params = predictor.complex_params(entity, relation)
    h, r, t = np.array([0, 2]), np.array([1, 3]), np.array([5, 2])
    e, q = complexes(entity), complexes(relation)
    wanted = (np.abs(e[h]) ** 3 + np.abs(q[r]) ** 3 + np.abs(e[t]) ** 3).sum(axis=1)
    np.testing.assert_allclose(predictor.n3(params, h, r, t), wanted, rtol=1e-5)


def test_gradients():
    entity, relation = (jnp.asarray(table, jnp.float32) for table in tables(2))
    h, r, t = jnp.array([0, 1]), jnp.array([1, 0]), jnp.array([2, 3])

    def objective(entity, relation):
        params = predictor.ComplEx(entity, relation)
        return jnp.sum(jnp.sin(predictor.scores(params, h, r))) + jnp.sum(predictor.n3(params, h, r, t))

    check_grads(objective, (entity, relation), order=1, modes=["rev"], atol=0.05, rtol=0.02)


def test_gradient_of_n3_at_zero_is_zero():
    gradient = jax.grad(lambda e: jnp.sum(predictor.cubed_moduli(e)))(jnp.zeros((2, 6)))
    np.testing.assert_array_equal(gradient, 0.0)


def test_init_has_the_stated_spread():
    params = predictor.init(jax.random.key(0), num_entities=300, num_relations=40, rank=50)
    assert params.entity.shape == (300, 100)
    np.testing.assert_allclose([params.entity.std(), params.relation.std()], 1e-3, rtol=0.05)
    assert abs(np.corrcoef(params.entity[:40].ravel(), params.relation.ravel())[0, 1]) < 0.1


@pytest.mark.parametrize(("entity", "relation"), [((3, 4), (2, 6)), ((3, 5), (2, 5)), ((3,), (2, 4))])
def test_shapes_that_do_not_fit(entity, relation):
    with pytest.raises(ValueError, match="two tables"):
        predictor.complex_params(np.zeros(entity), np.zeros(relation))


MODELS = sorted(predictor.MODELS)


def model_params(model, seed=0, num_entities=6, num_relations=4, rank=5):
    return predictor.init(
        jax.random.key(seed), num_entities=num_entities, num_relations=num_relations, rank=rank, model=model, scale=1.0
    )


def score_float64(model, params, h, r, t):
    """Returns the score of one triple by the formula in the model's paper."""
    tables = {name: np.asarray(table, np.float64) for name, table in params._asdict().items()}
    e, q = tables["entity"], tables["relation"]
    match model:
        case "complex":
            return (complexes(e)[h] * complexes(q)[r] * complexes(e)[t].conj()).real.sum()
        case "rotate":
            return -np.abs(complexes(e)[h] * np.exp(1j * q[r]) - complexes(e)[t]).sum()
        case "distmult":
            return (e[h] * q[r] * e[t]).sum()
        case "cp":
            return (tables["subject"][h] * q[r] * e[t]).sum()


@pytest.mark.parametrize("model", MODELS)
def test_every_way_to_score_is_the_formula(model):
    params = model_params(model)
    wanted = np.array([[[score_float64(model, params, h, r, t) for t in range(6)] for r in range(4)] for h in range(6)])
    heads, relations, tails = np.indices(wanted.shape)
    close = {"rtol": 2e-5, "atol": 2e-5}
    np.testing.assert_allclose(predictor.triple_scores(params, heads, relations, tails), wanted, **close)
    np.testing.assert_allclose(predictor.scores(params, heads[:, :, 0], relations[:, :, 0]), wanted, **close)
    head_bd, _, tail_bd = predictor.rows(params, heads[:, 0].ravel(), 0, tails[:, 0].ravel())
    by_relation = predictor.relation_scores(params, head_bd, tail_bd)
    np.testing.assert_allclose(by_relation, wanted.transpose(0, 2, 1).reshape(36, 4), **close)


@pytest.mark.parametrize("model", MODELS)
def test_penalty_is_the_sum_of_cubed_moduli_of_the_rows(model):
    params, (h, r, t) = model_params(model, seed=1), np.array([[0, 2], [1, 3], [5, 2]])
    factors = [np.asarray(row, np.float64) for row in predictor.rows(params, h, r, t)]
    if model == "rotate":
        factors = factors[::2]
    if model in ("complex", "rotate"):
        factors = [complexes(factor) for factor in factors]
    wanted = sum((np.abs(factor) ** 3).sum(axis=1) for factor in factors)
    np.testing.assert_allclose(predictor.n3(params, h, r, t), wanted, rtol=1e-5)


@pytest.mark.parametrize(("model", "is_symmetric"), [("complex", False), ("distmult", True), ("cp", False)])
def test_distmult_alone_is_symmetric(model, is_symmetric):
    params = model_params(model)
    scores = predictor.scores(params, np.arange(6), np.zeros(6, int))
    assert np.allclose(scores, scores.T, atol=1e-5) == is_symmetric


def test_opposite_angles_are_the_inverse_of_rotate():
    params = model_params("rotate")
    params = params._replace(relation=params.relation.at[1].set(-params.relation[0]))
    forward, backward = (predictor.scores(params, np.arange(6), np.full(6, r)) for r in (0, 1))
    np.testing.assert_allclose(forward, backward.T, rtol=1e-5)
    assert not np.allclose(forward, forward.T, rtol=1e-2)


@pytest.mark.parametrize("model", MODELS)
def test_gradients_of_every_model(model):
    h, r, t = jnp.array([0, 1]), jnp.array([1, 0]), jnp.array([2, 3])

    def objective(params):
        head_bd, _, tail_bd = predictor.rows(params, h, r, t)
        values = predictor.scores(params, h, r), predictor.relation_scores(params, head_bd, tail_bd)
        return sum(jnp.sum(jnp.sin(value)) for value in values)

    check_grads(objective, (model_params(model, seed=3),), order=1, modes=["rev"], atol=0.05, rtol=0.02)


def test_gradient_of_a_distance_of_zero_is_finite():
    params = predictor.RotatE(jnp.ones((2, 6)), jnp.zeros((1, 3)))
    gradient = jax.grad(lambda p: jnp.sum(predictor.scores(p, jnp.array([0]), jnp.array([0]))))(params)
    assert all(np.isfinite(leaf).all() for leaf in gradient)


def test_rotate_holds_no_array_of_all_differences():
    b, n, rank = 64, 2048, 200
    params = model_params("rotate", num_entities=n, rank=rank)
    gradient = jax.jit(jax.grad(lambda p, h: jnp.sum(jnp.sin(predictor.scores(p, h, h % 4)))))
    memory = gradient.lower(params, jnp.arange(b)).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 4 * b * n * rank / 4


def test_unknown_models():
    with pytest.raises(ValueError, match="model='transe': choose among complex, distmult, cp, rotate"):
        model_params("transe")
    with pytest.raises(TypeError, match="tuple is not a model"):
        predictor.project((1, 2), jnp.ones(2), jnp.ones(2))
