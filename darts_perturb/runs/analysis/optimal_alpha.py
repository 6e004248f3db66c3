"""The alpha of a searched supernet against the one that is best for its feature maps (proposition 1)."""

import functools

import jax
import numpy as np

from darts_perturb import edges as edges_
from darts_perturb.analysis import carried, optimal_alpha, skip_domination
from darts_perturb.runs import jobs as jobs_
from darts_perturb.runs import summary
from darts_perturb.runs.analysis import optimal_alpha_plots, supernets
from darts_perturb.search import op_weights

INPUTS = supernets.INPUTS
SYNTHETIC_VALUES = 1000  # in a synthetic map
SYNTHETIC_LIMIT = 5.0  # of the differences that are compared: further out the error is flat to the last digit


def load(config):
    """Returns `supernets.Data` after checking every field of the config.

    Raises:
        ValueError: an impossible field, an edge without another to compare with, or images that are not as they should
            be.
        OSError: files that cannot be read.
    """
    for field in ("synthetic", "num_images"):
        if config[field] < 2:
            raise ValueError(f"config.{field}={config[field]}: need at least 2")
    if not 0 < config.limit < 100:
        raise ValueError(f"config.limit={config.limit}: need a number above 0 and below 100")
    data = supernets.load(config)
    half = len(data.dataset.y_train) // 2
    if config.num_images > half:
        raise ValueError(f"config.num_images={config.num_images} is larger than the {half} held-out images")
    try:
        for row in optimal_alpha.both(data.space, data.conv):
            edge = row % len(data.space.edges)
            optimal_alpha.shared_map([np.zeros((1, 1, 1, 1))] * len(data.space.edges), data.space, edge, "others")
    except ValueError as error:
        raise ValueError(f"config.space: {error}") from None
    return data


def run(config, data, workdir):
    """Returns the figures of the run; see the config for what they are."""
    jobs = jobs_.Jobs(config, data.space, data.dataset, workdir)
    look = jax.jit(functools.partial(carried.cells, space=data.space))
    for name in config.searches:
        for seed in config.seeds:
            state = jobs.search(name, seed)
            stage = f"optimum_{name}_{seed}"
            found = workdir.stage(stage, functools.partial(_measured, config, data, jobs, look, state))
            _log(workdir, stage, data, found)
    synthetic = workdir.stage("synthetic", lambda: _synthetic(config.data_seed, config.synthetic))
    rows = optimal_alpha_plots.points(workdir.rows())
    workdir.save_figure("optimal_alpha", optimal_alpha_plots.plot(rows, data.space, data.conv), rows)
    return {
        "space": data.space.name,
        "conv": data.conv,
        "searches": {name: _of_search(name, rows) for name in config.searches},
        "synthetic": {name: value.item() for name, value in synthetic.items()},
    }


def _of_search(name, rows):
    """Returns {estimator: its figures} of one search."""
    by_estimator = {each: [] for each in optimal_alpha.ESTIMATORS}
    for row in rows:
        if row["search"] == name:
            by_estimator[row["estimator"]].append(row)
    return {each: figures(own, learns=name != jobs_.FIXED) for each, own in by_estimator.items()}


def _measured(config, data, jobs, look, state):
    """Returns {estimator: {field: [edges]}} of a supernet, and the learned difference, on held-out images."""
    weights = op_weights(state.alpha, state.choice)
    x, _ = supernets.held_out(jobs)
    _, cells = jax.device_get(look(state.params, weights, x[: config.num_images]))
    kinds = carried.kinds(state.params, data.space)
    rows = optimal_alpha.both(data.space, data.conv)
    alpha, listed = np.asarray(edges_.flat(state.alpha)), edges_.listed(data.space)
    skip, conv = ([alpha[row, listed[row].ops.index(op)] for row in rows] for op in ("skip_connect", data.conv))
    found = {"learned": np.subtract(skip, conv)}
    for estimator in optimal_alpha.ESTIMATORS:
        maps = optimal_alpha.maps_of(cells, kinds, data.space, data.conv, estimator)
        moments = optimal_alpha.Moments(*np.transpose([optimal_alpha.moments_of(each) for each in maps]))
        best = optimal_alpha.optimum(moments, config.limit)
        printed = optimal_alpha.optimum(optimal_alpha.without_covariance(moments), config.limit)
        found[estimator] = {
            "variance_conv": moments.conv,
            "variance_skip": moments.skip,
            "covariance": moments.covariance,
            "optimum": best.difference,
            "exists": best.exists,
            "without_covariance": printed.difference,
            "minimised": np.array([optimal_alpha.minimised(each, config.limit) for each in maps]),
        }
    return found


def _log(workdir, stage, data, found):
    """Logs a row for every edge and estimator."""
    listed, number = edges_.listed(data.space), 0
    for estimator in optimal_alpha.ESTIMATORS:
        for place, row in enumerate(optimal_alpha.both(data.space, data.conv)):
            ends = {name: getattr(listed[row], name) for name in ("kind", "source", "target")}
            values = {name: value[place].item() for name, value in found[estimator].items()}
            learned = found["learned"][place].item()
            workdir.log(stage, number, estimator=estimator, row=row, **ends, learned=learned, **values)
            number += 1


def _synthetic(seed, num_problems):
    """Returns how far the formula is from direct minimisation on drawn maps, where an optimum exists."""
    rng, with_covariance, without, absent = np.random.default_rng(seed), [], [], 0
    while len(with_covariance) < num_problems:
        maps = [optimal_alpha.drawn(rng, SYNTHETIC_VALUES)]
        moments = optimal_alpha.moments_of(maps)
        best = optimal_alpha.optimum(moments)
        absent += not best.exists
        if best.exists and abs(best.difference) < SYNTHETIC_LIMIT:
            direct = optimal_alpha.minimised(maps)
            with_covariance.append(abs(best.difference - direct))
            printed = optimal_alpha.optimum(optimal_alpha.without_covariance(moments))
            without.append(abs(printed.difference - direct))
    return {
        "problems": num_problems,
        "without_an_optimum": absent,
        "largest_error": max(with_covariance),
        "median_error_without_covariance": np.median(without),
    }


def figures(rows, *, learns):
    """Returns the figures of one search by one estimator, each with its spread over seeds.

    Args:
        rows: of `optimal_alpha_plots.points`.
        learns: whether alpha moved, so that what it learned can be compared.
    """
    seeds = list(dict.fromkeys(row["seed"] for row in rows))
    names = ("learned", "optimum", "without_covariance", "minimised", "variance_skip", "variance_conv", "covariance")
    by_seed = [
        {name: np.array([row[name] for row in rows if row["seed"] == seed]) for name in (*names, "exists")}
        for seed in seeds
    ]

    def spread(fn):
        return summary.spread([fn(own) for own in by_seed])

    def of_best(name):
        found = {
            "mean": spread(lambda own: own[name].mean()),
            "favours_skip": spread(lambda own: (own[name] > 0).mean()),
        }
        if not learns:
            return found
        return found | {
            "same_sign_as_learned": spread(lambda own: (np.sign(own[name]) == np.sign(own["learned"])).mean()),
            "rank_correlation": spread(lambda own: skip_domination.rank_correlation(own[name], own["learned"])),
        }

    finite = [abs(row["optimum"] - row["minimised"]) for row in rows if row["exists"]]
    return {
        "learned": {
            "mean": spread(lambda own: own["learned"].mean()),
            "favours_skip": spread(lambda own: (own["learned"] > 0).mean()),
        },
        "with_covariance": of_best("optimum"),
        "without_covariance": of_best("without_covariance"),
        "share_without_an_optimum": spread(lambda own: 1 - own["exists"].mean()),
        "largest_difference_to_minimised": max(finite) if finite else None,
        **{name: spread(lambda own, name=name: own[name].mean()) for name in names[-3:]},
    }
