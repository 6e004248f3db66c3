"""What each operation contributes to the supernet, as its Shapley value, by sampled orders of removal.

The players are the operations of all edges, the value of a coalition is what the supernet is worth with the weights of
the others set to 0. The Shapley value of a player is its marginal contribution, averaged over all orders in which the
players can leave. An order is a walk from the whole supernet towards none; a walk may end early, once little is left
to lose, and those still in then count as contributing nothing. Walks of one step are the removal of single operations,
the scores of `perturb`.

Letters: s walks, p players, e edges, o operations.

References:
    Shapley-NAS: Xiao et al. 2022, arXiv:2206.09811, section 3; the sampling: Castro et al. 2009; ending a walk early:
    Ghorbani & Zou 2019, arXiv:1904.02868.
"""

import itertools
import math
from typing import NamedTuple

import numpy as np


class Estimate(NamedTuple):
    """Shapley values as estimated from some walks."""

    value: np.ndarray  # float64 [p]
    se: np.ndarray  # its standard error over walks, 0 where there is one walk, float64 [p]
    evaluations: int  # of the value of a coalition


def orders(rng, num_players, num_walks):
    """Returns random orders in which players leave, int64 [s, p]; rng is a `numpy.random.Generator`."""
    return np.array([rng.permutation(num_players) for _ in range(num_walks)]).reshape(num_walks, num_players)


def estimate(value_fn, orders, *, truncation=None, length=None):
    """Returns the `Estimate` of Shapley values by walks from all players to none.

    Args:
        value_fn: (bool [p], who is in) -> value of that coalition, a number; the same for the same coalition, or the
            differences of two coalitions are those of two samples of images.
        orders: int [s, p], in which the players leave; all orders give the exact value.
        truncation: a walk ends when no more than this share of v(all) - v(none) is left; None walks to the end.
        length: steps of a walk at most; None for all. A player no walk comes to has the value 0.

    Raises:
        ValueError: rows of orders that are not orders of the players.
    """
    orders = np.atleast_2d(orders)
    num_walks, num_players = orders.shape
    if not num_walks or not (np.sort(orders, axis=1) == np.arange(num_players)).all():
        raise ValueError(
            f"orders of shape {orders.shape}: need one or more rows, each the players 0 to p - 1 in an order"
        )
    whole = float(value_fn(np.ones(num_players, bool)))
    evaluations, floor = 1, -math.inf
    if truncation is not None:
        nothing = float(value_fn(np.zeros(num_players, bool)))
        evaluations, floor = 2, nothing + truncation * (whole - nothing)
    gains = np.zeros((num_walks, num_players))
    reached = np.zeros((num_walks, num_players), bool)
    for walk, order in enumerate(orders):
        kept, before = np.ones(num_players, bool), whole
        for player in order[:length]:
            if before <= floor:
                break
            kept[player] = False
            after = float(value_fn(kept.copy()))
            evaluations += 1
            gains[walk, player], reached[walk, player] = before - after, True
            before = after
    if length is None:
        reached[:] = True  # the rest of a walk that has ended contributes nothing
    count = np.maximum(reached.sum(axis=0), 1)
    value = gains.sum(axis=0) / count
    squares = (np.where(reached, gains - value, 0) ** 2).sum(axis=0)
    se = np.sqrt(squares / np.maximum(count - 1, 1) / count)
    return Estimate(value, np.where(count > 1, se, 0.0), evaluations)


def exact(value_fn, num_players):
    """Returns the Shapley values over all orders, float64 [p]: brute force, 2^p values; p at most 12.

    Raises:
        ValueError: too many players.
    """
    if num_players > 12:
        raise ValueError(f"num_players={num_players}: all coalitions of more than 12 players are too many")
    values = {}
    for bits in itertools.product((False, True), repeat=num_players):
        values[bits] = float(value_fn(np.array(bits)))
    found = np.zeros(num_players)
    for bits, without in values.items():
        size = sum(bits)
        share = math.factorial(size) * math.factorial(num_players - size - 1) if size < num_players else 0
        for player in (player for player in range(num_players) if not bits[player]):
            joined = values[(*bits[:player], True, *bits[player + 1 :])]
            found[player] += share * (joined - without)
    return found / math.factorial(num_players)


def players(live):
    """Returns the (edge, operation) of every player, int [p, 2].

    Args:
        live: bool [e, o], the operations whose removal changes anything; `none` is not one of them.
    """
    return np.argwhere(np.asarray(live))


def weights_of(weights, players, kept):
    """Returns op weights [e, o] with 0 for the players that have left.

    Args:
        weights: [e, o] of the whole supernet.
        players: of `players`.
        kept: bool [p].
    """
    weights = np.array(weights)
    gone = players[~np.asarray(kept)]
    weights[gone[:, 0], gone[:, 1]] = 0.0
    return weights


def strongest(values, players, may):
    """Returns the operation of the largest value on every edge, int32 [e].

    Those that are no players have the value 0; of equal ones the first is taken, as of `none` and an operation that
    contributes nothing.

    Args:
        values: [p].
        players: of `players`.
        may: bool [e, o], which operations may be chosen.
    """
    table = np.zeros(np.shape(may))
    table[players[:, 0], players[:, 1]] = values
    return np.where(may, table, -np.inf).argmax(axis=1).astype(np.int32)
