"""What a training does and when: batches in random order, the learning rate, which half-steps move alpha.

Letters: n images, t half-steps, b batch.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Plan(NamedTuple):
    """A list of half-steps."""

    index: jax.Array  # int32 [t, b]: rows of the training data
    for_alpha: jax.Array  # bool [t]: the half-step moves alpha, else the weights
    learning_rate: jax.Array  # float32 [t], of the weights
    epsilon: Any = None  # float32 [t], how far SDARTS moves the op weights


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


def share_done(num_steps, epoch_steps=1):
    """Returns what share of the steps lies before each [num_steps], counted in whole epochs of epoch_steps."""
    return jnp.arange(num_steps) // epoch_steps * epoch_steps / max(num_steps, 1)


def weight_plan(key, rows, *, batch_size, num_steps, learning_rate, final_learning_rate, epoch_steps=1):
    """Returns the plan of training the weights alone, the learning rate falling along a cosine.

    With `epoch_steps` the rate changes only that often; the public code has it change once an epoch.
    """
    done = share_done(num_steps, epoch_steps)
    rates = final_learning_rate + (learning_rate - final_learning_rate) * (1 + jnp.cos(jnp.pi * done)) / 2
    index = batches(key, rows, batch_size=batch_size, num_steps=num_steps)
    return Plan(index, jnp.zeros(num_steps, bool), rates)


def bilevel_plan(
    key,
    weight_rows,
    alpha_rows,
    *,
    batch_size,
    num_steps,
    learning_rate,
    final_learning_rate,
    epoch_steps=1,
    epsilon=None,
):
    """Returns the plan of 2 num_steps half-steps: alpha, then weights, each on its own half of the data.

    Args:
        key: typed key.
        weight_rows: rows of the images that train the weights.
        alpha_rows: rows of the images that train alpha.
        batch_size: b.
        num_steps: t / 2.
        learning_rate: of the weights at the start; the paper has .025.
        final_learning_rate: of the weights at the end; the paper has .001.
        epoch_steps: see `weight_plan`.
        epsilon: (first, last) of SDARTS, growing linearly; (.03, .3) in arXiv:2002.05283, which changes it once an
            epoch.

    Raises:
        ValueError: the batch is larger than a half of the data.
    """
    weight_key, alpha_key = jax.random.split(key)
    plan = weight_plan(
        weight_key,
        weight_rows,
        batch_size=batch_size,
        num_steps=num_steps,
        learning_rate=learning_rate,
        final_learning_rate=final_learning_rate,
        epoch_steps=epoch_steps,
    )
    alpha_index = batches(alpha_key, alpha_rows, batch_size=batch_size, num_steps=num_steps)
    index = jnp.stack([alpha_index, plan.index], axis=1).reshape(-1, batch_size)
    if epsilon is not None:
        first, last = epsilon
        epsilon = jnp.repeat(first + (last - first) * share_done(num_steps, epoch_steps), 2)
    return Plan(index, jnp.arange(2 * num_steps) % 2 == 0, jnp.repeat(plan.learning_rate, 2), epsilon)
