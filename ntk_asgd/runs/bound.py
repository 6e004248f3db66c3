"""Real images as the whole population: Theorem 1's bound and degrees of freedom beside the risk, and averages."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from experiment import mesh
from experiment.errors import NonFiniteError, UserError
from ntk_asgd import activations, infinite, network, population, rkhs, spectrum, theory, weighting
from ntk_asgd.runs import bound_figures, descent, pictures
from ntk_asgd.runs import bound_plots as plots

INPUTS = ("data_path",)
TARGETS = ("label", "linear")
_MOST_POINTS = 10_000  # images: the Gram matrix and its eigenvectors in float64 then take over 2 GB


class Problem(NamedTuple):
    """Inputs on the unit sphere, float32 [n, d], and the Bayes rule there, float64 [n] in [-1, 1]."""

    inputs: np.ndarray
    target: np.ndarray

    def noise(self):
        """Returns the root mean square of Y - g_rho(X), for Y = +-1 of mean g_rho."""
        return np.sqrt(1 - np.mean(self.target**2))


class Operator(NamedTuple):
    """What is kept of the integral operator of an activation's kernel, and the rates that follow from it."""

    eigenvalues: np.ndarray  # [n]
    coefficients: np.ndarray  # of the Bayes rule [n]
    sup_k: float
    beta: float  # decay exponent, fitted
    learning_rate: float  # eta_sup_k / sup_k

    def regularization(self, num_samples, r):
        """Returns lambda(T) of Corollary 1."""
        return theory.regularization(num_samples, r, self.beta, misspecified=True)


def load(config):
    """Returns the `Problem`; checks every field of the config and, where a path is given, the files there."""
    names, net = config.activations, config.network
    if not names or len(set(names)) != len(names):
        raise ValueError(f"config.activations={names}: must name one activation or more, each once")
    for name in names:
        descent.checked("config.activations", activations.get, name)
    for name in config.averages:
        descent.checked("config.averages", weighting.weights, name, 2)
    if len(set(config.averages)) < len(config.averages) or config.averages[:1] != ("average",):
        raise ValueError(f"config.averages={config.averages}: must begin with 'average' and name each once")
    if config.target not in TARGETS:
        raise ValueError(f"config.target={config.target!r}: must be one of {', '.join(TARGETS)}")
    if not 0 <= config.seed < 2**31:
        raise ValueError(f"config.seed={config.seed}: must lie in 0..{2**31 - 1}")
    for name, high in (("flip", 0.5), ("power", 1), ("eta_sup_k", 2)):
        if not 0 < getattr(config, name) < high:
            raise ValueError(f"config.{name}={getattr(config, name)}: must lie in (0, {high:g})")
    if not config.r or not all(0.5 <= r <= 1 for r in config.r) or list(config.r) != sorted(set(config.r)):
        raise ValueError(f"config.r={config.r}: must be increasing numbers in [0.5, 1], where the theorem holds")
    if not config.levels or not all(0 < level <= 1 for level in config.levels):
        raise ValueError(f"config.levels={config.levels}: must be shares of sup k in (0, 1]")
    if len(set(config.levels)) < len(config.levels):
        raise ValueError(f"config.levels={config.levels}: must name each once")
    descent.check_counts({"num_seeds": (config.num_seeds, 2), "network.num_seeds": (net.num_seeds, 2)})
    if net.num_seeds > config.num_seeds:
        raise ValueError(f"config.network.num_seeds={net.num_seeds}: must be at most config.num_seeds, for the pairs")
    descent.check_counts({"network.block_size": (net.block_size, 1)})
    descent.check_positive({"scale": config.scale, "gamma": config.gamma})
    descent.check_width("config.network.width", net.width)
    descent.check_samples("config.num_samples", config.num_samples, 1, least=2)
    # half a run must be whole blocks, for the average of the second half is then exact
    descent.check_samples("config.network.num_samples", net.num_samples, 2 * net.block_size, least=1)
    if not set(net.num_samples) <= set(config.num_samples):
        raise ValueError(f"config.network.num_samples={net.num_samples}: must be among config.num_samples")
    problem = _problem(config)
    n = len(problem.inputs)
    if not 1 <= config.fit_first < n // 10:
        raise ValueError(f"config.fit_first={config.fit_first}: must lie in 1..{n // 10 - 1}, below a tenth of images")
    return problem


def run(config, data, workdir):
    """Returns the figures of every activation, and what the degrees of freedom and the bound say across them."""
    result = {
        "data": {
            "num_points": len(data.inputs),
            "dim": data.inputs.shape[1],
            "target_square": {"value": np.mean(data.target**2)},
            "noise_square": {"value": data.noise() ** 2},
        }
    }
    drawn = workdir.stage("samples", functools.partial(_samples, config, data))
    place, y = mesh.shard_leading((jnp.asarray(drawn["place"]), jnp.asarray(drawn["y"])))
    for activation in config.activations:
        _measure(config, data, activation, place, y, workdir)
    rows = workdir.rows()
    result |= {name: bound_figures.of_activation(config, rows, name) for name in config.activations}
    result |= bound_figures.across(rows)
    for name, plot in (("bound", plots.plot_bound), ("variance", plots.plot_variance)):
        picked = [row for row in rows if row["stage"].startswith(plots.STAGES[name])]
        workdir.save_figure(name, plot(picked), plots.points(picked))
    picked = [row for row in rows if row["stage"].startswith(plots.STAGES["averaging"])]
    workdir.save_figure("averaging", plots.plot_averaging(picked), plots.points(picked))
    return result


def _problem(config):
    """Returns the `Problem`: the training images, at most num_points of them at random, and their Bayes rule."""
    source = pictures.load(config.data_path)
    if not 100 <= config.num_points <= _MOST_POINTS:
        raise ValueError(f"config.num_points={config.num_points}: must lie in 100..{_MOST_POINTS}, for Gram matrices")
    order = np.random.default_rng(config.seed).permutation(len(source.y_train))[: config.num_points]
    images, labels = source.x_train[order], source.y_train[order]
    inputs = pictures.on_sphere(f"config.data_path={config.data_path}", images, images)
    target = pictures.signs(labels, config.positive_classes, source.num_classes).astype(np.float64)
    if config.target == "linear":
        wide = inputs.astype(np.float64)
        fitted = wide @ np.linalg.lstsq(wide, target, rcond=None)[0]
        target = fitted / np.abs(fitted).max()
    return Problem(inputs, (1 - 2 * config.flip) * target)


def _samples(config, data):
    """Returns {"place", "y"} [seeds, T]: the same samples for every activation, setting and model."""
    keys = mesh.shard_leading(jax.random.split(jax.random.key(config.seed), config.num_seeds))
    target = jnp.asarray(data.target, jnp.float32)
    draw = functools.partial(population.samples, num_samples=config.num_samples[-1])
    return dict(zip(("place", "y"), jax.jit(jax.vmap(draw, in_axes=(0, None)))(keys, target)))


def _measure(config, data, activation, place, y, workdir):
    """Runs and logs all descents of one activation."""
    name = activation.replace(":", "")
    whole = functools.cache(functools.partial(_whole_operator, config, data, activation))
    operator = _described(config, activation, workdir.stage(f"operator_{name}", lambda: _kept(data, whole())))
    norms = {f"{r:g}": theory.source_norm(operator.eigenvalues, operator.coefficients, r) for r in config.r}
    fit = {"activation": activation, "beta": operator.beta, "sup_k": operator.sup_k, "source_norms": norms}
    workdir.log(f"operator_{name}", 0, **fit)
    grid = workdir.stage(f"grid_{name}", functools.partial(_grid, config, data, operator, whole, place, y))
    _log_grid(config, data, operator, activation, grid, workdir)
    for num_samples in config.num_samples:
        fn = functools.partial(_descents, config, data, operator, whole, place, y, num_samples)
        found = workdir.stage(f"descents_{name}_T{num_samples}", fn)
        _log_descents(config, data, operator, activation, num_samples, found, workdir)
    for num_samples in config.network.num_samples:
        found = []
        for seed in workdir.track(range(config.network.num_seeds), f"networks {activation} T={num_samples}"):
            own = (*mesh.gather((place[seed], y[seed])), num_samples, seed)
            fn = functools.partial(_network, config, data, operator, activation, *own)
            found.append(workdir.stage(f"network_{name}_T{num_samples}_seed{seed}", fn))
        schemes = (*config.averages, "decreasing", "functions")
        risks = {key: np.stack([one[key] for one in found]) for key in (*schemes, "strided", "functions_gap")}
        about = {"activation": activation, "T": num_samples, "schemes": schemes}
        workdir.log(f"averaging_network_{name}", num_samples, **about, **risks)


def _log_grid(config, data, operator, activation, grid, workdir):
    """Logs a row for every lambda and T of the grid."""
    for place_of_level, share in enumerate(config.levels):
        for place_of_time, num_samples in enumerate(config.num_samples):
            found = {key: grid[key][:, place_of_level, place_of_time] for key in _MEASURED}
            about = _about(config, data, operator, num_samples, share * operator.sup_k, operator.learning_rate)
            step = place_of_level * len(config.num_samples) + place_of_time
            name = f"grid_{activation.replace(':', '')}"
            workdir.log(name, step, activation=activation, level=share, **about, **found)


def _log_descents(config, data, operator, activation, num_samples, found, workdir):
    """Logs the descents at lambda(T), of both step sizes, and the averages."""
    name, level = activation.replace(":", ""), operator.regularization(num_samples, config.r[0])
    for step_size, eta in _etas(operator, level).items():
        about = {"activation": activation, "step_size": step_size}
        about |= _about(config, data, operator, num_samples, level, eta)
        measured = {key: found[step_size][key] for key in _MEASURED}
        workdir.log(f"schedule_{step_size}_{name}", num_samples, **about, **measured)
    schemes = (*config.averages, "decreasing")
    risks, bias = ({key: found[kind][key] for key in schemes} for kind in ("averages", "biases"))
    about = {"activation": activation, "T": num_samples, "schemes": schemes}
    workdir.log(f"averaging_reference_{name}", num_samples, **about, **risks, bias=bias)


_MEASURED = ("risk", "variance", "residual_square")  # [seeds]


def _whole_operator(config, data, activation):
    """Returns the `population.Operator` of the kernel of infinite width, in float64."""
    with jax.enable_x64(True):
        inputs = jnp.asarray(data.inputs, jnp.float64)
        gram = infinite.ntk(inputs, activation=activation, scale=config.scale, gamma=config.gamma)
        return population.operator(gram)


def _kept(data, whole):
    return {
        "eigenvalues": whole.eigenvalues,
        "coefficients": whole.coefficients(data.target),
        "sup_k": np.diag(whole.gram).max(),
    }


def _described(config, activation, kept):
    """Returns the `Operator`; warns of what the theorem lacks, and refuses a step size that diverges."""
    first, last = config.fit_first, len(kept["eigenvalues"]) // 10
    beta = -spectrum.decay_slope(kept["eigenvalues"], first, last)
    if beta <= 1:
        logging.warning("%s: beta=%.3g, the theorem asks for more than 1; run as misspecified", activation, beta)
    sup_k = float(kept["sup_k"])
    operator = Operator(kept["eigenvalues"], kept["coefficients"], sup_k, beta, config.eta_sup_k / sup_k)
    levels = [operator.regularization(config.num_samples[0], config.r[0]), max(config.levels) * sup_k]
    try:
        rkhs.check_step_size(operator.learning_rate, max(levels), sup_k)
        rkhs.check_step_size(theory.max_learning_rate(levels[0]), levels[0], sup_k)
    except ValueError as error:  # known only here, from the kernel
        raise UserError(f"config.eta_sup_k={config.eta_sup_k}, {activation}: {error}") from None
    return operator


def _etas(operator, level):
    """Returns the two step sizes {name: eta}: the largest of Theorem 1 at lambda, and the config's."""
    return {"theorem": theory.max_learning_rate(level), "larger": operator.learning_rate}


def _about(config, data, operator, num_samples, level, eta):
    """Returns what is known of a descent in closed form: degrees of freedom, expected error, and the bound."""
    values, target = operator.eigenvalues, operator.coefficients
    settings = {"num_samples": num_samples, "learning_rate": eta, "regularization": level}
    bias, variance = theory.reference_error(values, target, noise=data.noise(), **settings)
    bounds = {f"{r:g}": theory.bound(values, target, r=r, **settings) for r in config.r}
    sums = {r: sum(terms) for r, terms in bounds.items()}
    limit = rkhs.ridge_limit(values, target, level) - target
    return {
        "T": num_samples,
        "regularization": level,
        "eta_regularization_T": eta * level * num_samples,
        "degrees": spectrum.degrees_of_freedom(values, level),
        "degrees2": spectrum.degrees_of_freedom(values, level, order=2),
        "noise_square": data.noise() ** 2,
        "target_square": np.mean(data.target**2),
        "bias": bias,
        "limit_bias": np.sum(limit**2),
        "noise_variance": variance,
        "bound": sums[f"{config.r[0]:g}"],
        "terms": bounds[f"{config.r[0]:g}"]._asdict(),
        "bounds": sums,
    }


def _grid(config, data, operator, whole, place, y):
    """Returns {"risk", "variance", "residual_square"} [seeds, levels, num T]: one run at each lambda gives every T."""
    levels = np.array(config.levels) * operator.sup_k
    settings = _settings([(operator.learning_rate, level, 0.0) for level in levels])
    longest = config.num_samples[-1]
    table = np.zeros((len(config.num_samples), longest + 1))
    for row, num_samples in zip(table, config.num_samples):
        row[: num_samples + 1] = weighting.weights("average", num_samples)
    small = jnp.asarray(whole().gram, jnp.float32)
    residuals = mesh.gather(_residuals(small, place, y, settings))
    found = []
    for m, level in enumerate(levels):
        values = _averages(small, place, residuals[:, m], table, jax.tree.map(lambda leaf, m=m: leaf[m], settings))
        means = [_mean(operator, whole(), num, operator.learning_rate, level) for num in config.num_samples]
        squares = [np.mean(np.square(residuals[:, m, :num]), axis=1) for num in config.num_samples]
        found.append(_measured(data, values, np.stack(means)) | {"residual_square": np.stack(squares, axis=1)})
    return {key: np.stack([one[key] for one in found], axis=1) for key in found[0]}


def _descents(config, data, operator, whole, place, y, num_samples):
    """Returns what T samples make at lambda(T).

    {step size: {"risk", "variance", "residual_square"} [seeds]}, {"averages": {scheme: risk [seeds]}} and
    {"biases": {scheme: bias}}.
    """
    level = operator.regularization(num_samples, config.r[0])
    etas = _etas(operator, level)
    settings = _settings([(eta, level, 0.0) for eta in etas.values()] + [(etas["larger"], level, config.power)])
    place, y = place[:, :num_samples], y[:, :num_samples]
    small = jnp.asarray(whole().gram, jnp.float32)
    residuals = mesh.gather(_residuals(small, place, y, settings))
    table = np.stack([weighting.weights(scheme, num_samples) for scheme in (*config.averages, "last")])
    result = {"biases": _biases(config, data, operator, num_samples, level)}
    for m, name in enumerate((*etas, "decreasing")):
        values = _averages(small, place, residuals[:, m], table, jax.tree.map(lambda leaf, m=m: leaf[m], settings))
        if name == "decreasing":
            result["averages"]["decreasing"] = population.excess_risk(mesh.gather(values[:, -1]), data.target)
            continue
        mean = _mean(operator, whole(), num_samples, etas[name], level)
        one = _measured(data, values[:, :1], mean[None])
        squares = np.mean(np.square(residuals[:, m]), axis=1)
        result[name] = {key: value[:, 0] for key, value in one.items()} | {"residual_square": squares}
        if name == "larger":
            risks = population.excess_risk(mesh.gather(values), data.target)[:, : len(config.averages)]
            result["averages"] = dict(zip(config.averages, risks.T))
    return result


def _measured(data, values, means):
    """Returns {"risk", "variance"} [seeds, q] of averages [seeds, q, n] whose expectations are `means` [q, n]."""
    values = np.asarray(mesh.gather(values))
    if not np.isfinite(values).all():
        raise NonFiniteError("the reference ASGD is not finite; lower config.eta_sup_k")
    return {
        "risk": population.excess_risk(values, data.target),
        "variance": population.excess_risk(values, means[None]),
    }


def _biases(config, data, operator, num_samples, level):
    """Returns the exact squared bias of every average at lambda(T), {scheme: bias}."""
    eta, steps = operator.learning_rate, np.arange(num_samples)
    table = np.stack([weighting.weights(scheme, num_samples) for scheme in config.averages])
    fixed = {"regularization": level, "noise": data.noise()}
    bias, _ = theory.averaging_error(operator.eigenvalues, operator.coefficients, table, learning_rate=eta, **fixed)
    falling = eta * (1.0 + steps) ** -config.power
    last = weighting.weights("last", num_samples)
    (other,), _ = theory.averaging_error(
        operator.eigenvalues, operator.coefficients, last, learning_rate=falling, **fixed
    )
    return dict(zip((*config.averages, "decreasing"), (*bias, other)))


def _mean(operator, whole, num_samples, eta, level):
    """Returns the values [n] of the expected average, exactly."""
    settings = {"num_samples": num_samples, "learning_rate": eta, "regularization": level}
    return whole.values(theory.reference_mean(operator.eigenvalues, operator.coefficients, **settings))


def _network(config, data, operator, activation, place, y, num_samples, seed):
    """Returns one network's risks by average, "functions" and "strided" over the same iterates, and their distance."""
    net, level = config.network, operator.regularization(num_samples, config.r[0])
    settings = _settings([(operator.learning_rate, level, power) for power in (0.0, config.power)])
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(config.seed), 1), seed)
    weights = network.init(key, width=net.width, dim=data.inputs.shape[1], scale=config.scale)
    table = np.stack([weighting.weights(scheme, num_samples) for scheme in config.averages])
    shares = weighting.by_block(table, net.block_size).astype(np.float32)
    sizes = {"num_settings": 2, "num_averages": len(table), "num_inputs": len(data.inputs)}
    state, fixed = population.iterates_init(weights, **sizes), {"activation": activation, "gamma": config.gamma}
    for number, share in enumerate(shares.T):
        block = slice(number * net.block_size, (number + 1) * net.block_size)
        state = _step(state, data.inputs[place[block]], y[block], data.inputs, share, settings, **fixed)
    outputs = _outputs(state, data.inputs, **fixed)
    outputs = {key: np.asarray(value) for key, value in outputs.items()}
    if not all(np.isfinite(value).all() for value in outputs.values()):
        raise NonFiniteError(f"{activation}: the network is not finite at T={num_samples}; lower config.eta_sup_k")
    kept = dict(zip(config.averages, outputs["averaged"]))
    if "last" in kept:  # the mean over the last block, where the last iterate is at hand
        kept["last"] = outputs["last"][0]
    kept |= {"decreasing": outputs["last"][1], "functions": outputs["functions"], "strided": outputs["weights"]}
    risks = {scheme: population.excess_risk(values, data.target) for scheme, values in kept.items()}
    return risks | {"functions_gap": np.sqrt(population.excess_risk(outputs["functions"], outputs["weights"]))}


def _settings(triples):
    """Returns the `population.Descent` of (eta, lambda, power) [m]."""
    return population.Descent(*(jnp.asarray(column, jnp.float32) for column in zip(*triples)))


_step = jax.jit(population.iterates_step, static_argnames=("activation", "gamma"), donate_argnums=0)
_outputs = jax.jit(population.iterates_outputs, static_argnames=("activation", "gamma"))


@jax.jit
def _residuals(gram, place, y, settings):
    """Returns the residuals [seeds, m, T] of samples [seeds, T]."""
    return jax.vmap(population.residuals, in_axes=(None, 0, 0, None))(gram, place, y, settings)


@jax.jit
def _averages(gram, place, residuals, weights, setting):
    """Returns the values [seeds, q, n] of averages."""
    return jax.vmap(population.averages, in_axes=(None, 0, 0, None, None))(gram, place, residuals, weights, setting)
