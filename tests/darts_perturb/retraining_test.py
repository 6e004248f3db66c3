import jax
import jax.numpy as jnp
import numpy as np

from darts_perturb import genotype, retraining, search

CELL = genotype.parse("|nor_conv_3x3~0|+|none~0|skip_connect~1|+|nor_conv_1x1~0|nor_conv_3x3~1|avg_pool_3x3~2|")


def toy_state():
    params, choice = {"w": jnp.zeros(2), "v": jnp.zeros((1, 3))}, jnp.full(6, search.UNDECIDED, jnp.int32)
    return search.State(params, params, jnp.zeros((6, 5)), (), choice)


def test_a_cell_in_training_has_every_edge_decided():
    cell = retraining.init(toy_state(), CELL)
    np.testing.assert_array_equal(search.op_weights(cell.search.alpha, cell.search.choice), genotype.to_weights(CELL))
    assert cell.best_params is cell.search.params


def test_the_first_epoch_with_the_best_validation_accuracy_is_kept():
    cell = retraining.init(toy_state(), CELL)
    for epoch, accuracy in enumerate([0.2, 0.7, 0.7, 0.4], start=1):
        params = jax.tree.map(lambda leaf, epoch=epoch: jnp.full_like(leaf, epoch), cell.search.params)
        cell = retraining.keep_best(cell._replace(search=cell.search._replace(params=params)), accuracy, epoch)
    assert int(cell.best_epoch) == 2
    np.testing.assert_allclose(cell.best_accuracy, 0.7)
    assert all((leaf == 2).all() for leaf in jax.tree.leaves(cell.best_params))
    assert all((leaf == 4).all() for leaf in jax.tree.leaves(cell.search.params))
