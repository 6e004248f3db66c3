"""What the average of the iterates buys over the last one, at equal samples: for the reference ASGD and a network."""

import jax
import numpy as np

from experiment import figures
from ntk_asgd.runs import descent

VECTORIZED = (*descent.TRACED, "power")
_METHODS = {
    "average": "average of all iterates",
    "tail": "average of the second half",
    "last": "last iterate",
    "decreasing": "last iterate, decreasing step",
}
_MODELS = {"reference": "reference ASGD", "network": "network"}


def load(config):
    """Returns {"reference": Problem, "network": Problem}; checks every field."""
    (problem,) = descent.reference_problems(config, ((config.beta, config.r),)).values()
    if not 0 < config.power < 1:
        raise ValueError(f"config.power={config.power}: must lie in (0, 1), for steps eta (1 + t)^-power")
    return {"reference": problem, "network": descent.network_problem(config)}


def run(config, data, workdir):
    """Returns the figures: risk of every method over that of the average, at every T."""
    keys = dict(zip(_MODELS, jax.random.split(jax.random.key(config.seed))))
    for model, run_fn in (("reference", _reference), ("network", _network)):
        samples = config.num_samples if model == "reference" else config.network.num_samples
        for place, num_samples in enumerate(samples):
            # one setting each: average and last iterate; average from the middle on; decreasing step
            modes = {"power": (0.0, 0.0, config.power), "average_from": (0, num_samples // 2, 0)}
            key = jax.random.fold_in(keys[model], place)
            averaged, last = run_fn(config, workdir, [data[model]] * 3, num_samples, key, modes)
            risks = {"average": averaged[:, 0], "tail": averaged[:, 1], "last": last[:, 0], "decreasing": last[:, 2]}
            workdir.log(f"risk_{model}", num_samples, predicted=sum(data[model].expected_risk(num_samples)), **risks)
    rows = [row for row in workdir.rows() if row["stage"].startswith("risk_")]
    workdir.save_figure("averaging", plot_averaging(rows), _points(rows))
    return {model: _figures([row for row in rows if row["stage"] == f"risk_{model}"]) for model in _MODELS}


def plot_averaging(rows):
    """Returns the figure: excess risk over T of every method, for the reference ASGD and for the network."""
    figure, axes = figures.new(1, len(_MODELS), width=4.4)
    for axis, (model, name) in zip(axes, _MODELS.items()):
        own = sorted((row for row in rows if row["stage"] == f"risk_{model}"), key=lambda row: row["step"])
        steps = np.array([row["step"] for row in own], float)
        for method, label in _METHODS.items():
            descent.band(axis, steps, [row[method] for row in own], label)
        axis.plot(steps, [row["predicted"] for row in own], ":", color="black", label="average, mean predicted")
        descent.log_axes(axis)
        axis.set_title(f"{name}: median, quartiles of {len(own[0]['last'])} seeds", fontsize=10)
    descent.shared_legend(figure, axes[0], "one pass over the same samples")
    return figure


def _reference(config, workdir, problems, num_samples, key, modes):
    state = descent.reference(config, workdir, f"reference_T{num_samples}", problems, num_samples, key, **modes)
    return problems[0].distance(state.mean), problems[0].distance(state.coefficients)


def _network(config, workdir, problems, num_samples, key, modes):
    name, activation = f"network_T{num_samples}", config.network.activation
    reached = descent.networks(config, workdir, name, problems, num_samples, key, activation=activation, **modes)
    return reached["averaged"], reached["last"]


def _figures(rows):
    """Returns one model's figures: at every T the ratios to the average, and every method's slope over T."""
    result = {}
    for row in rows:
        ratios = {f"{m}_over_average": descent.ratio_figure(row[m], row["average"]) for m in _METHODS if m != "average"}
        risks = {f"{method}_risk": descent.over_seeds(row[method]) for method in _METHODS}
        result[f"T{row['step']}"] = risks | ratios
    if len(rows) > 1:
        result["slope"] = {
            method: descent.slope_figure(rows, curve=method, predicted="predicted" if method == "average" else None)
            for method in _METHODS
        }
    return result


def _points(rows):
    """Returns the plotted points as flat rows."""
    points = []
    for row in rows:
        point = {"model": row["stage"].removeprefix("risk_"), "T": row["step"], "predicted": row["predicted"]}
        for method in _METHODS:
            point |= descent.quartiles(row, method)
        points.append(point)
    return points
