"""Eigenvalues of the network's kernel and of its limit on random points, against the exact spectrum by index."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from experiment import figures
from ntk_asgd import empirical, infinite, network, spectrum, sphere, theory

TOP = 30  # leading eigenvalues compared one by one
_MIN_LEVELS = 4  # distinct degrees a window must span for a slope to mean decay
_UNITS = 2_048  # hidden units a block: bounds the memory of a Gram matrix
_MAX_DIM = 1_000  # the exact spectrum of more takes minutes, and shows two degrees only
_KINDS = {"network": "network at initialisation", "kernel": "infinite width"}


def load(config):
    """Returns the exact spectrum by index of every dimension, {dim: [count]}; checks every field of the config."""
    if not config.dims or any(not isinstance(dim, int) or not 2 <= dim <= _MAX_DIM for dim in config.dims):
        raise ValueError(f"config.dims={config.dims}: dimensions must be integers from 2 to {_MAX_DIM}")
    if config.width < 2 or config.width % 2:
        raise ValueError(f"config.width={config.width}: the symmetric initialisation needs an even width")
    if config.activation != "relu":
        raise ValueError(f"config.activation={config.activation!r}: the decay exponent is known for relu alone")
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
    count = max(config.num_points // 10, config.exact_window[1])
    return {dim: _exact_by_index(config, dim, count) for dim in config.dims}


def run(config, data, workdir):
    """Returns the figures: top-30 deviations and decay slopes of every dimension."""
    result = {}
    for dim, exact in data.items():
        spectra = {kind: [] for kind in _KINDS}
        for seed in workdir.track(range(config.num_seeds), f"d{dim}"):
            measured = workdir.stage(f"d{dim}_seed{seed}", functools.partial(_measure, config, dim, seed))
            for kind in _KINDS:
                spectra[kind].append(measured[kind])
        spectra = {kind: np.array(values) for kind, values in spectra.items()}
        result[f"d{dim}"] = _figures(config, dim, exact, spectra)
        for index in np.unique(np.geomspace(1, config.num_points // 10, 60).round().astype(int)):
            values = {kind: spectra[kind][:, index - 1] for kind in _KINDS}
            workdir.log(f"eigenvalues_d{dim}", index, dim=dim, exact=exact[index - 1], **values)
    rows = [row for row in workdir.rows() if row["stage"].startswith("eigenvalues_d")]
    workdir.save_figure("eigen_decay", plot_eigen_decay(rows), _points(rows))
    return result


def plot_eigen_decay(rows):
    """Returns the figure: eigenvalues over index in each dimension, the exact spectrum and the theory's slope."""
    dims = sorted({row["dim"] for row in rows})
    figure, axes = figures.new(1, len(dims), width=4.4)
    for dim, axis in zip(dims, np.atleast_1d(axes)):
        own = sorted((row for row in rows if row["dim"] == dim), key=lambda row: row["step"])
        index = np.array([row["step"] for row in own])
        exact = np.array([row["exact"] for row in own])
        axis.plot(index, exact, color="black", lw=1.2, label="exact")
        for kind, marker in zip(_KINDS, "ox"):
            values = np.array([row[kind] for row in own])
            middle, low, high = np.median(values, axis=1), values.min(axis=1), values.max(axis=1)
            bars = axis.errorbar(index, middle, (middle - low, high - middle), fmt=marker, ms=3.5, lw=0.8, alpha=0.8)
            bars.set_label(_KINDS[kind])
        beta = theory.decay_exponent(dim)
        anchor = exact[-1] * 0.4 * (index / index[-1]) ** -beta
        tail = index >= index[-1] / 20
        axis.plot(index[tail], anchor[tail], "--", color="grey", label=f"theory slope $-{beta:.4g}$")
        axis.set(xscale="log", yscale="log", xlabel="index $i$", ylabel=r"eigenvalue $\lambda_i$")
        axis.set_title(f"$d={dim}$: median and range of {values.shape[1]} seeds", fontsize=10)
        axis.legend(fontsize=8, frameon=False)
    return figure


def _points(rows):
    """Returns the plotted points as flat rows."""
    points = []
    for row in rows:
        point = {"dim": row["dim"], "index": row["step"], "exact": row["exact"]}
        for kind in _KINDS:
            middle, low, high = np.median(row[kind]), np.min(row[kind]), np.max(row[kind])
            point |= {f"{kind}_median": middle, f"{kind}_min": low, f"{kind}_max": high}
        points.append(point)
    return points


def _exact_by_index(config, dim, count):
    degree, listed = 0, 1
    while listed < count:
        degree = 2 * degree + 8
        listed = sphere.multiplicities(dim, degree)[:-2].sum()
    mu, multiplicity = sphere.eigenvalues(
        dim=dim, activation=config.activation, max_degree=degree, scale=config.scale, gamma=config.gamma
    )
    return spectrum.by_index(mu, multiplicity, count)


def _measure(config, dim, seed):
    """Returns the leading Gram eigenvalues of one draw of points and weights, {"network": .., "kernel": ..}."""
    key_points, key_weights = jax.random.split(jax.random.fold_in(jax.random.key(config.seed), 1_000 * dim + seed))
    x = jax.random.normal(key_points, (config.num_points, dim))
    x = x / jnp.linalg.norm(x, axis=1, keepdims=True)
    params = network.init(key_weights, width=config.width, dim=dim, scale=config.scale)
    grams = {
        "network": _network_gram(params, x, config.activation, config.gamma),
        "kernel": infinite.ntk(x, x, activation=config.activation, scale=config.scale, gamma=config.gamma),
    }
    return {kind: spectrum.gram_eigenvalues(gram, config.num_points // 10) for kind, gram in grams.items()}


def _network_gram(params, x, activation, gamma):
    """Returns the network's kernel [n, n], summed over blocks of hidden units."""
    gram_fn = jax.jit(functools.partial(empirical.two_layer_ntk, activation=activation, gamma=gamma))
    width, gram = params.a.shape[0], 0
    for start in range(0, width, _UNITS):
        block = jax.tree.map(lambda leaf, start=start: leaf[start : start + _UNITS], params)
        gram = gram + gram_fn(block, x) * (block.a.shape[0] / width)
    return gram


def _figures(config, dim, exact, spectra):
    """Returns one dimension's figures."""
    window = (config.fit_first, config.num_points // 10)
    exact_slope = _slope(exact, *window)
    result = {
        "exact_slope": {"value": exact_slope, "window": window},
        "exact_tail_slope": {
            "value": _slope(exact, *config.exact_window),
            "theory": -theory.decay_exponent(dim),
            "window": config.exact_window,
        },
    }
    for kind, values in spectra.items():
        deviation = np.abs(values[:, :TOP] / exact[None, :TOP] - 1)
        result[f"{kind}_top{TOP}_median_deviation"] = _over_seeds(np.median(deviation, axis=1), exact=0.0)
        result[f"{kind}_top{TOP}_max_deviation"] = _over_seeds(deviation.max(axis=1), exact=0.0)
        if exact_slope is not None:
            slopes = np.array([_slope(one, *window, levels=False) for one in values])
            result[f"{kind}_slope"] = _over_seeds(slopes, exact=exact_slope, theory=-theory.decay_exponent(dim))
    return result


def _slope(values, first, last, levels=True):
    """Returns the decay slope over a window, or None where an exact spectrum has too few levels there for one."""
    if levels and len(np.unique(values[first - 1 : last])) < _MIN_LEVELS:
        return None
    return spectrum.decay_slope(values, first, last)


def _over_seeds(values, **beside):
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"value": float(np.mean(values)), "sd": spread, "seeds": len(values), **beside}
