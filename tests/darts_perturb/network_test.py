import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from darts_perturb import genotype, network, space, supernet

SPACE = space.get("nas_bench_201")
CELL = genotype.parse("|nor_conv_3x3~0|+|none~0|skip_connect~1|+|nor_conv_1x1~0|nor_conv_3x3~1|avg_pool_3x3~2|")


def test_parameter_counts_are_the_reference_s():
    rows = json.loads((pathlib.Path(__file__).parent / "data" / "nb201_param_counts.json").read_text())
    assert len(rows) == 40
    for row in rows:
        found = network.num_params(genotype.parse(row["arch"]), channels=16, layers=5, num_classes=10)
        assert found == row["params_C16_N5_10"], row["arch"]


def test_init_draws_what_is_counted():
    sizes = {"channels": 4, "layers": 2, "num_classes": 7}
    params = network.init(jax.random.key(0), CELL, **sizes)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == network.num_params(CELL, **sizes)


@pytest.mark.parametrize("affine", [False, True])
def test_the_network_is_the_supernet_with_one_hot_weights(affine):
    params_key, image_key = jax.random.split(jax.random.key(0))
    params = supernet.init(params_key, SPACE, channels=2, layers=2, num_classes=5, affine=affine)
    # scales and biases that are not 1 and 0
    params = jax.tree.map(lambda leaf: leaf + 0.1 * jnp.cos(jnp.arange(leaf.size)).reshape(leaf.shape), params)
    x = jax.random.normal(image_key, (3, 4, 4, 3))
    weights = jnp.asarray(genotype.to_weights(CELL))
    through_supernet = jax.jit(lambda p, w, x: supernet.apply(p, w, x, space=SPACE))(params, weights, x)
    derived = network.from_supernet(params, CELL)
    alone = jax.jit(lambda p, x: network.apply(p, x, genotype=CELL, layers=2, affine=affine))(derived, x)
    np.testing.assert_allclose(alone, through_supernet, atol=1e-5)
    shapes = jax.tree.map(
        jnp.shape, network.init(jax.random.key(1), CELL, channels=2, layers=2, num_classes=5, affine=affine)
    )
    assert jax.tree.map(jnp.shape, derived) == shapes
