"""Pictures of the bound run, from its metrics alone."""

import numpy as np

from experiment import figures
from ntk_asgd.runs import descent

STAGES = {"bound": "schedule_", "variance": "grid_", "averaging": "averaging_"}
_STEP_SIZES = {"theorem": r"Theorem 1's largest $\eta$", "larger": r"$\eta$ of the config"}
_TERMS = {
    "source": r"$\lambda^{2r}\|\Sigma^{-r}g_\rho\|^2$",
    "initial": r"$\|g_\rho\|_H^2/(T+1)$",
    "step_size": r"$\|g_\rho\|_H^2/(\lambda\eta^2(T+1)^2)$",
    "variance": r"$(1+\|g_\rho\|^2+\|\Sigma^{-r}g_\rho\|^2)\,N(\lambda)/(T+1)$",
}
_MODELS = {"reference": "reference ASGD", "network": "network"}
_AVERAGES = {
    "tail": "second half",
    "polynomial": "polynomial weights",
    "exponential": "exponential window",
    "last": "last iterate",
    "decreasing": "last iterate, decreasing step",
    "functions": "functions over weights, ends of blocks",
}


def plot_bound(rows):
    """Returns the figure: risk, its variance and the bound with its terms over T, by activation and step size."""
    names = _names(rows)
    figure, axes = figures.new(len(_STEP_SIZES), len(names), width=3.5, height=3.0)
    for (step_size, words), line in zip(_STEP_SIZES.items(), np.reshape(axes, (len(_STEP_SIZES), -1))):
        for name, axis in zip(names, line):
            own = [row for row in rows if row["activation"] == name and row["step_size"] == step_size]
            own = sorted(own, key=lambda row: row["T"])
            steps = np.array([row["T"] for row in own])
            descent.band(axis, steps, [row["risk"] for row in own], "excess risk")
            descent.band(axis, steps, [row["variance"] for row in own], "its variance", "-s")
            axis.plot(steps, list(map(freedom, own)), ":", color="black", lw=1.4, label=r"$\sigma^2 N(\lambda)/T$")
            bound = [float(row["bound"]) for row in own]
            r = next(iter(own[0]["bounds"]))  # the first of the config, which also sets lambda(T)
            axis.plot(steps, bound, color="black", lw=1.6, label=rf"bound, $\alpha=1$, $r={r}$")
            for term, label in _TERMS.items():
                axis.plot(steps, [float(row["terms"][term]) for row in own], "--", lw=1, label=label)
            axis.axhline(own[0]["target_square"], color="grey", lw=0.8, label=r"risk of $g=0$")
            descent.log_axes(axis, ylabel="squared error")
            axis.set_title(f"{name}, {words}", fontsize=9)
    seeds = len(rows[0]["risk"])
    descent.shared_legend(figure, figure.axes[0], f"median and quartiles of {seeds} seeds")
    return figure


def plot_variance(rows):
    """Returns the figure: the measured variance against noise^2 N(lambda) / T, and against its closed form."""
    figure, axes = figures.new(1, 2, width=4.6, height=3.8)
    for name, marker in zip(_names(rows), "os^Dvx*"):
        own = [row for row in rows if row["activation"] == name]
        low, middle, high = np.array([np.quantile(row["variance"], (0.25, 0.5, 0.75)) for row in own]).T
        for axis, predictor in zip(axes, (freedom, expected)):
            predicted = [predictor(row) for row in own]
            (drawn,) = axis.plot(predicted, middle, marker, ms=4, label=name)
            axis.vlines(predicted, low, high, color=drawn.get_color(), lw=0.8)
    for axis, predictor in zip(axes, (freedom, expected)):
        ends = np.array([min(map(predictor, rows)), max(map(predictor, rows))])
        axis.plot(ends, ends, color="black", lw=0.8, zorder=0)
        axis.set(xscale="log", yscale="log", ylabel="variance of the averaged iterates")
    axes[0].set(xlabel=r"$\sigma^2 N(\lambda)/T$")
    axes[1].set(xlabel="closed form, noise of the mean squared residual")
    axes[0].set_title(f"median and quartiles of {len(rows[0]['variance'])} seeds", fontsize=10)
    axes[1].set_title(r"line: equal; every $T$ and $\lambda$ of the grid", fontsize=10)
    axes[0].legend(fontsize=8, frameon=False)
    return figure


def freedom(row):
    """Returns noise^2 N(lambda) / T, the variance of Theorem 1 without its constant."""
    return row["noise_square"] * row["degrees"] / row["T"]


def expected(row):
    """Returns the variance of `theory.reference_error`, its noise that of the residuals, g_t's own error included."""
    return row["noise_variance"] * np.mean(row["residual_square"]) / row["noise_square"]


def plot_averaging(rows):
    """Returns the figure: the risk of every average over that of the average of all iterates, over T.

    The mean of the network's functions stands over the average of the weights of the same iterates.
    """
    names = _names(rows)
    figure, axes = figures.new(len(_MODELS), len(names), width=3.4, height=2.8)
    for (model, words), line in zip(_MODELS.items(), np.reshape(axes, (len(_MODELS), -1))):
        for name, axis in zip(names, line):
            own = [row for row in rows if row["stage"].startswith(f"averaging_{model}") and row["activation"] == name]
            own = sorted(own, key=lambda row: row["T"])
            steps = np.array([row["T"] for row in own])
            for scheme in own[0]["schemes"]:
                if scheme != "average":
                    other = "strided" if scheme == "functions" else "average"
                    ratios = [np.array(row[scheme]) / np.array(row[other]) for row in own]
                    descent.band(axis, steps, ratios, _label(scheme), color=_colour(scheme))
            axis.axhline(1, color="black", lw=0.8, label="average of all iterates")
            axis.set_xscale("log", base=2)
            axis.set(xlabel="samples $T$", ylabel="risk over the average's")
            axis.set_title(f"{name}, {words}, {len(own[0]['average'])} seeds", fontsize=9)
    descent.shared_legend(figure, figure.axes[-1], "median and quartiles, paired over seeds")
    return figure


def points(rows):
    """Returns the plotted points as flat rows, lists over seeds as their quartiles."""
    points = []
    for row in rows:
        point = {}
        for key, value in row.items():
            if isinstance(value, list) and key != "schemes":
                point |= descent.quartiles(row, key)
            elif isinstance(value, dict):
                point |= {f"{key}_{inner}": each for inner, each in value.items()}
            elif key != "schemes":
                point[key] = value
        points.append(point)
    return points


def _names(rows):
    return list(dict.fromkeys(row["activation"] for row in rows))


def _label(scheme):
    name, _, number = scheme.partition(":")
    return _AVERAGES.get(name, name) + (f" ({number})" if number else "")


def _colour(scheme):
    return figures.COLOURS[list(_AVERAGES).index(scheme.partition(":")[0]) % len(figures.COLOURS)]
