"""Figures of the countries run, from its metrics rows."""

import numpy as np

from experiment import figures


def _by(rows, key):
    return list(dict.fromkeys(row[key] for row in rows))


def _mean_and_sd(rows, **where):
    values = [row["mrr"] for row in rows if all(row[key] == value for key, value in where.items())]
    return np.mean(values), np.std(values, ddof=1) if len(values) > 1 else 0.0


def plot_mrr_by_type(rows):
    """Returns bars of MRR by query type, one colour a method, whiskers of one standard deviation over seeds."""
    figure, axis = figures.new(width=9.5, height=4.2)
    types, methods = _by(rows, "type"), _by(rows, "method")
    width = 0.8 / len(methods)
    for number, method in enumerate(methods):
        at = np.arange(len(types)) + (number - (len(methods) - 1) / 2) * width
        mean, spread = zip(*(_mean_and_sd(rows, type=name, method=method) for name in types))
        axis.bar(at, mean, width, yerr=spread, label=method, error_kw={"elinewidth": 0.8})
    axis.set_xticks(np.arange(len(types)), types)
    if "average" in types:
        axis.axvline(types.index("average") - 0.5, color="0.6", linewidth=0.8)
    axis.grid(visible=False, axis="x")
    axis.set_xlabel("query type")
    axis.set_ylabel("filtered MRR of hard answers")
    axis.set_ylim(bottom=0)
    axis.set_title(f"bars: mean over {len(_by(rows, 'seed'))} seeds; whiskers: one standard deviation", fontsize=9)
    axis.legend(ncols=3, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.17), frameon=False)
    return figure


def plot_mrr_by_beam(rows):
    """Returns lines of MRR against beam size, one a query type with a variable, and the average of all types."""
    figure, axis = figures.new(width=5.6, height=3.8)
    sizes = _by(rows, "beam_size")
    for name in _by(rows, "type"):
        mean, spread = zip(*(_mean_and_sd(rows, type=name, beam_size=k) for k in sizes))
        if np.ptp(mean) < 1e-6:
            continue
        style = {"color": "black", "linewidth": 2.2} if name == "average" else {}
        axis.errorbar(sizes, mean, spread, marker="o", markersize=4, capsize=2, elinewidth=0.8, label=name, **style)
    axis.set_xscale("log")
    axis.set_xticks(sizes, [*(str(k) for k in sizes[:-1]), f"{sizes[-1]}\n(all)"])
    axis.minorticks_off()
    axis.set_xlabel("beam size (entities kept a variable)")
    axis.set_ylabel("filtered MRR of hard answers")
    axis.set_title(f"mean over {len(_by(rows, 'seed'))} seeds; whiskers: one standard deviation", fontsize=9)
    axis.legend(fontsize=8, frameon=False)
    return figure
