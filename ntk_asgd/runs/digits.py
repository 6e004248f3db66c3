"""Real images: eigenvalues of the kernel on them, and the learning curve of Algorithm 1 beside its reference."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from experiment import images
from experiment.errors import NonFiniteError, UserError
from ntk_asgd import activations, asgd, empirical, infinite, network, one_pass, rkhs, spectrum, sphere, theory
from ntk_asgd.runs import descent, pictures
from ntk_asgd.runs import digits_plots as plots

INPUTS = ("data_path",)
_MAX_TRAIN = 10_000  # images: the Gram matrix in float64, and six of its size in float32, then take over 3 GB
_TOP = 30  # leading eigenvalues of which a network's are compared with the limit's
_MOST_RMS = 0.3  # of log eigenvalues about their fitted line, from which on they follow no power of the index
_MOST_HARMONICS = 1e12  # spherical harmonics of a degree; the eigenvalues of degrees with more are below any lambda


class Problem(NamedTuple):
    """Inputs on the unit sphere, float32 [n, d], and targets +-1, float32 [n]."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def load(config):
    """Returns the `Problem`; checks every field of the config and, where a path is given, the files there."""
    if not config.activations or len(set(config.activations)) != len(config.activations):
        raise ValueError(f"config.activations={config.activations}: must name one activation or more, each once")
    for activation in config.activations:
        try:
            activations.get(activation)
        except ValueError as error:
            raise ValueError(f"config.activations: {error}") from None
    if config.width < 2 or config.width % 2:
        raise ValueError(f"config.width={config.width}: the symmetric initialisation needs an even width")
    if not 0 < config.eta_sup_k < 2:
        raise ValueError(
            f"config.eta_sup_k={config.eta_sup_k}: must lie in (0, 2), for the iterates diverge from 2 / sup k on"
        )
    if not 0.5 <= config.r <= 1:
        raise ValueError(f"config.r={config.r}: must lie in [0.5, 1], where the theorem holds")
    for name in ("scale", "gamma"):
        if not 0 < getattr(config, name) < np.inf:
            raise ValueError(f"config.{name}={getattr(config, name)}: must be positive")
    for name, least in (("num_seeds", 2), ("num_draws", 2), ("num_test", 2), ("steps_per_call", 1)):
        if getattr(config, name) < least:
            raise ValueError(f"config.{name}={getattr(config, name)}: must be at least {least}")
    if not 2 <= config.num_train <= _MAX_TRAIN:
        raise ValueError(f"config.num_train={config.num_train}: must lie in 2..{_MAX_TRAIN}, for the Gram matrices")
    problem = _problem(config)
    n = len(problem.x_train)
    if n < 10 * _TOP:
        raise ValueError(f"config.num_train={config.num_train}: {n} training images, at least {10 * _TOP} are needed")
    if not 1 <= config.fit_first < n // 10:
        raise ValueError(f"config.fit_first={config.fit_first}: must lie in 1..{n // 10 - 1}, below num_train / 10")
    samples, step = config.num_samples, config.steps_per_call
    whole = all(isinstance(each, int) and each > 0 and each % step == 0 for each in samples)
    if len(samples) < 2 or not whole or list(samples) != sorted(set(samples)) or samples[-1] > n:
        raise ValueError(
            f"config.num_samples={samples}: must be 2 or more increasing multiples of config.steps_per_call={step}, "
            f"up to the {n} training images, for each is used once"
        )
    return problem


def run(config, data, workdir):
    """Returns the figures of every activation: decay, degrees of freedom, and test errors over T."""
    share = np.mean(data.y_test > 0)
    result = {
        "data": {
            "num_train": len(data.x_train),
            "num_test": len(data.x_test),
            "dim": data.x_train.shape[1],
            "chance": {"value": min(share, 1 - share)},
        }
    }
    for activation in config.activations:
        name = activation.replace(":", "")
        kernel_fn = functools.cache(functools.partial(_kernel, config, data, activation))
        decay = workdir.stage(f"spectrum_{name}", functools.partial(_decay, config, data, activation, kernel_fn))
        schedule = _schedule(config, activation, decay)
        result[activation] = _decay_figures(config, activation, decay, schedule)
        _log_decay(config, workdir, activation, decay, schedule)
        outputs = []
        for seed in workdir.track(range(config.num_seeds), f"learning {activation}"):
            fn = functools.partial(_learn, config, data, activation, seed, schedule, kernel_fn)
            outputs.append(workdir.stage(f"learning_{name}_seed{seed}", fn))
        _log_learning(config, workdir, activation, decay, schedule, outputs, data.y_test)
        result[activation] |= _learning_figures(workdir.rows(f"learning_{name}"))
    rows = workdir.rows()
    picked = [row for row in rows if row["stage"].startswith(("eigenvalues_", "degrees_"))]
    workdir.save_figure("eigenvalues", plots.plot_eigenvalues(picked), plots.points(picked))
    picked = [row for row in rows if row["stage"].startswith("learning_")]
    workdir.save_figure("learning", plots.plot_learning(picked), plots.points(picked))
    return result


def _problem(config):
    """Returns the `Problem`: pictures flattened, centred by the training mean, and scaled to length 1."""
    rng = np.random.default_rng(config.seed)
    x_train, labels_train, x_test, labels_test, num_classes = _pictures(config, rng)
    y_train, y_test = (pictures.signs(y, config.positive_classes, num_classes) for y in (labels_train, labels_test))
    field = f"config.data_path={config.data_path}"
    x_train, x_test = (pictures.on_sphere(field, x, x_train) for x in (x_train, x_test))
    return Problem(x_train, y_train, x_test, y_test)


def _pictures(config, rng):
    """Returns the images, at most num_train and num_test of them in random order, as `images.Images`."""
    source = pictures.load(config.data_path)
    if config.data_path:
        train, test = rng.permutation(len(source.y_train)), rng.permutation(len(source.y_test))
    else:
        order = rng.permutation(len(source.y_train))
        if config.num_test >= len(order):
            raise ValueError(f"config.num_test={config.num_test}: digits has {len(order)} images in all")
        test, train = np.split(order, [config.num_test])
    train, test = train[: config.num_train], test[: config.num_test]
    return images.Images(
        *(part[rows] for part, rows in zip(source[:4], (train, train, test, test))), source.num_classes
    )


def _kernel(config, data, activation):
    """Returns the kernel of infinite width between all images, training first, and the training images [n + m, n].

    In float64: a smooth activation's eigenvalues soon pass the rounding of float32.
    """
    with jax.enable_x64(True):
        inputs = jnp.asarray(np.concatenate([data.x_train, data.x_test]), jnp.float64)
        fixed = {"activation": activation, "scale": config.scale, "gamma": config.gamma}
        return np.asarray(infinite.ntk(inputs, inputs[: len(data.x_train)], **fixed))


def _decay(config, data, activation, kernel_fn):
    """Returns eigenvalues on the data, of the limit [n] and of networks [draws, n / 10], and on the uniform sphere."""
    n, dim = data.x_train.shape
    gram_fn = jax.jit(functools.partial(empirical.two_layer_ntk, activation=activation, gamma=config.gamma))
    draws = []
    for seed in range(config.num_draws):
        weights = network.init(_keys(config, seed)[0], width=config.width, dim=dim, scale=config.scale)
        draws.append(spectrum.gram_eigenvalues(gram_fn(weights, data.x_train), n // 10))
    gram = kernel_fn()[:n]
    mu, multiplicity = _uniform_sphere(config, activation, dim)
    return {
        "kernel": spectrum.gram_eigenvalues(gram),
        "network": np.stack(draws),
        "sup_k": np.diag(gram).max(),
        "mu": mu,
        "multiplicity": multiplicity.astype(np.float64),
    }


def _uniform_sphere(config, activation, dim):
    """Returns the exact eigenvalues and multiplicities of the low degrees on the sphere of the data's dimension."""
    degree = 2
    while degree < 64 and sphere.multiplicities(dim, degree + 1)[-1] <= _MOST_HARMONICS:
        degree += 1
    return sphere.eigenvalues(dim=dim, activation=activation, max_degree=degree, scale=config.scale, gamma=config.gamma)


def _uniform_degrees(decay, regularization):
    """Returns N(lambda) on the uniform sphere: mu / (mu + lambda) is mu / lambda in the degrees that are left out."""
    rest = max(decay["sup_k"] - decay["mu"] @ decay["multiplicity"], 0)
    return spectrum.degrees_of_freedom(decay["mu"], regularization, decay["multiplicity"]) + rest / regularization


def _schedule(config, activation, decay):
    """Returns the measured decay, eta and every T's lambda, and warns of what the theorem lacks.

    {"beta", "fit_rms": of log eigenvalues about the fitted line, "learning_rate", "regularization" [T]}.
    """
    first, last = config.fit_first, decay["network"].shape[1]
    beta = -spectrum.decay_slope(decay["kernel"], first, last)
    logs = np.log(decay["kernel"][first - 1 : last]) + beta * np.log(np.arange(first, last + 1))
    if not _is_power_law(logs.std()):
        logging.warning("%s: no power law, log eigenvalues are %.2g off the fitted line (rms)", activation, logs.std())
    if beta <= 1:
        logging.warning("%s: beta=%.3g, the theorem asks for more than 1; run as misspecified", activation, beta)
    levels = np.array([theory.regularization(num, config.r, beta, misspecified=True) for num in config.num_samples])
    sup_k = float(decay["sup_k"])
    eta, largest = config.eta_sup_k / sup_k, theory.max_learning_rate(levels.max())
    try:
        rkhs.check_step_size(eta, levels.max(), sup_k)
    except ValueError as error:  # known only here, from the measured beta
        raise UserError(f"config.eta_sup_k={config.eta_sup_k}, {activation}: {error}") from None
    if eta > largest:
        logging.warning(
            "%s: eta=%.3g = %g / sup k is beyond Theorem 1's 4 (6 + lambda) eta <= 1; config.eta_sup_k=%.2g is within",
            *(activation, eta, config.eta_sup_k, largest * sup_k),
        )
    return {"beta": beta, "fit_rms": logs.std(), "learning_rate": eta, "regularization": levels}


def _is_power_law(fit_rms):
    """Returns whether log eigenvalues, so far off their fitted line (rms), follow a power of the index."""
    return bool(fit_rms <= _MOST_RMS)


def _learn(config, data, activation, seed, schedule, kernel_fn):
    """Returns predictions {curve: [num T, m]} on the test images, of one order of the samples and one network."""
    key_weights, key_order = _keys(config, seed)
    order = np.asarray(jax.random.permutation(key_order, len(data.x_train)))[: config.num_samples[-1]]
    weights = network.init(key_weights, width=config.width, dim=data.x_train.shape[1], scale=config.scale)
    x, y = jnp.asarray(data.x_train[order]), jnp.asarray(data.y_train[order])
    kernel = kernel_fn().astype(np.float32)
    gram, cross = kernel[order][:, order], kernel[len(data.x_train) :][:, order]
    outputs = {curve: [] for curve in plots.CURVES}
    for num_samples, level in zip(config.num_samples, schedule["regularization"]):
        rates = {"learning_rate": jnp.float32(schedule["learning_rate"]), "regularization": jnp.float32(level)}
        state = asgd.init(weights)
        for start in range(0, num_samples, config.steps_per_call):
            block = slice(start, start + config.steps_per_call)
            state = _advance(state, x[block], y[block], rates, activation=activation, gamma=config.gamma)
        for curve, weights_fn in (("averaged", asgd.averaged_weights), ("last", asgd.last_weights)):
            trained = weights_fn(state)
            outputs[curve].append(_apply(trained, data.x_test, activation=activation, gamma=config.gamma))
        for curve, coefficients in _kernel_methods(gram, y, num_samples, rates).items():
            outputs[curve].append(cross @ np.asarray(coefficients))
        if not all(np.isfinite(values[-1]).all() for values in outputs.values()):
            raise NonFiniteError(f"{activation}: predictions are not finite at T={num_samples}; lower config.eta_sup_k")
    return {curve: np.stack(values) for curve, values in outputs.items()}


@functools.partial(jax.jit, static_argnames=("activation", "gamma"))
def _advance(state, x, y, rates, *, activation, gamma):
    return one_pass.advance(state, x, y, activation=activation, gamma=gamma, **rates)[0]


_apply = jax.jit(network.apply, static_argnames=("activation", "gamma"))


@jax.jit
def _kernel_methods(gram, y, num_samples, rates):
    """Returns the coefficients of the reference ASGD and of ridge regression on the first num_samples samples.

    Both keep the shape of all samples, so that one program serves every T: with the others' rows and columns zero, so
    are their coefficients.
    """
    used = (jnp.arange(len(y)) < num_samples).astype(gram.dtype)
    level = rates["regularization"] * num_samples / len(y)  # `kernel_ridge` multiplies by all samples
    return {
        "reference": rkhs.kernel_coefficients(gram, y, horizon=num_samples, **rates).averaged,
        "ridge": rkhs.kernel_ridge(used[:, None] * gram * used[None, :], used * y, level),
    }


def _keys(config, seed):
    """Returns a seed's keys, of the weights and of the order of the samples; every activation has the same."""
    return jax.random.split(jax.random.fold_in(jax.random.key(config.seed), seed))


def _log_decay(config, workdir, activation, decay, schedule):
    """Logs eigenvalues at some indices up to n / 10, and degrees of freedom at some lambda."""
    name, last = activation.replace(":", ""), decay["network"].shape[1]
    uniform = spectrum.by_index(decay["mu"], decay["multiplicity"], last)
    fit = {name: schedule[name] for name in ("beta", "fit_rms")} | {"activation": activation}
    fit["power_law"] = _is_power_law(schedule["fit_rms"])
    window = {"fit_first": config.fit_first, "fit_last": last}
    for index in np.unique(np.geomspace(1, last, 60).round().astype(int)):
        values = {"kernel": decay["kernel"][index - 1], "network": decay["network"][:, index - 1]}
        workdir.log(f"eigenvalues_{name}", index, uniform_sphere=uniform[index - 1], **values, **fit, **window)
    for place, level in enumerate(np.geomspace(1e-3, 1, 25) * decay["sup_k"]):
        values = {
            "data": spectrum.degrees_of_freedom(decay["kernel"], level),
            "uniform_sphere": _uniform_degrees(decay, level),
        }
        workdir.log(f"degrees_{name}", place, regularization=level, **values, **fit)


def _log_learning(config, workdir, activation, decay, schedule, outputs, y_test):
    """Logs the test errors of all seeds for every T, and what Theorem 1 has for the variance."""
    share = np.mean(y_test > 0)
    for place, (num_samples, level) in enumerate(zip(config.num_samples, schedule["regularization"])):
        errors = {}
        for curve in plots.CURVES:
            predicted = np.array([one[curve][place] for one in outputs], np.float64)
            errors[f"{curve}_squared"] = np.mean((predicted - y_test[None, :]) ** 2, axis=1)
            errors[f"{curve}_zero_one"] = np.mean((predicted > 0) != (y_test > 0)[None, :], axis=1)
        apart = np.array([one["averaged"][place] - one["reference"][place] for one in outputs], np.float64)
        workdir.log(
            f"learning_{activation.replace(':', '')}",
            num_samples,
            activation=activation,
            **errors,
            gap_rms=np.sqrt(np.mean(apart**2, axis=1)),
            regularization=level,
            variance_term=spectrum.degrees_of_freedom(decay["kernel"], level) / num_samples,
            chance=min(share, 1 - share),
        )


def _decay_figures(config, activation, decay, schedule):
    """Returns the figures of the spectrum."""
    window = (config.fit_first, decay["network"].shape[1])
    beta, level = schedule["beta"], schedule["regularization"][-1]
    ratios = decay["network"][:, :_TOP] / decay["kernel"][None, :_TOP]
    result = {
        "beta": {
            "value": beta,
            "window": window,
            "fit_rms": schedule["fit_rms"],
            "power_law": _is_power_law(schedule["fit_rms"]),
        },
        "network_beta": descent.over_seeds([-spectrum.decay_slope(one, *window) for one in decay["network"]]),
        f"network_top{_TOP}_median_deviation": descent.over_seeds(np.median(np.abs(ratios - 1), axis=1)),
        "degrees_of_freedom": {
            "value": spectrum.degrees_of_freedom(decay["kernel"], level),
            "uniform_sphere": _uniform_degrees(decay, level),
            "regularization": level,
        },
        "eta": {"value": schedule["learning_rate"], "theorem_1_largest": theory.max_learning_rate(level)},
    }
    if activation == "relu" and beta > 1:  # whose decay on the uniform sphere of R^d is d / (d - 1)
        result["effective_dimension"] = {"value": beta / (beta - 1)}
    return result


def _learning_figures(rows):
    """Returns the test errors at every T."""
    names = [f"{curve}_{error}" for curve in plots.CURVES for error in plots.ERRORS]
    return {
        f"T{row['step']}": {
            **{name: descent.over_seeds(row[name]) for name in names},
            "network_reference_gap": descent.over_seeds(row["gap_rms"]),
            "regularization": {"value": row["regularization"]},
            "variance_term": {"value": row["variance_term"]},
        }
        for row in rows
    }
