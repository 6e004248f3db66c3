"""Filtered ranking metrics of hard answers, with ties at their middle.

Each hard answer is ranked against the entities that are no answer; easy and other hard answers are left out. Metrics
are averaged over a query's hard answers, then over queries, then over types.

References:
    arXiv 2010.11465, section 5.1; Berrendorf et al., arXiv 2002.06914 (the realistic rank).
"""

import numpy as np

HITS = (1, 3, 10)
METRICS = ("mrr", *(f"hits_at_{k}" for k in HITS))


def filtered_ranks(scores, easy, hard):
    """Returns [hard] float: 1 + (non-answers above) + (non-answers level) / 2 for each hard answer.

    Args:
        scores: [N].
        easy, hard: entity ids.

    Raises:
        ValueError: a score that is not a number.
    """
    scores = np.asarray(scores)
    if np.isnan(scores).any():
        raise ValueError("scores: not a number among them; ranks are undefined")
    others = np.ones(len(scores), bool)
    others[easy] = False
    others[hard] = False
    ordered = np.sort(scores[others])
    below = np.searchsorted(ordered, scores[hard], side="left")
    not_above = np.searchsorted(ordered, scores[hard], side="right")
    return 1 + (len(ordered) - not_above) + (not_above - below) / 2


def metrics(ranks):
    """Returns {"mrr", "hits_at_1", "hits_at_3", "hits_at_10"}: means over queries of the mean over their hard answers.

    Args:
        ranks: list of arrays of ranks, one a query.
    """
    result = {"mrr": np.mean([np.mean(1 / r) for r in ranks])}
    for k in HITS:
        result[f"hits_at_{k}"] = np.mean([np.mean(r <= k) for r in ranks])
    return {name: float(value) for name, value in result.items()}


def mean_over_types(by_type):
    """Returns the metrics averaged over types with equal weight, of a dict {type: metrics}."""
    names = next(iter(by_type.values()))
    return {name: float(np.mean([of_type[name] for of_type in by_type.values()])) for name in names}
