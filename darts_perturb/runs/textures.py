"""Search with trained and with fixed alpha, select by magnitude and by perturbation, retrain what was selected.

For every seed: two searches, three selected cells (magnitude; perturbation on trained alpha; perturbation on fixed
alpha). All distinct cells and a few random ones are then trained from new weights, each with the same seeds, so that
selections are compared in pairs.
"""

import functools
from typing import NamedTuple

import numpy as np
from absl import logging
from scipy import stats

from darts_perturb import data as images
from darts_perturb import genotype as genotypes
from darts_perturb import perturb, search, selection
from darts_perturb import space as spaces
from darts_perturb.runs import jobs as jobs_
from darts_perturb.runs import textures_plots as plots
from experiment import images as image_files

INPUTS = ("data_path",)
SELECTIONS = ("magnitude", "perturbation", "perturbation_fixed")
DATASETS = ("textures", "digits", "files")


class Data(NamedTuple):
    """What load() returns."""

    space: spaces.Space
    dataset: images.Dataset


def load(config):
    """Returns Data after checking every field of the config.

    Raises:
        ValueError: an impossible field, or images that are not as they should be.
        OSError: images that cannot be read.
    """
    try:
        space = spaces.get(config.space)
    except ValueError as error:
        raise ValueError(f"config.space: {error}") from None
    _check_fields(config)
    dataset = _load_images(config)
    half = len(dataset.y_train) // 2
    if config.batch_size > half:
        raise ValueError(f"config.batch_size={config.batch_size} is larger than half of the training images, {half}")
    smallest = min(half, len(dataset.y_valid), len(dataset.y_test))
    if config.eval_batch_size > smallest:
        raise ValueError(
            f"config.eval_batch_size={config.eval_batch_size} is larger than the smallest part, {smallest}"
        )
    return Data(space, dataset)


def _check_fields(config):
    if not config.seeds or len(set(config.seeds)) < len(config.seeds):
        raise ValueError(f"config.seeds={config.seeds}: need one or more different whole numbers")
    if not all(isinstance(seed, int) and 0 <= seed < 2**31 for seed in (*config.seeds, config.data_seed)):
        raise ValueError("config.seeds and config.data_seed: need whole numbers from 0 to 2^31 - 1")
    at_least = {
        1: ("channels", "layers", "batch_size", "steps_per_call", "search.epochs", "retrain.epochs", "retrain.seeds"),
        2: ("eval_batch_size",),
        0: ("shift", "projection.tune_epochs", "retrain.random_cells"),
    }
    for least, fields in at_least.items():
        for field in fields:
            value = functools.reduce(lambda node, name: node[name], field.split("."), config)
            if value < least:
                raise ValueError(f"config.{field}={value}: need at least {least}")
    for field, rates in {"search": config.search, "projection": config.projection, "retrain": config.retrain}.items():
        for name, value in rates.items():
            if isinstance(value, float) and not 0 <= value < np.inf:
                raise ValueError(f"config.{field}.{name}={value}: need a finite number, not below 0")
    for field, known in {"criterion": selection.CRITERIA, "method": perturb.METHODS}.items():
        if config.projection[field] not in known:
            raise ValueError(f"config.projection.{field}={config.projection[field]!r}: known are {', '.join(known)}")


def _load_images(config):
    if config.dataset not in DATASETS:
        raise ValueError(f"config.dataset={config.dataset!r}: known are {', '.join(DATASETS)}")
    if config.dataset == "digits":
        return images.digits(config.data_seed)
    if config.dataset == "files":
        if not config.data_path:
            raise ValueError("config.data_path is empty; config.dataset=files needs an .npz file or a folder of images")
        try:
            return images.split(image_files.load(config.data_path, real=True), config.data_seed)
        except ValueError as error:
            path = str(config.data_path)
            raise ValueError(str(error) if path in str(error) else f"{path}: {error}") from None
    sizes = config.textures.to_dict() if hasattr(config.textures, "to_dict") else dict(config.textures)
    if min(sizes.values()) < 1 or sizes["size"] % 4:
        raise ValueError(f"config.textures={sizes}: need numbers above 0 and a size that is a multiple of 4")
    try:
        return images.textures(config.data_seed, **sizes)
    except ValueError as error:
        raise ValueError(f"config.textures: {error}") from None


def run(config, data, workdir):
    """Returns the figures of the run; see the config for what they are."""
    jobs = jobs_.Jobs(config, data.space, data.dataset, workdir)
    alphas, tables, cells = {}, {}, {}
    for seed in config.seeds:
        for kind in jobs_.KINDS:
            state = jobs.search(kind, seed)
            alphas[kind, seed] = np.asarray(search.op_weights(state.alpha, state.choice))
            tables[kind, seed] = jobs.strengths(kind, seed, state)
            name = "perturbation" if kind == "trained" else "perturbation_fixed"
            cells[name, seed] = jobs.perturbation(kind, seed, state)
            if kind == "trained":
                cells["magnitude", seed] = genotypes.from_choice(data.space, selection.magnitude(state.alpha))
    rng = np.random.default_rng(config.seeds[0])
    choices = rng.integers(len(data.space.ops), size=(config.retrain.random_cells, len(data.space.edges)))
    for number, choice in enumerate(choices):
        cells["random", number] = genotypes.from_choice(data.space, choice)
    accuracies = {cell: jobs.retrain(cell) for cell in dict.fromkeys(cells.values())}
    for row, ((name, seed), cell) in enumerate(cells.items()):
        text = genotypes.format(cell)
        workdir.log("cells", row, selection=name, seed=seed, genotype=text, test_accuracy=accuracies[cell].tolist())
        logging.info("%s %d: %s test accuracy %.3f", name, seed, text, accuracies[cell].mean())
    plots.save(workdir, data.space)
    return figures(data.space, config.seeds, alphas, tables, cells, accuracies)


def figures(space, seeds, alphas, tables, cells, accuracies):
    """Returns the final figures.

    Args:
        space: `space.Space`.
        seeds: of the search.
        alphas: {(kind, seed): op weights [edges, ops]} after the search.
        tables: {(kind, seed): fields of `perturb.Scores`}.
        cells: {(selection, seed): genotype}; the seed of a random cell is its number.
        accuracies: {genotype: test accuracy [retrain seeds]}.
    """
    index = {op: number for number, op in enumerate(space.ops)}
    weight = np.stack([alphas["trained", seed] for seed in seeds]).mean(axis=1)
    by_selection = {name: [accuracies[cells[name, seed]].mean() for seed in seeds] for name in SELECTIONS}
    share = {
        name: [np.mean([op in space.parameter_free for op in cells[name, seed].ops]) for seed in seeds]
        for name in SELECTIONS
    }
    random = [accuracies[cell].mean() for (name, _), cell in cells.items() if name == "random"]
    retrain_sd = [values.std(ddof=1) for values in accuracies.values() if len(values) > 1]
    return {
        "parameter_free_share": {name: _spread(values) for name, values in share.items()},
        "skip_minus_conv3x3": _spread(weight[:, index["skip_connect"]] - weight[:, index["nor_conv_3x3"]]),
        "avg_pool_minus_conv3x3": _spread(weight[:, index["avg_pool_3x3"]] - weight[:, index["nor_conv_3x3"]]),
        "alpha_and_removal_agree": _spread([_agreement(alphas, tables, "trained", seed) for seed in seeds]),
        "removal": {
            kind: {
                name: np.mean([tables[kind, seed][name] for seed in seeds], axis=0).tolist()
                for name in ("accuracy_drop", "accuracy_se", "loss_rise", "loss_se")
            }
            for kind in jobs_.KINDS
        },
        "test_accuracy": {name: _spread(values) for name, values in by_selection.items()},
        "test_accuracy_random": {**_spread(random), "best": max(random), "worst": min(random)} if random else None,
        "test_accuracy_sd_of_retraining": float(np.mean(retrain_sd)) if retrain_sd else None,
        "perturbation_minus_magnitude": _difference(by_selection, "perturbation", "magnitude"),
        "perturbation_fixed_minus_magnitude": _difference(by_selection, "perturbation_fixed", "magnitude"),
        "genotypes": {name: [genotypes.format(cells[name, seed]) for seed in seeds] for name in SELECTIONS},
    }


def _agreement(alphas, tables, kind, seed):
    """Returns on what share of the edges the largest alpha is also the operation whose removal hurts most."""
    return np.mean(alphas[kind, seed].argmax(axis=1) == tables[kind, seed]["loss_rise"].argmax(axis=1))


def _spread(values):
    """Returns mean, standard deviation and standard error over seeds."""
    values = np.asarray(values, np.float64)
    sd = values.std(ddof=1) if len(values) > 1 else None
    return {
        "value": values.mean(),
        "sd": sd,
        "se": None if sd is None else sd / np.sqrt(len(values)),
        "seeds": len(values),
    }


def _difference(by_selection, first, second):
    """Returns the paired difference over seeds, its 95% t interval, and whether that excludes 0."""
    spread = _spread(np.subtract(by_selection[first], by_selection[second]))
    if spread["se"] is None:
        return {**spread, "interval": None, "decided": False}
    half = stats.t.ppf(0.975, spread["seeds"] - 1) * spread["se"]
    low, high = spread["value"] - half, spread["value"] + half
    return {**spread, "interval": [low, high], "decided": bool(low > 0 or high < 0)}
