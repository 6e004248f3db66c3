"""Perturbation without training: operations scored by what a proxy of the untrained supernet loses with them.

A proxy is a number of a network and one batch that is larger for networks that train to a higher accuracy. On every
edge the operation is kept whose removal lowers the proxy most, all other undecided edges having equal weights; the edge
is made discrete and the next is scored. Nothing is trained, so a selection takes as many forward and backward passes of
a batch as there are operations on all edges.

Letters: b batch, e edges, o operations.

References:
    Zero-Cost-PT: Xiang et al. 2021, arXiv:2106.06799, section 4. jacobian: Mellor et al. 2021, arXiv:2006.04647v1;
    gradient and saliency (snip): Abdelfattah et al. 2021, arXiv:2101.08134, section 3.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from darts_perturb import edges as edges_
from darts_perturb import supernet

PROXIES = ("jacobian", "gradient", "saliency")
ORDERS = ("fixed", "reversed", "random", "nodes")
_JITTER = 1e-5


def score(params, weights, x, y, proxy, *, space, key=None):
    """Returns the score of a supernet on one batch, a number.

    - jacobian: -sum_i log(s_i + k) + 1 / (s_i + k), s the eigenvalues of the correlation matrix [b, b] of the rows d
      (sum of logits) / d x_b, k = 1e-5. Largest, at -b, where the rows are uncorrelated: an image moves the outputs
      its own way.
    - gradient: the Euclidean norm of the gradient of the cross entropy in the parameters.
    - saliency: sum of |gradient x parameter|, how much of the loss hangs on any single parameter.

    Args:
        params: of `supernet.init`.
        weights: op weights, see `supernet.apply`.
        x: images [b, H, W, C].
        y: labels [b].
        proxy: its place in PROXIES; traced, since all come from one backward pass, which takes long to compile.
        space: `space.Space`.
        key: of the noise operation.
    """
    logits, pull = jax.vjp(lambda params, x: supernet.apply(params, weights, x, space=space, key=key), params, x)
    of_loss = (jax.nn.softmax(logits) - jax.nn.one_hot(y, logits.shape[1], dtype=logits.dtype)) / len(y)
    gradient, g_x = pull(jnp.where(proxy == PROXIES.index("jacobian"), jnp.ones_like(logits), of_loss))
    products = jax.tree.map(lambda g, w: jnp.abs(g * w).sum(), gradient, params)
    found = {
        "jacobian": jacobian_covariance(g_x.reshape(len(y), -1)),
        "gradient": jnp.sqrt(sum(jnp.vdot(leaf, leaf) for leaf in jax.tree.leaves(gradient))),
        "saliency": sum(jax.tree.leaves(products)),
    }
    return jnp.stack([found[name] for name in PROXIES])[proxy]


def jacobian_covariance(rows):
    """Returns how uncorrelated rows [b, values] are, see `score`; rows that are constant correlate with none."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    norms = jnp.sqrt((centred**2).sum(axis=1, keepdims=True))
    unit = centred / jnp.maximum(norms, jnp.finfo(rows.dtype).tiny)
    correlations = unit @ unit.T
    # a row with itself, also where it is constant
    correlations = correlations + jnp.diag(1 - jnp.diag(correlations))
    values = jnp.maximum(jnp.linalg.eigvalsh(correlations), 0) + _JITTER
    return -(jnp.log(values) + 1 / values).sum()


def removal(params, weights, row, x, y, proxy, *, space, key=None):
    """Returns the score without each operation of one edge, [o].

    Args:
        params: see `score`.
        weights: flat [e, o].
        row: which edge; traced.
        x: see `score`.
        y: see `score`.
        proxy: see `score`.
        space: see `score`.
        key: see `score`.
    """

    def without(op):
        masked = edges_.by_cell(space, weights.at[row, op].set(0.0))
        return score(params, masked, x, y, proxy, space=space, key=key)

    return lax.map(without, jnp.arange(weights.shape[1]))


def groups(order, space, rng):
    """Returns the edges in the order they are decided, [[rows]]; those of a group are decided at once.

    Args:
        order: of ORDERS: from the first edge to the last, from the last to the first, at random, or all edges into a
            node together, from the first node to the last.
        space: `space.Space`.
        rng: `numpy.random.Generator`, of "random".

    Raises:
        ValueError: unknown order.
    """
    rows = range(len(edges_.listed(space)))
    if order == "fixed":
        return [[row] for row in rows]
    if order == "reversed":
        return [[row] for row in reversed(rows)]
    if order == "random":
        return [[int(row)] for row in rng.permutation(len(rows))]
    if order == "nodes":
        return list(edges_.into_nodes(space).values())
    raise ValueError(f"unknown order {order!r}; known: {', '.join(ORDERS)}")


def select(removal_fn, groups, may):
    """Returns the operation of every edge, int32 [e], and the scores they were chosen by, float64 [e, o].

    Args:
        removal_fn: (weights [e, o], row) -> scores [o] without each operation of that edge.
        groups: of `groups`.
        may: bool [e, o], which operations may be chosen.
    """
    may = np.asarray(may)
    num_edges, num_ops = may.shape
    weights = np.full(may.shape, 1 / num_ops, np.float32)
    choice, shown = np.zeros(num_edges, np.int32), np.zeros(may.shape)
    for group in groups:
        for row in group:
            shown[row] = np.asarray(removal_fn(weights, row), np.float64)
            choice[row] = np.where(may[row], shown[row], np.inf).argmin()
        weights[group] = np.eye(num_ops, dtype=np.float32)[choice[group]]
    return choice, shown
