"""Pictures of the digits run, from its metrics alone."""

import numpy as np

from experiment import figures
from ntk_asgd.runs import descent

CURVES = {
    "averaged": "network, averaged weights",
    "last": "network, last weights",
    "reference": "reference ASGD, infinite width",
    "ridge": "kernel ridge regression",
}
KINDS = ("eigenvalues", "degrees")
ERRORS = {"squared": "squared test error", "zero_one": "share of test images misjudged"}
_STYLES = {"averaged": "-o", "last": "-^", "reference": "--s", "ridge": ":d"}
_TICKS_APART = 1.5  # ratio of neighbouring T from which on their labels do not touch


def plot_eigenvalues(rows):
    """Returns the figure: eigenvalues over index, and degrees of freedom over lambda, for every activation."""
    names = list(dict.fromkeys(row["activation"] for row in rows))
    figure, axes = figures.new(2, len(names), width=4.2)
    for name, (top, bottom) in zip(names, np.reshape(axes, (2, -1)).T):
        own = {kind: [row for row in rows if row["stage"] == f"{kind}_{name.replace(':', '')}"] for kind in KINDS}
        own = {kind: sorted(picked, key=lambda row: row["step"]) for kind, picked in own.items()}
        index = np.array([row["step"] for row in own["eigenvalues"]])
        kernel, uniform = ([row[key] for row in own["eigenvalues"]] for key in ("kernel", "uniform_sphere"))
        top.plot(index, kernel, "o", ms=3.5, label="infinite width, on the data")
        descent.band(top, index, [row["network"] for row in own["eigenvalues"]], "network, on the data", "x")
        top.plot(index, uniform, color="black", lw=1, drawstyle="steps-mid", label="uniform on the sphere, exact")
        row = own["eigenvalues"][0]
        window = (index >= row["fit_first"]) & (index <= row["fit_last"])
        line = np.array(kernel)[window][0] * (index[window] / index[window][0]) ** -row["beta"]
        is_power = row["power_law"]
        words = f"slope fitted $-{row['beta']:.2f}$" if is_power else f"no power law: {row['fit_rms']:.2g} off in log"
        top.plot(index[window], line * 0.5, "--" if is_power else ":", color="grey", label=words)
        top.set(xscale="log", yscale="log", xlabel="index $i$", ylabel=r"eigenvalue $\lambda_i$")
        top.set_title(f"{name}: network, median and quartiles of {len(row['network'])} draws", fontsize=10)
        level = np.array([row["regularization"] for row in own["degrees"]])
        data, uniform = (np.array([row[key] for row in own["degrees"]]) for key in ("data", "uniform_sphere"))
        bottom.plot(level, data, "-o", ms=3.5, label="on the data")
        bottom.plot(level, uniform, color="black", lw=1, label="uniform on the sphere, exact")
        if is_power:
            slope = data[-1] * (level / level[-1]) ** (-1 / row["beta"])
            bottom.plot(level, slope, "--", color="grey", label=rf"slope $-1/\beta=-{1 / row['beta']:.2f}$")
        else:
            bottom.plot([], [], " ", label="no power law")
        bottom.set(xscale="log", yscale="log", xlabel=r"$\lambda$", ylabel=r"degrees of freedom $N(\lambda)$")
        for axis in (top, bottom):
            axis.legend(fontsize=8, frameon=False)
    return figure


def plot_learning(rows):
    """Returns the figure: both test errors over T, of the network, its reference and the limit of that."""
    names = list(dict.fromkeys(row["activation"] for row in rows))
    figure, axes = figures.new(2, len(names), width=4.2)
    for name, column in zip(names, np.reshape(axes, (2, -1)).T):
        own = sorted((row for row in rows if row["activation"] == name), key=lambda row: row["step"])
        steps = np.array([row["step"] for row in own])
        for (error, words), axis in zip(ERRORS.items(), column):
            for curve, label in CURVES.items():
                descent.band(axis, steps, [row[f"{curve}_{error}"] for row in own], label, _STYLES[curve])
            axis.set(xscale="log", xlabel="samples $T$, each used once", ylabel=words, xticks=steps)
            axis.set_xticklabels(_tick_labels(steps))
            axis.minorticks_off()
        column[0].plot(
            steps, [row["variance_term"] for row in own], ":", color="black", lw=1.4, label=r"$N(\lambda)/T$"
        )
        column[0].set_title(f"{name}: median and quartiles of {len(own[0]['last_squared'])} seeds", fontsize=10)
        column[1].axhline(own[0]["chance"], color="black", lw=1, label="chance")
        for axis in column:
            axis.set_ylim(bottom=0)
    lines = {line.get_label(): line for axis in figure.axes for line in axis.get_lines()}
    figure.legend(
        lines.values(), lines.keys(), loc="outside lower center", ncols=min(3, len(names)), fontsize=9, frameon=False
    )
    return figure


def _tick_labels(steps):
    """Returns the labels of increasing T, from the last down, without those that would touch the one to their right."""
    labels, right = [], np.inf
    for step in reversed(steps):
        free = right >= _TICKS_APART * step
        labels.append(str(step) if free else "")
        right = step if free else right
    return labels[::-1]


def points(rows):
    """Returns the plotted points as flat rows, lists over seeds as their quartiles."""
    points = []
    for row in rows:
        point = {}
        for key, value in row.items():
            if isinstance(value, list):
                low, middle, high = np.quantile(value, (0.25, 0.5, 0.75))
                point |= {f"{key}_low": low, f"{key}_median": middle, f"{key}_high": high}
            else:
                point[key] = value
        points.append(point)
    return points
