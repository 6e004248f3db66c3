"""Which two edges into a node stay, by perturbation: those whose removal hurts the supernet most.

The last part of a selection in the DARTS spaces, after every edge has its operation (Wang et al. 2021,
arXiv:2108.04392, section 4.2): nodes in random order, in a cell of every kind by turns, the supernet fine-tuned in
between. `init` and `step` are pure and share `selection.State`, whose order is that of the nodes here.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from darts_perturb import edges as edges_
from darts_perturb import perturb, search, selection

METHODS = ("independent", "greedy", "official")


def nodes(space):
    """Returns the nodes with edges to spare, their kind and rows as a tuple of ((kind, node), rows)."""
    found = edges_.into_nodes(space)
    return tuple((name, tuple(rows)) for name, rows in found.items() if len(rows) > selection.EDGES_PER_NODE)


def init(key, state, space):
    """Returns the selection before the first node.

    Args:
        key: typed key of the order of the nodes.
        state: `search.State` with every edge decided.
        space: `space.Space`.

    Raises:
        ValueError: the cells of that space keep all edges.
    """
    if len(space.kinds) == 1:
        raise ValueError(f"{space.name}: every edge stays in its cells, there is no topology to select")
    return selection.start(state, selection.by_turns(key, len(nodes(space)), len(space.kinds)))


def num_steps(space, tune_calls=0):
    """Returns how many calls of `step` decide every node."""
    return len(nodes(space)) + (len(nodes(space)) // len(space.kinds) - 1) * tune_calls


removal = functools.partial(selection.removal, scores_fn=perturb.edge_scores)


def step(key, state, images, *, space, score_fn, method="greedy", tune_fn=None, tune_calls=0, criterion="accuracy"):
    """Returns the selection one step on, one node decided or one call of the fine-tuning, and what happened.

    Args:
        key: typed key of the whole topology selection.
        state: `selection.State` of `init`.
        images: `search.Images`, handed to the functions.
        space: `space.Space`.
        score_fn: (key, search state, rows, images) -> `perturb.Scores` [len(rows)]; `removal` with its options.
        method: "independent" ranks the edges into a node once, all others in place; "greedy" drops the weakest and
            ranks the rest without it; "official" ranks anew for every drop but with the dropped edges back in place,
            which can only differ from "independent" by the chance in official scores.
        tune_fn: see `selection.step`.
        tune_calls: see `selection.step`.
        criterion: see `selection.strongest`.

    Returns:
        (State, info): {kind, node, accuracy, loss}: the number of the kind of cell in alphabetical order, the node, and
        the supernet's accuracy before it was decided, or in training, where kind and node are -1.
        `selection.kept_edges` reads the result.

    Raises:
        ValueError: unknown method or criterion.
    """
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; known: {', '.join(METHODS)}")

    def decide_fn(key, state):
        return _decide(key, state, images, space, score_fn, method, criterion)

    return selection.advance(
        key, state, images, decide_fn, {"node": np.int32(-1)}, len(space.kinds), tune_fn, tune_calls
    )


def _decide(key, state, images, space, score_fn, method, criterion):
    """Returns the selection with its next node decided, and info."""
    groups = nodes(space)
    width = max(len(rows) for _, rows in groups)
    # filled up with the first row, which then counts once: not alive from the start
    rows_of = np.asarray([rows + rows[:1] * (width - len(rows)) for _, rows in groups])
    sizes = np.asarray([len(rows) for _, rows in groups])
    group = selection.next_edge(state)[0]
    rows, size = jnp.asarray(rows_of)[group], jnp.asarray(sizes)[group]
    alive = jnp.arange(width) < size
    once = score_fn(key, state.search, rows, images) if method == "independent" else None

    def drop_one(number, carry):
        alive, accuracy, loss = carry
        supernet = state.search
        if method == "greedy":
            dropped = ~alive & (jnp.arange(width) < size)
            supernet = supernet._replace(choice=_drop(supernet.choice, rows, dropped))
        found = score_fn(jax.random.fold_in(key, number), supernet, rows, images) if once is None else once
        alive = alive.at[weakest(found, criterion, alive)].set(False)
        # what is told is the supernet before any edge is dropped
        whole = number == 0
        accuracy = jnp.where(whole, found.baseline_accuracy, accuracy)
        return alive, accuracy, jnp.where(whole, found.baseline_loss, loss)

    zero = jnp.zeros((), jnp.float32)
    alive, accuracy, loss = _repeated(size - selection.EDGES_PER_NODE, drop_one, (alive, zero, zero))
    choice = _drop(state.search.choice, rows, ~alive & (jnp.arange(width) < size))
    kinds = sorted(space.kinds)
    names = jnp.asarray([(kinds.index(kind), node) for (kind, node), _ in groups], jnp.int32)
    told = {"kind": names[group, 0], "node": names[group, 1], "accuracy": accuracy, "loss": loss}
    return selection.decided(state, choice), told


def _repeated(count, fn, carry):
    """Returns the carry after fn(number, carry), count times; without a trace nothing is compiled."""
    if isinstance(count, jax.core.Tracer):
        return lax.fori_loop(0, count, fn, carry)
    for number in range(int(count)):
        carry = fn(number, carry)
    return carry


def weakest(scores, criterion, alive):
    """Returns which edge's removal hurts least, among those alive.

    Args:
        scores: `perturb.Scores` [edges].
        criterion: see `selection.strongest`.
        alive: bool [edges].

    Raises:
        ValueError: unknown criterion.
    """
    # the least harm is the most of its opposite
    turned = scores._replace(accuracy=-scores.accuracy[None], loss=-scores.loss[None])
    return selection.strongest(turned, criterion, alive[None])[0]


def _drop(choice, rows, dropped):
    """Returns choices with some rows dropped; a row that stands twice in rows is dropped if either says so."""
    flat = edges_.flat(choice)
    never = jnp.iinfo(flat.dtype).max
    return edges_.like(choice, flat.at[rows].min(jnp.where(dropped, search.DROPPED, never)))
