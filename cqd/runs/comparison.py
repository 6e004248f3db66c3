"""Figures of methods on several amounts of training data: MRR by groups of types, over chance, CQD less the others.

A result of one seed is {"chance": {type: MRR}, "trials": {Trial: {"training_queries", "parameters", "cpu_s", "wall_s",
"ranked": {type: metrics}}}}.
"""

from typing import NamedTuple

import numpy as np
import scipy.stats

from cqd import query as queries_lib
from cqd.runs import summaries

CQD = "cqd"  # before the names of its methods
GROUPS = {
    "seen": ("1p", "2p", "3p", "2i", "3i"),  # types that query models are trained on
    "unseen": ("ip", "pi", "2u", "up"),
    "average": queries_lib.POSITIVE_TYPES,
    "negation": ("2in", "3in", "inp", "pin", "pni"),
}


class Trial(NamedTuple):
    """One method on one amount of data: a query model and complex queries a type, or CQD and a share of the edges."""

    method: str
    amount: float


def grouped(by_type):
    """Returns {type or group: value} of {type: value}, those groups whose types are all or in part there.

    Types come in the order of the benchmark, whatever that of a result that was read back.
    """
    by_type = {name: by_type[name] for name in queries_lib.TEMPLATES if name in by_type}
    members = {group: [by_type[name] for name in names if name in by_type] for group, names in GROUPS.items()}
    return by_type | {group: float(np.mean(values)) for group, values in members.items() if values}


def mrr(result):
    """Returns {type or group: MRR} of the result of a trial."""
    return grouped({name: float(of["mrr"]) for name, of in result["ranked"].items()})


def most_data(trials):
    """Returns the trial of each method with the most data."""
    best = {}
    for trial in trials:
        if trial.method not in best or trial.amount > best[trial.method].amount:
            best[trial.method] = trial
    return list(best.values())


def figures(results, settings):
    """Returns the figures of the comparison over seeds.

    Args:
        results: list of results, one a seed.
        settings: {name: method of CQD} whose advantage and need of data are given.
    """
    chances = [grouped(result["chance"]) for result in results]
    tables = {}
    for trial in results[0]["trials"]:
        tables.setdefault(trial.method, {})[f"{trial.amount:g}"] = _of_trial(trial, results, chances)
    last = [trial for trial in most_data(results[0]["trials"]) if not is_cqd(trial)]
    ratios = {trial.method: tables[trial.method][f"{trial.amount:g}"]["over_chance"]["average"] for trial in last}
    weakest = min(ratios, key=lambda method: ratios[method]["value"])
    return {
        "chance": {name: summaries.spread([of[name] for of in chances]) for name in chances[0]},
        "methods": tables,
        "weakest_over_chance": {**ratios[weakest], "method": weakest},
        "advantage": {name: _advantages(method, results) for name, method in settings.items()},
        "data": {name: _data(method, results) for name, method in settings.items()},
    }


def is_cqd(trial):
    """Returns whether a trial is of CQD, not of a query model."""
    return trial.method.startswith(f"{CQD} ")


def _of_trial(trial, results, chances):
    """Returns a trial's figures over seeds."""
    of = [result["trials"][trial] for result in results]
    tables = [mrr(each) for each in of]
    ratios = [{name: table[name] / chance[name] for name in table} for table, chance in zip(tables, chances)]
    return {
        "mrr": {name: summaries.spread([table[name] for table in tables]) for name in tables[0]},
        "over_chance": {
            name: summaries.spread([ratio[name] for ratio in ratios]) for name in GROUPS if name in ratios[0]
        },
        "parameters": of[0]["parameters"],
        **{name: summaries.spread([each[name] for each in of]) for name in ("training_queries", "cpu_s", "wall_s")},
    }


def _advantages(method, results):
    """Returns {group: interval of CQD's MRR on all its edges less that of the best query model, whatever its data}.

    The difference is taken seed by seed, from the model that is the best of that seed.
    """
    found = {}
    for group in ("seen", "unseen", "average"):
        best, differences = [], []
        for result in results:
            table = {trial: mrr(of)[group] for trial, of in result["trials"].items()}
            own = max((trial for trial in table if trial.method == method), key=lambda trial: trial.amount)
            others = {trial: value for trial, value in table.items() if not is_cqd(trial)}
            best.append(max(others, key=others.get))
            differences.append(table[own] - max(others.values()))
        found[group] = {**interval(differences), "against": [f"{trial.method} {trial.amount:g}" for trial in best]}
    return found


def interval(values):
    """Returns `summaries.spread` of values over seeds, with "low" and "high" of Student's 95% interval of the mean."""
    found = summaries.spread(values)
    if len(values) < 2:
        return {**found, "low": None, "high": None}
    half = scipy.stats.t.ppf(0.975, len(values) - 1) * found["sd"] / np.sqrt(len(values))
    return {**found, "low": found["value"] - half, "high": found["value"] + half}


def _data(method, results):
    """Returns how few training queries give CQD the MRR of the best query model on unseen types, both means over seeds.

    {"share" of the training edges, "queries", "others": those of the best query model, "fold": others over queries};
    where no share of CQD's reaches it share and queries are None, and fold is 0: no number of queries is enough.
    """
    trials = results[0]["trials"]
    means = {
        trial: [np.mean([of(result["trials"][trial]) for result in results]) for of in (_unseen, _size)]
        for trial in trials
        if trial.method == method or not is_cqd(trial)
    }
    others = {trial: of for trial, of in means.items() if not is_cqd(trial)}
    best = max(others, key=lambda trial: others[trial][0])
    score, size = others[best]
    reached = [trial for trial in means if trial.method == method and means[trial][0] >= score]
    least = min(reached, key=lambda trial: trial.amount, default=None)
    return {
        "against": f"{best.method} {best.amount:g}",
        "others": float(size),
        "share": least and least.amount,
        "queries": least and float(means[least][1]),
        "fold": float(size / means[least][1]) if least else 0.0,
    }


def _unseen(result):
    return mrr(result)["unseen"]


def _size(result):
    return result["training_queries"]
