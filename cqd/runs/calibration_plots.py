"""Figures of a run of calibration, from its metrics rows."""

import numpy as np

from experiment import figures

WIDE = 0.02  # what coverage may be off


def _by(rows, key):
    return list(dict.fromkeys(row[key] for row in rows))


def _of(rows, **where):
    return [row for row in rows if all(row[key] == value for key, value in where.items())]


def _mean_and_sd(rows, key):
    values = [row[key] for row in rows]
    return np.mean(values) if values else np.nan, np.std(values, ddof=1) if len(values) > 1 else 0.0


def _colours(names):
    return dict(zip(names, figures.COLOURS * (1 + len(names) // len(figures.COLOURS))))


def plot_reliability(rows):
    """Returns a panel a method: the share of answers against the truth, before and after, a line a seed."""
    methods, maps = _by(rows, "method"), _by(rows, "map")
    columns = min(3, len(methods))
    figure, _ = figures.new(-(-len(methods) // columns), columns, width=3.3, height=3.2)
    colours = _colours(maps)
    for axis, method in zip(figure.axes, methods):
        axis.plot([0, 1], [0, 1], color="0.6", linewidth=0.9)
        for name in maps:
            for number, seed in enumerate(_by(rows, "seed")):
                some = _of(rows, method=method, map=name, seed=seed)
                truth, share = ([row[key] for row in some] for key in ("truth", "share"))
                label = {"none": "as they are"}.get(name, name) if number == 0 else None
                axis.plot(truth, share, marker="o", markersize=3, linewidth=0.9, color=colours[name], label=label)
        axis.set_title(method, fontsize=9)
        axis.set_xlabel("mean truth of a bin")
        axis.set_ylabel("share of answers")
    for axis in figure.axes[len(methods) :]:
        axis.set_visible(False)
    figure.axes[0].legend(fontsize=8, frameon=False)
    figure.suptitle(
        f"candidates shown, held-out queries; bins of equal mass; a line a seed, {_count(rows)}", fontsize=9
    )
    return figure


def plot_errors(rows):
    """Returns bars of the expected calibration error by method, one colour a map, a panel a part."""
    parts, methods, maps = (_by(rows, key) for key in ("part", "method", "map"))
    figure, _ = figures.new(1, len(parts), width=max(4.5, 1.1 * len(methods)), height=4.0)
    width = 0.84 / len(maps)
    for axis, part in zip(figure.axes, parts):
        for number, name in enumerate(maps):
            at = np.arange(len(methods)) + (number - (len(maps) - 1) / 2) * width
            some = [_mean_and_sd(_of(rows, part=part, method=method, map=name), "ece") for method in methods]
            mean, spread = zip(*some)
            whiskers = {"yerr": spread, "error_kw": {"elinewidth": 0.7}}
            axis.bar(at, mean, width, label={"none": "as they are"}.get(name, name), **whiskers)
        axis.set_xticks(np.arange(len(methods)), methods, rotation=25, ha="right", fontsize=8)
        axis.grid(visible=False, axis="x")
        axis.set_title(f"{part.replace('_', '-')} queries; {_seeds(rows, 'bars')}", fontsize=8)
        axis.set_ylabel("ECE of the candidates shown")
    _log_scale(figure.axes, [row["ece"] for row in rows])
    figure.axes[-1].legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _log_scale(axes, values):
    """Gives the panels one logarithmic scale that has the values, marked at 1, 2 and 5 times the powers of ten."""
    values = [value for value in values if value > 0] or [1.0]
    low, high = 0.7 * min(values), 1.3 * max(values)
    marks = [mark * 10.0**power for power in range(-6, 8) for mark in (1, 2, 5)]
    marks = [mark for mark in marks if low <= mark <= high]
    for axis in axes:
        axis.set_yscale("log")
        axis.set_ylim(low, high)
        axis.set_yticks(marks, [f"{mark:g}" for mark in marks])
        axis.minorticks_off()


def plot_coverage(rows):
    """Returns a panel a way of testing: coverage less its nominal value, a line a method, one threshold for all."""
    parts, methods, nominal = _by(rows, "part"), _by(rows, "method"), sorted({row["nominal"] for row in rows})
    figure, _ = figures.new(1, len(parts), width=3.9, height=3.7)
    colours = _colours(methods)
    whiskers = "" if len(_by(rows, "seed")) == 1 else "; whiskers: one sd over seeds"
    titles = {
        "divided": "other queries, any edges; whiskers: 95% of divisions",
        "held_out": f"other missing edges{whiskers}",
        "test": f"test queries{whiskers}",
    }
    for axis, part in zip(figure.axes, parts):
        axis.axhspan(-100 * WIDE, 100 * WIDE, color="0.92")
        axis.axhline(0, color="0.5", linewidth=0.9)
        for number, method in enumerate(methods):
            some = [_of(rows, part=part, method=method, group="all", nominal=at) for at in nominal]
            mean, spread = np.array([_mean_and_sd(each, "coverage") for each in some]).T
            if part == "divided":
                bounds = [[_mean_and_sd(each, key)[0] for each in some] for key in ("low", "high")]
                spread = np.abs(np.array(bounds) - mean)
            away = 0.006 * (number - (len(methods) - 1) / 2)
            style = {"marker": "o", "markersize": 3.5, "linewidth": 1.0, "elinewidth": 0.7, "color": colours[method]}
            axis.errorbar(np.array(nominal) + away, 100 * (mean - nominal), 100 * spread, label=method, **style)
        axis.set_title(titles[part], fontsize=8)
        axis.set_xlabel("nominal coverage")
        axis.set_ylabel("coverage less nominal (points)")
    limit = max(np.abs(axis.get_ylim()).max() for axis in figure.axes)
    for axis in figure.axes:
        axis.set_ylim(-limit, limit)
    figure.axes[-1].legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.suptitle(f"{_seeds(rows, 'points', spread=False)}; band: {100 * WIDE:g} points", fontsize=9)
    return figure


def plot_set_size(rows):
    """Returns a panel a grouping: mean size of the sets against their coverage on held-out queries, a line a method."""
    rows = _of(rows, part="held_out")
    groups, methods = _by(rows, "group"), _by(rows, "method")
    figure, _ = figures.new(1, len(groups), width=4.2, height=3.6)
    colours = _colours(methods)
    for axis, group in zip(figure.axes, groups):
        for method in methods:
            nominal = sorted({row["nominal"] for row in rows})
            some = [_of(rows, group=group, method=method, nominal=at) for at in nominal]
            covered, size = ([_mean_and_sd(each, key)[0] for each in some] for key in ("coverage", "size"))
            axis.plot(covered, size, marker="o", markersize=3.5, linewidth=1.1, color=colours[method], label=method)
        titles = {"all": "one threshold for all", "by type": "a threshold a query type"}
        axis.set_title(f"{titles[group]}; {_seeds(rows, 'points', spread=False)}", fontsize=8)
        axis.set_xlabel("share of a query's hard answers in its set")
        axis.set_ylabel("mean size of a set (candidates)")
    _log_scale(figure.axes, [row["size"] for row in rows])
    figure.axes[-1].legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _count(rows):
    seeds = len(_by(rows, "seed"))
    return f"{seeds} seeds" if seeds > 1 else "one seed"


def _seeds(rows, what, spread=True):
    if len(_by(rows, "seed")) == 1:
        return "one seed"
    return f"{what}: mean over {_count(rows)}{'; whiskers: one standard deviation' if spread else ''}"


PLOTS = {
    "reliability": ("reliability", plot_reliability),
    "errors": ("errors", plot_errors),
    "coverage": ("sets", plot_coverage),
    "set_size": ("sets", plot_set_size),
}
