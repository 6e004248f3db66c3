"""Perturbed op weights of SDARTS: the weights of the supernet train where alpha is not exactly what it is.

The softmaxed alpha moves by at most epsilon, by chance or against the loss, is clamped to [0, 1] and divided by its sum
over the operations of an edge. Edges already decided stay as they are.

References:
    Chen & Hsieh 2020, arXiv:2002.05283, eqs. 2-4 and algorithm 1.
"""

import jax
import jax.numpy as jnp
from jax import lax

NUM_ATTACKS = 7


def uniform(key, weights, epsilon, *, free):
    """Returns op weights moved uniformly by up to epsilon and clamped, not yet normalised (SDARTS-RS).

    Args:
        key: typed key.
        weights: op weights, an array [edges, ops] or a dict of them.
        epsilon: largest move of an op weight.
        free: bool [edges], the edges that move; as `weights` otherwise.
    """
    leaves, form = jax.tree.flatten(weights)
    keys = jax.tree.unflatten(form, list(jax.random.split(key, len(leaves))))

    def move(key, weights, free):
        noise = jax.random.uniform(key, weights.shape, weights.dtype, -1.0, 1.0)
        return jnp.where(free[:, None], jnp.clip(weights + epsilon * noise, 0.0, 1.0), weights)

    return jax.tree.map(move, keys, weights, free)


def adversarial(key, weights, epsilon, loss_fn, *, free, num_attacks=NUM_ATTACKS):
    """Returns op weights moved against the loss within epsilon and clamped, not yet normalised (SDARTS-ADV).

    Projected gradient ascent in the largest norm from a uniform start, num_attacks steps of 2 epsilon / num_attacks.

    Args:
        key: typed key of the start.
        weights: see `uniform`.
        epsilon: see `uniform`.
        loss_fn: weights -> loss.
        free: see `uniform`.
        num_attacks: gradient steps.
    """
    step = 2 * epsilon / num_attacks

    def climb(_, moved):
        def project(start, moved, slope, free):
            moved = jnp.clip(moved + step * jnp.sign(slope), start - epsilon, start + epsilon)
            return jnp.where(free[:, None], jnp.clip(moved, 0.0, 1.0), start)

        return jax.tree.map(project, weights, moved, jax.grad(loss_fn)(moved), free)

    return lax.fori_loop(0, num_attacks, climb, uniform(key, weights, epsilon, free=free))


def normalised(weights, *, free):
    """Returns op weights divided by their sum over the operations of each free edge."""

    def divide(weights, free):
        total = weights.sum(axis=1, keepdims=True)
        # all clamped to 0 needs an epsilon above every weight; nothing is divided then
        return jnp.where(free[:, None] & (total > 0), weights / jnp.where(total > 0, total, 1.0), weights)

    return jax.tree.map(divide, weights, free)
