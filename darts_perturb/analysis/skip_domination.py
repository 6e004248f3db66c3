"""Skip domination: as the supernet gets better, skip connections take the op weight of the convolutions.

References:
    arXiv:2108.04392, section 3.2 and figure 3: mean(alpha_skip - alpha_conv) after softmax against the supernet's
    validation accuracy.
"""

import numpy as np
from scipy import stats

from darts_perturb import edges as edges_


def convolution(space, name=""):
    """Returns the name of the operation that skip connections are compared with.

    Args:
        space: `space.Space`.
        name: of the operation; if empty, a 3x3 convolution, or the first operation that learns where there is none.

    Raises:
        ValueError: the space has no skip connections, nothing that learns, or no operation of that name.
    """
    learned = [op for op in space.ops if op not in space.parameter_free]
    if "skip_connect" not in space.ops or not learned:
        raise ValueError(f"{space.name} has the operations {', '.join(space.ops)}: need skip_connect and a convolution")
    if name and name not in learned:
        raise ValueError(f"{name!r} is not a convolution of {space.name}; known: {', '.join(learned)}")
    return name or next((op for op in learned if op.endswith("conv_3x3")), learned[0])


def lead(weights, space, conv):
    """Returns the mean weight of the skip connections less that of a convolution.

    Each over the edges that may take it: in S1 few edges may take both.

    Args:
        weights: op weights after softmax, flat, [..., rows, choices].
        space: `space.Space`.
        conv: see `convolution`.
    """
    skip, other = (np.asarray(weights)[..., edges_.holding(space, op)].mean(axis=-1) for op in ("skip_connect", conv))
    return skip - other


def rank_correlation(x, y):
    """Returns Spearman's rank correlation, ties at their mean rank; 0 where either is constant, which ranks nothing."""
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    return float(stats.spearmanr(x, y).statistic)


def partial_rank_correlation(x, y, given):
    """Returns the rank correlation of what the ranks of a third variable leave of two others; 0 where nothing is left.

    Lead and accuracy both follow the epoch: this is whether they go together beyond that.
    """
    ranks = [stats.rankdata(values) for values in (x, y, given)]
    left = []
    for values in ranks[:2]:
        slope, intercept = np.polyfit(ranks[2], values, 1)
        left.append(values - slope * ranks[2] - intercept)
    sizes = [np.linalg.norm(values) for values in left]
    if min(sizes) < 1e-9 * len(ranks[0]) ** 1.5:
        return 0.0
    return float(left[0] @ left[1] / (sizes[0] * sizes[1]))
