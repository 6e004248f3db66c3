"""Rates of the reference ASGD over the number of samples, and Algorithm 1 on a network beside its reference."""

import jax
import numpy as np

from experiment import figures
from ntk_asgd import activations, theory
from ntk_asgd.runs import descent

VECTORIZED = descent.TRACED
_CURVES = ("averaged", "last", "reference")
_RELU = "relu"
_TERMS = {
    "source": r"$\lambda^{2r}\|\Sigma^{-r}g_\rho\|^2$",
    "initial": r"$\|g_\rho\|_H^2/(T+1)$",
    "step_size": r"$\|g_\rho\|_H^2/(\lambda\eta^2(T+1)^2)$",
    "variance": r"$(1+\|g_\rho\|^2+\|\Sigma^{-r}g_\rho\|^2)\,N(\lambda)/(T+1)$",
}


def load(config):
    """Returns {case name: Problem} for the rates, and under "network" that of the network; checks every field."""
    if len(config.beta) != len(config.r):
        raise ValueError(f"config.beta={config.beta} and config.r={config.r} must be numbers that pair up")
    problems = descent.reference_problems(config, tuple(zip(config.beta, config.r)))
    if not descent.all_of((int, float), config.network.sharpness):
        raise ValueError(f"config.network.sharpness={config.network.sharpness}: must be numbers")
    if list(config.network.sharpness) != sorted(set(config.network.sharpness)):
        raise ValueError(f"config.network.sharpness={config.network.sharpness}: must be increasing")
    for sharpness in config.network.sharpness:
        descent.checked("config.network.sharpness", activations.get, f"swish:{sharpness}")
    return problems | {"network": descent.network_problem(config)}


def run(config, data, workdir):
    """Returns the figures: slope of every case, and the risks of the network and its reference."""
    key_reference, key_network = jax.random.split(jax.random.key(config.seed))
    cases = {case: problem for case, problem in data.items() if case != "network"}
    for place, num_samples in enumerate(config.num_samples):
        key = jax.random.fold_in(key_reference, place)
        state = descent.reference(config, workdir, f"T{num_samples}", list(cases.values()), num_samples, key)
        for place_of_case, (case, problem) in enumerate(cases.items()):
            averaged, last = (problem.distance(each[:, place_of_case]) for each in (state.mean, state.coefficients))
            described = _described(problem, num_samples) | _bound(problem, num_samples)
            workdir.log(f"risk_{case}", num_samples, averaged=averaged, last=last, **described)
    result = {
        case: _rate_figures(problem, workdir.rows(f"risk_{case}"), problem.r + config.tail / (2 * problem.beta))
        for case, problem in cases.items()
    }
    for place, num_samples in enumerate(config.network.num_samples):
        key = jax.random.fold_in(key_network, place)
        _network(config, workdir, data["network"], num_samples, key)
    sharp = _sharpness(config, workdir, data["network"], config.network.num_samples[-1], key)
    rows = [row for row in workdir.rows() if row["stage"].startswith("risk_")]
    own = [row for row in rows if row["stage"] == "risk_network"]
    result |= {"network": _network_figures(own), "network_slope": _network_slopes(own, data["network"])}
    result["sharpness"] = sharp
    workdir.save_figure("rates", plot_rates(rows), _points(rows, ("averaged", "last", "predicted")))
    workdir.save_figure("bound", plot_bound(rows), _points(rows, ("averaged", *_TERMS, "bound")))
    workdir.save_figure("network", plot_network(rows), _points(own, (*_CURVES, "predicted")))
    if config.network.sharpness:
        points = [row for row in workdir.rows() if row["stage"].startswith("sharpness")]
        workdir.save_figure("sharpness", plot_sharpness(points), _sharpness_points(points))
    return result


def plot_rates(rows):
    """Returns the figure: excess risk of the reference ASGD over T in every case, with the theory's slope."""
    cases = _by_case(rows)
    figure, axes = descent.panels(len(cases))
    for own, axis in zip(cases, axes):
        steps = np.array([row["step"] for row in own], float)
        for curve, label in (("averaged", "average of the iterates"), ("last", "last iterate")):
            descent.band(axis, steps, [row[curve] for row in own], label)
        axis.plot(steps, [row["predicted"] for row in own], ":", color="black", label="mean predicted at finite $T$")
        exponent = theory.rate_exponent(own[0]["r"], own[0]["beta"], misspecified=True)
        descent.theory_line(axis, steps, own[0]["predicted"] * 0.6, exponent, label="slope of the theory")
        _case_axis(axis, own, exponent)
    descent.shared_legend(figure, axes[0], f"median and quartiles of {len(cases[0][0]['last'])} seeds")
    return figure


def plot_bound(rows):
    """Returns the figure: measured excess risk under Theorem 1's bound at alpha = 1, and the bound's terms."""
    cases = _by_case(rows)
    figure, axes = descent.panels(len(cases))
    for own, axis in zip(cases, axes):
        steps = np.array([row["step"] for row in own], float)
        descent.band(axis, steps, [row["averaged"] for row in own], "measured")
        axis.plot(steps, [row["bound"] for row in own], color="black", lw=1.5, label=r"bound, $\alpha=1$")
        for term, label in _TERMS.items():
            axis.plot(steps, [row[term] for row in own], "--", lw=1, label=label)
        _case_axis(axis, own, theory.rate_exponent(own[0]["r"], own[0]["beta"], misspecified=True))
    excess = max(row["eta_over_theorem"] for own in cases for row in own)
    seeds = f"median and quartiles of {len(cases[0][0]['last'])} seeds"
    beyond = f"; eta up to {excess:.1f} times Theorem 1's largest" if excess > 1 else ""
    descent.shared_legend(figure, axes[0], seeds + beyond)
    return figure


def plot_network(rows):
    """Returns the figure: excess risk over T of Algorithm 1 on the network and of its reference ASGD."""
    own = sorted((row for row in rows if row["stage"] == "risk_network"), key=lambda row: row["step"])
    steps = np.array([row["step"] for row in own], float)
    figure, axis = figures.new(width=5.2, height=3.8)
    labels = ("network, averaged weights", "network, last weights", "reference ASGD, averaged")
    for curve, label in zip(_CURVES, labels):
        style = "--s" if curve == "reference" else "-o"
        descent.band(axis, steps, [row[curve] for row in own], label, style=style)
    axis.plot(steps, [row["predicted"] for row in own], ":", color="black", label="mean predicted at finite $T$")
    exponent = theory.rate_exponent(own[0]["r"], own[0]["beta"])
    descent.theory_line(
        axis, steps, own[0]["predicted"] * 0.5, exponent, label=f"ReLU kernel's rate $T^{{-{exponent:.3f}}}$"
    )
    descent.log_axes(axis)
    axis.set_title(f"Algorithm 1 on the circle: median, quartiles of {len(own[0]['last'])} seeds", fontsize=10)
    axis.legend(fontsize=8, frameon=False)
    return figure


def plot_sharpness(rows):
    """Returns the figure: networks with swish_s against the one with ReLU on the same samples, over s."""
    own = sorted((row for row in rows if row["stage"] == "sharpness"), key=lambda row: row["step"])
    relu = next(row for row in rows if row["stage"] == "sharpness_relu")
    values = np.array([row["s"] for row in own], float)
    figure, (left, right) = figures.new(1, 2, width=4.2)
    descent.band(left, values, [row["averaged"] for row in own], "swish$_s$ network")
    descent.band(left, values, [row["reference"] for row in own], "its reference ASGD", style="--s")
    left.axhline(np.median(relu["averaged"]), color="black", lw=1, ls=":", label="ReLU network")
    descent.log_axes(left, xlabel="sharpness $s$")
    descent.band(right, values, [row["distance"] for row in own], r"$\|g_{\mathrm{swish}_s}-g_{\mathrm{ReLU}}\|^2$")
    right.axhline(np.median(relu["averaged"]), color="black", lw=1, ls=":", label="ReLU network's excess risk")
    descent.log_axes(right, xlabel="sharpness $s$", ylabel="squared distance, averaged networks")
    seeds = len(own[0]["averaged"])
    left.set_title(f"$T={relu['step']}$: median, quartiles of {seeds} seeds", fontsize=10)
    right.set_title("same samples, same initial weights", fontsize=10)
    for axis in (left, right):
        axis.legend(fontsize=8, frameon=False)
    return figure


def _network(config, workdir, problem, num_samples, key):
    """Logs the excess risks of Algorithm 1 and of the reference ASGD on the same samples."""
    activation = config.network.activation
    reached = descent.networks(
        config, workdir, f"network_T{num_samples}", [problem], num_samples, key, activation=activation
    )
    risks = {curve: reached[curve][:, 0] for curve in (*_CURVES, "sup_gap")}
    workdir.log("risk_network", num_samples, **risks, **_described(problem, num_samples))


def _sharpness(config, workdir, problem, num_samples, key):
    """Returns the figures of networks with ReLU and with swish_s of growing s, on the same samples and weights."""
    values = config.network.sharpness
    if not values:
        return {}

    def reached(name, activation):
        own = problem._replace(eigenvalues=descent.network_eigenvalues(config, activation))
        again = jax.random.clone(key)  # the same samples and initial weights for every activation
        return descent.networks(config, workdir, name, [own], num_samples, again, activation=activation)

    limit = reached("relu", _RELU)
    risk = limit["averaged"][:, 0]
    workdir.log("sharpness_relu", num_samples, averaged=risk, reference=limit["reference"][:, 0])
    result = {_RELU: {"risk": descent.over_seeds(risk)}}
    for place, value in enumerate(values):
        smooth = reached(f"swish{value:g}", f"swish:{value}")
        distance = np.mean((smooth["outputs"] - limit["outputs"]) ** 2, axis=(1, 2))
        curves = {curve: smooth[curve][:, 0] for curve in ("averaged", "reference")}
        workdir.log("sharpness", place, s=value, distance=distance, **curves)
        result[f"s{value:g}"] = {
            "risk": descent.over_seeds(curves["averaged"]),
            "distance": descent.over_seeds(distance),
            "distance_over_relu_risk": descent.ratio_figure(distance, risk),
        }
    return result


def _described(problem, num_samples):
    bias, variance = problem.expected_risk(num_samples)
    return {"beta": problem.beta, "r": problem.r, "predicted": bias + variance, "predicted_bias": bias}


def _bound(problem, num_samples):
    """Returns the terms of Theorem 1's bound, and their sum."""
    terms = theory.bound(
        problem.eigenvalues,
        problem.coefficients,
        r=problem.r,
        regularization=problem.regularization(num_samples),
        num_samples=num_samples,
        learning_rate=problem.learning_rate,
        misspecified=True,
    )
    excess = problem.learning_rate / theory.max_learning_rate(problem.regularization(num_samples))
    return terms._asdict() | {"bound": sum(terms), "eta_over_theorem": excess}


def _by_case(rows):
    """Returns the rows of every case of the reference ASGD, by T."""
    cases = {}
    for row in rows:
        if row["stage"].startswith("risk_") and row["stage"] != "risk_network":
            cases.setdefault(row["stage"], []).append(row)
    return [sorted(own, key=lambda row: row["step"]) for own in cases.values()]


def _case_axis(axis, own, exponent):
    descent.log_axes(axis)
    word = "theory" if _within_theorem(own[0]["r"], own[0]["beta"]) else "outside the theorem"
    axis.set_title(rf"$\beta={own[0]['beta']:g}$, $r={own[0]['r']:g}$, {word} $T^{{-{exponent:.3f}}}$", fontsize=9)


def _within_theorem(r, beta):
    return bool(0.5 <= r <= 1 and beta > 1)


def _points(rows, columns):
    """Returns the plotted points as flat rows."""
    points = []
    for row in rows:
        point = {"case": row["stage"].removeprefix("risk_"), "beta": row["beta"], "r": row["r"], "T": row["step"]}
        for column in columns:
            if isinstance(row.get(column), list):
                point |= descent.quartiles(row, column)
            elif column in row:
                point[column] = row[column]
        points.append(point)
    return points


def _sharpness_points(rows):
    points = []
    for row in rows:
        point = {"activation": f"swish:{row['s']}" if "s" in row else _RELU}
        for curve in ("averaged", "reference", "distance"):
            point |= descent.quartiles(row, curve) if curve in row else {}
        points.append(point)
    return points


def _rate_figures(problem, rows, order):
    """Returns one case's figures: the slope of the mean excess risk, its prediction and the last iterate's risk.

    `order` is the target's own source condition, tail / (2 beta) inside that of the schedule.
    """
    averaged, last = (np.array(rows[-1][curve]) for curve in ("averaged", "last"))
    now = {"num_samples": rows[-1]["step"]}
    return {
        "slope": descent.slope_figure(
            rows,
            predicted="predicted",
            theory=-theory.rate_exponent(problem.r, problem.beta, misspecified=True),
            theory_at_own_order=-theory.rate_exponent(order, problem.beta, misspecified=True),
            r_and_beta_within_theorem=_within_theorem(problem.r, problem.beta),
            eta_over_theorem=rows[-1]["eta_over_theorem"],
        ),
        "averaged_risk": descent.over_seeds(averaged, predicted=rows[-1]["predicted"], **now),
        "last_risk": descent.over_seeds(last, **now),
        "last_over_averaged": descent.ratio_figure(last, averaged, **now),
        "risk_over_bound": descent.ratio_figure(averaged, np.full(len(averaged), rows[-1]["bound"]), alpha=1.0, **now),
        "lambda_constant": {"value": problem.constant},
    }


def _network_figures(rows):
    """Returns the network's figures at every T."""
    return {
        f"T{row['step']}": {
            **{f"{curve}_risk": descent.over_seeds(row[curve]) for curve in _CURVES},
            "sup_gap": descent.over_seeds(row["sup_gap"]),
        }
        for row in rows
    }


def _network_slopes(rows, problem):
    if len(rows) < 2:
        return {}
    exponent = theory.rate_exponent(problem.r, problem.beta)
    return {
        curve: descent.slope_figure(rows, curve=curve, predicted="predicted", theory=-exponent)
        for curve in ("averaged", "reference")
    }
