"""Figures of the bound run's summary, from its logged rows alone."""

import numpy as np
from scipy import stats

from ntk_asgd.runs import descent
from ntk_asgd.runs.bound_plots import expected, freedom

_RESAMPLES = 1_000


def of_activation(config, rows, activation):
    """Returns one activation's figures: its operator, risks beside the bound over T, the constant alpha, averages."""
    name = activation.replace(":", "")
    own = {stage: [row for row in rows if row["stage"] == f"{stage}_{name}"] for stage in _STAGES}
    (operator,) = own["operator"]
    result = {
        "beta": {"value": operator["beta"]},
        "sup_k": {"value": operator["sup_k"]},
        "source_norms": {f"r{r}": {"value": norm} for r, norm in operator["source_norms"].items()},
    }
    for theorem, larger in zip(own["schedule_theorem"], own["schedule_larger"]):
        result[f"T{theorem['T']}"] = {
            "regularization": {"value": theorem["regularization"]},
            "degrees_of_freedom": {"value": theorem["degrees"]},
            "theorem_step": _at_one_time(theorem),
            "larger_step": _at_one_time(larger),
        }
    result["alpha"] = {step_size: _alpha(own[f"schedule_{step_size}"]) for step_size in ("theorem", "larger")}
    result["chosen_lambda"] = {f"T{num}": _choice(own["grid"], num) for num in config.num_samples}
    result["averaging"] = {
        model: {f"T{row['T']}": _averages(row) for row in own[f"averaging_{model}"]}
        for model in ("reference", "network")
    }
    reference = {row["T"]: row for row in own["averaging_reference"]}
    for row in own["averaging_network"]:
        lead = np.array(row["average"]) - np.array(reference[row["T"]]["average"])[: len(row["average"])]
        result["averaging"]["network"][f"T{row['T']}"]["average"]["minus_reference"] = over_seeds(lead)
    return result


_STAGES = (
    "operator",
    "grid",
    "schedule_theorem",
    "schedule_larger",
    "averaging_reference",
    "averaging_network",
)


def across(rows):
    """Returns the figures over all activations: alpha, the variance's constant, and what predicts their order."""
    grid = [row for row in rows if row["stage"].startswith("grid_")]
    theorem = [row for row in rows if row["stage"].startswith("schedule_theorem_")]
    variances, freedoms, closed = np.array([(np.mean(row["variance"]), freedom(row), expected(row)) for row in grid]).T
    rank = stats.spearmanr(variances, freedoms).statistic
    result = {
        "alpha": _alpha(theorem),
        "variance_over_freedom": _spread(variances / freedoms) | {"rank_correlation": rank},
        "variance_over_expected": _spread(variances / closed),
    }
    if len({row["activation"] for row in grid}) > 1:
        result["order"] = _order(grid)
    return result


def over_seeds(values):
    """Returns the mean of one value a seed with its 95% interval by Student's t."""
    values = np.asarray(values, np.float64)
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return descent.over_seeds(values, interval=[values.mean() - half, values.mean() + half])


def _spread(values):
    """Returns the median and range of values, one a cell."""
    return {"value": np.median(values), "least": min(values), "largest": max(values), "cells": len(values)}


def _at_one_time(row):
    """Returns the figures of one descent at lambda(T)."""
    bound, variance, risk = float(row["bound"]), np.array(row["variance"]), np.array(row["risk"])
    return {
        "risk": over_seeds(risk),
        "bias": {"value": row["bias"]},
        "variance": over_seeds(variance),
        "variance_over_freedom": over_seeds(variance / freedom(row)),
        "residual_over_noise": {"value": np.mean(row["residual_square"]) / row["noise_square"]},
        "variance_over_expected": over_seeds(variance / expected(row)),
        "bound": {"value": bound, "terms": row["terms"], "over_target": bound / row["target_square"]},
        "bound_over_risk": {"value": bound / risk.mean(), "largest": bound / risk.min(), "least": bound / risk.max()},
        "source_term_over_its_bias": {"value": float(row["terms"]["source"]) / row["limit_bias"]},
        "variance_term_over_variance": {"value": float(row["terms"]["variance"]) / variance.mean()},
        "tightest_r": {"value": float(min(row["bounds"], key=lambda r: float(row["bounds"][r])))},
    }


def _alpha(rows):
    """Returns the least constant alpha that covers the measured mean risks, and how far it varies."""
    needed = [np.mean(row["risk"]) / float(row["bound"]) for row in rows]
    least = min(needed)
    return {
        "value": max(needed),
        "largest_of_a_seed": max(np.max(row["risk"]) / float(row["bound"]) for row in rows),
        "least": least,
        "spread": max(needed) / least if least else None,
        "seeds": len(rows[0]["risk"]),
    }


def _choice(grid, num_samples):
    """Returns the lambda of the grid at which the bound is least, the best one, and the price of the former."""
    rows = [row for row in grid if row["T"] == num_samples]
    chosen = min(rows, key=lambda row: float(row["bound"]))
    best = min(rows, key=lambda row: np.mean(row["risk"]))
    price = descent.ratio_figure(chosen["risk"], best["risk"])
    return {"by_bound": {"value": chosen["level"]}, "best": {"value": best["level"]}, "risk_over_best": price}


def _averages(row):
    """Returns every average's risk at one T, and its paired difference to the average of all iterates."""
    average = np.array(row["average"])
    result = {}
    for scheme in row["schemes"]:
        risk = np.array(row[scheme])
        result[scheme] = {"risk": over_seeds(risk), "minus_average": over_seeds(risk - average)}
        if "bias" in row:
            result[scheme]["bias"] = {"value": row["bias"][scheme]}
    if "strided" in row:
        functions, strided = np.array(row["functions"]), np.array(row["strided"])
        result["functions"]["minus_weights"] = over_seeds(functions - strided)
        result["functions"]["distance_to_weights"] = over_seeds(row["functions_gap"])
    return result


_PREDICTORS = {  # name: (what is ordered, by what)
    "variance_by_degrees": ("variance", lambda row: row["degrees"]),
    "variance_by_degrees2": ("variance", lambda row: row["degrees2"]),
    "variance_by_expected": ("variance", expected),
    "risk_by_degrees": ("risk", lambda row: row["degrees"]),
    "risk_by_bound": ("risk", lambda row: float(row["bound"])),
}


def _order(grid):
    """Returns how well N(lambda), the bound and others order the activations at the same lambda / sup k and T.

    {name: Kendall's tau, the mean over lambda and T, and for every T alone}.
    """
    cells = {}
    for row in grid:
        cells.setdefault((row["level"], row["T"]), []).append(row)
    result = {name: _agreement(list(cells.values()), *pair) for name, pair in _PREDICTORS.items()}
    for num_samples in sorted({row["T"] for row in grid}):
        now = [cell for (_, when), cell in cells.items() if when == num_samples]
        for name, pair in _PREDICTORS.items():
            result[name][f"T{num_samples}"] = _agreement(now, *pair)
    return result


def _agreement(cells, measured, predictor):
    """Returns the mean of Kendall's tau over cells, with the bootstrap's interval over the seeds.

    All activations saw the same samples, so that their seeds are drawn together.
    """
    predicted = np.array([[predictor(row) for row in cell] for cell in cells])  # [cells, activations]
    values = np.array([[row[measured] for row in cell] for cell in cells])  # [cells, activations, seeds]
    num_seeds = values.shape[2]
    picks = np.random.default_rng(0).integers(num_seeds, size=(_RESAMPLES, num_seeds))
    means = np.stack([values[:, :, pick].mean(axis=2) for pick in picks])
    again = kendall(predicted[None], means).mean(axis=1)
    tau = kendall(predicted, values.mean(axis=2))
    return {
        "value": tau.mean(),
        "se": again.std(ddof=1),
        "interval": np.quantile(again, (0.025, 0.975)).tolist(),
        "seeds": num_seeds,
        "cells": len(cells),
        "cells_in_order": int((tau == 1).sum()),
    }


def kendall(one, other):
    """Returns Kendall's tau of the last axes [.., k], ties as neither."""
    first, second = np.triu_indices(one.shape[-1], 1)
    signs = [np.sign(each[..., first] - each[..., second]) for each in (np.asarray(one), np.asarray(other))]
    return np.mean(signs[0] * signs[1], axis=-1)
