import functools

import jax
import jax.numpy as jnp
import numpy as np

from darts_perturb import genotype, network
from darts_perturb.networks import nas_bench_201

CELL = genotype.parse("|nor_conv_3x3~0|+|none~0|skip_connect~1|+|nor_conv_1x1~0|none~1|avg_pool_3x3~2|")
SIZES = {"channels": 2, "layers": 2, "num_classes": 5}


def test_training_is_the_network_of_batch_statistics_and_evaluation_the_same_once_they_are_stored():
    params = jax.jit(functools.partial(network.init, genotype=CELL, **SIZES))(jax.random.key(0))
    params = jax.tree.map(
        lambda leaf: leaf + 0.1 * np.cos(np.arange(leaf.size, dtype=np.float32)).reshape(leaf.shape), params
    )
    stats = nas_bench_201.init_stats(CELL, **SIZES)
    x = jax.random.normal(jax.random.key(1), (8, 8, 8, 3))
    wanted = jax.jit(functools.partial(network.apply, genotype=CELL, layers=2))(params, x)
    fn = jax.jit(functools.partial(nas_bench_201.apply, genotype=CELL, layers=2), static_argnames="train")
    logits, moved = fn(params, stats, x, train=True)
    np.testing.assert_allclose(logits, wanted, atol=1e-5)
    # a tenth of the way from mean 0 and variance 1 to the batch's mean and unbiased variance
    sides = {"stem_norm": 8, "stage_0": 8, "residual_0": 4, "stage_1": 4, "residual_1": 2, "stage_2": 2, "last_norm": 2}
    batch = {}
    for name, side in sides.items():
        count = 8 * side * side
        batch[name] = jax.tree.map_with_path(
            lambda path, leaf, count=count: (
                (10 * (leaf - 0.9)) * (count - 1) / count if path[-1].key == "variance" else 10 * leaf
            ),
            moved[name],
        )
    evaluated, kept = fn(params, batch, x, train=False)
    np.testing.assert_allclose(evaluated, wanted, atol=1e-3)
    assert jax.tree.all(jax.tree.map(np.array_equal, kept, batch))
    alone, _ = fn(params, batch, x[:1], train=False)
    np.testing.assert_allclose(alone, evaluated[:1], atol=1e-5)


def test_there_are_two_statistics_for_every_normalised_channel():
    stats = nas_bench_201.init_stats(CELL, **SIZES)
    # 2 convolutions a cell and 2 cells, C, 2 C and 4 C; two in each residual block; stem and last
    assert sum(leaf.size for leaf in jax.tree.leaves(stats)) == 2 * (4 * (2 + 4 + 8) + 2 * (4 + 8) + 2 + 8)
    assert all((leaf == (path[-1].key == "variance")).all() for path, leaf in jax.tree.leaves_with_path(stats))
    assert stats["stage_1"]["edge_0"]["norm"]["mean"].shape == (2, 4)
    assert jnp.asarray(stats["last_norm"]["mean"]).shape == (8,)
