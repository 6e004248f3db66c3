"""Pictures of the best alpha and the learned one, from the rows of metrics.jsonl alone."""

import numpy as np

from darts_perturb import edges as edges_
from darts_perturb.runs.plots import names
from experiment import figures

_VARIANCES = {
    "variance_skip": "skip connection: var(x − m*)",
    "variance_conv": "convolution: var(o − m*)",
    "covariance": "covariance of the two errors",
}


def points(rows):
    """Returns {search, seed, estimator, row, learned, optimum, ...} of every edge, estimator and run."""
    return names.staged(rows, "optimum")


def plot(rows, space, conv):
    """Returns the learned difference of alphas against the best one, a panel an estimator, and the moments by edge.

    Args:
        rows: of `points`; of several searches the first is shown.
        space: `space.Space`.
        conv: what the skip connection is compared with.
    """
    rows = next(iter(names.grouped(rows, "search").values()))
    by_estimator = names.grouped(rows, "estimator")
    figure, axes = figures.new(2, len(by_estimator), width=3.2, height=2.9)
    for column, (estimator, own) in enumerate(by_estimator.items()):
        _against(axes[0, column], own)
        axes[0, column].set_title(f"m* estimated from: {estimator}", fontsize=9)
        _moments(axes[1, column], own, space)
    for line in axes:
        for axis in line[1:]:
            axis.sharey(line[0])
            axis.tick_params(labelleft=False)
    axes[0, 0].set_ylabel(f"learned α(skip) − α({names.of_op(conv)})", fontsize=9)
    axes[1, 0].set_ylabel("mean over cells and seeds", fontsize=9)
    shown = [pair for line in axes for pair in zip(*line[0].get_legend_handles_labels())]
    figure.legend(*zip(*shown), loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    count = names.of_seeds(len({row["seed"] for row in rows}))
    figure.suptitle(
        f"{space.name}, {names.SEARCHES[rows[0]['search']]}, {count}: a dot an edge; dashed: learned is best",
        fontsize=9,
    )
    return figure


def _against(axis, rows):
    """Draws the learned difference against the best, with the covariance and without."""
    learned = np.array([row["learned"] for row in rows])
    exists = np.array([row["exists"] for row in rows], bool)
    best, printed = (np.array([row[name] for row in rows]) for name in ("optimum", "without_covariance"))
    style = {"linestyle": "", "markersize": 4.5, "alpha": 0.8}
    axis.plot(printed, learned, "o", color=figures.COLOURS[5], markerfacecolor="none", label="without cov", **style)
    axis.plot(best[exists], learned[exists], "o", color=figures.COLOURS[0], label="with cov", **style)
    label = "no finite optimum: at the limit"
    axis.plot(best[~exists], learned[~exists], "x", color=figures.COLOURS[1], label=label, **style)
    axis.axline((0.0, 0.0), slope=1.0, color="black", linewidth=0.8, linestyle="--")
    axis.axhline(0.0, color="black", linewidth=0.6)
    axis.axvline(0.0, color="black", linewidth=0.6)
    axis.set_xlabel("best α(skip) − α(conv)", fontsize=9)
    axis.tick_params(labelsize=8)


def _moments(axis, rows, space):
    """Draws the variances about m* and their covariance, bars an edge."""
    listed = edges_.listed(space)
    by_row = names.grouped(rows, "row")
    for number, ((field, label), colour) in enumerate(zip(_VARIANCES.items(), (0, 1, 5))):
        means = [np.mean([row[field] for row in own]) for own in by_row.values()]
        places = np.arange(len(by_row)) + 0.27 * (number - 1)
        axis.bar(places, means, 0.27, color=figures.COLOURS[colour], label=label)
    letters = {kind: kind[0] if len(space.kinds) > 1 else "" for kind in space.kinds}
    ticks = [f"{letters[listed[row].kind]}{listed[row].source}→{listed[row].target}" for row in by_row]
    axis.set_xticks(range(len(ticks)), ticks, fontsize=7, rotation=0 if len(ticks) < 10 else 90)
    axis.set_xlabel("edge", fontsize=9)
    axis.tick_params(axis="y", labelsize=8)
