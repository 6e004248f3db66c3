"""Training of selected cells from new weights, the epoch chosen on validation images.

A cell is trained as the supernet with all its edges decided: the same function as its own network (`network`), and one
compiled program for every cell. Weights of operations that were not chosen get no gradient and change nothing.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from darts_perturb import genotype as genotypes
from darts_perturb import search


class State(NamedTuple):
    """A cell in training, with the weights of the best epoch so far."""

    search: search.State
    best_params: Any
    best_accuracy: jax.Array  # on validation images
    best_epoch: jax.Array


def init(state, genotype):
    """Returns a cell before training.

    Args:
        state: `search.State` with new weights; with `affine`, as in the paper's evaluation network.
        genotype: `genotype.Genotype`; decides every edge.
    """
    state = state._replace(choice=jnp.asarray(genotypes.to_choice(genotype)))
    return State(state, state.params, jnp.float32(-1.0), jnp.zeros((), jnp.int32))


def keep_best(state, accuracy, epoch):
    """Returns the state that remembers its weights of now if their validation accuracy is the best so far.

    The first of equal epochs stays. Test images have no part in it.

    Args:
        state: `State`.
        accuracy: validation accuracy of the weights of now.
        epoch: number of epochs trained.
    """
    better = accuracy > state.best_accuracy
    best = jax.tree.map(lambda new, old: jnp.where(better, new, old), state.search.params, state.best_params)
    return State(
        state.search,
        best,
        jnp.where(better, accuracy, state.best_accuracy),
        jnp.where(better, epoch, state.best_epoch),
    )
