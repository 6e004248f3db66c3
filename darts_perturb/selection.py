"""Architecture selection: by the magnitude of alpha, or by perturbation with projection.

Perturbation (Wang et al. 2021, arXiv:2108.04392, algorithm 1) takes the edges in random order. On each it keeps the
operation whose removal hurts the supernet most, makes the edge discrete, and fine-tunes the supernet before the next.
Without fine-tuning it is one-shot but for the projected edges.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from darts_perturb import search

CRITERIA = ("accuracy", "loss")


def magnitude(alpha):
    """Returns the operation with the largest alpha on every edge, int32 [edges]; `none` may be chosen."""
    return jnp.argmax(alpha, axis=1).astype(jnp.int32)


class State(NamedTuple):
    """A selection by perturbation, between two projections."""

    search: search.State
    order: jax.Array  # int32 [edges], in which edges are decided
    num_decided: jax.Array


def init(key, state, space):
    """Returns the selection before the first projection: all edges of the supernet undecided.

    Args:
        key: typed key of the order of the edges.
        state: `search.State` of the trained supernet.
        space: `space.Space`.
    """
    order = jax.random.permutation(key, len(space.edges)).astype(jnp.int32)
    return State(state, order, jnp.zeros((), jnp.int32))


def strongest(scores, criterion):
    """Returns the operation whose removal hurts most on every edge, int32 [edges].

    Args:
        scores: `perturb.Scores`.
        criterion: "loss", or "accuracy", whose ties are broken by loss.

    Raises:
        ValueError: unknown criterion.
    """
    if criterion not in CRITERIA:
        raise ValueError(f"unknown criterion {criterion!r}; known: {', '.join(CRITERIA)}")
    if criterion == "loss":
        return jnp.argmax(scores.loss, axis=1).astype(jnp.int32)
    return jnp.lexsort((-scores.loss, scores.accuracy), axis=1)[:, 0].astype(jnp.int32)


def next_edge(state):
    """Returns the edge to be decided next, int32 [1]: the `edges` of `perturb.removal_scores`."""
    return jax.lax.dynamic_slice(state.order, (state.num_decided,), (1,))


def decide(state, scores, *, criterion="accuracy"):
    """Returns the selection with its next edge decided, and what was decided.

    Momentum of the weights starts again at 0; alpha and its moments stay. Fine-tuning in between is `search.steps` on
    `state.search`.

    Args:
        state: `State` with an undecided edge.
        scores: `perturb.Scores` [1, ops] of `next_edge`.
        criterion: see `strongest`.
    """
    edge, op = next_edge(state)[0], strongest(scores, criterion)[0]
    supernet = state.search._replace(
        choice=state.search.choice.at[edge].set(op),
        momentum=jax.tree.map(jnp.zeros_like, state.search.momentum),
    )
    info = {
        "edge": edge,
        "op": op,
        "accuracy_drop": scores.baseline_accuracy - scores.accuracy[0, op],
        "loss_rise": scores.loss[0, op] - scores.baseline_loss,
    }
    return State(supernet, state.order, state.num_decided + 1), info
