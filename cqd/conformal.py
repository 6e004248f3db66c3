"""Sets of answers with a guarantee: those entities whose score is no less than a threshold learnt from other queries.

Exchangeable are queries, each with its hard answers, and given the graph, the predictor and whatever else the scores
were made from: none of it may have been fitted on the queries the threshold is learnt from. Hard answers of one query
are not exchangeable with those of another that has fewer, hence a query's weigh 1 / (their number) each: let

    L_i(t) = the share of query i's hard answers whose score is below t,
    threshold = the greatest score t with sum over the n queries of L_i(t) <= alpha (n + 1) - 1, -inf if there is none.

Then E[1 - L_(n+1)(threshold)] >= 1 - alpha: on average over draws of the n + 1 queries that share of a new query's hard
answers is in its set. With one hard answer a query this is the split conformal quantile, and where no scores are equal
coverage is at most 1 - alpha + 1 / (n + 1), else above. It is an average over queries of all kinds; with a threshold a
group of its own (Mondrian) it holds within every group, of queries exchangeable there.

Nothing is said of a query whose answers are drawn otherwise: about other missing edges, or beside another observed
graph. How far coverage carries over to such is a matter of measurement.

References:
    Vovk et al., Algorithmic learning in a random world, 2005, chapters 2 and 4 (Mondrian); Angelopoulos et al.,
    Conformal risk control, arXiv 2208.02814, theorem 1 (the weights).
"""

import numpy as np

EXACT = 1e-9  # of sums of weights: 1/3 three times is 1


def threshold(scores, owner, alpha):
    """Returns the threshold of coverage 1 - alpha.

    Args:
        scores: [a] those of all hard answers of the queries it is learnt from.
        owner: [a] the query of each; queries without hard answers do not occur.
        alpha: share of a query's hard answers that may be missed, between 0 and 1.

    Raises:
        ValueError: alpha not between 0 and 1, no queries, a score that is not a number.
    """
    scores, owner = np.asarray(scores, np.float64), np.asarray(owner)
    if not 0 < alpha < 1:
        raise ValueError(f"alpha={alpha}: between 0 and 1 is due")
    if not len(scores) or scores.shape != owner.shape:
        raise ValueError(f"scores {scores.shape} of queries {owner.shape}: one or more are due, as many of both")
    if np.isnan(scores).any():
        raise ValueError("scores: not a number among them")
    weight, num_queries = _weights(owner)
    order = np.argsort(scores)
    ordered, below = scores[order], np.cumsum(weight[order]) - weight[order]  # right of the first of equal ones
    fits = np.flatnonzero(below <= alpha * (num_queries + 1) - 1 + EXACT)
    return float(ordered[fits[-1]]) if len(fits) else -np.inf


def threshold_by_group(scores, owner, group, alpha):
    """Returns {group: threshold} over the groups that occur.

    Args:
        scores, owner, alpha: as in `threshold`.
        group: [a] the group of each score's query.
    """
    scores, owner, group = map(np.asarray, (scores, owner, group))
    return {name: threshold(scores[group == name], owner[group == name], alpha) for name in np.unique(group).tolist()}


def coverage(scores, owner, least):
    """Returns [q]: the share of each query's hard answers in its set, queries in the order of their numbers.

    Args:
        scores, owner: as in `threshold`, of the queries under test.
        least: [a] or one number, the threshold of each score's query.
    """
    place = np.unique(owner, return_inverse=True)[1]
    return np.bincount(place, np.asarray(scores, np.float64) >= least) / np.bincount(place)


def sizes(scores, is_candidate, least):
    """Returns [q]: how many candidates each query's set has.

    Args:
        scores: [q, n].
        is_candidate: [q, n] bool, false for the answers that observed edges give, which are in any set.
        least: [q] or one number, thresholds.
    """
    return np.sum((np.asarray(scores) >= np.reshape(least, (-1, 1))) & is_candidate, axis=1)


def _weights(owner):
    """Returns ([a] one over the number of scores of the same query, the number of queries)."""
    place, count = np.unique(owner, return_inverse=True, return_counts=True)[1:]
    return 1 / count[place], len(count)
