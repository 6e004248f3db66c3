"""The final figures of a search and its selections, with their spread over seeds."""

import numpy as np
from scipy import stats

from darts_perturb import edges as edges_
from darts_perturb import genotype as genotypes
from darts_perturb import network, selection, tabular
from darts_perturb import space as spaces

RANDOM = "random"


def name_of(way, search):
    """Returns what a selection is called."""
    return f"{way} of {search}"


def searches(space, names, seeds, weights, scores):
    """Returns {search: figures of its supernets}.

    Args:
        space: `space.Space`.
        names: of the searches.
        seeds: of the searches.
        weights: {(search, seed): op weights [rows, choices]} after the search.
        scores: {(search, seed): `perturb.Scores`}.
    """
    may = selection.allowed(space)
    found = {}
    for name in names:
        by_seed = [(np.asarray(weights[name, seed]), scores[name, seed]) for seed in seeds]
        op_weight = {op: [_mean_weight(space, rows, op) for rows, _ in by_seed] for op in space.ops}
        learned = [op for op in space.ops if op not in space.parameter_free]
        found[name] = {
            "op_weight": {op: spread(values) for op, values in op_weight.items()},
            "alpha_and_removal_agree": spread([_agreement(may, *each) for each in by_seed]),
            "supernet_accuracy": spread([each.baseline_accuracy for _, each in by_seed]),
            "removal": {
                "accuracy_drop": _mean([each.baseline_accuracy - each.accuracy for _, each in by_seed]),
                "accuracy_se": _mean([each.accuracy_se for _, each in by_seed]),
                "loss_rise": _mean([each.loss - each.baseline_loss for _, each in by_seed]),
                "loss_se": _mean([each.loss_se for _, each in by_seed]),
            },
        }
        # the paper's measure of skip domination; a 3x3 convolution where there is one
        conv = next((op for op in learned if op.endswith("conv_3x3")), learned[0] if learned else None)
        if conv and "skip_connect" in space.ops:
            difference = np.subtract(op_weight["skip_connect"], op_weight[conv])
            found[name]["skip_minus_conv"] = spread(difference)
    return found


def _mean(tables):
    return np.mean(tables, axis=0).tolist()


def _mean_weight(space, rows, op):
    """Returns the mean weight of an operation over the edges that may take it."""
    return rows[edges_.holding(space, op)].mean()


def _agreement(may, weights, scores):
    """Returns on what share of the edges the largest alpha is also the operation whose removal hurts most."""
    loss = np.where(may, np.asarray(scores.loss), -np.inf)
    return np.mean(np.where(may, weights, -np.inf).argmax(axis=1) == loss.argmax(axis=1))


def selections(cells, accuracies, table, baseline, sizes):
    """Returns {selection: figures of its cells}, random cells among them.

    Args:
        cells: {(selection, seed): genotype}; the seed of a random cell is its number.
        accuracies: {genotype: test accuracy of every retraining, maybe none}.
        table: `tabular.Table`, or None.
        baseline: the selection that those of a search without magnitude are compared with, in pairs of one seed; the
            others with magnitude of their own search. None for no comparison.
        sizes: {channels, layers, num_classes, image_size} of the networks whose parameters are counted.
    """
    groups = {}
    for (name, seed), cell in cells.items():
        groups.setdefault(name, {})[seed] = cell
    means = {name: [_test(accuracies[cell]) for cell in group.values()] for name, group in groups.items()}
    first = {cell: values[0] for cell, values in accuracies.items() if len(values)}
    found = {}
    for name, group in groups.items():
        cells_, values = list(group.values()), means[name]
        found[name] = {
            "genotypes": [genotypes.format(cell) for cell in cells_],
            "parameter_free_share": spread([genotypes.parameter_free_share(cell) for cell in cells_]),
            **counts(cells_, sizes),
        }
        if first:
            found[name]["test_accuracy"] = spread(values)
        if table is not None:
            found[name]["table"] = tabulated(table, cells_)
        if name == RANDOM:
            continue
        if first and RANDOM in groups:
            # by the first retraining, which all cells have
            others = [first[cell] for cell in groups[RANDOM].values()]
            found[name] |= against_random([first[cell] for cell in cells_], others)
        own = name_of("magnitude", name.partition(" of ")[2])
        rival = own if own in groups else baseline
        if first and rival in groups and name != rival:
            found[name]["minus_magnitude"] = spread(np.subtract(values, means[rival]))
    return found


def _test(values):
    return np.mean(values) if len(values) else np.nan


def counts(cells, sizes):
    """Returns {params, multiply_adds: [cells]} of the networks of some cells, {} in a space that has no such networks.

    Args:
        cells: genotypes of one space.
        sizes: as of `selections`.
    """
    if cells[0].space not in spaces.BUILT_IN:
        return {}
    without_images = {name: value for name, value in sizes.items() if name != "image_size"}
    return {
        "params": [network.num_params(cell, **without_images) for cell in cells],
        "multiply_adds": [network.flops(cell, **sizes) for cell in cells],
    }


def tabulated(table, cells):
    """Returns {data set: {accuracy, rank: spread over cells}} of a `tabular.Table`; accuracies in percent."""
    answers = [tabular.of(table, cell) for cell in cells]
    return {
        name: {what: spread([answer[name][what] for answer in answers]) for what in ("accuracy", "rank")}
        | {"best": answers[0][name]["best"]}
        for name in table.datasets
    }


def against_random(values, others):
    """Returns how selected cells compare with random ones.

    Returns:
        {minus_random: difference of means with Welch's 95% interval, random_beaten: share of the random cells that a
        selected one is better than, ties half, spread over the selected}.
    """
    beaten = [np.mean(np.less(others, value) + 0.5 * np.equal(others, value)) for value in values]
    difference = {"value": np.mean(values) - np.mean(others), "seeds": len(values), "random_cells": len(others)}
    parts = [np.var(each, ddof=1) / len(each) if len(each) > 1 else None for each in (values, others)]
    if None in parts or sum(parts) == 0:
        return {"minus_random": {**difference, "se": None, "interval": None}, "random_beaten": spread(beaten)}
    freedom = sum(parts) ** 2 / sum(part**2 / (len(each) - 1) for part, each in zip(parts, (values, others)))
    se = np.sqrt(sum(parts))
    half = stats.t.ppf(0.975, freedom) * se
    interval = [difference["value"] - half, difference["value"] + half]
    return {"minus_random": {**difference, "se": se, "interval": interval}, "random_beaten": spread(beaten)}


def spread(values):
    """Returns mean, standard deviation and error over seeds, and the 95% interval of the mean by Student's t."""
    values = np.asarray(values, np.float64)
    found = {"value": values.mean(), "sd": None, "se": None, "interval": None, "seeds": len(values)}
    if len(values) > 1:
        sd = values.std(ddof=1)
        half = stats.t.ppf(0.975, len(values) - 1) * sd / np.sqrt(len(values))
        found |= {"sd": sd, "se": sd / np.sqrt(len(values)), "interval": [found["value"] - half, found["value"] + half]}
    return found
