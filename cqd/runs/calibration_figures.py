"""The rows and the figures of a run of calibration, from the results of `judging.judge`."""

import contextlib
import itertools

import numpy as np

from cqd.runs import judging, summaries

QUANTILES = (0.025, 0.975)
NEAR = 0.02  # what coverage may be off


def log(config, workdir, results):
    """Writes the rows of the figures, seed by seed; a stage that was read back has lost the order of its keys."""
    for number, (seed, of_seed) in enumerate(results.items()):
        steps = itertools.count(10_000 * number)
        for method in names(of_seed):
            result = of_seed[method]
            for part, name in itertools.product(judging.JUDGED, judging.MAPS):
                found = {key: _number(value) for key, value in sorted(result[part][name][judging.SHOWN].items())}
                mrr = {f"mrr_{key}": _number(value) for key, value in sorted(result[part][name]["mrr"].items())}
                workdir.log("errors", next(steps), seed=seed, part=part, method=method, map=name, **found, **mrr)
            for name in dict.fromkeys(("none", config.chosen_map)):
                bins = result["held_out"][name]["bins"]
                for truth, share, count in zip(*(bins[key].tolist() for key in ("truth", "share", "count"))):
                    row = {"seed": seed, "method": method, "map": name, "truth": truth, "share": share}
                    workdir.log("reliability", next(steps), **row, count=count)
            for part, group, at in itertools.product(PARTS, judging.GROUPS, range(len(config.alphas))):
                row = {"seed": seed, "part": part, "method": method, "group": group}
                row |= {"nominal": 1 - config.alphas[at], "coverage": coverage(result, part, group)[at]}
                if part == "divided":
                    quantiles = np.quantile(result[part][group][:, at], QUANTILES).tolist()
                    row |= dict(zip(("low", "high"), quantiles))
                else:
                    row["size"] = float(result[part]["sets"][group]["size"][at].mean())
                workdir.log("sets", next(steps), **row)


PARTS = ("divided", *judging.JUDGED)  # ways of testing coverage


def names(of_seed):
    """Returns the methods of one seed's results."""
    return [name for name in of_seed if name != "links"]


def coverage(result, part, group):
    """Returns a list: the mean coverage at every level."""
    if part == "divided":
        return result["divided"][group].mean(axis=0).tolist()
    return result[part]["sets"][group]["covered"].mean(axis=1).tolist()


def figures(config, results):
    """Returns the figures of summary.json.

    Args:
        config: of the run.
        results: list of {"links": metrics, method: results of `judging.judge`}, one a seed.
    """
    methods = names(results[0])
    chosen = (config.chosen_method, config.chosen_map)

    def table(fn):
        return {part: {method: fn(part, method) for method in methods} for part in judging.JUDGED}

    def by_map(part, method, *path):
        return {name: _spread(results, method, part, name, *path) for name in judging.MAPS}

    def errors(part, method):
        keys = {of: sorted(results[0][method][part]["none"][of]) for of in (judging.SHOWN, judging.EVERY, "first")}
        return {of: {key: by_map(part, method, of, key) for key in inside} for of, inside in keys.items()}

    def mrr(part, method):
        return {side: by_map(part, method, "mrr", side) for side in sorted(results[0][method][part]["none"]["mrr"])}

    return {
        "link_prediction_mrr": summaries.spread([_number(each["links"]["mrr"]) for each in results]),
        "chosen": dict(zip(("method", "map"), chosen)),
        "ece": table(lambda part, method: by_map(part, method, judging.SHOWN, "ece")),
        "ece_over": {part: _ratios(config, results, part) for part in judging.JUDGED},
        "ece_by_type": {part: _by_type(config, results, part) for part in judging.JUDGED},
        "errors": table(errors),
        "mrr": table(mrr),
        "mrr_change": {part: _mrr_change(config, results, part) for part in judging.JUDGED},
        "coverage": {part: {method: _coverage(config, results, part, method) for method in methods} for part in PARTS},
        "coverage_deviation": {
            part: {method: _deviations(config, results, part, method) for method in methods} for part in PARTS
        },
        "divisions_within_two_points": {method: _near(config, results, method) for method in methods},
    }


def _number(value):
    return float(np.asarray(value))


def _value(result, *path):
    for key in path:
        result = result[key]
    return _number(result)


def _spread(results, *path):
    """Returns the spread over the seeds that have such a figure."""
    values = []
    for each in results:
        with contextlib.suppress(KeyError):
            values.append(_value(each, *path))
    return summaries.spread(values) if values else None


def _ece(result, method, name, part):
    return _value(result, method, part, name, judging.SHOWN, "ece")


def _ratios(config, results, part):
    """Returns the error of the chosen method and map over that of truths as they are, the paper's and QTO's."""
    found = {}
    for key in ("paper", "qto", "chosen_method"):
        values = [
            _ece(each, config.chosen_method, config.chosen_map, part) / _ece(each, config[key], "none", part)
            for each in results
        ]
        found[key.removesuffix("_method")] = summaries.spread(values)
    return found


def _by_type(config, results, part):
    """Returns {"paper", "qto", "chosen": {type: spread of the error}}."""
    settings = {"paper": (config.paper, "none"), "qto": (config.qto, "none")}
    settings["chosen"] = (config.chosen_method, config.chosen_map)
    return {
        key: {of: _spread(results, method, part, name, "types", of) for of in config.types}
        for key, (method, name) in settings.items()
    }


def _mrr_change(config, results, part):
    """Returns what the chosen map adds to the chosen method's MRR."""
    sides = sorted(results[0][config.chosen_method][part]["none"]["mrr"])
    maps = (config.chosen_map, "none")
    return {
        side: summaries.spread(
            [
                np.subtract(*(_value(each, config.chosen_method, part, name, "mrr", side) for name in maps))
                for each in results
            ]
        )
        for side in sides
    }


def _coverage(config, results, part, method):
    """Returns {group: {level: spread, "interval" and size of the sets}}.

    The interval is that of one division's coverage where queries are divided at random. Elsewhere it is a normal one of
    the mean over the queries tried of all seeds; queries that share a missing edge make it narrow, and sd has the rest.
    """
    found = {}
    for group in judging.GROUPS:
        for at, alpha in enumerate(config.alphas):
            values = [coverage(each[method], part, group)[at] for each in results]
            entry = {**summaries.spread(values), "nominal": 1 - alpha}
            if part == "divided":
                every = np.concatenate([each[method][part][group][:, at] for each in results])
                low, high = np.quantile(every, QUANTILES).tolist()
            else:
                sets = [each[method][part]["sets"][group] for each in results]
                every = np.concatenate([of["covered"][at] for of in sets])
                error = 1.96 * every.std() / np.sqrt(len(every))
                low, high = float(every.mean() - error), float(every.mean() + error)
                sizes = [of["size"][at] for of in sets]
                entry["size"] = summaries.spread([_number(of.mean()) for of in sizes])
                entry["median_size"] = summaries.spread([_number(np.median(of)) for of in sizes])
            found.setdefault(group, {})[f"{1 - alpha:g}"] = {**entry, "interval": [low, high]}
    return found


def _deviations(config, results, part, method):
    """Returns {group: spread of the largest distance from the nominal coverage at any level}."""
    nominal = 1 - np.array(config.alphas)
    return {
        group: summaries.spread([np.abs(coverage(each[method], part, group) - nominal).max() for each in results])
        for group in judging.GROUPS
    }


def _near(config, results, method):
    """Returns {group: spread of the share of divisions and levels whose coverage is within NEAR of the nominal}."""
    nominal = 1 - np.array(config.alphas)
    return {
        group: summaries.spread([(np.abs(each[method]["divided"][group] - nominal) <= NEAR).mean() for each in results])
        for group in judging.GROUPS
    }
