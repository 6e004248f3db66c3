"""What a search changes, and its two updates: Adam on alpha, SGD with momentum on the weights of the supernet.

Letters: e edges, o operations. What belongs to edges is an array or a dict of arrays by kind of cell, see `edges`.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from darts_perturb import edges, supernet

ALPHA_BETAS = (0.5, 0.999)
UNDECIDED = -1
DROPPED = -2


class State(NamedTuple):
    """Everything a search changes."""

    params: Any
    momentum: Any
    alpha: Any  # [edges, ops], before softmax
    alpha_moments: Any
    choice: Any  # int32 [edges]: the operation of an edge made discrete, or UNDECIDED, or DROPPED with its edge


class Settings(NamedTuple):
    """Numbers of the two optimisers, those of the paper; traced, so that they can be swept."""

    momentum: float = 0.9
    weight_decay: float = 3e-4
    clip: float = 5.0
    alpha_learning_rate: float = 3e-4
    alpha_weight_decay: float = 1e-3


def init(key, space, *, channels, layers, num_classes):
    """Returns the state before the first step: alpha = 1e-3 N(0, 1), as in the public code."""
    params_key, alpha_key = jax.random.split(key)
    params = supernet.init(params_key, space, channels=channels, layers=layers, num_classes=num_classes)
    num_rows = len(edges.listed(space))
    rows = 1e-3 * jax.random.normal(alpha_key, (num_rows, space.weights_shape[1]))
    alpha = edges.by_cell(space, rows)
    choice = edges.by_cell(space, jnp.full((num_rows,), UNDECIDED, jnp.int32))
    return State(params, jax.tree.map(jnp.zeros_like, params), alpha, optax.scale_by_adam().init(alpha), choice)


def op_weights(alpha, choice):
    """Returns the weights of all operations, as alpha is shaped.

    Softmax of alpha; one-hot where an edge is decided, 0 where it is dropped.
    """

    def of_cell(alpha, choice):
        undecided = (choice == UNDECIDED)[:, None]
        return jnp.where(undecided, jax.nn.softmax(alpha), jax.nn.one_hot(choice, alpha.shape[1], dtype=alpha.dtype))

    return jax.tree.map(of_cell, alpha, choice)


def norm(tree):
    """Returns the Euclidean norm of all leaves together."""
    return jnp.sqrt(sum(jnp.vdot(leaf, leaf) for leaf in jax.tree.leaves(tree)))


def move_alpha(state, gradient, settings):
    """Returns the state after a step of Adam on alpha with weight decay in the gradient."""
    gradient = jax.tree.map(lambda g, a: g + settings.alpha_weight_decay * a, gradient, state.alpha)
    b1, b2 = ALPHA_BETAS
    direction, moments = optax.scale_by_adam(b1, b2).update(gradient, state.alpha_moments)
    alpha = jax.tree.map(lambda a, d: a - settings.alpha_learning_rate * d, state.alpha, direction)
    return state._replace(alpha=alpha, alpha_moments=moments)


def move_weights(state, gradient, learning_rate, settings):
    """Returns the state after a step of SGD: clip the gradient's norm, add weight decay, then momentum."""
    total = norm(gradient)
    shrink = settings.clip / jnp.maximum(total, settings.clip)
    momentum = jax.tree.map(
        lambda m, g, w: settings.momentum * m + shrink * g + settings.weight_decay * w,
        state.momentum,
        gradient,
        state.params,
    )
    params = jax.tree.map(lambda w, m: w - learning_rate * m, state.params, momentum)
    return state._replace(params=params, momentum=momentum)
