"""How far truths are from probabilities: reliability bins, expected calibration error, proper scores.

A truth p is calibrated if, of the candidates that are given it, a share p are answers. Candidates are the entities that
no observed edge makes an answer already: those are certain. All but some in a thousand are no answers, so that a
constant, the base rate, is calibrated over all of them and says nothing. The figure to be lowered is therefore the
error over what a user is shown, the few best candidates of every query, in bins of equal mass:

    ECE = sum over bins b of (n_b / n) |share of answers in b - mean truth in b|

Over all candidates, in bins of equal width, or of the best candidate alone it is reported beside: the first is small
for whatever says 0, the second may have nearly all candidates in one bin, the third is of few candidates and noisy.
Error is no merit by itself; Brier score and log loss are proper (probabilities minimise them).

Candidates come as [m] distinct truths, or as they are, with how many candidates and answers have each. Host code in
float64.

References:
    Naeini et al., Obtaining well calibrated probabilities using Bayesian binning, AAAI 2015 (the error).
    Guo et al., On calibration of modern neural networks, arXiv 1706.04599, section 2.
    Nixon et al., Measuring calibration in deep learning, arXiv 1904.01685 (bins of equal mass).
"""

from typing import NamedTuple

import numpy as np

KINDS = ("mass", "width")
LEAST = 1e-6  # log loss takes truths no nearer than this to 0 and 1, where one mistake would be infinite


class Bins(NamedTuple):
    """A reliability diagram; empty bins are left out.

    Attributes:
        truth: [b] the mean truth of each bin.
        share: [b] the share of answers.
        count: [b] how many candidates.
    """

    truth: np.ndarray
    share: np.ndarray
    count: np.ndarray


def bins(truths, answers, count=None, *, num_bins=15, kind="mass"):
    """Returns the Bins of candidates.

    By "mass", candidate number i of n in the order of truths, from 0, is in bin floor(i num_bins / n), and those of
    equal truth in the bin of their first; by "width" the bounds are 0, 1 / num_bins, ..., 1.

    Args:
        truths: [m] in [0, 1].
        answers: [m] how many of the candidates of each truth are answers; bool where there is one candidate each.
        count: [m] how many candidates have each truth, 1 if not given.
        num_bins: 1 or more.
        kind: one of KINDS.

    Raises:
        ValueError: truths outside [0, 1] or not numbers, other lengths, no candidates, an unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind={kind!r}: choose one of {', '.join(KINDS)}")
    if num_bins < 1:
        raise ValueError(f"num_bins={num_bins}: at least 1 is due")
    truths, answers, count = _distinct(truths, answers, count)
    if kind == "width":
        number = np.minimum((truths * num_bins).astype(int), num_bins - 1)
    else:
        number = ((np.cumsum(count) - count) * num_bins // count.sum()).astype(int)
    total, truth, share = (np.bincount(number, of, num_bins) for of in (count, truths * count, answers))
    filled = total > 0
    return Bins(truth[filled] / total[filled], share[filled] / total[filled], total[filled])


def expected_error(found):
    """Returns the expected calibration error of Bins: their gaps, weighted by their counts."""
    return float(np.abs(found.share - found.truth) @ found.count / found.count.sum())


def measures(truths, answers, count=None, *, num_bins=15):
    """Returns {"ece", "ece_width", "brier", "log_loss", "auc"}; "auc" is left out where all are answers or none is.

    Args:
        truths, answers, count, num_bins: as in `bins`.

    Raises:
        ValueError: as `bins`.
    """
    by_kind = [expected_error(bins(truths, answers, count, num_bins=num_bins, kind=kind)) for kind in KINDS]
    truths, answers, count = _distinct(truths, answers, count)
    inside = np.clip(truths, LEAST, 1 - LEAST)
    squares = answers * (1 - truths) ** 2 + (count - answers) * truths**2
    logs = answers * np.log(inside) + (count - answers) * np.log1p(-inside)
    found = dict(zip(("ece", "ece_width"), by_kind))
    found |= {"brier": float(squares.sum() / count.sum()), "log_loss": float(-logs.sum() / count.sum())}
    if not 0 < answers.sum() < count.sum():
        return found
    others = count - answers
    below = np.cumsum(others) - others / 2  # a tie is half of each
    return {**found, "auc": float(answers @ below / (answers.sum() * others.sum()))}


def _distinct(truths, answers, count):
    """Returns ([m'] the different truths in order, [m'] answers of each, [m'] candidates of each), float64."""
    truths, answers = np.asarray(truths, np.float64), np.asarray(answers, np.float64)
    count = np.ones(truths.shape) if count is None else np.asarray(count, np.float64)
    if truths.ndim != 1 or not truths.shape == answers.shape == count.shape or not count.sum() > 0:
        shapes = f"truths {truths.shape}, answers {answers.shape} and count {count.shape}"
        raise ValueError(f"{shapes}: three of one length are due, and one candidate or more")
    if not (truths.min() >= 0 and truths.max() <= 1):
        raise ValueError(f"truths from {truths.min()} to {truths.max()}: numbers from 0 to 1 are due")
    if (answers > count).any() or answers.min() < 0:
        raise ValueError("answers: fewer than none, or more than the candidates of that truth")
    distinct, place = np.unique(truths, return_inverse=True)
    return distinct, np.bincount(place, answers), np.bincount(place, count)
