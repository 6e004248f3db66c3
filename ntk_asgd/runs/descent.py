"""What the runs share: problems on the circle and their loops, checks of fields, figures with errors, plot elements."""

import functools

import jax
import numpy as np
from absl import logging

from experiment import figures, mesh, unison
from ntk_asgd import activations, asgd, circle, rkhs, targets, theory

# Fields of the config that are traced in the loops here: runs that differ in no others are one program together.
TRACED = (
    *("seed", "beta", "r", "eta_sup_k", "sup_norm", "tail", "noise", "bias_over_variance"),
    *("network.r", "network.scale"),
)
_RESAMPLES = 1_000  # bootstrap resamples of the seeds
_BETA = theory.decay_exponent(2)


def reference_problems(config, pairs):
    """Returns {case name: `circle.Problem`} of power-law spectra, one for each (beta, r); checks their fields."""
    if not pairs or not all_of((int, float), [number for pair in pairs for number in pair]):
        raise ValueError(f"config.beta={config.beta} and config.r={config.r} must be numbers that pair up")
    if len(set(pairs)) < len(pairs):
        raise ValueError(f"config.beta={config.beta}, config.r={config.r}: a pair is there twice")
    outside = []
    for beta, r in pairs:
        checked(f"config.beta={config.beta}, config.r={config.r}", theory.rate_exponent, r, beta, misspecified=True)
        if not (0.5 <= r <= 1 and beta > 1):
            outside.append(f"beta={beta:g}, r={r:g}")
    if outside:
        logging.warning("%s: outside the theorem (r in [1/2, 1], beta > 1); run as misspecified", "; ".join(outside))
    check_descent(config)
    check_positive({"sup_norm": config.sup_norm, "bias_over_variance": config.bias_over_variance})
    problems = {f"beta{beta:g}_r{r:g}": _power_law(config, beta, r) for beta, r in pairs}
    _warn_of_step_size(config, problems)
    return problems


def network_problem(config):
    """Returns the `circle.Problem` of the network's infinite-width kernel; checks config.network.

    The Bayes rule has coefficients i^{-(r beta + (1 + tail)/2)} for beta = 2: the order r + tail / (2 beta) in the ReLU
    network's kernel.
    """
    net = config.network
    check_counts({"network.num_seeds": (net.num_seeds, 2), "network.max_degree": (net.max_degree, 2)})
    checked(f"config.network.r={net.r}", theory.rate_exponent, net.r, _BETA)
    checked("config.network.activation", activations.get, net.activation)
    check_width("config.network.width", net.width)
    check_positive({"network.scale": net.scale})
    if not 0 <= net.gamma < np.inf:
        raise ValueError(f"config.network.gamma={net.gamma}: must be at least 0")
    check_samples("config.network.num_samples", net.num_samples, config.steps_per_call, least=1)
    eigenvalues = network_eigenvalues(config, net.activation)
    coefficients = _coefficients(config, circle.power_law(len(eigenvalues), _BETA), net.r)
    degrees = (np.arange(len(eigenvalues)) + 1) // 2
    checked(f"config.network.gamma={net.gamma}", targets.check_visible, eigenvalues, coefficients, degrees=degrees)
    return _problem(config, eigenvalues, coefficients, eigenvalues.sum(), _BETA, net.r, net.num_samples)


def network_eigenvalues(config, activation):
    """Returns the eigenvalues of the kernel of config.network with that activation."""
    net = config.network
    return circle.network_eigenvalues(
        activation=activation, max_degree=net.max_degree, scale=net.scale, gamma=net.gamma
    )


def reference(config, workdir, name, problems, num_samples, key, **settings):
    """Returns the states [seeds, m] of the reference ASGD on a list of m problems after T samples, the same for all.

    Args:
        name: of the loop.
        key: of the seeds' streams.
        **settings: of `circle.numbers`.
    """
    streams = mesh.shard_leading(jax.random.split(key, config.num_seeds))
    numbers = circle.numbers(problems, num_samples, **settings)
    reached = workdir.loop(
        name,
        circle.reference_start(config.num_seeds, numbers),
        lambda state, step: unison.call(
            circle.advance_reference,
            mesh.shard_leading(state),
            streams,
            step,
            numbers,
            num_steps=config.steps_per_call,
        ),
        num_steps=num_samples,
        steps_per_call=config.steps_per_call,
    )
    return mesh.gather(reached)


def networks(config, workdir, name, problems, num_samples, key, *, activation, widths=None, **settings):
    """Returns what Algorithm 1 and the reference ASGD reach on m problems after T samples, the same for all.

    Args:
        name: of the loop.
        key: of the seeds' initial weights and streams.
        activation: a name. Every swish shares one compiled function, its sharpness an argument.
        widths: of the m networks, all config.network.width where left out; others need a swish.
        **settings: of `circle.numbers`.

    Returns:
        {"averaged", "last", "reference"}: excess risks [seeds, m] (the reference's of its mean); {"sup_gap"}: the
        largest distance of averaged network and averaged reference [seeds, m]; {"outputs"} of the averaged network
        [seeds, m, angles].
    """
    net = config.network
    kind, _, sharpness = activation.partition(":")
    widths = widths or (net.width,) * len(problems)
    if kind == "swish":
        settings |= {"sharpness": float(sharpness or 1), "gain": circle.padding_gain(widths)}
    fixed = {"activation": None if kind == "swish" else activation, "gamma": float(net.gamma)}
    numbers = circle.numbers(problems, num_samples, **settings)
    key_weights, key_streams = jax.random.split(key)
    streams = mesh.shard_leading(jax.random.split(key_streams, net.num_seeds))
    start = circle.network_start(jax.random.split(key_weights, net.num_seeds), widths, scale=net.scale)
    reached = workdir.loop(
        name,
        (start, circle.reference_start(net.num_seeds, numbers)),
        lambda state, step: unison.call(
            circle.advance_network,
            mesh.shard_leading(state),
            streams,
            step,
            numbers,
            num_steps=config.steps_per_call,
            **fixed,
        ),
        num_steps=num_samples,
        steps_per_call=config.steps_per_call,
    )
    state, followed = mesh.shard_leading(reached)  # a state read back from a checkpoint is where a fresh one is
    basis = np.asarray(circle.basis(len(problems[0].eigenvalues)))
    clean = basis @ problems[0].coefficients
    outputs = {
        curve: np.asarray(mesh.gather(circle.network_outputs(weights(state), numbers, **fixed)))
        for curve, weights in (("averaged", asgd.averaged_weights), ("last", asgd.last_weights))
    }
    risks = {curve: np.mean((each - clean[None, None, :]) ** 2, axis=2) for curve, each in outputs.items()}
    mean = np.asarray(mesh.gather(followed.mean))
    limit = mean @ basis.T
    return risks | {
        "reference": problems[0].distance(mean),
        "sup_gap": np.abs(outputs["averaged"] - limit).max(axis=2),
        "outputs": outputs["averaged"],
    }


def slope_figure(rows, *, curve="averaged", predicted=None, **beside):
    """Returns the slope of log mean risk over log T, with the bootstrap's standard error over the seeds.

    Args:
        rows: one a T, with risks of every seed under `curve`.
        curve: its name.
        predicted: name of the curve's expected risk in closed form, whose slope is given too.
        **beside: what else the figure holds.
    """
    steps = np.log([row["step"] for row in rows])
    risks = np.array([row[curve] for row in rows])  # [T, seeds]
    slopes = np.polyfit(steps, np.log(resampled(risks)).T, 1)[0]
    if predicted is not None:
        beside["predicted"] = np.polyfit(steps, np.log([row[predicted] for row in rows]), 1)[0]
    return {
        "value": np.polyfit(steps, np.log(risks.mean(axis=1)), 1)[0],
        "se": slopes.std(ddof=1),
        "seeds": risks.shape[1],
        **beside,
    }


def ratio_figure(upper, lower, **beside):
    """Returns the ratio of two mean risks [seeds], with the bootstrap's standard error over the seeds of both."""
    both = resampled(np.stack([upper, lower]), paired=True)
    ratios = both[:, 0] / both[:, 1]
    return {"value": np.mean(upper) / np.mean(lower), "se": ratios.std(ddof=1), "seeds": len(upper), **beside}


def resampled(risks, paired=False):
    """Returns bootstrap means [resamples, rows] over the seeds of risks [rows, seeds].

    Args:
        risks: one row a T or a method.
        paired: whether the rows' seeds saw the same samples and are drawn together.
    """
    rows, seeds = risks.shape
    picks = np.random.default_rng(0).integers(seeds, size=(_RESAMPLES, 1 if paired else rows, seeds))
    return np.take_along_axis(risks[None], np.broadcast_to(picks, (_RESAMPLES, rows, seeds)), axis=2).mean(axis=2)


def over_seeds(values, **beside):
    """Returns the figure of one value a seed; of a single seed the spread is None."""
    spread = np.std(values, ddof=1) if len(values) > 1 else None
    return {"value": np.mean(values), "sd": spread, "seeds": len(values), **beside}


def band(axis, x, values, label, style="-o", **line):
    """Draws the median of values [x, seeds] and a band between their quartiles."""
    low, middle, high = np.quantile(np.array(values), (0.25, 0.5, 0.75), axis=1)
    (drawn,) = axis.plot(x, middle, style, ms=3.5, lw=1.2, label=label, **line)
    axis.fill_between(x, low, high, color=drawn.get_color(), alpha=0.2, lw=0)


def quartiles(row, curve):
    """Returns the plotted values of one row's curve as flat columns."""
    low, middle, high = np.quantile(row[curve], (0.25, 0.5, 0.75))
    return {f"{curve}_q1": low, f"{curve}_median": middle, f"{curve}_q3": high}


def log_axes(axis, *, xlabel="samples $T$", ylabel=r"excess risk $\|g-g_\rho\|^2$"):
    """Makes both axes logarithmic, T in powers of two."""
    axis.set_xscale("log", base=2)
    axis.set(yscale="log", xlabel=xlabel, ylabel=ylabel)


def theory_line(axis, steps, start, exponent, label):
    """Draws the line of slope -exponent through (steps[0], start)."""
    axis.plot(steps, start * (steps / steps[0]) ** -exponent, "--", color="grey", lw=1, label=label)


def shared_legend(figure, axis, title):
    """Puts one axis's legend under all of a figure's panels."""
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, title=title, loc="outside lower center", ncols=3, fontsize=8, frameon=False)


def panels(count, *, columns=3, width=3.6, height=3.0):
    """Returns (figure, axes [count]): panels in rows, unused ones taken away."""
    columns = min(columns, count)
    figure, axes = figures.new(-(-count // columns), columns, width=width, height=height)
    axes = np.atleast_1d(axes).ravel()
    for axis in axes[count:]:
        axis.remove()
    return figure, axes[:count]


def check_descent(config):
    """Checks the fields that every descent has."""
    if not 0 < config.eta_sup_k < 2:
        raise ValueError(
            f"config.eta_sup_k={config.eta_sup_k}: must lie in (0, 2), for the iterates diverge from 2 / sup k on; "
            "the runs use 0.25"
        )
    check_counts(
        {
            "num_seeds": (config.num_seeds, 2),
            "num_functions": (config.num_functions, 2),
            "steps_per_call": (config.steps_per_call, 1),
        }
    )
    check_positive({"noise": config.noise, "tail": config.tail})
    if getattr(config, "sup_norm", 0) + config.noise > 1:
        logging.warning("config.sup_norm + config.noise > 1: Y leaves [-1, 1], which Assumption A2 asks for")
    check_samples("config.num_samples", config.num_samples, config.steps_per_call, least=2)


def checked(field, fn, *args, **keywords):
    """Returns fn's result, naming the config's field in its ValueError."""
    try:
        return fn(*args, **keywords)
    except ValueError as error:
        raise ValueError(f"{field}: {error}") from None


def check_counts(fields):
    """Checks {field: (value, least)}."""
    for name, (value, least) in fields.items():
        if value < least:
            raise ValueError(f"config.{name}={value}: must be at least {least}")


def check_positive(fields):
    """Checks {field: value}."""
    for name, value in fields.items():
        if not 0 < value < np.inf:
            raise ValueError(f"config.{name}={value}: must be positive")


def check_stable(field, problem, sup_k, num_samples):
    """Checks that the descent on a problem is stable at the smallest T, where lambda is largest."""
    level = problem.regularization(num_samples)
    checked(f"{field} at T={num_samples}", rkhs.check_step_size, problem.learning_rate, level, sup_k)


def check_width(field, width):
    """Checks a width."""
    if not isinstance(width, int) or width < 2 or width % 2:
        raise ValueError(f"{field}={width}: the symmetric initialisation needs an even width")


def check_samples(field, values, steps_per_call, least):
    """Checks numbers of samples."""
    increasing = all_of(int, values) and list(values) == sorted(set(values))
    if len(values) < least or not increasing or any(v < 1 or v % steps_per_call for v in values):
        raise ValueError(
            f"{field}={values}: must be at least {least} increasing whole numbers, each a multiple of "
            f"config.steps_per_call={steps_per_call}"
        )


def all_of(kind, values):
    """Returns whether every value is of a kind."""
    return all(isinstance(value, kind) for value in values)


def _warn_of_step_size(config, problems):
    last = config.num_samples[-1]
    excess = {case: p.learning_rate / theory.max_learning_rate(p.regularization(last)) for case, p in problems.items()}
    case = max(excess, key=excess.get)
    if excess[case] > 1:
        logging.warning(
            "config.eta_sup_k=%g: eta = %.3g is %.1f times Theorem 1's largest (4 (6 + lambda) eta <= 1); going on",
            *(config.eta_sup_k, problems[case].learning_rate, excess[case]),
        )


def _power_law(config, beta, r):
    eigenvalues = circle.power_law(config.num_functions, beta)
    coefficients = _coefficients(config, eigenvalues, r)
    return _problem(config, eigenvalues, coefficients, circle.sup_kernel(eigenvalues), beta, r, config.num_samples)


def _coefficients(config, eigenvalues, r):
    return targets.source_coefficients(
        eigenvalues, r, sup_norm=config.sup_norm, eigenfunction_bound=np.sqrt(2), tail=config.tail
    )


def _problem(config, eigenvalues, coefficients, sup_k, beta, r, num_samples):
    """Returns the problem whose lambda balances the expected risk at the geometric mean of the T."""
    middle = round(float(np.sqrt(num_samples[0] * num_samples[-1])))
    field = f"config.bias_over_variance={config.bias_over_variance}"
    problem = checked(
        field,
        functools.partial(circle.problem, eigenvalues, coefficients),
        sup_k=sup_k,
        eta_sup_k=config.eta_sup_k,
        noise=config.noise,
        beta=beta,
        r=r,
        bias_over_variance=config.bias_over_variance,
        num_samples=middle,
    )
    check_stable(field, problem, sup_k, num_samples[0])
    return problem
