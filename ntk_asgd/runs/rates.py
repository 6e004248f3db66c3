"""Rates of the reference ASGD over the number of samples, and Algorithm 1 on a network beside its reference."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiment import figures
from ntk_asgd import activations, asgd, network, sphere, targets, theory

_GRID = 512  # angles on which a network is compared with its target
_RESAMPLES = 1_000  # bootstrap resamples of the seeds
_CURVES = ("averaged", "last", "reference")


class Problem(NamedTuple):
    """A kernel in coordinates, a Bayes rule, and the constants of the descent."""

    eigenvalues: np.ndarray  # [N], in the order of `sphere.circle_eigenfunctions`
    coefficients: np.ndarray  # of the Bayes rule [N]
    learning_rate: float
    noise: float
    beta: float
    r: float


def load(config):
    """Returns {case name: Problem} for the rates, and under "network" that of the network; checks every field."""
    net = config.network
    if len(config.beta) != len(config.r) or not config.beta or not _all_of((int, float), config.beta + config.r):
        raise ValueError(f"config.beta={config.beta} and config.r={config.r} must be numbers that pair up")
    for beta, r in zip(config.beta, config.r):
        _checked(f"config.beta={config.beta}, config.r={config.r}", theory.rate_exponent, r, beta)
    _checked(f"config.network.r={net.r}", theory.rate_exponent, net.r, theory.decay_exponent(2))
    _checked("config.network.activation", activations.get, net.activation)
    if not 0 < config.eta_sup_k < 2:
        raise ValueError(
            f"config.eta_sup_k={config.eta_sup_k}: must lie in (0, 2), for the iterates diverge from 2 / sup k on; "
            "the runs use 0.25"
        )
    if net.width < 2 or net.width % 2:
        raise ValueError(f"config.network.width={net.width}: the symmetric initialisation needs an even width")
    for name, value, least in (
        ("num_seeds", config.num_seeds, 2),
        ("network.num_seeds", net.num_seeds, 2),
        ("num_functions", config.num_functions, 2),
        ("network.max_degree", net.max_degree, 2),
        ("steps_per_call", config.steps_per_call, 1),
    ):
        if value < least:
            raise ValueError(f"config.{name}={value}: must be at least {least}")
    for name, value in (("sup_norm", config.sup_norm), ("network.gamma", net.gamma), ("network.scale", net.scale)):
        if not 0 < value < np.inf:
            raise ValueError(f"config.{name}={value}: must be positive")
    if not 0 <= config.noise < np.inf:
        raise ValueError(f"config.noise={config.noise}: must be at least 0")
    _check_samples("config.num_samples", config.num_samples, config.steps_per_call, least=2)
    _check_samples("config.network.num_samples", net.num_samples, config.steps_per_call, least=1)
    problems = {f"beta{beta:g}_r{r:g}": _power_law(config, beta, r) for beta, r in zip(config.beta, config.r)}
    return problems | {"network": _network_problem(config)}


def run(config, data, workdir):
    """Returns the figures: slope of every case, and the risks of the network and its reference."""
    keys = dict(zip(data, jax.random.split(jax.random.key(config.seed), len(data))))
    result = {}
    for case, problem in data.items():
        if case != "network":
            for place, num_samples in enumerate(config.num_samples):
                key = jax.random.fold_in(keys[case], place)
                _reference_run(config, workdir, case, problem, num_samples, key)
            result[case] = _rate_figures(config, problem, workdir.rows(f"risk_{case}"))
    for place, num_samples in enumerate(config.network.num_samples):
        _network_run(config, workdir, data["network"], num_samples, jax.random.fold_in(keys["network"], place))
    rows = [row for row in workdir.rows() if row["stage"].startswith("risk_")]
    result["network"] = _network_figures([row for row in rows if row["stage"] == "risk_network"])
    workdir.save_figure("rates", plot_rates(rows), _points(rows, of_network=False))
    workdir.save_figure("network", plot_network(rows), _points(rows, of_network=True))
    return result


def plot_rates(rows):
    """Returns the figure: excess risk of the reference ASGD over T in every case, with the theory's slope."""
    rows = [row for row in rows if row["stage"] != "risk_network"]
    cases = list(dict.fromkeys(row["stage"] for row in rows))
    figure, axes = figures.new(1, len(cases), width=4.2)
    for case, axis in zip(cases, np.atleast_1d(axes)):
        own = sorted((row for row in rows if row["stage"] == case), key=lambda row: row["step"])
        steps = np.array([row["step"] for row in own], float)
        for curve, label in (("averaged", "average of the iterates"), ("last", "last iterate")):
            _band(axis, steps, [row[curve] for row in own], label)
        axis.plot(steps, [row["predicted"] for row in own], ":", color="black", label="mean predicted at finite $T$")
        _theory_line(axis, steps, own[0]["predicted"], own[0]["beta"], own[0]["r"])
        _log_axes(axis, r"excess risk $\|g-g_\rho\|^2$")
        title = rf"$\beta={own[0]['beta']:g}$, $r={own[0]['r']:g}$: median, quartiles of {len(own[0]['last'])} seeds"
        axis.set_title(title, fontsize=10)
        axis.legend(fontsize=8, frameon=False)
    return figure


def plot_network(rows):
    """Returns the figure: excess risk over T of Algorithm 1 on the network and of its reference ASGD."""
    own = sorted((row for row in rows if row["stage"] == "risk_network"), key=lambda row: row["step"])
    steps = np.array([row["step"] for row in own], float)
    figure, axis = figures.new(width=5.2, height=3.8)
    labels = ("network, averaged weights", "network, last weights", "reference ASGD, averaged")
    for curve, label in zip(_CURVES, labels):
        _band(axis, steps, [row[curve] for row in own], label, style="--s" if curve == "reference" else "-o")
    _theory_line(axis, steps, np.median(own[0]["averaged"]) * 0.5, own[0]["beta"], own[0]["r"])
    _log_axes(axis, r"excess risk $\|g-g_\rho\|^2$")
    axis.set_title(f"Algorithm 1 on the circle: median, quartiles of {len(own[0]['last'])} seeds", fontsize=10)
    axis.legend(fontsize=8, frameon=False)
    return figure


def _band(axis, steps, values, label, style="-o"):
    low, middle, high = np.quantile(np.array(values), (0.25, 0.5, 0.75), axis=1)
    (line,) = axis.plot(steps, middle, style, ms=3.5, lw=1.2, label=label)
    axis.fill_between(steps, low, high, color=line.get_color(), alpha=0.2, lw=0)


def _log_axes(axis, ylabel):
    axis.set_xscale("log", base=2)
    axis.set(yscale="log", xlabel="samples $T$", ylabel=ylabel)


def _theory_line(axis, steps, start, beta, r):
    exponent = theory.rate_exponent(r, beta)
    line = start * (steps / steps[0]) ** -exponent
    axis.plot(steps, line, "--", color="grey", lw=1, label=f"theory $T^{{-{exponent:.3f}}}$")


def _points(rows, *, of_network):
    """Returns the plotted points as flat rows."""
    points = []
    for row in rows:
        if (row["stage"] == "risk_network") == of_network:
            point = {name: row[name] for name in ("beta", "r", "predicted") if name in row} | {"T": row["step"]}
            for curve in _CURVES:
                if curve in row:
                    low, middle, high = np.quantile(row[curve], (0.25, 0.5, 0.75))
                    point |= {f"{curve}_q1": low, f"{curve}_median": middle, f"{curve}_q3": high}
            points.append(point)
    return points


def _power_law(config, beta, r):
    """Returns the problem with lambda_i proportional to i^{-beta}, of sum 1."""
    eigenvalues = np.arange(1, config.num_functions + 1) ** -float(beta)
    eigenvalues /= eigenvalues.sum()
    return _problem(config, eigenvalues, 2 * eigenvalues.sum(), beta, r)  # k(x, x) <= 2 sum_i lambda_i


def _network_problem(config):
    """Returns the problem of the network's infinite-width kernel on the circle."""
    net = config.network
    mu, multiplicity = sphere.eigenvalues(
        dim=2, activation=net.activation, max_degree=net.max_degree, scale=net.scale, gamma=net.gamma
    )
    eigenvalues = np.repeat(mu, multiplicity)
    return _problem(config, eigenvalues, eigenvalues.sum(), theory.decay_exponent(2), net.r)


def _problem(config, eigenvalues, sup_k, beta, r):
    coefficients = targets.source_coefficients(eigenvalues, r, sup_norm=config.sup_norm, eigenfunction_bound=np.sqrt(2))
    return Problem(eigenvalues, coefficients, config.eta_sup_k / sup_k, config.noise, beta, r)


def _reference_run(config, workdir, case, problem, num_samples, key):
    """Runs the reference ASGD over T samples for every seed and logs the excess risks."""
    streams = jax.random.split(key, config.num_seeds)
    state = jax.vmap(lambda _: asgd.reference_init(config.num_functions))(jnp.arange(config.num_seeds))
    numbers = _numbers(problem, num_samples)
    state = workdir.loop(
        f"{case}_T{num_samples}",
        state,
        lambda state, step: _advance_reference(state, streams, step, numbers, config.steps_per_call),
        num_steps=num_samples,
        steps_per_call=config.steps_per_call,
    )
    predicted = theory.reference_error(
        problem.eigenvalues,
        problem.coefficients,
        num_samples=num_samples,
        learning_rate=problem.learning_rate,
        regularization=theory.regularization(num_samples, problem.r, problem.beta),
        noise=problem.noise,
    )
    averaged, last = (_distance(each, problem) for each in (state.mean, state.coefficients))
    described = {"beta": problem.beta, "r": problem.r, "predicted": sum(predicted)}
    workdir.log(f"risk_{case}", num_samples, averaged=averaged, last=last, **described)


def _network_run(config, workdir, problem, num_samples, key):
    """Runs Algorithm 1 on networks, and the reference ASGD on the same samples, and logs the excess risks."""
    net = config.network
    key_weights, key_streams = jax.random.split(key)
    streams = jax.random.split(key_streams, net.num_seeds)
    init_fn = functools.partial(network.init, width=net.width, dim=2, scale=net.scale)
    weights = jax.vmap(init_fn)(jax.random.split(key_weights, net.num_seeds))
    reference = jax.vmap(lambda _: asgd.reference_init(len(problem.eigenvalues)))(jnp.arange(net.num_seeds))
    fixed = {"activation": net.activation, "gamma": net.gamma}
    numbers = _numbers(problem, num_samples)
    state, reference = workdir.loop(
        f"network_T{num_samples}",
        (jax.vmap(asgd.init)(weights), reference),
        lambda state, step: _advance_network(state, streams, step, numbers, num_steps=config.steps_per_call, **fixed),
        num_steps=num_samples,
        steps_per_call=config.steps_per_call,
    )
    angles = jnp.arange(_GRID) * (2 * np.pi / _GRID)
    basis = sphere.circle_eigenfunctions(angles, len(problem.eigenvalues))
    clean = basis @ numbers["coefficients"]
    outputs = {
        name: jax.vmap(functools.partial(network.apply, **fixed), in_axes=(0, None))(
            weights_fn(state), _on_circle(angles)
        )
        for name, weights_fn in (("averaged", jax.vmap(asgd.averaged_weights)), ("last", jax.vmap(asgd.last_weights)))
    }
    risks = {name: jnp.mean((each - clean[None, :]) ** 2, axis=1) for name, each in outputs.items()}
    gap = jnp.max(jnp.abs(outputs["averaged"] - reference.mean @ basis.T), axis=1)
    described = {"beta": problem.beta, "r": problem.r}
    workdir.log(
        "risk_network", num_samples, **risks, reference=_distance(reference.mean, problem), sup_gap=gap, **described
    )


def _numbers(problem, num_samples):
    """Returns what a step needs, as arrays to pass into the compiled function."""
    return {
        "eigenvalues": jnp.asarray(problem.eigenvalues, jnp.float32),
        "coefficients": jnp.asarray(problem.coefficients, jnp.float32),
        "learning_rate": jnp.float32(problem.learning_rate),
        "regularization": jnp.float32(theory.regularization(num_samples, problem.r, problem.beta)),
        "noise": jnp.float32(problem.noise),
    }


@functools.partial(jax.jit, static_argnames="num_steps")
def _advance_reference(state, streams, step, numbers, num_steps):
    """Returns the reference states of all seeds after num_steps more samples, and the mean loss of each step."""

    def one_step(state, sample):
        angle, disturbance = sample
        features = sphere.circle_eigenfunctions(angle[None], state.mean.shape[0])[0]
        clean = jnp.vdot(numbers["coefficients"], features)
        return asgd.reference_step(state, features, clean + disturbance, **_descent(numbers, "eigenvalues"))

    return _scan_seeds(one_step, state, streams, step, numbers, num_steps)


@functools.partial(jax.jit, static_argnames=("activation", "gamma", "num_steps"))
def _advance_network(state, streams, step, numbers, *, activation, gamma, num_steps):
    """Returns the (network, reference) states of all seeds after num_steps more samples, and each step's losses."""
    apply_fn = functools.partial(network.apply, activation=activation, gamma=gamma)

    def one_step(state, sample):
        angle, disturbance = sample
        features = sphere.circle_eigenfunctions(angle[None], state[1].mean.shape[0])[0]
        y = jnp.vdot(numbers["coefficients"], features) + disturbance
        x = _on_circle(angle[None])[0]
        ours, info = asgd.step(state[0], x, y, apply_fn=apply_fn, **_descent(numbers))
        reference, reference_info = asgd.reference_step(state[1], features, y, **_descent(numbers, "eigenvalues"))
        return (ours, reference), {"loss": info["loss"], "reference_loss": reference_info["loss"]}

    return _scan_seeds(one_step, state, streams, step, numbers, num_steps)


def _scan_seeds(one_step, state, streams, step, numbers, num_steps):
    """Returns the states of all seeds after num_steps, and each step's infos meaned over seeds [num_steps]."""

    def one_seed(state, stream):
        draw = functools.partial(targets.circle_sample, stream, noise=numbers["noise"])
        return jax.lax.scan(one_step, state, jax.vmap(draw)(step + jnp.arange(num_steps)))

    state, info = jax.vmap(one_seed)(state, streams)
    return state, jax.tree.map(lambda values: values.mean(axis=0), info)


def _descent(numbers, *more):
    return {name: numbers[name] for name in ("learning_rate", "regularization", *more)}


def _on_circle(angle):
    """Returns the points [n, 2] of the unit circle at angles [n]."""
    return jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=1)


def _distance(coefficients, problem):
    """Returns the squared L2(rho_X) distances [seeds] of functions to the Bayes rule, in coordinates, float64."""
    return np.sum((np.asarray(coefficients, np.float64) - problem.coefficients[None, :]) ** 2, axis=1)


def _rate_figures(config, problem, rows):
    """Returns one case's figures: the slope of the mean excess risk, its prediction and the last iterate's risk."""
    steps = np.log([row["step"] for row in rows])
    averaged = np.array([row["averaged"] for row in rows])  # [T, seeds]
    rng = np.random.default_rng(config.seed)
    picks = rng.integers(averaged.shape[1], size=(_RESAMPLES, *averaged.shape))
    resampled = np.take_along_axis(averaged[None], picks, axis=2).mean(axis=2)
    slopes = np.polyfit(steps, np.log(resampled).T, 1)[0]
    last = np.array(rows[-1]["last"])
    seeds = len(last)
    ratios = last[picks[:, -1]].mean(axis=1) / resampled[:, -1]
    return {
        "slope": {
            "value": np.polyfit(steps, np.log(averaged.mean(axis=1)), 1)[0],
            "se": slopes.std(ddof=1),
            "seeds": seeds,
            "theory": -theory.rate_exponent(problem.r, problem.beta),
            "predicted": np.polyfit(steps, np.log([row["predicted"] for row in rows]), 1)[0],
        },
        "averaged_risk": _over_seeds(averaged[-1], num_samples=rows[-1]["step"], predicted=rows[-1]["predicted"]),
        "last_risk": _over_seeds(last, num_samples=rows[-1]["step"]),
        "last_over_averaged": {"value": last.mean() / averaged[-1].mean(), "se": ratios.std(ddof=1), "seeds": seeds},
    }


def _network_figures(rows):
    """Returns the network's figures at every T."""
    return {
        f"T{row['step']}": {
            **{f"{curve}_risk": _over_seeds(row[curve]) for curve in _CURVES},
            "sup_gap": _over_seeds(row["sup_gap"]),
        }
        for row in rows
    }


def _over_seeds(values, **beside):
    return {"value": np.mean(values), "sd": np.std(values, ddof=1), "seeds": len(values), **beside}


def _checked(field, fn, *args):
    """Calls fn, naming the config's field in its ValueError."""
    try:
        fn(*args)
    except ValueError as error:
        raise ValueError(f"{field}: {error}") from None


def _check_samples(field, values, steps_per_call, least):
    increasing = _all_of(int, values) and list(values) == sorted(set(values))
    if len(values) < least or not increasing or any(v < 1 or v % steps_per_call for v in values):
        raise ValueError(
            f"{field}={values}: must be at least {least} increasing whole numbers, each a multiple of "
            f"config.steps_per_call={steps_per_call}"
        )


def _all_of(kind, values):
    return all(isinstance(value, kind) for value in values)
