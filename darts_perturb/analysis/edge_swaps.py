"""Edges of a supernet exchanged at test time: their parameters and op weights change places, in every cell of a kind.

Host code: as many programs as pairs would take longer to compile than to run.
"""

import functools
import operator

import jax
import numpy as np

from darts_perturb import edges as edges_
from darts_perturb import space as spaces
from darts_perturb.layers import mixed, reductions


def pairs(space, kind):
    """Returns the pairs of edges of a kind of cell that can be exchanged: of the same operations and stride."""
    ops, count = space.edge_ops(kind), len(space.edges)
    return [
        (i, j)
        for i in range(count)
        for j in range(i + 1, count)
        if ops[i] == ops[j] and space.stride(kind, i) == space.stride(kind, j)
    ]


def exchanged(state, space, order):
    """Returns a `search.State` whose edges stand in another order: parameters, alpha and choices.

    Args:
        state: `search.State`, without learned scales in its cells.
        space: `space.Space`.
        order: {kind of cell: int [edges]}, which edge's operations stand on every edge; only edges of one of `pairs`
            may change places.
    """
    state, count = jax.device_get(state), len(space.edges)
    rows = np.concatenate([np.asarray(order[kind]) + place * count for place, kind in enumerate(sorted(space.kinds))])
    alpha, choice = (_in_order(tree, rows) for tree in (state.alpha, state.choice))
    return state._replace(params=_params(state.params, space, order), alpha=alpha, choice=choice)


def _in_order(tree, rows):
    return edges_.like(tree, np.concatenate(jax.tree.leaves(tree))[rows])


def _params(params, space, order):
    if space.skeleton == spaces.STAGES:
        names = [name for name in params if name.startswith("stage_")]
        return {**params, **{name: _cell(params[name], space, "cell", order["cell"], True) for name in names}}
    found = dict(params)
    layers = sum(name.endswith("_1_kernel") for name in params)
    places = reductions.places(2, layers)
    for number, run in enumerate(reductions.runs(2, layers)):
        name, kind = f"run_{number}", places[run[0]].kind
        if "cell" in params[name]:
            found[name] = {**params[name], "cell": _cell(params[name]["cell"], space, kind, order[kind], True)}
        elif name in params:
            found[name] = _cell(params[name], space, kind, order[kind], False)
    return found


def _cell(params, space, kind, order, stacked):
    """Returns the parameters of the cells of one kind with their edges in another order."""
    found = dict(params)
    for op in space.ops:
        groups = {
            f"from_{source}_{op}": mixed.sharing(space, kind, source, op)
            for source in range(space.num_nodes)
            if params.get(f"from_{source}_{op}")
        }
        rows = {}
        for name, edges in groups.items():
            parts = jax.tree.map(functools.partial(_split, op, stacked, len(edges)), params[name])
            rows |= {edge: jax.tree.map(operator.itemgetter(place), parts) for place, edge in enumerate(edges)}
        for name, edges in groups.items():
            own = [rows[int(order[edge])] for edge in edges]
            found[name] = jax.tree.map(functools.partial(_join, op, stacked), *own)
    return found


def _split(op, stacked, count, leaf):
    """Returns a parameter of the merged operations of `count` edges as one row an edge."""
    if op.startswith("nor"):
        return np.moveaxis(leaf.reshape(*leaf.shape[:-1], count, -1), -2, 0)
    return np.moveaxis(leaf, int(stacked), 0)


def _join(op, stacked, *rows):
    """Returns what `_split` was given."""
    if op.startswith("nor"):
        return np.concatenate(rows, axis=-1)
    return np.stack(rows, axis=int(stacked))
