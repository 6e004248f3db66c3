"""What the theory leaves out: targets rougher than the RKHS (r < 1/2), and networks too narrow for the kernel."""

import jax
import numpy as np

from experiment import figures
from ntk_asgd import circle, targets, theory
from ntk_asgd.runs import descent

VECTORIZED = (*descent.TRACED, "norm", "constant")
_LISTED = 2**16  # eigenfunctions of the target that are counted


def load(config):
    """Returns {"r...": (Problem, energy beyond its eigenfunctions)}, and under "network" a Problem; checks fields."""
    descent.check_descent(config)
    if not config.r or not descent.all_of((int, float), config.r) or not all(0 < r <= 1 for r in config.r):
        raise ValueError(f"config.r={config.r}: must be numbers in (0, 1]")
    if not config.beta > 1:
        raise ValueError(f"config.beta={config.beta}: must be above 1, where the kernel has a trace")
    if config.num_functions > _LISTED:
        raise ValueError(f"config.num_functions={config.num_functions}: must be at most {_LISTED}")
    descent.check_positive({"norm": config.norm, "constant": config.constant})
    if len(set(config.r)) < len(config.r):
        raise ValueError(f"config.r={config.r}: a value is there twice")
    if not config.widths or not descent.all_of(int, config.widths) or list(config.widths) != sorted(set(config.widths)):
        raise ValueError(f"config.widths={config.widths}: must be increasing even whole numbers")
    for width in config.widths:
        descent.check_width("config.widths", width)
    if not config.network.activation.startswith("swish"):
        raise ValueError(f"config.network.activation={config.network.activation!r}: must be a swish, as in 'swish:10'")
    if len(config.network.num_samples) != 1:
        raise ValueError(f"config.network.num_samples={config.network.num_samples}: must be one number")
    return {f"r{r:g}": _rough(config, r) for r in config.r} | {"network": descent.network_problem(config)}


def run(config, data, workdir):
    """Returns the figures: slope for every r, and the excess risk of networks over their width."""
    key_reference, key_network = jax.random.split(jax.random.key(config.seed))
    cases = {case: value for case, value in data.items() if case != "network"}
    for place, num_samples in enumerate(config.num_samples):
        key = jax.random.fold_in(key_reference, place)
        problems = [problem for problem, _ in cases.values()]
        state = descent.reference(config, workdir, f"T{num_samples}", problems, num_samples, key)
        for m, (case, (problem, beyond)) in enumerate(cases.items()):
            averaged = problem.distance(state.mean[:, m]) + beyond
            predicted = sum(problem.expected_risk(num_samples)) + beyond
            workdir.log(f"risk_{case}", num_samples, r=problem.r, averaged=averaged, predicted=predicted)
    result = {
        case: {"slope": _slope(problem, workdir.rows(f"risk_{case}"), _order(config.tail, problem.r, problem.beta))}
        for case, (problem, _) in cases.items()
    }
    result["width"] = _widths(config, workdir, data["network"], key_network)
    rows = [row for row in workdir.rows() if row["stage"].startswith("risk_")]
    workdir.save_figure("rough", plot_rough(rows, config.beta, config.tail), _points(rows, config.beta))
    rows = workdir.rows("width")
    workdir.save_figure("narrow", plot_narrow(rows), _width_points(rows))
    return result


def plot_rough(rows, beta, tail):
    """Returns the figure: excess risk over T for every r, and the slopes over r against the formulas."""
    figure, (left, right) = figures.new(1, 2, width=4.4)
    cases = list(dict.fromkeys(row["stage"] for row in rows))
    measured, predicted, errors, orders = [], [], [], []
    for case in cases:
        own = sorted((row for row in rows if row["stage"] == case), key=lambda row: row["step"])
        steps = np.array([row["step"] for row in own], float)
        descent.band(left, steps, [row["averaged"] for row in own], f"$r={own[0]['r']:g}$")
        slope = descent.slope_figure(own, predicted="predicted")
        measured.append(-slope["value"])
        errors.append(slope["se"])
        predicted.append(-slope["predicted"])
        orders.append(_order(tail, own[0]["r"], beta))
    descent.log_axes(left)
    left.set_title(f"median, quartiles of {len(own[0]['averaged'])} seeds", fontsize=10)
    left.legend(fontsize=8, frameon=False)
    r = np.linspace(min(orders) / 2, max(orders), 100)
    right.errorbar(orders, measured, errors, fmt="o", ms=4, label="measured, standard error")
    right.plot(orders, predicted, "x", color="black", ms=5, label="predicted at finite $T$")
    right.plot(r, 2 * r * beta / (2 * r * beta + 1), "--", color="grey", lw=1, label=r"$2r\beta/(2r\beta+1)$")
    right.plot(r, 2 * r, ":", color="grey", lw=1.2, label="$2r$: what one pass can reach")
    right.axvline((beta - 1) / (2 * beta), color="grey", lw=0.6)
    right.set(xlabel="source condition of the target", ylabel="exponent of the excess risk in $1/T$", ylim=(0, 1))
    right.set_title(rf"$\beta={beta:g}$; the two meet at $r=(\beta-1)/(2\beta)$", fontsize=10)
    right.legend(fontsize=8, frameon=False)
    return figure


def plot_narrow(rows):
    """Returns the figure: excess risk of Algorithm 1 over the width, beside that of the reference ASGD."""
    rows = sorted(rows, key=lambda row: row["step"])
    widths = np.array([row["step"] for row in rows], float)
    figure, (left, right) = figures.new(1, 2, width=4.4)
    descent.band(left, widths, [row["averaged"] for row in rows], "network, averaged weights")
    descent.band(left, widths, [row["last"] for row in rows], "network, last weights")
    descent.band(left, widths, [row["reference"] for row in rows], "reference ASGD, averaged", style="--s")
    descent.log_axes(left, xlabel="width $M$")
    descent.band(right, widths, [row["sup_gap"] for row in rows], "measured")
    start = np.median(rows[-1]["sup_gap"])
    right.plot(widths, start * (widths / widths[-1]) ** -0.5, "--", color="grey", lw=1, label="$M^{-1/2}$")
    descent.log_axes(right, xlabel="width $M$", ylabel="sup gap of network and reference")
    left.set_title(f"$T={rows[0]['T']}$: median, quartiles of {len(rows[0]['last'])} seeds", fontsize=10)
    right.set_title("averaged functions, same samples", fontsize=10)
    for axis in (left, right):
        axis.legend(fontsize=8, frameon=False)
    return figure


def _rough(config, r):
    """Returns the problem with a target of norm config.norm, and its squared norm beyond the simulated functions.

    Below r = (beta-1)/(2 beta) no lambda balances the expected risk, so C is the config's.
    """
    eigenvalues = circle.power_law(_LISTED, config.beta)
    coefficients = targets.source_coefficients(eigenvalues, r, sup_norm=1, eigenfunction_bound=1, tail=config.tail)
    coefficients *= config.norm / np.linalg.norm(coefficients)
    count = config.num_functions
    problem = circle.Problem(
        eigenvalues=eigenvalues[:count],
        coefficients=coefficients[:count],
        learning_rate=config.eta_sup_k / circle.sup_kernel(eigenvalues),
        noise=config.noise,
        beta=config.beta,
        r=r,
        constant=config.constant,
    )
    field = f"config.constant={config.constant}"
    descent.check_stable(field, problem, circle.sup_kernel(eigenvalues), config.num_samples[0])
    return problem, float(np.sum(coefficients[count:] ** 2))


def _slope(problem, rows, order):
    return descent.slope_figure(
        rows,
        predicted="predicted",
        order=order,
        theory=-theory.rate_exponent(order, problem.beta, misspecified=True),
        one_pass=-2 * order,
        r_within_theorem=bool(0.5 <= problem.r <= 1),
    )


def _order(tail, r, beta):
    """Returns the source condition of a target with coefficients lambda_i^r i^{-(1 + tail)/2}."""
    return r + tail / (2 * beta)


def _widths(config, workdir, problem, key):
    """Returns the figures of networks of every width, on the same samples."""
    widths, (num_samples,) = config.widths, config.network.num_samples
    reached = descent.networks(
        config,
        workdir,
        "widths",
        [problem] * len(widths),
        num_samples,
        key,
        activation=config.network.activation,
        widths=tuple(widths),
    )
    result = {}
    for m, width in enumerate(widths):
        one = {curve: reached[curve][:, m] for curve in ("averaged", "last", "reference", "sup_gap")}
        workdir.log("width", width, T=num_samples, **one)
        result[f"M{width}"] = {
            "risk": descent.over_seeds(one["averaged"]),
            "over_reference": descent.ratio_figure(one["averaged"], one["reference"]),
            "last_over_averaged": descent.ratio_figure(one["last"], one["averaged"]),
            "sup_gap": descent.over_seeds(one["sup_gap"]),
        }
    return result


def _points(rows, beta):
    """Returns the plotted points as flat rows."""
    return [
        {"beta": beta, "r": row["r"], "T": row["step"], "predicted": row["predicted"]}
        | descent.quartiles(row, "averaged")
        for row in rows
    ]


def _width_points(rows):
    points = []
    for row in rows:
        point = {"width": row["step"], "T": row["T"]}
        for curve in ("averaged", "last", "reference", "sup_gap"):
            point |= descent.quartiles(row, curve)
        points.append(point)
    return points
