"""Pictures of the pilot, from logged rows alone."""

import numpy as np

from experiment import figures


def save(workdir, found, needed):
    """Writes the figures of a pilot.

    Args:
        workdir: `experiment.workdir.Workdir`.
        found: {setting: its figures}.
        needed: rank correlation that a table needs.
    """
    rows = points(workdir.rows())
    workdir.save_figure("seeds", plot_seeds(rows), rows)
    summary = [
        {"setting": name, "mean": each["mean"], "low": each["interval"][0], "high": each["interval"][1]}
        | {f"pair_{number}": value for number, value in enumerate(each["pairs"])}
        for name, each in found.items()
    ]
    workdir.save_figure("agreement", plot_agreement(summary, needed, rows), summary)


def points(rows):
    """Returns {setting, cell, parameter_free_share, seed, accuracy} of every training."""
    shares = {row["step"]: row["parameter_free_share"] for row in rows if row["stage"] == "cells"}
    return [
        {
            "setting": row["stage"].removeprefix("trained_"),
            "cell": int(row["cell"]),
            "parameter_free_share": shares[int(row["cell"])],
            "seed": int(row["seed"]),
            "accuracy": row["accuracy"],
        }
        for row in rows
        if row["stage"].startswith("trained_")
    ]


def plot_seeds(rows):
    """Returns the test accuracy of every cell by its first seed and by the others, a panel a setting.

    Args:
        rows: of `points`.
    """
    settings = list(dict.fromkeys(row["setting"] for row in rows))
    columns = min(3, len(settings))
    lines = -(-len(settings) // columns)
    figure, axes = figures.new(lines, columns, width=3.6, height=3.1)
    axes = np.atleast_1d(axes).ravel()
    shown = None
    for axis, setting in zip(axes, settings):
        first, others, shares = _by_cell([row for row in rows if row["setting"] == setting])
        for values in others.T:
            style = {"c": shares, "cmap": "viridis_r", "vmin": 0, "vmax": 1, "s": 14}
            shown = axis.scatter(100 * first, 100 * values, **style)
        ends = [100 * min(first.min(), others.min()), 100 * max(first.max(), others.max())]
        axis.plot(ends, ends, color="#777777", linewidth=0.8)
        axis.set_title(setting, fontsize=9)
        axis.set_xlabel("test accuracy, first seed, %", fontsize=8)
        axis.set_ylabel("other seeds, %", fontsize=8)
        axis.tick_params(labelsize=7)
    for axis in axes[len(settings) :]:
        axis.set_visible(False)
    bar = figure.colorbar(shown, ax=list(axes))
    bar.set_label("share of operations without parameters", fontsize=8)
    figure.suptitle(f"{_counts(rows)}; line: equal", fontsize=9)
    return figure


def _by_cell(rows):
    """Returns accuracies of the first seed [cells] and of the others [cells, seeds - 1], shares [cells]."""
    cells = sorted({row["cell"] for row in rows})
    seeds = list(dict.fromkeys(row["seed"] for row in rows))
    table = np.full((len(cells), len(seeds)), np.nan)
    shares = np.zeros(len(cells))
    for row in rows:
        table[cells.index(row["cell"]), seeds.index(row["seed"])] = row["accuracy"]
        shares[cells.index(row["cell"])] = row["parameter_free_share"]
    return table[:, 0], table[:, 1:], shares


def plot_agreement(summary, needed, rows):
    """Returns the rank correlation across seeds of every setting, and what a table needs.

    Args:
        summary: {setting, mean, low, high, pair_0, ...}.
        needed: a rank correlation.
        rows: of `points`, for the caption.
    """
    figure, axis = figures.new(width=6.4, height=1.3 + 0.38 * len(summary))
    for place, each in enumerate(summary):
        pairs = [value for name, value in each.items() if name.startswith("pair_")]
        bar = [[each["mean"] - each["low"]], [each["high"] - each["mean"]]]
        colour = figures.COLOURS[place % len(figures.COLOURS)]
        axis.errorbar(each["mean"], place, xerr=bar, fmt="D", color=colour, capsize=3)
        axis.plot(pairs, np.full(len(pairs), place + 0.25), ".", color=colour, alpha=0.6)
    axis.axvline(needed, color="#777777", linestyle="--", linewidth=1)
    axis.set_yticks(range(len(summary)), [each["setting"] for each in summary], fontsize=8.5)
    axis.set_ylim(len(summary) - 0.4, -0.6)
    axis.set_xlabel("Spearman's rank correlation of test accuracies across seeds", fontsize=9)
    title = f"{_counts(rows)}; diamond: mean of the pairs of seeds,\n95% by bootstrap over cells; dots: pairs"
    figure.suptitle(f"{title}; dashed: needed", fontsize=8.5)
    return figure


def _counts(rows):
    return f"{len({row['cell'] for row in rows})} cells, {len({row['seed'] for row in rows})} seeds"
