"""Supernet training: the bilevel search of DARTS, first order, or with alpha fixed.

The search alternates two half-steps on different halves of the training data: Adam on alpha, then SGD with momentum on
the weights (Liu et al. 2019, arXiv:1806.09055, algorithm 1 with xi = 0). Both need the same gradient graph, so one
compiled loop runs any list of half-steps: bilevel search, search with fixed alpha, fine-tuning between projections, and
the training of a network whose edges are all decided.

Letters: n images, t half-steps, b batch, e edges, o operations.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from darts_perturb import data, supernet

ALPHA_BETAS = (0.5, 0.999)
UNDECIDED = -1


class State(NamedTuple):
    """Everything a search changes."""

    params: Any
    momentum: Any
    alpha: jax.Array  # [edges, ops], before softmax
    alpha_moments: Any
    choice: jax.Array  # int32 [edges]: the operation of an edge made discrete, or UNDECIDED


class Settings(NamedTuple):
    """Numbers of the two optimisers; traced, so that they can be swept."""

    momentum: float = 0.9
    weight_decay: float = 3e-4
    clip: float = 5.0
    alpha_learning_rate: float = 3e-4
    alpha_weight_decay: float = 1e-3


class Plan(NamedTuple):
    """A list of half-steps."""

    index: jax.Array  # int32 [t, b]: rows of the training data
    for_alpha: jax.Array  # bool [t]: the half-step moves alpha, else the weights
    learning_rate: jax.Array  # float32 [t], of the weights


def init(key, space, *, channels, layers, num_classes, affine=False):
    """Returns the state before the first step: alpha = 1e-3 N(0, 1), as in the public code."""
    params_key, alpha_key = jax.random.split(key)
    params = supernet.init(params_key, space, channels=channels, layers=layers, num_classes=num_classes, affine=affine)
    alpha = 1e-3 * jax.random.normal(alpha_key, (len(space.edges), len(space.ops)))
    choice = jnp.full((len(space.edges),), UNDECIDED, jnp.int32)
    return State(params, jax.tree.map(jnp.zeros_like, params), alpha, optax.scale_by_adam().init(alpha), choice)


def op_weights(alpha, choice):
    """Returns the weights of all operations [edges, ops]: softmax of alpha, one-hot where an edge is decided."""
    decided = (choice != UNDECIDED)[:, None]
    return jnp.where(decided, jax.nn.one_hot(choice, alpha.shape[1]), jax.nn.softmax(alpha))


def halves(num_train):
    """Returns the rows that train the weights and the rows that train alpha, two ranges of equal length."""
    half = num_train // 2
    return jnp.arange(half), jnp.arange(half, 2 * half)


def batches(key, rows, *, batch_size, num_steps):
    """Returns batches of rows [num_steps, batch_size]: all rows once in random order, then in another, and so on.

    Raises:
        ValueError: the batch is larger than the data.
    """
    per_epoch = len(rows) // batch_size
    if per_epoch < 1:
        raise ValueError(f"batch_size={batch_size} is larger than the {len(rows)} images it is drawn from")
    keys = jax.random.split(key, -(-num_steps // per_epoch))
    orders = jax.vmap(lambda key: jax.random.permutation(key, rows)[: per_epoch * batch_size])(keys)
    return orders.reshape(-1, batch_size)[:num_steps]


def weight_plan(key, rows, *, batch_size, num_steps, learning_rate, final_learning_rate):
    """Returns the plan of training the weights alone, the learning rate falling along a cosine."""
    done = jnp.arange(num_steps) / max(num_steps, 1)
    rates = final_learning_rate + (learning_rate - final_learning_rate) * (1 + jnp.cos(jnp.pi * done)) / 2
    index = batches(key, rows, batch_size=batch_size, num_steps=num_steps)
    return Plan(index, jnp.zeros(num_steps, bool), rates)


def bilevel_plan(key, weight_rows, alpha_rows, *, batch_size, num_steps, learning_rate, final_learning_rate):
    """Returns the plan of 2 num_steps half-steps: alpha, then weights, each on its own half of the data."""
    weight_key, alpha_key = jax.random.split(key)
    plan = weight_plan(
        weight_key,
        weight_rows,
        batch_size=batch_size,
        num_steps=num_steps,
        learning_rate=learning_rate,
        final_learning_rate=final_learning_rate,
    )
    alpha_index = batches(alpha_key, alpha_rows, batch_size=batch_size, num_steps=num_steps)
    index = jnp.stack([alpha_index, plan.index], axis=1).reshape(-1, batch_size)
    return Plan(index, jnp.arange(2 * num_steps) % 2 == 0, jnp.repeat(plan.learning_rate, 2))


def losses(params, weights, x, y, *, space):
    """Returns the cross entropy of every image [b], in nats, and whether its label is found, bool [b]."""
    logits = supernet.apply(params, weights, x, space=space)
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, y)
    return loss, logits.argmax(axis=1) == y


def step(key, state, x, y, for_alpha, learning_rate, settings, *, space, shift=0, flip=False):
    """Returns the state after one half-step, and its loss and accuracy before it.

    Args:
        key: typed key of the augmentation.
        state: `State`.
        x: images [b, H, W, C].
        y: labels [b].
        for_alpha: traced; moves alpha where true, the weights where false.
        learning_rate: of the weights.
        settings: `Settings`.
        space: `space.Space`.
        shift: see `data.augment`.
        flip: see `data.augment`.
    """
    x = data.augment(key, x, shift=shift, flip=flip)

    def loss_fn(params, alpha):
        loss, correct = losses(params, op_weights(alpha, state.choice), x, y, space=space)
        return loss.mean(), correct.mean()

    (loss, accuracy), gradients = jax.value_and_grad(loss_fn, argnums=(0, 1), has_aux=True)(state.params, state.alpha)
    state = lax.cond(
        for_alpha,
        lambda: _move_alpha(state, gradients[1], settings),
        lambda: _move_weights(state, gradients[0], learning_rate, settings),
    )
    return state, {"loss": loss, "accuracy": accuracy}


def _move_alpha(state, gradient, settings):
    gradient = gradient + settings.alpha_weight_decay * state.alpha
    b1, b2 = ALPHA_BETAS
    direction, moments = optax.scale_by_adam(b1, b2).update(gradient, state.alpha_moments)
    return state._replace(alpha=state.alpha - settings.alpha_learning_rate * direction, alpha_moments=moments)


def _move_weights(state, gradient, learning_rate, settings):
    norm = jnp.sqrt(sum(jnp.vdot(leaf, leaf) for leaf in jax.tree.leaves(gradient)))
    shrink = settings.clip / jnp.maximum(norm, settings.clip)
    momentum = jax.tree.map(
        lambda m, g, w: settings.momentum * m + shrink * g + settings.weight_decay * w,
        state.momentum,
        gradient,
        state.params,
    )
    params = jax.tree.map(lambda w, m: w - learning_rate * m, state.params, momentum)
    return state._replace(params=params, momentum=momentum)


def steps(key, state, x, y, plan, settings, start=0, *, space, shift=0, flip=False):
    """Returns the state after all half-steps of a plan, and {loss [t], accuracy [t]}.

    Args:
        key: typed key; half-step number s of the whole search draws from fold_in(key, s).
        state: `State`.
        x: all training images [n, H, W, C].
        y: all training labels [n].
        plan: `Plan`, or a slice of one.
        settings: `Settings`.
        start: number of the plan's first half-step.
        space: `space.Space`.
        shift: see `data.augment`.
        flip: see `data.augment`.
    """

    def body(state, inputs):
        number, (rows, for_alpha, learning_rate) = inputs
        return step(
            jax.random.fold_in(key, number),
            state,
            x[rows],
            y[rows],
            for_alpha,
            learning_rate,
            settings,
            space=space,
            shift=shift,
            flip=flip,
        )

    return lax.scan(body, state, (start + jnp.arange(len(plan.for_alpha)), plan))
