"""What one method's truths are worth as probabilities: maps fitted on one part, errors and answer sets on the others.

A map is fitted on the candidates it is judged on: those shown, the few best of every query, or every candidate. Of the
shown ones more are answers than of others with as high a truth in queries that have many such.

Axes: q queries of a part, n entities, c candidates shown, a hard answers, t levels of coverage, v divisions.
"""

from typing import NamedTuple

import numpy as np

from cqd import conformal, graph, ranking, recalibration, reliability
from cqd import query as queries_lib
from cqd.runs import fitting

FIT, JUDGED = "fit", ("held_out", "test")
MAPS = ("none", *recalibration.KINDS, *(f"{kind} by type" for kind in recalibration.KINDS))
GROUPS = ("all", "by type")  # of queries that share a threshold
_TYPES = list(queries_lib.TEMPLATES)
SHOWN, EVERY = "shown", "every"  # candidates: the best few of each query, and all


class Asked(NamedTuple):
    """The queries of one part.

    Attributes:
        known: Index of the edges observed there.
        queries: list of Q trees.
        types: [q] the type of each.
        easy: list of Q arrays of answers that observed edges give.
        hard: list of Q arrays of answers that need an edge of this part.
    """

    known: graph.Index
    queries: list
    types: np.ndarray
    easy: list
    hard: list


class Seen(NamedTuple):
    """A part with a method's truths.

    Attributes:
        asked: Asked.
        truths: [q, n].
        is_answer: [q, n] bool, hard answers.
        is_candidate: [q, n] bool, all but easy answers.
        best: [q, c] entities, candidates of the greatest truth, greatest first.
        counts: {SHOWN, EVERY: {type: `recalibration.Counts`}}.
    """

    asked: Asked
    truths: np.ndarray
    is_answer: np.ndarray
    is_candidate: np.ndarray
    best: np.ndarray
    counts: dict


def judge(truths, parts, *, top, num_bins, alphas, num_divisions, seed):
    """Returns the results of one method, nested dicts of numbers and arrays.

    {part: {map: {"shown", "every", "first": measures, "types": {type: error of those shown}, "mrr", "bins"}, "sets":
    {group: {"covered" [t, q], "size" [t, q]}}}} of the parts JUDGED; and "divided": {group: [v, t]}, the mean coverage
    where queries of one part are divided at random into those the threshold is learnt from and those it is tried on.

    Args:
        truths: {part: [q, n]}.
        parts: {part: Asked}, FIT and JUDGED.
        top: how many candidates are shown.
        num_bins: of reliability.
        alphas: one less the levels of coverage.
        num_divisions: how many random divisions.
        seed: of these.
    """
    seen = {name: see(asked, truths[name], top) for name, asked in parts.items()}
    fitted = {population: _fitted(counts) for population, counts in seen[FIT].counts.items()}
    results = {"divided": _divided(seen[JUDGED[0]], alphas, num_divisions, seed)}
    for name in JUDGED:
        found = {of: _judged(seen[name], fitted[SHOWN][of], fitted[EVERY][of], num_bins) for of in MAPS}
        results[name] = {**found, "sets": _sets(seen[FIT], seen[name], alphas)}
    return results


def see(asked, truths, top):
    """Returns the Seen of a part."""
    with fitting.finite("truths"):
        if np.isnan(truths).any():
            raise ValueError("not a number among them")
    is_answer, is_easy = (_mask(of, truths.shape) for of in (asked.hard, asked.easy))
    best = np.argsort(np.where(is_easy, 1, -truths), axis=1, kind="stable")[:, :top]
    shown = [np.take_along_axis(of, best, 1) for of in (truths, is_answer, ~is_easy)]
    counts = {SHOWN: _counts(asked, *shown), EVERY: _counts(asked, truths, is_answer, ~is_easy)}
    return Seen(asked, truths, is_answer, ~is_easy, best, counts)


def _mask(ids, shape):
    """Returns [q, n] bool: which entities each query has."""
    mask = np.zeros(shape, bool)
    mask[np.repeat(np.arange(len(ids)), [len(each) for each in ids]), np.concatenate([np.zeros(0, int), *ids])] = True
    return mask


def _counts(asked, truths, is_answer, is_candidate):
    """Returns {type: Counts} of arrays [q, ...]."""
    found = {}
    for name in np.unique(asked.types).tolist():
        of = asked.types == name
        inside = is_candidate[of]
        found[name] = recalibration.count(truths[of][inside], is_answer[of][inside])
    return found


def _fitted(by_type):
    """Returns {map: {type: fitted map, or None}}."""
    together = recalibration.Counts(*map(np.concatenate, zip(*by_type.values())))
    found = {"none": dict.fromkeys(by_type)}
    for kind in recalibration.KINDS:
        found[kind] = dict.fromkeys(by_type, recalibration.fit(kind, together))
        found[f"{kind} by type"] = {name: recalibration.fit(kind, counts) for name, counts in by_type.items()}
    return found


def _judged(seen, of_shown, of_every, num_bins):
    """Returns the results of one map, as fitted on either population, on one part."""
    probability = np.empty(seen.truths.shape)
    for name, fitted in of_shown.items():
        rows = seen.asked.types == name
        probability[rows] = recalibration.apply(fitted, seen.truths[rows])
    shown, is_answer, real = (
        np.take_along_axis(of, seen.best, 1) for of in (probability, seen.is_answer, seen.is_candidate)
    )
    types = {}
    for name in of_shown:
        rows = seen.asked.types == name
        some = reliability.bins(shown[rows][real[rows]], is_answer[rows][real[rows]], num_bins=num_bins)
        types[name] = reliability.expected_error(some)
    every = [
        (recalibration.apply(of_every[name], counts.truths), counts.answers, counts.count)
        for name, counts in seen.counts[EVERY].items()
    ]
    return {
        SHOWN: reliability.measures(shown[real], is_answer[real], num_bins=num_bins),
        EVERY: reliability.measures(*map(np.concatenate, zip(*every)), num_bins=num_bins),
        "first": reliability.measures(shown[real[:, 0], 0], is_answer[real[:, 0], 0], num_bins=num_bins),
        "types": types,
        "mrr": _mrr(seen.asked, probability),
        "bins": reliability.bins(shown[real], is_answer[real], num_bins=num_bins)._asdict(),
    }


def _mrr(asked, values):
    """Returns {"average" of the positive types, "negation"}, whichever there are."""
    mrr = ranking.by_query(ranking.batch_ranks(values, asked.easy, asked.hard))["mrr"]
    sides = {"average": [], "negation": []}
    for name in np.unique(asked.types).tolist():
        side = "average" if name in queries_lib.POSITIVE_TYPES else "negation"
        sides[side].append(mrr[asked.types == name].mean())
    return {name: float(np.mean(of)) for name, of in sides.items() if of}


def _hard_scores(seen):
    """Returns ([a] truths, [a] query, [a] number of the type) of all hard answers."""
    owner, entity = np.nonzero(seen.is_answer)
    return seen.truths[owner, entity], owner, _numbers(seen.asked.types)[owner]


def _numbers(types):
    """Returns the place of each type's name among all."""
    return np.array([_TYPES.index(name) for name in types.tolist()])


def _thresholds(scores, owner, types, alpha):
    """Returns {group: [number of types] threshold} learnt from hard answers.

    Without a query of a type to learn from, all entities are in its sets.
    """
    by_type = np.full(len(_TYPES), -np.inf)
    for number, least in conformal.threshold_by_group(scores, owner, types, alpha).items():
        by_type[number] = least
    one = conformal.threshold(scores, owner, alpha)
    return dict(zip(GROUPS, (np.full(len(_TYPES), one), by_type)))


def _sets(learnt, tried, alphas):
    """Returns {group: {"covered" [t, q], "size" [t, q]}} of thresholds learnt on one part and tried on another."""
    scores, owner, _ = _hard_scores(tried)
    types = _numbers(tried.asked.types)
    found = {group: {"covered": [], "size": []} for group in GROUPS}
    for alpha in alphas:
        for group, of in _thresholds(*_hard_scores(learnt), alpha).items():
            least = of[types]
            found[group]["covered"].append(conformal.coverage(scores, owner, least[owner]))
            found[group]["size"].append(conformal.sizes(tried.truths, tried.is_candidate, least))
    return {group: {name: np.stack(of) for name, of in each.items()} for group, each in found.items()}


def _divided(seen, alphas, num_divisions, seed):
    """Returns {group: [v, t]}: mean coverage on one half of a part's queries, of thresholds learnt on the other."""
    scores, owner, types = _hard_scores(seen)
    found = {group: np.zeros((num_divisions, len(alphas))) for group in GROUPS}
    for number in range(num_divisions):
        is_learnt = np.random.default_rng((seed, number)).permutation(len(seen.truths)) % 2 == 0
        mine = is_learnt[owner]
        for at, alpha in enumerate(alphas):
            for group, of in _thresholds(scores[mine], owner[mine], types[mine], alpha).items():
                covered = conformal.coverage(scores[~mine], owner[~mine], of[types[~mine]])
                found[group][number, at] = covered.mean()
    return found
