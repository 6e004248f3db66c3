"""How good the selected cells are, with random cells behind them: retrained, and in the table of NAS-Bench-201."""

import numpy as np

from darts_perturb.runs.plots import names
from experiment import figures


def plot_accuracy(rows):
    """Returns the test accuracy of retrained cells by how they were selected.

    Args:
        rows: {selection, seed, test_accuracy: one share a retraining}.
    """
    runs = [(row["selection"], [100 * value for value in row["test_accuracy"]]) for row in rows]
    figure, axis = _compared(runs)
    axis.set_xlabel("test accuracy after retraining, %", fontsize=9)
    most = max(len(values) for _, values in runs)
    dots = "dots: retrainings; circle: mean of a cell" if most > 1 else "circle: a cell, trained once"
    return _finished(figure, rows, dots)


def plot_table(rows):
    """Returns the CIFAR-10 test accuracy that NAS-Bench-201 tabulates of the selected cells.

    Args:
        rows: {selection, seed, table_cifar10: percent, rank_cifar10 where known}.
    """
    figure, axis = _compared([(row["selection"], [row["table_cifar10"]]) for row in rows])
    axis.set_xlabel("CIFAR-10 test accuracy in NAS-Bench-201, %", fontsize=9)
    for place, (name, points) in enumerate(_ordered(names.grouped(rows, "selection"))):
        ranks = [row["rank_cifar10"] for row in points if row.get("rank_cifar10") is not None]
        if ranks and name != names.RANDOM:
            text = "rank " + (f"{ranks[0]:,}" if len(ranks) == 1 else f"{min(ranks):,} to {max(ranks):,}")
            style = {"transform": axis.get_yaxis_transform(), "fontsize": 8, "va": "center"}
            axis.text(1.01, place, text, **style)
    return _finished(figure, rows, "circle: a cell")


def _ordered(groups):
    """Returns the items of {selection: ...}, random cells last."""
    return sorted(groups.items(), key=lambda item: item[0] == names.RANDOM)


def _compared(runs):
    """Returns (figure, axis): a line a selection, cells and their runs on it, random cells shaded behind all.

    Args:
        runs: (selection, values of one cell).
    """
    groups = {}
    for name, values in runs:
        groups.setdefault(name, []).append(values)
    figure, axis = figures.new(width=7.2, height=1.25 + 0.42 * len(groups))
    colours = (figures.COLOURS[place % len(figures.COLOURS)] for place in range(len(groups)))
    for place, ((name, cells), colour) in enumerate(zip(_ordered(groups), colours)):
        _selection(axis, place, cells, "#777777" if name == names.RANDOM else colour)
    _random(axis, [np.mean(values) for values in groups.get(names.RANDOM, [])])
    counted = [f"{names.of_selection(name)} ({len(cells)})" for name, cells in _ordered(groups)]
    axis.set_yticks(range(len(groups)), counted, fontsize=8.5)
    axis.set_ylim(len(groups) - 0.5, -0.6)
    axis.tick_params(axis="x", labelsize=8)
    return figure, axis


def _selection(axis, place, cells, colour):
    """Draws the cells of one selection: runs as dots, means as circles, the mean and SD of the means as a diamond."""
    means = np.array([np.mean(values) for values in cells])
    aside = np.linspace(-0.16, 0.16, len(means)) if len(means) > 1 else np.zeros(1)
    for offset, values in zip(aside, cells):
        if len(values) > 1:
            axis.plot(values, np.full(len(values), place + offset), ".", color=colour, alpha=0.45, markersize=3)
    axis.plot(means, place + aside, "o", color=colour, alpha=0.7, markersize=5)
    if len(means) > 1:
        style = {"color": colour, "capsize": 3, "markersize": 5, "elinewidth": 1.2, "zorder": 5}
        axis.errorbar(means.mean(), place + 0.32, xerr=means.std(ddof=1), fmt="D", **style)


def _random(axis, means):
    """Shades the range and the quartiles of random cells, with their median as a line."""
    if len(means) < 2:
        return
    low, first, middle, third, high = np.quantile(means, (0, 0.25, 0.5, 0.75, 1))
    axis.axvspan(low, high, color="#777777", alpha=0.10, linewidth=0, zorder=0)
    axis.axvspan(first, third, color="#777777", alpha=0.16, linewidth=0, zorder=0)
    axis.axvline(middle, color="#777777", linewidth=1.0, linestyle="--", zorder=0)


def _finished(figure, rows, dots):
    groups = names.grouped(rows, "selection")
    seeds = names.of_seeds(len({row["seed"] for row in rows if row["selection"] != names.RANDOM}))
    text = f"{seeds}; {dots}"
    if max(map(len, groups.values())) > 1:
        text += "; diamond: mean and SD of cells"
    if len(groups.get(names.RANDOM, [])) > 1:
        text += "\nshaded: random cells, range and quartiles; dashed: their median"
    figure.suptitle(text, fontsize=8.5)
    return figure
