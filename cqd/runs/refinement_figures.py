"""Figures and rows of a refinement: what was found, and the paired changes of MRR with their intervals."""

import itertools

import numpy as np
from scipy import stats

from cqd.runs import summaries

PARTS = ("affected", "rest")
SCOPES = ("rejected", "judged")  # what the predictor is told: of false edges alone, or of true ones too
BEFORE = "before"
WAYS = ("fine-tuned", "overridden", "replay alone", "random edges")  # in which the predictor is refined, or seems to be


def detection(found, is_true, judged):
    """Returns counts of candidates and of judged edges, and how well blame tells false edges from true ones.

    Args:
        found: `blame.Candidates`.
        is_true: [K] bool.
        judged: Judged.
    """
    false = ~np.asarray(is_true)
    return {
        "candidates": len(false),
        "blamed": int(np.sum(found.blame > 0)),
        "false_of_candidates": float(np.mean(false)) if len(false) else 0.0,
        "judged": len(judged.all()),
        "rejected": len(judged.rejected),
        "accepted": len(judged.accepted),
        "auc_of_blame": _auc(found.blame, false),
        "auc_of_untruth": _auc(-found.truth, false),
    }


def _auc(score, positive):
    """Returns the chance that a positive scores higher than a negative, one half for a tie or without either."""
    count = int(positive.sum()), int((~positive).sum())
    if min(count) == 0:
        return 0.5
    rank = stats.rankdata(score)[positive].sum() - count[0] * (count[0] + 1) / 2
    return float(rank / (count[0] * count[1]))


def by_relation(found, is_true, vocabulary):
    """Returns {label: {"candidates", "false", "blame"}}, the most blamed relation first."""
    relations = np.unique(found.triples[:, 1])
    table = {}
    for relation in relations[np.argsort([-found.blame[found.triples[:, 1] == r].sum() for r in relations])]:
        of = found.triples[:, 1] == relation
        table[vocabulary.relation_label(int(relation))] = {
            "candidates": int(of.sum()),
            "false": int(np.sum(of & ~is_true)),
            "blame": float(found.blame[of].sum()),
        }
    return table


def choose(changes, largest_loss):
    """Returns the place of the change (affected, rest) with the greatest gain of those that lose little on the rest.

    Where all lose more than largest_loss, it is the one that loses least.
    """
    allowed = [at for at, (_, rest) in enumerate(changes) if rest >= -largest_loss]
    if not allowed:
        return max(range(len(changes)), key=lambda at: changes[at][1])
    return max(allowed, key=lambda at: changes[at][0])


def parts(of_scope):
    """Returns {"affected", "rest"} -> [Q] bool of the queries with an answer that counts."""
    counts = of_scope["mrr"][BEFORE] >= 0
    return {"affected": counts & of_scope["affected"], "rest": counts & ~of_scope["affected"]}


def log(workdir, place, result):
    """Writes one seed's rows, of which the plots are made."""
    steps = itertools.count(10_000 * place)
    for label, of in result["by_relation"].items():
        workdir.log("blame_by_relation", next(steps), seed=result["seed"], relation=label, **of)
    for scope in SCOPES:
        of_scope = result["scopes"][scope]
        for part, chosen in parts(of_scope).items():
            for way in (BEFORE, *WAYS):  # a stage that was read back has lost its order
                mrr = of_scope["mrr"][way]
                values = {"mrr": _mean(mrr[chosen]), "change": _mean((mrr - of_scope["mrr"][BEFORE])[chosen])}
                row = {"seed": result["seed"], "scope": scope, "part": part, "way": way, "queries": int(chosen.sum())}
                workdir.log("mrr_by_way", next(steps), **row, **values)


def _mean(values):
    return float(np.mean(values)) if len(values) else 0.0


def figures(results):
    """Returns the figures of summary.json from those of all seeds."""
    first = results[0]
    scopes = {name: _scope([result["scopes"][name] for result in results]) for name in SCOPES}
    return {
        "detection": {key: summaries.spread([of["detection"][key] for of in results]) for key in first["detection"]},
        "by_relation": _relations(results),
        **scopes,
    }


def _relations(results):
    """Returns {label: {"candidates", "false", "blame"}}: means over all seeds, the most blamed relation first."""
    labels = dict.fromkeys(label for result in results for label in result["by_relation"])
    none = {"candidates": 0, "false": 0, "blame": 0.0}
    table = {}
    for label in labels:
        rows = [result["by_relation"].get(label, none) for result in results]
        table[label] = {key: float(np.mean([row[key] for row in rows])) for key in none}
    return dict(sorted(table.items(), key=lambda item: -item[1]["blame"]))


def _scope(by_seed):
    """Returns the figures of one scope: counts, MRR by way and part, and paired changes."""
    chosen = [parts(of) for of in by_seed]
    return {
        "queries": {part: summaries.spread([int(of[part].sum()) for of in chosen]) for part in PARTS},
        "left_out_answers": summaries.spread([int(of["left_out"]) for of in by_seed]),
        "chosen_reject": [float(of["choice"]["reject"]) for of in by_seed],
        "mrr": {
            way: {
                part: summaries.spread([_mean(of["mrr"][way][at[part]]) for of, at in zip(by_seed, chosen)])
                for part in PARTS
            }
            for way in (BEFORE, *WAYS)
        },
        "change": {
            way: {
                part: change([(of["mrr"][way] - of["mrr"][BEFORE])[at[part]] for of, at in zip(by_seed, chosen)])
                for part in PARTS
            }
            for way in WAYS
        },
    }


def change(differences):
    """Returns the spread of the mean paired difference over seeds, with 95% intervals.

    "interval" is Student's of the seeds' means, None of one seed; "interval_of_queries" is the normal one of all
    queries of all seeds, which takes them for independent.

    Args:
        differences: list of arrays, one a seed.
    """
    means = [_mean(of_seed) for of_seed in differences]
    every = np.concatenate(differences)
    found = {**summaries.spread(means), "queries": len(every), "interval": None, "interval_of_queries": None}
    if len(means) > 1:
        half = stats.t.ppf(0.975, len(means) - 1) * found["sd"] / len(means) ** 0.5
        found["interval"] = [found["value"] - half, found["value"] + half]
    if len(every) > 1:
        half = stats.norm.ppf(0.975) * float(np.std(every, ddof=1)) / len(every) ** 0.5
        found["interval_of_queries"] = [float(every.mean()) - half, float(every.mean()) + half]
    return found
