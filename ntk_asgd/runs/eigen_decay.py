"""Eigenvalues of the network's kernel and of its limit on random points, against the exact spectrum.

By index, where finite n shows as a bias; by degree, the mean over each degree's block of equal eigenvalues, which says
something in dimensions where a slope says nothing; and summed to the degrees of freedom N(lambda).
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiment import figures
from ntk_asgd import activations, empirical, infinite, network, spectrum, sphere, theory
from ntk_asgd.runs import descent

TOP = 30  # leading eigenvalues compared one by one
_DEGREES = 4  # leading degrees compared by their means
_MIN_LEVELS = 4  # distinct degrees a window must span for a slope to mean decay
_MAX_DIM = 1_000  # the exact spectrum of more takes minutes, and shows two degrees only
_NOISE = 1e-28  # share of the largest below which an exact eigenvalue, the square of a quadrature's sum, is rounding
_KINDS = {"network": "network at initialisation", "kernel": "infinite width"}


class Exact(NamedTuple):
    """The exact spectrum in one dimension.

    Attributes:
        by_index: lambda_1 >= lambda_2 >= ... [count].
        mu: eigenvalues of the degrees, descending [K+1].
        multiplicity: theirs [K+1].
        missing: trace that the degrees past K hold.
    """

    by_index: np.ndarray
    mu: np.ndarray
    multiplicity: np.ndarray
    missing: float


def load(config):
    """Returns the exact spectrum of every dimension, {dim: Exact}; checks every field of the config."""
    if not config.dims or any(not isinstance(dim, int) or not 2 <= dim <= _MAX_DIM for dim in config.dims):
        raise ValueError(f"config.dims={config.dims}: dimensions must be integers from 2 to {_MAX_DIM}")
    if config.width < 2 or config.width % 2:
        raise ValueError(f"config.width={config.width}: the symmetric initialisation needs an even width")
    try:
        activations.get(config.activation)
    except ValueError as error:
        raise ValueError(f"config.activation={config.activation!r}: {error}") from None
    for name in ("scale", "gamma"):
        if not 0 < getattr(config, name) < float("inf"):
            raise ValueError(f"config.{name}={getattr(config, name)}: must be positive")
    if config.num_seeds < 1:
        raise ValueError(f"config.num_seeds={config.num_seeds}: must be at least 1")
    if not 1 <= config.fit_first < config.num_points // 10:
        raise ValueError(
            f"config.fit_first={config.fit_first}: must lie in 1..{config.num_points // 10 - 1}, below num_points / 10"
        )
    if config.num_points < 10 * TOP:
        raise ValueError(f"config.num_points={config.num_points}: must be at least {10 * TOP}")
    if len(config.exact_window) != 2 or not 1 <= config.exact_window[0] < config.exact_window[1]:
        raise ValueError(f"config.exact_window={config.exact_window}: must be two increasing indices from 1")
    return {dim: _exact(config, dim) for dim in config.dims}


def run(config, data, workdir):
    """Returns the figures: what the activation has of Assumption A1, and each dimension's deviations and slopes."""
    assumption = activations.assumption_a1(config.activation)
    result = {"assumption_a1": assumption._asdict() | {"words": assumption.words()}}
    for dim, exact in data.items():
        measured = [
            workdir.stage(f"d{dim}_seed{seed}", functools.partial(_measure, config, dim, seed))
            for seed in workdir.track(range(config.num_seeds), f"d{dim}")
        ]
        spectra = {kind: np.array([one[kind] for one in measured]) for kind in _KINDS}
        traces = {kind: np.array([one[f"{kind}_trace"] for one in measured]) for kind in _KINDS}
        _log_rows(workdir, config, dim, exact, spectra, traces)
        freedom = workdir.rows(f"freedom_d{dim}")[0]
        result[f"d{dim}"] = _figures(config, dim, exact, spectra, freedom)
    by_index, by_degree, freedom = (
        [row for row in workdir.rows() if row["stage"].startswith(f"{stage}_d")]
        for stage in ("eigenvalues", "degrees", "freedom")
    )
    workdir.save_figure("eigen_decay", plot_eigen_decay(by_index), _points(by_index))
    workdir.save_figure("eigen_degrees", plot_degrees(by_degree, freedom), _points(by_degree) + _points(freedom))
    return result


def plot_eigen_decay(rows):
    """Returns the figure: in each dimension eigenvalues over index with the theory's slope, and over the exact ones."""
    dims = _dims(rows)
    figure, axes = figures.new(2, len(dims), width=4.2, height=3.2)
    for dim, (axis, ratio) in zip(dims, np.reshape(axes, (2, -1)).T):
        own = _of_dim(rows, dim)
        index, exact = (np.array([row[name] for row in own], float) for name in ("step", "exact"))
        axis.plot(index, exact, color="black", lw=1.2, label="exact")
        for kind, marker in zip(_KINDS, "ox"):
            values = np.array([row[kind] for row in own])
            _bars(axis, index, values, marker, _KINDS[kind])
            _bars(ratio, index, values / exact[:, None], marker, _KINDS[kind])
        if own[0]["beta"] is not None:
            beta, tail = own[0]["beta"], index >= index[-1] / 20
            anchor = exact[-1] * 0.4 * (index / index[-1]) ** -beta
            axis.plot(index[tail], anchor[tail], "--", color="grey", label=f"theory slope $-{beta:.4g}$")
        ratio.axhline(1, color="black", lw=1.2)
        axis.set(xscale="log", yscale="log", xlabel="index $i$", ylabel=r"eigenvalue $\lambda_i$")
        ratio.set(xscale="log", xlabel="index $i$", ylabel="Gram matrix / exact")
        axis.set_title(f"$d={dim}$: median and quartiles of {values.shape[1]} seeds", fontsize=10)
        axis.legend(fontsize=8, frameon=False)
    return figure


def plot_degrees(by_degree, freedom):
    """Returns the figure: in each dimension mean eigenvalues by degree, and the degrees of freedom over lambda."""
    dims = _dims(by_degree)
    figure, axes = figures.new(2, len(dims), width=4.2, height=3.2)
    for dim, (top, bottom) in zip(dims, np.reshape(axes, (2, -1)).T):
        for axis, rows, name in ((top, by_degree, "step"), (bottom, freedom, "regularization")):
            own = _of_dim(rows, dim)
            x, exact = (np.array([row[key] for row in own], float) for key in (name, "exact"))
            axis.plot(x, exact, "_" if axis is top else "-", ms=26, color="black", lw=1.2, label="exact")
            for kind, marker, shift in zip(_KINDS, "ox", (-0.12, 0.12)):
                values = np.array([row[kind] for row in own])
                _bars(axis, x + shift if axis is top else x, values, marker, _KINDS[kind])
        if own[0]["prediction"] is not None:
            bottom.plot(x, [row["prediction"] for row in own], "--", color="grey", label="leading order")
        top.set(yscale="log", xlabel="rank of the degree", ylabel=r"mean eigenvalue of a degree")
        top.xaxis.get_major_locator().set_params(integer=True)
        bottom.set(xscale="log", yscale="log", xlabel=r"$\lambda$", ylabel=r"degrees of freedom $N(\lambda)$")
        top.set_title(f"$d={dim}$: median and quartiles of {values.shape[1]} seeds", fontsize=10)
        for axis in (top, bottom):
            axis.legend(fontsize=8, frameon=False)
    return figure


def _dims(rows):
    return sorted({row["dim"] for row in rows})


def _of_dim(rows, dim):
    return sorted((row for row in rows if row["dim"] == dim), key=lambda row: row["step"])


def _bars(axis, x, values, marker, label):
    """Draws the median and quartiles over seeds of values [points, seeds]."""
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75), axis=1)
    bars = axis.errorbar(x, middle, (middle - low, high - middle), fmt=marker, ms=3.5, lw=0.8, alpha=0.8)
    bars.set_label(label)


def _points(rows):
    """Returns the plotted points as flat rows."""
    points = []
    for row in rows:
        point = {key: value for key, value in row.items() if key not in _KINDS}
        for kind in _KINDS:
            low, middle, high = np.quantile(row[kind], (0.25, 0.5, 0.75))
            point |= {f"{kind}_median": middle, f"{kind}_low": low, f"{kind}_high": high}
        points.append(point)
    return points


def _beta(config, dim):
    """Returns the decay exponent, or None where the theory gives none."""
    return theory.decay_exponent(dim) if config.activation == "relu" else None


def _exact(config, dim):
    setting = {"dim": dim, "activation": config.activation, "scale": config.scale, "gamma": config.gamma}
    count = config.num_points // 10
    if _beta(config, dim) is not None:
        count = max(count, config.exact_window[1])
    degree = 8
    while True:
        mu, multiplicity = sphere.eigenvalues(max_degree=degree, **setting)
        mu = np.where(mu > _NOISE * mu.max(), mu, 0)
        try:
            by_index = spectrum.by_index(mu, multiplicity, count)
        except ValueError:
            if degree > count:
                raise
            degree *= 2
        else:
            order = np.argsort(-mu, kind="stable")
            missing = sphere.trace(**setting) - mu @ multiplicity.astype(float)
            return Exact(by_index, mu[order], multiplicity[order], max(missing, 0.0))


def _measure(config, dim, seed):
    """Returns the leading Gram eigenvalues of one draw of points and weights, and the trace, of either kind."""
    key_points, key_weights = jax.random.split(jax.random.fold_in(jax.random.key(config.seed), 1_000 * dim + seed))
    x = jax.random.normal(key_points, (config.num_points, dim))
    x = x / jnp.linalg.norm(x, axis=1, keepdims=True)
    params = network.init(key_weights, width=config.width, dim=dim, scale=config.scale)
    grams = {
        "network": empirical.two_layer_ntk(params, x, activation=config.activation, gamma=config.gamma),
        "kernel": infinite.ntk(x, x, activation=config.activation, scale=config.scale, gamma=config.gamma),
    }
    return {
        name: value
        for kind, gram in grams.items()
        for name, value in (
            (kind, spectrum.gram_eigenvalues(gram, config.num_points // 10)),
            (f"{kind}_trace", np.trace(np.asarray(gram), dtype=np.float64) / config.num_points),
        )
    }


def _log_rows(workdir, config, dim, exact, spectra, traces):
    """Logs what is plotted of one dimension: by index, by degree, and the degrees of freedom."""
    beta, kept = _beta(config, dim), config.num_points // 10
    for index in np.unique(np.geomspace(1, kept, 60).round().astype(int)):
        values = {kind: spectra[kind][:, index - 1] for kind in _KINDS}
        workdir.log(f"eigenvalues_d{dim}", index, dim=dim, beta=beta, exact=exact.by_index[index - 1], **values)
    means = {kind: spectrum.by_degree(spectra[kind], exact.multiplicity) for kind in _KINDS}
    for rank in range(means["kernel"].shape[1]):
        values = {kind: means[kind][:, rank] for kind in _KINDS}
        workdir.log(f"degrees_d{dim}", rank, dim=dim, exact=exact.mu[rank], count=exact.multiplicity[rank], **values)
    least = 10 * max(exact.by_index[kept - 1], _NOISE)
    for step, reg in enumerate(np.geomspace(least, exact.by_index[0], 12)):
        values = {kind: _freedom(spectra[kind], traces[kind], config.num_points, reg) for kind in _KINDS}
        whole = spectrum.degrees_of_freedom(exact.mu, reg, exact.multiplicity) + exact.missing / reg
        prediction = None
        if beta is not None:
            leading = exact.by_index[-1] * len(exact.by_index) ** beta
            prediction = spectrum.degrees_of_freedom_prediction(reg, beta=beta, leading=leading)
        row = {"regularization": reg, "exact": whole, "prediction": prediction}
        workdir.log(f"freedom_d{dim}", step, dim=dim, **row, **values)


def _freedom(values, trace, num_points, reg):
    """Returns N(lambda) of Gram matrices [seeds] from their leading eigenvalues [seeds, m] and traces [seeds].

    The others, small beside lambda, are taken as equal, which is at most their largest over lambda too much.
    """
    rest = np.maximum(trace - values.sum(axis=1), 0)
    leading = [spectrum.degrees_of_freedom(one, reg) for one in values]
    return np.array(leading) + rest / (reg + rest / (num_points - values.shape[1]))


def _figures(config, dim, exact, spectra, freedom):
    """Returns one dimension's figures."""
    window, beta = (config.fit_first, config.num_points // 10), _beta(config, dim)
    exact_slope = _slope(exact.by_index, *window)
    result = {
        "exact_slope": {"value": exact_slope, "window": window},
        "exact_trace_missing": {"value": exact.missing / (exact.missing + exact.mu @ exact.multiplicity.astype(float))},
    }
    against = {"exact": exact_slope}
    if beta is not None:
        against["theory"] = -beta
        tail = _slope(exact.by_index, *config.exact_window)
        result["exact_tail_slope"] = {"value": tail, "theory": -beta, "window": config.exact_window}
        result["degrees_of_freedom_prediction_ratio"] = {"value": freedom["prediction"] / freedom["exact"]}
    for kind, values in spectra.items():
        ratio = values / exact.by_index[: values.shape[1]]
        deviation = np.abs(ratio[:, :TOP] - 1)
        result[f"{kind}_top{TOP}_median_deviation"] = descent.over_seeds(np.median(deviation, axis=1), exact=0.0)
        result[f"{kind}_top{TOP}_max_deviation"] = descent.over_seeds(deviation.max(axis=1), exact=0.0)
        result[f"{kind}_last_ratio"] = descent.over_seeds(ratio[:, -1], exact=1.0, index=values.shape[1])
        means = spectrum.by_degree(values, exact.multiplicity)
        means = means[:, :_DEGREES] / exact.mu[: means.shape[1]][:_DEGREES]
        result[f"{kind}_degree_max_deviation"] = descent.over_seeds(
            np.abs(means - 1).max(axis=1), exact=0.0, degrees=means.shape[1]
        )
        share = np.array(freedom[kind]) / freedom["exact"]
        result[f"{kind}_degrees_of_freedom_ratio"] = descent.over_seeds(
            share, exact=1.0, regularization=freedom["regularization"]
        )
        if exact_slope is not None:
            slopes = np.array([_slope(one, *window, levels=False) for one in values])
            result[f"{kind}_slope"] = descent.over_seeds(slopes, **against)
    return result


def _slope(values, first, last, levels=True):
    """Returns the decay slope over a window, or None where an exact spectrum has too few levels there for one."""
    window = values[first - 1 : last]
    if levels and (len(np.unique(window)) < _MIN_LEVELS or window.min() <= 0):
        return None
    return spectrum.decay_slope(values, first, last)
