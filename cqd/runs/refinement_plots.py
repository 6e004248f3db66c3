"""Figures of a refinement, from its metrics rows."""

import numpy as np

from cqd.runs import refinement_figures
from experiment import figures

SHOWN = 15  # relations
SCOPES = {"rejected": "told of false edges alone", "judged": "told of false and of true edges"}


def plot_blame_by_relation(rows):
    """Returns bars of the blame of each relation, and beside it of its candidates, false and true, means over seeds."""
    seeds, labels = _by(rows, "seed"), _by(rows, "relation")

    def mean(label, key):
        return sum(row[key] for row in rows if row["relation"] == label) / max(len(seeds), 1)

    labels = sorted(labels, key=lambda label: mean(label, "blame"))[-SHOWN:]
    figure, axes = figures.new(ncols=2, width=5.2, height=1.4 + 0.25 * len(labels))
    places = np.arange(len(labels))
    axes[0].barh(places, [mean(label, "blame") for label in labels])
    for number, label in enumerate(labels):
        points = [row["blame"] for row in rows if row["relation"] == label]
        axes[0].plot(points, [number] * len(points), ".", color="black", markersize=4)
    false = np.array([mean(label, "false") for label in labels])
    every = np.array([mean(label, "candidates") for label in labels])
    axes[1].barh(places, false, color=figures.COLOURS[1], label="false")
    axes[1].barh(places, every - false, left=false, color=figures.COLOURS[2], label="true, unobserved")
    axes[0].set_yticks(places, labels)
    axes[1].set_yticks(places, [])
    axes[0].set_xlabel("blame (1 / rank over wrong answers, less right ones)")
    axes[1].set_xlabel("predicted edges in proofs of first answers")
    axes[1].legend(fontsize=8, frameon=False)
    figure.suptitle(_seeds(rows), fontsize=9)
    return figure


def plot_mrr_by_way(rows):
    """Returns the change of MRR of every seed by every way, a panel a scope, affected queries and the rest."""
    figure, axes = figures.new(ncols=len(SCOPES), width=5.0, height=3.6)
    for axis, (scope, words) in zip(axes, SCOPES.items()):
        for number, part in enumerate(("affected", "rest")):
            for place, way in enumerate(refinement_figures.WAYS):
                values = [
                    row["change"] for row in rows if (row["scope"], row["part"], row["way"]) == (scope, part, way)
                ]
                at = place + 0.36 * (number - 0.5)
                label = {"label": ("affected queries", "the rest")[number]} if place == 0 else {}
                axis.bar(at, np.mean(values) if values else 0, 0.34, color=figures.COLOURS[number], **label)
                axis.plot([at] * len(values), values, ".", color="black", markersize=4)
        axis.axhline(0, color="0.4", linewidth=0.8)
        axis.set_xticks(range(len(refinement_figures.WAYS)), refinement_figures.WAYS, fontsize=8)
        axis.set_title(words, fontsize=9)
        axis.grid(visible=False, axis="x")
    axes[0].set_ylabel("change of filtered MRR, held-out queries")
    axes[0].legend(fontsize=8, frameon=False)
    figure.suptitle(_seeds(rows), fontsize=9)
    return figure


def _seeds(rows):
    count = len(_by(rows, "seed"))
    return f"bars: mean over {count} seeds; points: the seeds" if count > 1 else "one seed"


def _by(rows, key):
    return list(dict.fromkeys(row[key] for row in rows))


PLOTS = {"blame_by_relation": plot_blame_by_relation, "mrr_by_way": plot_mrr_by_way}
