"""The edges of all cells of a space in one list, so that no algorithm asks which space it works on.

What belongs to edges (alpha, op weights, choices) is an array whose first axis is the edges, or a dict of such arrays
by kind of cell, as `supernet.apply` takes it. Flat, it is one array whose rows are the edges of the first kind, then
those of the next, kinds in alphabetical order as in every jax pytree.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Edge(NamedTuple):
    """One row of a flat array."""

    kind: str  # of cell
    source: int
    target: int
    ops: tuple[str, ...]  # those it may take, in the order of an op weight's last axis


def listed(space):
    """Returns every `Edge` of a space, as a tuple in the order of flat rows.

    >>> from darts_perturb import space
    >>> len(listed(space.get("nas_bench_201"))), len(listed(space.get("darts")))
    (6, 28)
    """
    return tuple(
        Edge(kind, *ends, ops) for kind in sorted(space.kinds) for ends, ops in zip(space.edges, space.edge_ops(kind))
    )


def flat(tree):
    """Returns the rows of all cells, [edges of all kinds, ...]."""
    return jnp.concatenate(jax.tree.leaves(tree))


def like(tree, rows):
    """Returns flat rows in the form of a tree."""
    leaves, form = jax.tree.flatten(tree)
    ends = np.cumsum([len(leaf) for leaf in leaves])
    return jax.tree.unflatten(form, [rows[end - len(leaf) : end] for leaf, end in zip(leaves, ends)])


def by_cell(space, rows):
    """Returns flat rows as `supernet.apply` takes them: an array, or a dict by kind of cell."""
    per_kind = len(space.edges)
    if len(space.kinds) == 1:
        return rows
    return {kind: rows[place * per_kind : (place + 1) * per_kind] for place, kind in enumerate(sorted(space.kinds))}


def holding(space, op):
    """Returns where an operation stands, numpy bool [edges of all kinds, choices]."""
    return np.asarray([[name == op for name in edge.ops] for edge in listed(space)])


def into_nodes(space):
    """Returns the flat rows that end in every node of every kind of cell: {(kind, node): [rows]}."""
    found = {}
    for row, edge in enumerate(listed(space)):
        found.setdefault((edge.kind, edge.target), []).append(row)
    return found
