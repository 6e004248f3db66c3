"""Figures of a run over complex queries, from its metrics rows."""

from collections import Counter

import numpy as np

from experiment import figures

LEAST = 10  # queries that a mean is shown of


def _by(rows, key):
    return list(dict.fromkeys(row[key] for row in rows))


def _mean_and_sd(rows, **where):
    values = [row["mrr"] for row in rows if all(row[key] == value for key, value in where.items())]
    return np.mean(values) if values else np.nan, np.std(values, ddof=1) if len(values) > 1 else 0.0


def plot_mrr_by_type(rows):
    """Returns bars of MRR by query type, one colour a method, whiskers of one standard deviation over seeds."""
    types, methods = _by(rows, "type"), _by(rows, "method")
    figure, axis = figures.new(width=max(9.5, 0.75 + 0.1 * len(types) * len(methods)), height=4.4)
    colours = [*figures.COLOURS, "0.7", "0.55", "0.85"]
    width = 0.84 / len(methods)
    for number, method in enumerate(methods):
        at = np.arange(len(types)) + (number - (len(methods) - 1) / 2) * width
        mean, spread = zip(*(_mean_and_sd(rows, type=name, method=method) for name in types))
        axis.bar(
            at,
            mean,
            width,
            yerr=spread,
            label=method,
            error_kw={"elinewidth": 0.7},
            color=colours[number % len(colours)],
        )
    axis.set_xticks(np.arange(len(types)), types)
    if "average" in types:
        axis.axvline(types.index("average") - 0.5, color="0.6", linewidth=0.8)
    axis.grid(visible=False, axis="x")
    axis.margins(x=0.01)
    axis.set_xlabel("query type (average: of those without negation)")
    axis.set_ylabel("filtered MRR of hard answers")
    axis.set_ylim(bottom=0)
    axis.set_title(_seeds(rows, "bars"), fontsize=9)
    axis.legend(ncols=4, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.14), frameon=False)
    return figure


def plot_mrr_by_beam(rows):
    """Returns lines of MRR against beam size, one a query type with a variable, and the average of all types."""
    figure, axis = figures.new(width=5.6, height=3.8)
    sizes = sorted(_by(rows, "beam_size"), key=lambda size: size or np.inf)
    places = np.array([size or 4 * max(sizes) or 1 for size in sizes])
    for name in _by(rows, "type"):
        mean, spread = zip(*(_mean_and_sd(rows, type=name, beam_size=k) for k in sizes))
        if np.ptp(mean) < 1e-6:
            continue
        style = {"color": "black", "linewidth": 2.2} if name == "average" else {}
        axis.errorbar(places, mean, spread, marker="o", markersize=4, capsize=2, elinewidth=0.8, label=name, **style)
    axis.set_xscale("log")
    axis.set_xticks(places, [str(size) if size else "exact" for size in sizes])
    axis.minorticks_off()
    axis.set_xlabel("beam size (entities kept a variable)")
    axis.set_ylabel("filtered MRR of hard answers")
    axis.set_title(_seeds(rows, "points"), fontsize=9)
    if axis.get_legend_handles_labels()[0]:  # a beam of another size may change nothing
        axis.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def plot_mrr_by_missing_links(rows):
    """Returns a panel a method: MRR of each type's answers by the least number of missing links they need.

    Types whose answers all need the same number are left out, and so are points of fewer than LEAST queries.
    """
    total = Counter()
    for row in rows:
        total[row["method"], row["type"], row["missing"]] += row["queries"]
    rows = [row for row in rows if total[row["method"], row["type"], row["missing"]] >= LEAST]
    if not rows:
        return figures.new()[0]
    methods = _by(rows, "method")
    figure, _ = figures.new(ncols=len(methods), width=4.2)
    types = [name for name in _by(rows, "type") if len({row["missing"] for row in rows if row["type"] == name}) > 1]
    for axis, method in zip(figure.axes, methods):
        for number, name in enumerate(types):
            counts = sorted({row["missing"] for row in rows if row["type"] == name})
            mean = [_mean_and_sd(rows, method=method, type=name, missing=k)[0] for k in counts]
            line = ("-", "--")[number // len(figures.COLOURS)]
            axis.plot(counts, mean, line, marker="o", markersize=3.5, linewidth=1.1, label=name)
        axis.set_title(method, fontsize=9)
        axis.set_xlabel("missing links needed")
        axis.set_xticks(sorted({row["missing"] for row in rows}))
        axis.set_ylim(bottom=0, top=1.05 * max(row["mrr"] for row in rows))
    figure.axes[0].set_ylabel("filtered MRR of hard answers")
    if types:
        figure.axes[-1].legend(fontsize=7, frameon=False, ncols=2)
    return figure


def _seeds(rows, what):
    count = len(_by(rows, "seed"))
    return f"{what}: mean over {count} seeds; whiskers: one standard deviation" if count > 1 else "one seed"


PLOTS = {
    "mrr_by_type": plot_mrr_by_type,
    "mrr_by_beam": plot_mrr_by_beam,
    "mrr_by_missing_links": plot_mrr_by_missing_links,
}
