"""How well trainings from different seeds agree on the order of cells: whether a table of them could rank anything."""

import itertools

import numpy as np
from scipy import stats


def rank_correlations(values):
    """Returns Spearman's correlation of every pair of seeds, float64 [pairs]; ties share the middle of their ranks.

    Args:
        values: [cells, seeds].

    Raises:
        ValueError: fewer than three cells or two seeds.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or values.shape[0] < 3 or values.shape[1] < 2:
        raise ValueError(f"values of shape {values.shape}: need three or more cells and two or more seeds")
    ranks = stats.rankdata(values, axis=0)
    centred = ranks - ranks.mean(axis=0)
    norms = np.sqrt((centred**2).sum(axis=0))
    pairs = list(itertools.combinations(range(values.shape[1]), 2))
    return np.array([centred[:, a] @ centred[:, b] / max(norms[a] * norms[b], 1e-12) for a, b in pairs])


def bootstrap(values, statistic, *, resamples=2000, seed=0):
    """Returns the 95% percentile interval of a statistic over cells drawn again with replacement, [low, high].

    Args:
        values: [cells, seeds].
        statistic: function of values that gives a number.
        resamples: how many draws.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(values), size=(resamples, len(values)))
    found = [statistic(values[rows]) for rows in drawn]
    return np.quantile(found, (0.025, 0.975)).tolist()


def figures(values, *, resamples=2000):
    """Returns how reproducible the order of cells is.

    Args:
        values: accuracies [cells, seeds].
        resamples: see `bootstrap`.

    Returns:
        {pairs: Spearman's correlation of every two seeds, mean: of them, interval: of the mean, over cells,
        upper_half: the mean over the better half of the cells by their mean accuracy, sd_of_cells: of the cells' means,
        sd_of_seeds: within a cell, pooled, accuracy: mean of all}.
    """
    values = np.asarray(values, np.float64)
    means = values.mean(axis=1)
    upper = values[np.argsort(-means, kind="stable")[: len(values) // 2]]
    pairs = rank_correlations(values)
    return {
        "pairs": pairs.tolist(),
        "mean": pairs.mean(),
        "interval": bootstrap(values, lambda rows: rank_correlations(rows).mean(), resamples=resamples),
        "upper_half": rank_correlations(upper).mean() if len(upper) >= 3 else None,
        "sd_of_cells": means.std(ddof=1),
        "sd_of_seeds": np.sqrt(values.var(axis=1, ddof=1).mean()),
        "accuracy": values.mean(),
    }
