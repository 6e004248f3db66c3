"""Proposition A in its two parts: network to its own linearisation, and linearisation to infinite width, over M."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from experiment import figures, mesh
from ntk_asgd import activations, asgd, circle, network, one_pass, rkhs, sphere, targets, theory
from ntk_asgd.runs import descent

_GRID = 256  # angles over which the supremum is taken
_AT_ONCE = 16  # of them: all at once would take as many times the memory
_MOST_SAMPLES = 20_000_000  # of all seeds, which are in memory, at some 50 bytes each
_MOST_OUTPUT = 1e3  # of the Bayes rule and of the noise
_GAPS = {"linearization": -1.0, "sampling": -0.5, "total": -0.5}  # slopes in M
_LABELS = {
    "linearization": "network to its linearisation",
    "sampling": "linearisation to infinite width",
    "total": "network to infinite width",
}


class Problem(NamedTuple):
    """The kernel of infinite width and the Bayes rule [N], in the order of `sphere.circle_eigenfunctions`."""

    eigenvalues: np.ndarray
    coefficients: np.ndarray
    learning_rate: float
    regularization: float


def load(config):
    """Returns the `Problem`; checks every field of the config."""
    descent.check_counts(
        {
            "num_seeds": (config.num_seeds, 2),
            "num_samples": (config.num_samples, 1),
            "max_degree": (config.max_degree, 2),
        }
    )
    if len(config.widths) < 2 or list(config.widths) != sorted(set(config.widths)):
        raise ValueError(f"config.widths={config.widths}: must be at least 2 increasing widths, for a slope")
    for width in config.widths:
        descent.check_width("config.widths: width", width)
    names = ("scale", "gamma", "sup_norm")
    descent.check_positive({name: getattr(config, name) for name in names})
    if config.num_seeds * config.num_samples > _MOST_SAMPLES:
        raise ValueError(
            f"config.num_samples={config.num_samples}: times config.num_seeds={config.num_seeds} must be at most "
            f"{_MOST_SAMPLES}, for all samples are in memory"
        )
    for name in ("sup_norm", "noise"):
        if not 0 <= getattr(config, name) <= _MOST_OUTPUT:
            raise ValueError(
                f"config.{name}={getattr(config, name)}: must lie in [0, {_MOST_OUTPUT:g}]; Assumption A2 has |Y| <= 1"
            )
    if config.sup_norm + config.noise > 1:
        logging.warning(
            "config.sup_norm=%g, config.noise=%g: |Y| may reach their sum, where Assumption A2 has |Y| <= 1",
            *(config.sup_norm, config.noise),
        )
    if not 0 < config.eta_sup_k < 2:
        raise ValueError(
            f"config.eta_sup_k={config.eta_sup_k}: must lie in (0, 2), for the iterates diverge from 2 / sup k on"
        )
    assumption = descent.checked("config.activation", activations.assumption_a1, config.activation)
    if not assumption.holds:
        logging.warning("config.activation=%r: fails Assumption A1, which Proposition A needs", config.activation)
    beta = theory.decay_exponent(2)
    regularization = descent.checked(f"config.r={config.r}", theory.regularization, config.num_samples, config.r, beta)
    mu, multiplicity = sphere.eigenvalues(
        dim=2,
        activation=config.activation,
        max_degree=config.max_degree,
        scale=config.scale,
        gamma=config.gamma,
    )
    eigenvalues = np.repeat(mu, multiplicity)
    sup_k = eigenvalues.sum()
    field = f"config.num_samples={config.num_samples} (lambda), config.eta_sup_k={config.eta_sup_k}"
    descent.checked(field, rkhs.check_step_size, config.eta_sup_k / sup_k, regularization, sup_k)
    order = np.argsort(-eigenvalues, kind="stable")
    coefficients = np.zeros(len(eigenvalues))
    coefficients[order] = targets.source_coefficients(
        eigenvalues[order], config.r, sup_norm=config.sup_norm, eigenfunction_bound=np.sqrt(2)
    )
    return Problem(eigenvalues, coefficients, config.eta_sup_k / sup_k, regularization)


def run(config, data, workdir):
    """Returns the figures: of both gaps and of their total, the slope in M and the gap at every M."""
    samples = workdir.stage("samples", functools.partial(_reference, config, data))
    for width in config.widths:
        gaps = workdir.stage(f"width{width}", functools.partial(_gaps, config, data, width, samples))
        workdir.log("gaps", width, **gaps)
    rows = workdir.rows("gaps")
    workdir.save_figure("eps_gap", plot_eps_gap(rows), _points(rows))
    return {gap: _figures(rows, gap) for gap in _GAPS}


def plot_eps_gap(rows):
    """Returns the figure: both gaps and their total over the width, with lines of slope -1 and -1/2."""
    widths = np.array([row["step"] for row in rows], float)
    figure, axis = figures.new(width=5.4, height=3.9)
    for gap, style in zip(_GAPS, ("-o", "-s", ":x")):
        descent.band(axis, widths, [row[gap] for row in rows], _LABELS[gap], style=style)
    for gap, exponent, label in (("linearization", 1, "slope $-1$"), ("sampling", 0.5, "slope $-1/2$")):
        start = np.median(rows[0][gap])
        style = "--" if exponent == 1 else "-."
        axis.plot(widths, start * (widths / widths[0]) ** -exponent, style, color="grey", lw=1, label=label)
    descent.log_axes(axis, xlabel="width $M$", ylabel=r"$\sup_x$ distance of the averages")
    axis.set_title(f"$\\epsilon$-gap: median, quartiles of {len(rows[0]['total'])} seeds", fontsize=10)
    axis.legend(fontsize=8, frameon=False)
    return figure


def _points(rows):
    """Returns the plotted points as flat rows."""
    return [
        {"M": row["step"]} | {name: value for gap in _GAPS for name, value in descent.quartiles(row, gap).items()}
        for row in rows
    ]


def _figures(rows, gap):
    """Returns the least-squares slope of the log mean gap over log M, and the gap at every M.

    Every width saw the same samples, so the bootstrap draws seeds for all widths together.
    """
    widths = np.log([row["step"] for row in rows])
    gaps = np.array([row[gap] for row in rows])  # [widths, seeds]
    slopes = np.polyfit(widths, np.log(descent.resampled(gaps, paired=True)).T, 1)[0]
    slope = np.polyfit(widths, np.log(gaps.mean(axis=1)), 1)[0]
    return {
        "slope": {"value": slope, "se": slopes.std(ddof=1), "seeds": gaps.shape[1], "theory": _GAPS[gap]},
        **{f"M{row['step']}": descent.over_seeds(row[gap]) for row in rows},
    }


def _reference(config, problem):
    """Returns the samples {"angles", "y"} [seeds, T], the same at every width, and {"limit"} [seeds, angles].

    The limit is the average of the reference ASGD with the kernel of infinite width.
    """
    key = jax.random.split(jax.random.key(config.seed))[0]
    streams = mesh.shard_leading(jax.random.split(key, config.num_seeds))
    return _reference_outputs(streams, _numbers(problem), config.noise, num_samples=config.num_samples)


def _gaps(config, problem, width, samples):
    """Returns the suprema over the circle {gap: [seeds]} at one width."""
    key = jax.random.fold_in(jax.random.split(jax.random.key(config.seed))[1], width)
    weights = jax.vmap(functools.partial(network.init, width=width, dim=2, scale=config.scale))(
        jax.random.split(key, config.num_seeds)
    )
    x = jax.vmap(circle.on_circle)(jnp.asarray(samples["angles"]))
    fixed = {"activation": config.activation, "gamma": float(config.gamma)}
    spread = mesh.shard_leading((weights, x, jnp.asarray(samples["y"])))
    ours, linear = mesh.gather(_outputs(*spread, _numbers(problem), **fixed))
    limit = samples["limit"]
    pairs = {"linearization": (ours, linear), "sampling": (linear, limit), "total": (ours, limit)}
    return {gap: np.abs(np.asarray(one) - np.asarray(other)).max(axis=1) for gap, (one, other) in pairs.items()}


def _numbers(problem):
    """Returns the problem as arrays, to pass into compiled functions."""
    return {name: jnp.asarray(value, float) for name, value in problem._asdict().items()}


def _rates(numbers):
    return {name: numbers[name] for name in ("learning_rate", "regularization")}


@functools.partial(jax.jit, static_argnames="num_samples")
def _reference_outputs(streams, numbers, noise, *, num_samples):
    num_functions = numbers["eigenvalues"].shape[0]
    basis = sphere.circle_eigenfunctions(_angles(), num_functions)

    def one_seed(stream):
        draw = functools.partial(targets.circle_sample, stream, noise=noise)
        angles, disturbance = jax.vmap(draw)(jnp.arange(num_samples))

        def one_step(state, sample):
            angle, disturbance = sample
            features = sphere.circle_eigenfunctions(angle[None], num_functions)[0]
            y = _dot(features, numbers["coefficients"]) + disturbance
            state, _ = rkhs.reference_step(state, features, y, eigenvalues=numbers["eigenvalues"], **_rates(numbers))
            return state, y

        state, y = jax.lax.scan(one_step, rkhs.reference_init(num_functions), (angles, disturbance))
        return {"angles": angles, "y": y, "limit": _dot(basis, state.mean)}

    return jax.vmap(one_seed)(streams)


@functools.partial(jax.jit, static_argnames=("activation", "gamma"))
def _outputs(weights, x, y, numbers, *, activation, gamma):
    """Returns the outputs [seeds, angles] of Algorithm 1's averages, of the network and of its linearisation."""
    apply_fn = functools.partial(network.apply, activation=activation, gamma=gamma)

    def train(weights, x, y, linearized):
        return one_pass.advance(
            asgd.init(weights), x, y, activation=activation, gamma=gamma, linearized=linearized, **_rates(numbers)
        )[0]

    def evaluate(ours, linear, x):
        linear_fn = asgd.linearize(apply_fn, linear.initial)
        return tuple(fn(asgd.averaged_weights(each), x)[0] for fn, each in ((apply_fn, ours), (linear_fn, linear)))

    states = [jax.vmap(functools.partial(train, linearized=each))(weights, x, y) for each in (False, True)]
    over_seeds = jax.vmap(evaluate, in_axes=(0, 0, None))
    outputs = jax.lax.map(  # over angles: the seeds may lie on many devices
        lambda x: over_seeds(*states, x[None]), circle.on_circle(_angles()), batch_size=_AT_ONCE
    )
    return jax.tree.map(jnp.transpose, outputs)


def _angles():
    return jnp.arange(_GRID) * (2 * np.pi / _GRID)


def _dot(left, right):
    return jnp.matmul(left, right, precision=jax.lax.Precision.HIGHEST)
