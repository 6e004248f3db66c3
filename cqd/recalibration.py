"""Increasing maps from truths to probabilities, fitted on candidates whose answers are known.

    Platt       sigmoid(slope logit(truth) + intercept), slope and intercept of greatest likelihood
    isotonic    the non-decreasing piecewise linear function of least squares

Both keep the order of a query's candidates, isotonic but for ties, and Platt as long as its slope is positive: it is,
unless the higher truths are the worse. In the log-odds, unlike in the truth itself, Platt's map has the identity among
its members, and tells a truth of 1e-6 from one of 1e-3. Its labels are Platt's: with n+ answers and n- others the
probability (n+ + 1) / (n+ + 2) of an answer and 1 / (n- + 2) of another, so that no slope is infinite.

References:
    Platt, Probabilistic outputs for support vector machines, 1999; Zadrozny and Elkan, KDD 2002 (isotonic).
    Kull et al., Beta calibration, AISTATS 2017 (the log-odds).
"""

from typing import NamedTuple

import numpy as np
from scipy.special import expit

KINDS = ("platt", "isotonic")
LOWEST, HIGHEST = 1e-30, 1 - 1e-7  # a product of float32 truths may be 0 or 1, which has no log-odds


class Platt(NamedTuple):
    """The map sigmoid(slope logit(truth) + intercept)."""

    slope: np.ndarray
    intercept: np.ndarray


class Isotonic(NamedTuple):
    """The map through knots, linear between them and constant beyond: log-odds [m], probability [m]."""

    log_odds: np.ndarray
    probability: np.ndarray


class Counts(NamedTuple):
    """Candidates by their truth, what a map is fitted on: [m] truths, answers of each truth, candidates of each."""

    truths: np.ndarray
    answers: np.ndarray
    count: np.ndarray


def log_odds(truths):
    """Returns log(p / (1 - p)) in float64, of truths kept from LOWEST to HIGHEST."""
    inside = np.clip(np.asarray(truths, np.float64), LOWEST, HIGHEST)
    return np.log(inside) - np.log1p(-inside)


def count(truths, is_answer, *, decimals=2):
    """Returns the Counts of candidates, log-odds rounded: millions of candidates have some thousand values.

    Args:
        truths: [n] in [0, 1].
        is_answer: [n] bool.
        decimals: of the log-odds; half a unit of the last is what a probability's log-odds may be off.
    """
    whole = np.round(log_odds(truths) * 10**decimals).astype(np.int64)
    lowest = whole.min(initial=0)
    length = whole.max(initial=0) - lowest + 1
    every, answers = (np.bincount(of - lowest, minlength=length) for of in (whole, whole[np.asarray(is_answer, bool)]))
    at = np.flatnonzero(every)
    return Counts(expit((at + lowest) / 10**decimals), answers[at], every[at])


def fit(kind, counts):
    """Returns the map of a kind, one of KINDS, fitted to Counts.

    Raises:
        ValueError: an unknown kind, or no candidates.
    """
    if kind not in KINDS:
        raise ValueError(f"map {kind!r}: choose one of {', '.join(KINDS)}")
    if not np.sum(counts.count):
        raise ValueError("no candidates to fit a map to")
    others = counts.count - counts.answers
    return (_platt if kind == "platt" else _isotonic)(log_odds(counts.truths), counts.answers, others)


def _platt(value, answers, others):
    from sklearn.linear_model import LogisticRegression

    above, below = 1 / (answers.sum() + 2), 1 / (others.sum() + 2)  # what labels are less than 1, more than 0
    weight = np.concatenate([answers * (1 - above) + others * below, answers * above + others * (1 - below)])
    model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10, max_iter=1000)
    model.fit(np.tile(value, 2)[:, None], np.repeat([1, 0], len(value)), sample_weight=weight)
    return Platt(model.coef_[0, 0], model.intercept_[0])


def _isotonic(value, answers, others):
    from sklearn.isotonic import IsotonicRegression

    model = IsotonicRegression(y_min=0, y_max=1, increasing=True)
    model.fit(value, answers / (answers + others), sample_weight=answers + others)
    return Isotonic(model.X_thresholds_.astype(np.float64), model.y_thresholds_.astype(np.float64))


def apply(fitted, truths):
    """Returns the probabilities, float64, that a map gives truths of any shape; of None the truths themselves."""
    match fitted:
        case None:
            return np.asarray(truths, np.float64)
        case Platt(slope, intercept):
            return expit(slope * log_odds(truths) + intercept)
        case Isotonic(at, probability):
            return np.interp(log_odds(truths), at, probability)
    raise TypeError(f"{type(fitted).__name__} is no map")
