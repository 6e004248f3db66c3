"""Figures of the comparison of CQD with query models, from its metrics rows."""

import numpy as np

from experiment import figures

PANELS = {"unseen": "types no query model was trained on", "seen": "types query models were trained on"}


def _by(rows, key):
    return list(dict.fromkeys(row[key] for row in rows))


def plot_mrr_by_training_queries(rows):
    """Returns a panel for unseen and one for seen types: MRR over the number of training queries, a line a method."""
    figure, axes = figures.new(ncols=len(PANELS), width=5.2, height=3.9)
    methods = _by(rows, "method")
    for axis, (group, words) in zip(axes, PANELS.items()):
        for method in methods:
            chosen = [row for row in rows if row["method"] == method and row["type"] == group]
            points = []
            for amount in sorted(_by(chosen, "amount")):
                of = [row for row in chosen if row["amount"] == amount]
                spread = np.std([row["mrr"] for row in of], ddof=1) if len(of) > 1 else 0.0
                points.append(
                    (np.mean([row["training_queries"] for row in of]), np.mean([row["mrr"] for row in of]), spread)
                )
            style = (
                {"marker": "o", "linewidth": 1.8} if method.startswith("cqd") else {"marker": "s", "linestyle": "--"}
            )
            axis.errorbar(*zip(*points), markersize=4, capsize=2, elinewidth=0.8, label=method, **style)
        axis.set_xscale("log")
        axis.set_ylim(bottom=0)
        axis.set_title(words, fontsize=9)
        axis.set_xlabel("training queries (CQD: single edges only)")
    axes[0].set_ylabel("filtered MRR of hard answers")
    axes[1].legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.suptitle(_seeds(rows), fontsize=9)
    return figure


def plot_mrr_by_type(rows):
    """Returns a table of MRR by method, at its most data, and type; dark is high; chance last."""
    methods, types = _by(rows, "method"), _by(rows, "type")
    types.sort(key=lambda name: name in ("seen", "unseen", "average", "negation"))  # groups last
    labels, values = [], []
    for method in methods:
        of = [row for row in rows if row["method"] == method]
        queries = np.mean([row["training_queries"] for row in of])
        labels.append(f"{method}\n{queries:,.0f} queries, {of[0]['parameters']:,} parameters")
        values.append([_mean(of, name, "mrr") for name in types])
    labels.append("chance")
    values.append([_mean(rows, name, "chance") for name in types])
    values = np.array(values)
    figure, axis = figures.new(width=3.2 + 0.55 * len(types), height=1.0 + 0.42 * len(labels))
    axis.imshow(values, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for place in np.ndindex(values.shape):
        if np.isfinite(values[place]):
            best = values[place] == np.nanmax(values[:, place[1]])
            axis.text(
                *place[::-1],
                f"{values[place]:.3f}".lstrip("0"),
                ha="center",
                va="center",
                fontsize=8,
                weight="bold" if best else "normal",
                color="white" if values[place] > 0.6 else "black",
            )
    axis.set_xticks(range(len(types)), types, fontsize=8)
    axis.set_yticks(range(len(labels)), labels, fontsize=8)
    axis.grid(visible=False)
    axis.set_xlabel("query type")
    axis.set_ylabel("method")
    axis.set_title(f"filtered MRR of hard answers; mean over {len(_by(rows, 'seed'))} seeds", fontsize=9)
    return figure


def _mean(rows, name, key):
    values = [row[key] for row in rows if row["type"] == name]
    return np.mean(values) if values else np.nan


def _seeds(rows):
    count = len(_by(rows, "seed"))
    return f"mean over {count} seeds, whiskers: one standard deviation" if count > 1 else "one seed"


PLOTS = {"mrr_by_training_queries": plot_mrr_by_training_queries, "mrr_by_type": plot_mrr_by_type}
