"""The alpha that is best for an edge of a supernet: proposition 1 of arXiv:2108.04392, with its covariance kept.

An edge with a skip connection and a convolution carries theta_skip x + theta_conv o, two weights by a softmax, as an
estimate of the cell's feature map m*. With a = o - m* and b = x - m* its squared error is

    E |theta_conv a + theta_skip b|^2 = theta_conv^2 var a + theta_skip^2 var b + 2 theta_conv theta_skip cov,

which is least at theta_conv = (var b - cov) / (var a + var b - 2 cov), so at

    alpha_skip - alpha_conv = log [(var a - cov) / (var b - cov)].

The proposition has it without cov: the better x estimates m*, the larger alpha_skip. Where cov is not below both
variances the error falls all the way to one of the two operations alone, and no alpha is best.

m* is not observed. Its estimators, all maps being brought to one scale first, as the proposition supposes:
    others: the mean of what the other edges of the cell carry, without those that make the edge's own input. All edges
        of a cell estimate one map, so their mean is nearer to it than any of them; the edge and its input are left out
        because their own errors would pass for agreement.
    node: the mean of what all edges into the same node carry, the edge itself among them: what the supernet uses.
    cell: what the cell gives on: its last node, or the mean of its nodes where all are output.

Host code in float64. Letters: c channels, h and w pixels, b batch.
"""

from typing import NamedTuple

import numpy as np
from scipy import optimize

from darts_perturb import edges as edges_
from darts_perturb import space as spaces
from darts_perturb.analysis.carried import standardised

ESTIMATORS = ("others", "node", "cell")
LIMIT = 10.0


class Moments(NamedTuple):
    """Variances about m* of what two operations give; numbers, or arrays of one shape."""

    conv: np.ndarray  # var(o - m*)
    skip: np.ndarray  # var(x - m*)
    covariance: np.ndarray


class Optimum(NamedTuple):
    """The best alpha_skip - alpha_conv, as the moments are shaped."""

    difference: np.ndarray  # clamped to +-limit
    theta_conv: np.ndarray
    exists: np.ndarray  # bool: whether a finite difference is best; else `difference` is a limit, or 0 for equal errors


def optimum(moments, limit=LIMIT):
    """Returns the Optimum of some Moments.

    Args:
        moments: `Moments`; with a covariance of 0 the proposition as it is printed.
        limit: the largest difference that is returned.

    References:
        arXiv:2108.04392, proposition 1 and appendix A.
    """
    conv, skip, covariance = (np.asarray(value, np.float64) for value in moments)
    for_skip, for_conv = conv - covariance, skip - covariance  # what speaks for either
    exists = np.minimum(for_skip, for_conv) > 0
    safe = np.where(exists, for_skip, 1.0), np.where(exists, for_conv, 1.0)
    # without an optimum: all weight to the operation with the smaller variance
    boundary = limit * np.sign(conv - skip)
    difference = np.where(exists, np.clip(np.log(safe[0]) - np.log(safe[1]), -limit, limit), boundary)
    theta_conv = np.where(exists, safe[1] / (safe[0] + safe[1]), (1.0 - np.sign(conv - skip)) / 2)
    return Optimum(difference, theta_conv, exists)


def without_covariance(moments):
    """Returns Moments with a covariance of 0, those of the proposition as it is printed."""
    return moments._replace(covariance=np.zeros_like(np.asarray(moments.covariance)))


def error(difference, maps):
    """Returns the mean squared error of an edge's estimate of m*, summed over cells.

    Args:
        difference: alpha_skip - alpha_conv.
        maps: [(x, o, m)] of every cell, arrays of one shape a cell.
    """
    theta_conv = 1.0 / (1.0 + np.exp(difference))
    return sum(np.mean(((1.0 - theta_conv) * x + theta_conv * o - m) ** 2) for x, o, m in maps)


def minimised(maps, limit=LIMIT):
    """Returns the alpha_skip - alpha_conv within +-limit where `error` is least, found by search.

    The formula is not used, nor a moment: the error is computed from the maps at every trial.
    """
    found = optimize.minimize_scalar(
        error, args=(maps,), bounds=(-limit, limit), method="bounded", options={"xatol": 1e-10}
    )
    return float(found.x)


def moments_of(maps):
    """Returns the Moments of [(x, o, m)], the maps of one edge in every cell: means over values, then over cells."""
    pairs = [(o - m, x - m) for x, o, m in maps]
    products = [[(a * a).mean(), (b * b).mean(), (a * b).mean()] for a, b in pairs]
    return Moments(*(sum(column) / len(maps) for column in zip(*products)))


def drawn(rng, num_values):
    """Returns (x, o, m) of a synthetic edge, float64 [num_values]: a map, and two estimates whose errors share a part.

    Args:
        rng: numpy Generator.
        num_values: how many values a map has.
    """
    m, shared, *own = rng.standard_normal((4, num_values))
    scales, parts = np.exp(rng.uniform(-1.0, 1.0, 2)), rng.uniform(-1.0, 1.0, 2)
    x, o = (m + scale * (part * shared + noise) for scale, part, noise in zip(scales, parts, own))
    return x, o, m


def both(space, conv):
    """Returns the flat rows of the edges that may take a skip connection and the convolution, see `edges.listed`.

    Raises:
        ValueError: there are none.
    """
    rows = [row for row, edge in enumerate(edges_.listed(space)) if {"skip_connect", conv} <= set(edge.ops)]
    if not rows:
        raise ValueError(f"no edge of {space.name} may take both skip_connect and {conv}")
    return rows


def maps_of(cells, kinds, space, conv, estimator="others"):
    """Returns [[(x, o, m*)] of every cell] of every edge of `both`, each map at the scale of `standardised`.

    Args:
        cells: of `carried.cells`, fetched from the device.
        kinds: of `carried.kinds`.
        space: `space.Space`.
        conv: name of the convolution.
        estimator: of m*, see the module's docstring.

    Raises:
        ValueError: unknown estimator, or an edge for which it finds nothing.
    """
    if estimator not in ESTIMATORS:
        raise ValueError(f"unknown estimator {estimator!r}; known: {', '.join(ESTIMATORS)}")
    per_kind, found = len(space.edges), []
    for row in both(space, conv):
        kind, edge = sorted(space.kinds)[row // per_kind], row % per_kind
        maps = []
        for cell in (cell for cell, its_kind in zip(cells, kinds) if its_kind == kind):
            own = cell.by_op[edge]
            m = standardised(shared_map(cell.edges, space, edge, estimator))
            maps.append((standardised(own["skip_connect"]), standardised(own[conv]), m))
        found.append(maps)
    return found


def shared_map(carried, space, edge, estimator):
    """Returns an estimate of m* from the view of one edge, [C, H, W, B].

    Args:
        carried: what every edge of the cell carries, [C, H, W, B] each.
        space: `space.Space`.
        edge: number of the edge.
        estimator: of ESTIMATORS.

    Raises:
        ValueError: no other edge is left.
    """
    if estimator == "cell":
        last = space.num_nodes - 1
        nodes = [last] if space.skeleton == spaces.STAGES else range(space.num_inputs, space.num_nodes)
        return _mean([standardised(sum(_into(carried, space, node))) for node in nodes])
    source, target = space.edges[edge]
    if estimator == "node":
        return _mean([standardised(each) for each in _into(carried, space, target)])
    others = [
        standardised(each) for number, each in enumerate(carried) if number != edge and space.edges[number][1] != source
    ]
    if not others:
        raise ValueError(f"estimator 'others': edge {source} to {target} of {space.name} has no other to compare with")
    return _mean(others)


def _into(carried, space, node):
    return [each for each, (_, target) in zip(carried, space.edges) if target == node]


def _mean(maps):
    return sum(maps) / len(maps)
