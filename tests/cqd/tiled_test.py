"""Cross-entropy a tile at a time against the plain one and float64, its gradient, and its memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cqd import tiled, training
from tests.cqd.training_test import cross_entropy_float64

RNG = np.random.default_rng(0)
POINTS, TABLE = (RNG.normal(size=shape).astype(np.float32) for shape in ((7, 6), (40, 6)))
TARGETS = RNG.integers(33, size=7)


def total(points, table, scale=1.0, **options):
    """Returns a sum with a weight of its own for each point: of the plain way without tile_rows."""
    fn = tiled.cross_entropy if "tile_rows" in options else training.inner_product_cross_entropy
    losses = fn(scale * points, table, table[TARGETS], num_rows=33, **options)
    return jnp.sum(jnp.arange(1.0, 8.0) * losses)


@pytest.mark.parametrize(("tile_rows", "num_parts"), [(5, 1), (40, 1), (3, 8), (100, 4)])
def test_tiles_of_any_size_give_the_plain_value_and_gradient(tile_rows, num_parts):
    options = {"tile_rows": tile_rows, "num_parts": num_parts}
    run = jax.jit(jax.value_and_grad(total, argnums=(0, 1)), static_argnames=tuple(options))
    found, wanted = run(POINTS, TABLE, **options), run(POINTS, TABLE)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted)):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-5)
    np.testing.assert_array_equal(found[1][1][33:], 0)  # rows that are no entities pull nothing


@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_is_float64s_however_large_the_scores(scale):
    found = tiled.cross_entropy(scale * POINTS, TABLE, TABLE[TARGETS], num_rows=40, tile_rows=9)
    wanted = cross_entropy_float64(scale * POINTS, TABLE, TABLE[TARGETS])
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=1e-4)


def test_bfloat16_is_float32_to_its_rounding():
    plain, rough = (total(POINTS, TABLE, tile_rows=9, compute_dtype=dtype) for dtype in (jnp.float32, jnp.bfloat16))
    np.testing.assert_allclose(rough, plain, rtol=2e-2)
    assert rough != plain


def test_training_takes_tiles_where_scores_would_not_fit(monkeypatch):
    assert training._fitting_rows(1000, 14_505) is None
    assert training._fitting_rows(1000, 1_000_000) == 2**26 // 1000
    state = training.init(jax.random.key(0), num_entities=50, num_relations=4, rank=4)
    triples = np.random.default_rng(1).integers([50, 4, 50], size=(20, 3))
    options = {"learning_rate": 0.1, "regularization": 0.01}
    wanted, loss = jax.jit(lambda: training.step(state, triples, jnp.ones(20), **options))()
    monkeypatch.setattr(training, "_LARGEST", 500)
    monkeypatch.setattr(training, "_TILE", 140)
    found, tiled_loss = jax.jit(lambda: training.step(state, triples, jnp.ones(20), **options))()
    np.testing.assert_allclose(tiled_loss, loss, rtol=1e-6)
    np.testing.assert_allclose(found.params.entity, wanted.params.entity, rtol=1e-3, atol=1e-5)


def test_memory_is_that_of_a_tile():
    shapes = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((256, 16), (2**15, 16))]

    def temporary(**options):
        def loss(points, table):
            fn = tiled.cross_entropy if options else training.inner_product_cross_entropy
            return jnp.sum(fn(points, table, points, num_rows=2**15, **options))

        compiled = jax.jit(jax.grad(loss, argnums=(0, 1))).lower(*shapes).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    scores = 256 * 2**15 * 4
    assert temporary() >= scores
    assert temporary(tile_rows=2**10) < scores / 4
