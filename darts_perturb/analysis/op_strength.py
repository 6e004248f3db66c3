"""The strength of an operation by its own definition: what the supernet reaches when its edge keeps that one alone.

One edge of a trained supernet is made discrete, the supernet is trained on until it has settled, and its validation
accuracy is the strength of the operation there. Alpha and the removal scores are two guesses at it.

References:
    arXiv:2108.04392, section 3.1, figures 1 and 2: discretisation accuracy at convergence.
"""

import jax
import jax.numpy as jnp
import numpy as np

from darts_perturb import edges as edges_
from darts_perturb.analysis.skip_domination import rank_correlation


def discretised(state, row, place):
    """Returns a `search.State` with one edge made discrete; momentum starts again at 0, as after a projection.

    Args:
        state: `search.State`.
        row: of `edges.listed`.
        place: which of the edge's operations stays.
    """
    choice = edges_.like(state.choice, edges_.flat(state.choice).at[row].set(place))
    return state._replace(choice=choice, momentum=jax.tree.map(jnp.zeros_like, state.momentum))


def correlations(measure, strength):
    """Returns the rank correlation over operations of a measure and their strength on every edge, [edges].

    Args:
        measure: [edges, ops].
        strength: [edges, ops].
    """
    return np.array([rank_correlation(*pair) for pair in zip(np.asarray(measure), np.asarray(strength))])


def same_best(measure, strength):
    """Returns on which edges the best operation by a measure is the strongest one, bool [edges]; first of equals."""
    return np.argmax(measure, axis=1) == np.argmax(strength, axis=1)


def given_up(measure, strength):
    """Returns what strength the best operation by a measure lacks to the strongest one, [edges]."""
    strength = np.asarray(strength)
    chosen = np.argmax(measure, axis=1)
    return strength.max(axis=1) - strength[np.arange(len(strength)), chosen]


def skip_wins(values, space, conv):
    """Returns on which edges that may take both the skip connection has a larger value than the convolution, bool [k].

    Args:
        values: [edges, ops] of any measure.
        space: `space.Space`.
        conv: name of the convolution.
    """
    found = []
    for row, edge in zip(np.asarray(values), edges_.listed(space)):
        if {"skip_connect", conv} <= set(edge.ops):
            found.append(row[edge.ops.index("skip_connect")] > row[edge.ops.index(conv)])
    return np.array(found)
