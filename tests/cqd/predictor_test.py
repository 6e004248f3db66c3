"""ComplEx scores and N3 against complex float64 numpy, and gradients."""

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
