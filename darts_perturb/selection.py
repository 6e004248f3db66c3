"""Architecture selection: by the magnitude of alpha, or by perturbation with projection.

Perturbation (Wang et al. 2021, arXiv:2108.04392, algorithm 1) takes the edges one after the other, in a cell of every
kind by turns. On each it keeps the operation whose removal hurts the supernet most, makes the edge discrete, and
fine-tunes the supernet before the next turn. Without fine-tuning it is one-shot but for the projected edges.

`init` and `step` are pure and `State` is a pytree: a selection saved between any two steps goes on as if it had never
stopped. Rows are those of `edges.listed`.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from darts_perturb import edges as edges_
from darts_perturb import perturb, search
from darts_perturb.space import STAGES

CRITERIA = ("accuracy", "loss")
EDGES_PER_NODE = 2


class State(NamedTuple):
    """A selection between two steps."""

    search: search.State
    order: jax.Array  # int32, in which rows, or nodes, are decided
    num_decided: jax.Array
    num_tuned: Any = 0  # calls of the fine-tuning since the last decision


def allowed(space):
    """Returns which operations may be chosen, numpy bool [rows, ops].

    `none` may where every edge stays in the cell, as in NAS-Bench-201; where two edges a node stay it may not.
    """
    every = np.ones((len(edges_.listed(space)), space.weights_shape[1]), bool)
    return every if space.skeleton == STAGES else ~edges_.holding(space, "none")


def magnitude(alpha, space=None):
    """Returns the operation with the largest alpha on every edge, int32, [edges] or a dict by kind of cell.

    Args:
        alpha: of a `search.State`.
        space: `space.Space`, which says whether `none` may be chosen; where left out it may.
    """
    if space is None:
        return jax.tree.map(lambda alpha: jnp.argmax(alpha, axis=1).astype(jnp.int32), alpha)
    rows = jnp.where(allowed(space), edges_.flat(alpha), -jnp.inf)
    return edges_.like(alpha, jnp.argmax(rows, axis=1).astype(jnp.int32))


def magnitude_edges(alpha, space):
    """Returns which edges stay: into every node the two with the largest op weight but `none`'s.

    All edges of a space of stages.

    Args:
        alpha: of a `search.State`.
        space: `space.Space`.

    Returns:
        bool, [edges] or a dict by kind of cell.

    References:
        Liu et al. 2019, arXiv:1806.09055, section 2.4.
    """
    kept = jnp.ones(len(edges_.listed(space)), bool)
    if space.skeleton == STAGES:
        return edges_.by_cell(space, kept)
    weights = edges_.flat(jax.tree.map(jax.nn.softmax, alpha))
    strength = jnp.where(allowed(space), weights, 0.0).max(axis=1)
    for rows in edges_.into_nodes(space).values():
        # a stable sort: of equal edges the one from the earlier node stays
        weaker = jnp.argsort(-strength[np.asarray(rows)], stable=True)[EDGES_PER_NODE:]
        kept = kept.at[jnp.asarray(rows)[weaker]].set(False)
    return edges_.by_cell(space, kept)


def kept_edges(choice):
    """Returns which edges stay after `topology`: bool, as `choice` is."""
    return jax.tree.map(lambda choice: choice != search.DROPPED, choice)


def init(key, state, space, order="random"):
    """Returns the selection before the first projection: all edges of the supernet undecided.

    Args:
        key: typed key of the order of the edges.
        state: `search.State` of the trained supernet.
        space: `space.Space`.
        order: "random", or the rows in the order wanted, of `gap_order` for instance.

    Raises:
        ValueError: an order that does not name every row once.
    """
    num_rows = len(edges_.listed(space))
    if isinstance(order, str):
        if order != "random":
            raise ValueError(f"order={order!r}: need 'random' or the rows 0 to {num_rows - 1} in the order wanted")
        return start(state, by_turns(key, num_rows, len(space.kinds)))
    if not isinstance(order, jax.core.Tracer) and sorted(np.asarray(order).tolist()) != list(range(num_rows)):
        found = np.asarray(order).tolist()
        raise ValueError(f"order={found}: {space.name} has the rows 0 to {num_rows - 1}, each once")
    return start(state, order)


def start(state, order):
    """Returns the selection of a `search.State` before its first step."""
    zero = jnp.zeros((), jnp.int32)
    return State(state, jnp.asarray(order, jnp.int32), zero, zero)


def by_turns(key, count, num_kinds):
    """Returns 0 to count - 1 in random order, one of each of num_kinds equal parts by turns, int32 [count]."""
    per_kind = count // num_kinds
    if num_kinds == 1:
        return jax.random.permutation(key, count).astype(jnp.int32)
    keys = jax.random.split(key, num_kinds)
    parts = [jax.random.permutation(keys[kind], per_kind) + kind * per_kind for kind in range(num_kinds)]
    return jnp.stack(parts, axis=1).ravel().astype(jnp.int32)


def gap_order(scores, space, criterion="accuracy"):
    """Returns the rows by how clearly the strongest operation leads the second, widest gap first, kinds by turns.

    Args:
        scores: `perturb.Scores` of all edges of the trained supernet.
        space: `space.Space`.
        criterion: of `CRITERIA`; equal gaps of accuracy go by loss.
    """
    _check_criterion(criterion)
    may = allowed(space)

    def lead(badness):
        first, *rest = jnp.sort(jnp.where(may, badness, -jnp.inf), axis=1)[:, ::-1][:, :2].T
        return first - rest[0] if rest else jnp.zeros_like(first)

    gaps = lead(scores.loss), lead(-scores.accuracy)
    parts = []
    for kind in range(len(space.kinds)):
        rows = slice(kind * len(space.edges), (kind + 1) * len(space.edges))
        keys = (-gaps[0][rows],) if criterion == "loss" else (-gaps[0][rows], -gaps[1][rows])
        parts.append(jnp.lexsort(keys) + rows.start)
    return jnp.stack(parts, axis=1).ravel().astype(jnp.int32)


def _check_criterion(criterion):
    if criterion not in CRITERIA:
        raise ValueError(f"unknown criterion {criterion!r}; known: {', '.join(CRITERIA)}")


def strongest(scores, criterion, may=None):
    """Returns the operation whose removal hurts most on every edge, int32 [edges].

    Args:
        scores: `perturb.Scores`.
        criterion: "loss", or "accuracy", whose ties are broken by loss.
        may: bool [edges, ops], operations that may be chosen; all where left out.

    Raises:
        ValueError: unknown criterion.
    """
    _check_criterion(criterion)
    accuracy, loss = scores.accuracy, scores.loss
    if may is not None:
        accuracy, loss = jnp.where(may, accuracy, jnp.inf), jnp.where(may, loss, -jnp.inf)
    if criterion == "loss":
        return jnp.argmax(loss, axis=1).astype(jnp.int32)
    return jnp.lexsort((-loss, accuracy), axis=1)[:, 0].astype(jnp.int32)


def next_edge(state):
    """Returns the row to be decided next, int32 [1]: the `edges` of `perturb.removal_scores`."""
    return lax.dynamic_slice(state.order, (state.num_decided,), (1,))


def decided(state, choice):
    """Returns the selection after a decision: momentum starts again at 0; alpha and its moments stay."""
    momentum = jax.tree.map(jnp.zeros_like, state.search.momentum)
    supernet = state.search._replace(choice=choice, momentum=momentum)
    return state._replace(search=supernet, num_decided=state.num_decided + 1, num_tuned=0 * state.num_tuned)


def decide(state, scores, *, criterion="accuracy", space=None):
    """Returns the selection with its next edge decided, and what was decided.

    Fine-tuning in between is `search.steps` or `search.tune` on `state.search`.

    Args:
        state: `State` with an undecided edge.
        scores: `perturb.Scores` [1, ops] of `next_edge`.
        criterion: see `strongest`.
        space: `space.Space`, which says whether `none` may be chosen; where left out it may.
    """
    edge = next_edge(state)[0]
    op = strongest(scores, criterion, None if space is None else jnp.asarray(allowed(space))[edge][None])[0]
    choice = edges_.like(state.search.choice, edges_.flat(state.search.choice).at[edge].set(op))
    info = {
        "edge": edge,
        "op": op,
        "accuracy_drop": scores.baseline_accuracy - scores.accuracy[0, op],
        "loss_rise": scores.loss[0, op] - scores.baseline_loss,
        "accuracy": scores.baseline_accuracy,
        "loss": scores.baseline_loss,
    }
    return decided(state, choice), info


def held_out(images, batch_size):
    """Returns the rows of the images that removal scores are taken on, [k, batch_size]; what is left over is not used.

    Raises:
        ValueError: the batch is larger than the data.
    """
    count = len(images.alpha_rows) // batch_size
    if count < 1:
        raise ValueError(f"batch_size={batch_size} is larger than the {len(images.alpha_rows)} held-out images")
    return images.alpha_rows[: count * batch_size].reshape(-1, batch_size)


def removal(key, state, rows, images, *, space, batch_size, scores_fn=perturb.removal_scores, **options):
    """Returns the Scores of a supernet in search on its held-out images: the `score_fn` of `step`.

    Args:
        key: see `perturb.masked`.
        state: `search.State`.
        rows: edges wanted.
        images: `search.Images`.
        space: `space.Space`.
        batch_size: of the evaluation.
        scores_fn: or `perturb.edge_scores`.
        **options: of scores_fn.
    """
    index = held_out(images, batch_size)
    weights = search.op_weights(state.alpha, state.choice)
    x, y = images.x[index], images.y[index]
    return scores_fn(state.params, weights, x, y, space=space, edges=rows, key=key, **options)


def num_steps(space, tune_calls=0, *, tune_last=False):
    """Returns how many calls of `step` decide every edge; tune_last adds the fine-tuning that topology wants."""
    return len(edges_.listed(space)) + (len(space.edges) - (not tune_last)) * tune_calls


def step(key, state, images, *, space, score_fn, tune_fn=None, tune_calls=0, criterion="accuracy"):
    """Returns the selection one step on, a projection of one edge or one call of the fine-tuning, and what happened.

    Args:
        key: typed key of the whole selection; every step draws from keys folded from it.
        state: `State`.
        images: `search.Images`, handed to the functions.
        space: `space.Space`.
        score_fn: (key, search state, rows [1], images) -> `perturb.Scores` [1, ops]; `removal` with its options.
        tune_fn: (key, search state, images, call) -> (search state, {loss, accuracy}); `search.tune` with its options.
        tune_calls: calls of tune_fn between two turns; 0 is one-shot.
        criterion: see `strongest`.

    Returns:
        (State, info): {edge, op, accuracy_drop, loss_rise, accuracy, loss}; accuracy and loss are those of the whole
        supernet before a projection, or of training; edge and op are -1 while tuning.
    """

    def decide_fn(key, state):
        return decide(state, score_fn(key, state.search, next_edge(state), images), criterion=criterion, space=space)

    none, zero = np.int32(-1), np.float32(0)
    nothing = {"edge": none, "op": none, "accuracy_drop": zero, "loss_rise": zero}
    return advance(key, state, images, decide_fn, nothing, len(space.kinds), tune_fn, tune_calls)


def advance(key, state, images, decide_fn, nothing, per_turn, tune_fn=None, tune_calls=0):
    """Returns the selection after a decision, or after one of the tune_calls that follow per_turn decisions; info.

    Under a trace both are compiled; else only what comes next runs, and functions that are compiled already are enough.

    Args:
        key: see `step`.
        state: see `step`.
        images: see `step`.
        decide_fn: (key, state) -> (state, info).
        nothing: what info holds beside loss and accuracy while tuning.
        per_turn: decisions between two fine-tunings.
        tune_fn: see `step`.
        tune_calls: see `step`.
    """
    decide_key, tune_key = jax.random.split(jax.random.fold_in(key, state.num_decided))
    if tune_fn is None or not tune_calls:
        return decide_fn(decide_key, state)

    def tune():
        supernet, info = tune_fn(tune_key, state.search, images, state.num_tuned)
        filled = {
            name: jnp.asarray(value, jnp.int32 if value == -1 else jnp.float32) for name, value in nothing.items()
        }
        return state._replace(search=supernet, num_tuned=state.num_tuned + 1), filled | info

    def decide():
        return decide_fn(decide_key, state)

    turn_over = (state.num_decided > 0) & (state.num_decided % per_turn == 0)
    tunes = turn_over & (state.num_tuned < tune_calls)
    if isinstance(tunes, jax.core.Tracer):
        return lax.cond(tunes, tune, decide)
    return tune() if tunes else decide()
