"""t-norms and t-conorms: closed forms, the laws, De Morgan, precision."""

import functools
import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from cqd import tnorm

GRID = (0.0, 0.25, 0.5, 0.75, 1.0)
NAMES = sorted(tnorm.T_NORMS)
TWO = {
    "product": (lambda a, b: a * b, lambda a, b: a + b - a * b),
    "min": (min, max),
    "lukasiewicz": (lambda a, b: max(0.0, a + b - 1), lambda a, b: min(1.0, a + b)),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_n_ary_is_the_binary_one_repeated(name, count):
    values = np.array(list(itertools.product(GRID, repeat=count)), np.float32)
    conjoin, disjoin = (np.array([functools.reduce(f, row) for row in values.tolist()]) for f in TWO[name])
    np.testing.assert_allclose(tnorm.conjunction(name, values, axis=1), conjoin, atol=1e-6)
    np.testing.assert_allclose(tnorm.disjunction(name, values.T, axis=0), disjoin, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_laws(name):
    values = np.array(list(itertools.product(GRID, repeat=3)), np.float32)
    conjoin = functools.partial(tnorm.conjunction, name, axis=1)
    disjoin = functools.partial(tnorm.disjunction, name, axis=1)
    np.testing.assert_allclose(disjoin(values), 1 - conjoin(1 - values), atol=1e-6)
    np.testing.assert_allclose(conjoin(values), conjoin(values[:, ::-1]), atol=1e-6)
    one, zero = np.ones((5, 1), np.float32), np.zeros((5, 1), np.float32)
    column = np.array(GRID, np.float32)[:, None]
    np.testing.assert_array_equal(conjoin(np.hstack([column, one])), GRID)
    np.testing.assert_array_equal(disjoin(np.hstack([column, zero])), GRID)
    assert (conjoin(values) <= values.min(axis=1)).all()
    raised = np.minimum(values + np.float32([0.25, 0, 0]), 1)
    assert (conjoin(raised) >= conjoin(values)).all()
    assert (disjoin(raised) >= disjoin(values)).all()


def test_disjunction_keeps_small_truths_apart():
    small = jnp.array([[1e-9, 2e-9], [3e-9, 2e-9]])
    np.testing.assert_allclose(tnorm.disjunction("product", small, axis=1), [3e-9, 5e-9], rtol=1e-6)


def test_unknown_name():
    with pytest.raises(ValueError, match="tnorm='godel': choose one of lukasiewicz, min, product"):
        tnorm.conjunction("godel", jnp.ones(2))
