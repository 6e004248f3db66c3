"""Which layers learn which target: norms of three targets in three operators, exact, and Algorithm 1 on each."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from experiment import figures, mesh, unison
from ntk_asgd import activations, asgd, circle, network, one_pass, rkhs, sphere, targets, theory
from ntk_asgd.runs import descent

VECTORIZED = ("seed", "network.eta_sup_k", "network.regularization", "network.noise")
LAYERS = ("output", "input", "both")  # the layers trained; their operators; the targets made of those
_OPERATORS = {"output": r"$\Sigma_a$", "input": r"$\Sigma_b$", "both": r"$\Sigma$"}
_STYLES = {"output": "-", "input": "-", "both": "--"}
_MODELS = ("network", "reference")
_ORDERS = 11  # values of r at which the norms are plotted
_GRID = 256  # angles on which a network is compared with its target
_AT_ONCE = 16  # of them: all at once would take as many times the memory
_MOST_NOISE = 1e3
_ROUNDING = 1e-28  # what quadrature leaves of an eigenvalue that is zero, as a share of the largest


class Data(NamedTuple):
    """Three operators and three targets, {layers: [N]}, in the order of `sphere.circle_eigenfunctions`."""

    eigenvalues: dict  # of config.activation, which the norms are about
    trained: dict  # of config.network.activation
    targets: dict  # coefficients


def load(config):
    """Returns the `Data`; checks every field of the config."""
    net = config.network
    descent.check_counts(
        {
            "max_degree": (config.max_degree, 2),
            "steps_per_call": (config.steps_per_call, 1),
            "network.num_seeds": (net.num_seeds, 2),
        }
    )
    descent.check_positive({"scale": config.scale, "network.regularization": net.regularization})
    if not 0 <= config.gamma < np.inf:
        raise ValueError(f"config.gamma={config.gamma}: must be at least 0")
    if not 0 <= net.noise <= _MOST_NOISE:
        raise ValueError(
            f"config.network.noise={net.noise}: must lie in [0, {_MOST_NOISE}]; Assumption A2 has |Y| <= 1"
        )
    if not config.r or not descent.all_of((int, float), config.r) or not all(0 < r < np.inf for r in config.r):
        raise ValueError(f"config.r={config.r}: must be positive numbers")
    if len({f"{r:g}" for r in config.r}) < len(config.r):
        raise ValueError(f"config.r={config.r}: must name each order once, to six digits")
    if not 0 < net.eta_sup_k < 2:
        raise ValueError(
            f"config.network.eta_sup_k={net.eta_sup_k}: must lie in (0, 2), for the iterates diverge from 2 / sup k on"
        )
    descent.check_width("config.network.width", net.width)
    descent.check_samples("config.network.num_samples", net.num_samples, config.steps_per_call, least=1)
    descent.checked("config.activation", activations.get, config.activation)
    descent.checked("config.network.activation", activations.get, net.activation)
    eigenvalues, trained = (
        {layers: _eigenvalues(config, activation, layers) for layers in LAYERS}
        for activation in (config.activation, net.activation)
    )
    for layers, values in trained.items():
        sup_k = values.sum()
        field = f"config.network.regularization={net.regularization}, config.network.eta_sup_k={net.eta_sup_k}"
        field += f" ({_words(layers)})"
        descent.checked(field, rkhs.check_step_size, net.eta_sup_k / sup_k, net.regularization, sup_k)
    chosen = {layers: _target(config, eigenvalues[layers]) for layers in LAYERS}
    for layers in LAYERS:
        for field, operators in (("activation", eigenvalues), ("network.activation", trained)):
            name = f"config.eigenfunctions={config.eigenfunctions}, config.{field}, target of the {layers} operator"
            visible = functools.partial(targets.check_visible, degrees=_degrees(config), floor=_ROUNDING)
            descent.checked(name, visible, operators[layers], chosen[layers])
    _warn(config, trained, chosen)
    return Data(eigenvalues, trained, chosen)


def run(config, data, workdir):
    """Returns the figures: norms, risks and the lead of the matching layers, of every target."""
    for place, r in enumerate(np.linspace(min(config.r), max(config.r), _ORDERS)):
        norms = {
            f"{target}_in_{operator}": theory.source_norm(data.eigenvalues[operator], data.targets[target], r)
            for target in LAYERS
            for operator in LAYERS
        }
        workdir.log("norms", place, r=r, **norms)
    for layers in LAYERS:
        curves = _train(config, data, workdir, layers)
        for column, target in enumerate(LAYERS):
            for place, num_samples in enumerate(config.network.num_samples):
                risks = {model: curves[model][:, place, column] for model in _MODELS}
                workdir.log(f"risk_{target}_{layers}", num_samples, target=target, layers=layers, **risks)
    rows = workdir.rows()
    workdir.save_figure("layers", plot_layers(rows), _points(rows))
    return {f"target_{target}": _figures(config, data, rows, target) for target in LAYERS}


def plot_layers(rows):
    """Returns the figure: of every target, norms over r in the three operators, and risks over T of the trainings."""
    norms = [row for row in rows if row["stage"] == "norms"]
    figure, axes = figures.new(2, len(LAYERS), width=4.0, height=3.3)
    for column, target in enumerate(LAYERS):
        _plot_norms(axes[0, column], norms, target)
        _plot_risks(axes[1, column], _risk_rows(rows, target))
        if column:
            axes[0, column].set_ylabel(""), axes[1, column].set_ylabel("")
        axes[0, column].set_title(f"target of {_OPERATORS[target]} ({_words(target)})", fontsize=10)
    for line in axes:
        limits = np.array([axis.get_ylim() for axis in line])
        for axis in line:
            axis.set_ylim(limits[:, 0].min(), limits[:, 1].max())
            axis.legend(fontsize=7.5, frameon=False)
    return figure


def _plot_norms(axis, rows, target):
    order = [row["r"] for row in rows]
    for operator in LAYERS:
        norms = np.array([float(row[f"{target}_in_{operator}"]) for row in rows])
        infinite = np.isinf(norms).all()
        label = f"in {_OPERATORS[operator]}" + (": infinite at every $r$" if infinite else "")
        axis.plot([] if infinite else order, [] if infinite else norms, _STYLES[operator], lw=1.4, label=label)
    axis.set(yscale="log", xlabel="$r$", ylabel=r"$\|\Sigma^{-r}g_\rho\|$, exact")


def _plot_risks(axis, rows):
    for layers in LAYERS:
        own = [row for row in rows if row["layers"] == layers]
        steps = np.array([row["step"] for row in own], float)
        risks, reference = (np.array([row[model] for row in own]) for model in _MODELS)
        mean, sd = risks.mean(axis=1), risks.std(axis=1, ddof=1)
        (line,) = axis.plot(steps, mean, "-o", ms=3, lw=1.3, label=f"{_words(layers)} trained")
        axis.fill_between(steps, mean - sd, mean + sd, color=line.get_color(), alpha=0.2, lw=0)
        axis.plot(steps, reference.mean(axis=1), "--", lw=1, color=line.get_color())
    axis.plot([], [], "--", lw=1, color="grey", label="their reference ASGD, infinite width")
    descent.log_axes(axis, ylabel=r"test error $\|g-g_\rho\|^2$")
    axis.set_title(f"mean, sd of {risks.shape[1]} seeds", fontsize=9)


def _words(layers):
    return "both layers" if layers == "both" else f"{layers} layer"


def _points(rows):
    """Returns the plotted points as flat rows."""
    points = [{name: value for name, value in row.items() if name != "step"} for row in rows if row["stage"] == "norms"]
    for row in (row for target in LAYERS for row in _risk_rows(rows, target)):
        point = {"stage": row["stage"], "target": row["target"], "layers": row["layers"], "T": row["step"]}
        for model in _MODELS:
            point |= {f"{model}_mean": np.mean(row[model]), f"{model}_sd": np.std(row[model], ddof=1)}
        points.append(point)
    return points


def _risk_rows(rows, target):
    return [row for layers in LAYERS for row in rows if row["stage"] == f"risk_{target}_{layers}"]


def _eigenvalues(config, activation, layers):
    """Returns the operator's eigenvalues [N], those that are zero but for rounding as zero."""
    mu, multiplicity = sphere.eigenvalues(
        dim=2,
        activation=activation,
        max_degree=config.max_degree,
        scale=config.scale,
        gamma=config.gamma,
        part=layers,
    )
    return np.repeat(np.where(mu > _ROUNDING * mu.max(), mu, 0), multiplicity)


def _degrees(config):
    return np.repeat(np.arange(config.max_degree + 1), sphere.multiplicities(2, config.max_degree))


def _target(config, eigenvalues):
    """Returns the coefficients [N] of the mean of an operator's eigenfunctions, placed by descending eigenvalue.

    A degree's cosine stands before its sine, of the same eigenvalue: a range that starts within a degree takes the sine
    (place 3 is the sine of degree 1 in all three targets), one that ends within it the cosine. Norms are the same.
    """
    if len(config.eigenfunctions) != 2 or not descent.all_of(int, config.eigenfunctions):
        raise ValueError(f"config.eigenfunctions={config.eigenfunctions}: must be two places, first and last")
    ranked = descent.checked(
        "config.eigenfunctions", targets.eigenfunction_average, len(eigenvalues), *config.eigenfunctions
    )
    coefficients = np.zeros(len(eigenvalues))
    coefficients[np.argsort(-eigenvalues, kind="stable")] = ranked
    if coefficients[-4:].any():
        raise ValueError(
            f"config.max_degree={config.max_degree}: config.eigenfunctions={config.eigenfunctions} reach it, beyond "
            "which the order of the eigenvalues is not known; raise it"
        )
    return coefficients


def _warn(config, trained, chosen):
    net = config.network
    sup_norm = max(_sup_norm(coefficients) for coefficients in chosen.values())
    if sup_norm + net.noise > 1:
        logging.warning(
            "config.network.noise=%g: a target reaches %.3g, so |Y| <= %.3g, where Assumption A2 has |Y| <= 1",
            *(net.noise, sup_norm, sup_norm + net.noise),
        )
    if config.gamma == 0:
        logging.warning(
            "config.gamma=0: without a bias the input layer's kernel of ReLU, swish or softplus is blind to the odd "
            "degrees from 3 on, as the output layer's always is; no target here has one, where Figure 2 has"
        )
    largest = max(net.eta_sup_k / eigenvalues.sum() for eigenvalues in trained.values())
    bound = theory.max_learning_rate(net.regularization)
    if largest > bound:
        logging.warning(
            "config.network.eta_sup_k=%g: eta = %.3g passes the theorem's 1 / (4 (6 + lambda)) = %.3g, where its bound "
            "does not hold; the iterates diverge from 2 / sup k = %.3g on",
            *(net.eta_sup_k, largest, bound, largest * 2 / net.eta_sup_k),
        )


def _sup_norm(coefficients):
    """Returns the largest value of |g| on the grid."""
    return np.abs(np.asarray(sphere.circle_eigenfunctions(_angles(), len(coefficients))) @ coefficients).max()


def _train(config, data, workdir, layers):
    """Returns the excess risks {"network", "reference"} [seeds, T, targets] when these layers are trained.

    All trainings of a seed start from the same weights and see the same inputs and noise.
    """
    net = config.network
    key_weights, key_streams = jax.random.split(jax.random.key(config.seed))
    streams = mesh.shard_leading(jax.random.split(key_streams, net.num_seeds))
    eigenvalues = data.trained[layers]
    coefficients = np.stack([data.targets[target] for target in LAYERS])
    init_fn = functools.partial(network.init, width=net.width, dim=2, scale=config.scale)
    weights = jax.vmap(init_fn)(jax.random.split(key_weights, net.num_seeds))
    reference = jax.vmap(lambda _: rkhs.reference_init(len(eigenvalues)))(jnp.arange(net.num_seeds))
    start = jax.tree.map(  # [seeds] to [seeds, targets]
        lambda leaf: jnp.repeat(leaf[:, None], len(LAYERS), axis=1), (jax.vmap(asgd.init)(weights), reference)
    )
    numbers = {
        "eigenvalues": jnp.asarray(eigenvalues, jnp.float32),
        "coefficients": jnp.asarray(coefficients, jnp.float32),
        "learning_rate": jnp.float32(net.eta_sup_k / eigenvalues.sum()),
        "regularization": jnp.float32(net.regularization),
        "noise": jnp.float32(net.noise),
    }
    fixed = {"activation": net.activation, "gamma": float(config.gamma)}
    empty = jnp.zeros((net.num_seeds, len(net.num_samples), len(LAYERS)))

    def step_fn(state, step):
        states, risks = mesh.shard_leading(state)
        states, info = unison.call(
            _advance, states, streams, step, numbers, layers=layers, num_steps=config.steps_per_call, **fixed
        )
        if step + config.steps_per_call in net.num_samples:
            place = net.num_samples.index(step + config.steps_per_call)
            risks = jax.tree.map(
                lambda all_t, now: all_t.at[:, place].set(now), risks, _risks(states, numbers, **fixed)
            )
        return (states, risks), info

    _, risks = workdir.loop(
        layers,
        (start, dict.fromkeys(_MODELS, empty)),
        step_fn,
        num_steps=net.num_samples[-1],
        steps_per_call=config.steps_per_call,
    )
    return jax.device_get(mesh.gather(risks))


@functools.partial(jax.jit, static_argnames=("activation", "gamma", "layers", "num_steps"))
def _advance(states, streams, step, numbers, *, activation, gamma, layers, num_steps):
    """Returns the (network, reference) states [seeds, targets] after num_steps more samples, and mean losses."""
    rates = {name: numbers[name] for name in ("learning_rate", "regularization")}

    def one_target(ours, reference, y, x, features):
        ours, info = one_pass.advance(ours, x, y, activation=activation, gamma=gamma, part=layers, **rates)

        def one_step(state, sample):
            return rkhs.reference_step(state, *sample, eigenvalues=numbers["eigenvalues"], **rates)

        reference, _ = jax.lax.scan(one_step, reference, (features, y))
        return (ours, reference), info["loss"]

    def one_seed(states, stream):
        draw = functools.partial(targets.circle_sample, stream, noise=numbers["noise"])
        angle, disturbance = jax.vmap(draw)(step + jnp.arange(num_steps))
        features = sphere.circle_eigenfunctions(angle, numbers["eigenvalues"].shape[0])
        y = numbers["coefficients"] @ features.T + disturbance[None, :]
        over_targets = jax.vmap(one_target, in_axes=(0, 0, 0, None, None))
        return over_targets(*states, y, circle.on_circle(angle), features)

    states, loss = jax.vmap(one_seed)(states, streams)
    return states, {"loss": loss.mean(axis=(0, 1))}


@functools.partial(jax.jit, static_argnames=("activation", "gamma"))
def _risks(states, numbers, *, activation, gamma):
    """Returns {"network", "reference"}: squared distances of the averages to their targets [seeds, targets]."""
    ours, reference = states
    clean = sphere.circle_eigenfunctions(_angles(), numbers["eigenvalues"].shape[0]) @ numbers["coefficients"].T
    weights = asgd.averaged_weights(ours)
    apply_fn = functools.partial(network.apply, activation=activation, gamma=gamma)
    over_networks = jax.vmap(jax.vmap(apply_fn, in_axes=(0, None)), in_axes=(0, None))
    outputs = jax.lax.map(  # over angles: the seeds may lie on many devices
        lambda x: over_networks(weights, x[None])[:, :, 0], circle.on_circle(_angles()), batch_size=_AT_ONCE
    )
    return {
        "network": jnp.mean((outputs - clean[:, None]) ** 2, axis=0),
        "reference": jnp.sum((reference.mean - numbers["coefficients"][None]) ** 2, axis=2),
    }


def _angles():
    return jnp.arange(_GRID) * (2 * np.pi / _GRID)


def _figures(config, data, rows, target):
    """Returns one target's figures."""
    result = {"norms": {operator: _norm_figures(config, data, target, operator) for operator in LAYERS}}
    curves = {
        row_layers: [row for row in _risk_rows(rows, target) if row["layers"] == row_layers] for row_layers in LAYERS
    }
    for model in _MODELS:
        risks = {layers: np.array([row[model] for row in own]) for layers, own in curves.items()}  # [T, seeds]
        means = np.stack([risks[layers].mean(axis=1) for layers in LAYERS])
        ahead = means.argmin(axis=0) == LAYERS.index(target)
        until = int(np.argmin(ahead)) if not ahead.all() else len(ahead)  # places at which it has been ahead so far
        result[model] = {
            **{f"risk_{layers}": descent.over_seeds(risks[layers][-1]) for layers in LAYERS},
            **{f"{layers}_minus_own": _paired(risks[layers], risks[target]) for layers in LAYERS if layers != target},
            "own_fastest_until": {"value": config.network.num_samples[until - 1] if until else 0},
        }
    return result


def _norm_figures(config, data, target, operator):
    """Returns ||Sigma^{-r} g_rho|| for every r; where infinite, the degrees that the operator is blind to."""
    eigenvalues, coefficients = data.eigenvalues[operator], data.targets[target]
    unseen = np.unique(_degrees(config)[(eigenvalues == 0) & (coefficients != 0)])
    why = {"infinite": True, "unseen_degrees": unseen} if len(unseen) else {"infinite": False}
    return {f"r{r:g}": {"value": theory.source_norm(eigenvalues, coefficients, r), **why} for r in config.r}


def _paired(risk, own):
    """Returns the mean difference over seeds at the last T, with its standard error."""
    difference = risk[-1] - own[-1]
    seeds = len(difference)
    return {"value": difference.mean(), "se": difference.std(ddof=1) / np.sqrt(seeds), "seeds": seeds}
