"""Search a space, select cells by every way asked for, train the selected cells and random ones, and compare.

For every seed and every search (alpha trained in first or second order, smoothed, or fixed): the supernet, the removal
scores of all its operations, and the cells selected by magnitude and by perturbation. Where the table of NAS-Bench-201
is given, the selected cells are looked up in it.
"""

import functools
from typing import NamedTuple

import numpy as np
from absl import logging

from darts_perturb import data as images
from darts_perturb import edges as edges_
from darts_perturb import genotype as genotypes
from darts_perturb import perturb, search, selection, tabular, topology
from darts_perturb import space as spaces
from darts_perturb.runs import datasets, plots, retrained, summary
from darts_perturb.runs import jobs as jobs_

INPUTS = ("data_path", "table", "space_file")
VECTORIZED = jobs_.TRACED


class Data(NamedTuple):
    """What load() returns."""

    space: spaces.Space
    dataset: images.Dataset
    table: tabular.Table | None


def apart(config):
    """Returns what runs of one process compute one after the other, though they differ in VECTORIZED fields alone."""
    own = config["retrain"]["network"] == "own" and config["retrain"]["seeds"]
    return (
        "cells are trained in networks of their own, each another program (config.retrain.network='own')" if own else ""
    )


def load(config):
    """Returns Data after checking every field of the config.

    Raises:
        ValueError: an impossible field, or images or a table that are not as they should be.
        OSError: files that cannot be read.
    """
    space = _space(config)
    _check_fields(config, space)
    table = tabular.load(config.table) if config.table else None
    dataset = datasets.load(config)
    half = len(dataset.y_train) // 2
    images.check_batch("config.batch_size", config.batch_size, half)
    smallest = min(half, len(dataset.y_valid), len(dataset.y_test))
    images.check_batch("config.eval_batch_size", config.eval_batch_size, smallest)
    if config.retrain.network == "own" and config.retrain.seeds:
        retrained.check(config, dataset, space.name)
    return Data(space, dataset, table)


def _space(config):
    """Returns the space of a config, checked to be one whose cells can be written down and trained."""
    if not config.space_file:
        if config.space.endswith(".json"):  # of a file given so nothing would notice that it has changed
            raise ValueError(f"config.space={config.space}: a name is due; give a file as config.space_file")
        try:
            return spaces.get(config.space)
        except ValueError as error:
            raise ValueError(f"config.space: {error}") from None
    space = spaces.load(config.space_file)
    if set(space.ops) == set(space.parameter_free):
        raise ValueError(f"{config.space_file}: none of its ops has anything to learn; add a convolution")
    if space.skeleton != spaces.STAGES and space.edges != spaces.get("darts").edges:
        raise ValueError(f"{config.space_file}: cells with reductions are written down with the 14 edges of darts")
    if config.retrain.network == "own" and config.retrain.seeds:
        raise ValueError(
            "config.retrain.network='own': cells of a space of your own are retrained as supernets; give supernet, or "
            "config.retrain.seeds=0"
        )
    return space


def _check_fields(config, space):
    if not config.seeds or len(set(config.seeds)) < len(config.seeds):
        raise ValueError(f"config.seeds={config.seeds}: need one or more different whole numbers")
    if not all(isinstance(seed, int) and 0 <= seed < 2**31 for seed in (*config.seeds, config.data_seed)):
        raise ValueError("config.seeds and config.data_seed: need whole numbers from 0 to 2^31 - 1")
    at_least = {
        1: ("layers", "batch_size", "steps_per_call", "search.epochs", "retrain.epochs", "retrain.random_seeds"),
        2: ("channels", "eval_batch_size"),
        0: ("shift", "projection.tune_epochs", "retrain.random_cells", "retrain.seeds"),
    }
    for least, fields in at_least.items():
        for field in fields:
            if _at(config, field) < least:
                raise ValueError(f"config.{field}={_at(config, field)}: need at least {least}")
    if config.search.clip == 0:
        raise ValueError("config.search.clip=0: no gradient is left; give a large number for no clipping")
    for field in ("search", "projection", "retrain"):
        for name, value in config[field].items():
            if isinstance(value, float) and not 0 <= value < np.inf:
                raise ValueError(f"config.{field}.{name}={value}: need a finite number, not below 0")
    known = {
        "searches": jobs_.SEARCHES,
        "selections": jobs_.WAYS,
        "dtype": ("float32", "bfloat16"),
        "projection.criterion": selection.CRITERIA,
        "projection.method": perturb.METHODS,
        "projection.order": ("random", "gap"),
        "projection.topology": topology.METHODS,
        "retrain.network": jobs_.NETWORKS,
    }
    for field, names in known.items():
        value = _at(config, field)
        wanted = {value} if isinstance(value, str) else set(value)
        if not wanted or not wanted <= set(names) or len(wanted) < (1 if isinstance(value, str) else len(value)):
            raise ValueError(f"config.{field}={value!r}: known are {', '.join(names)}")
    epsilon = config.search.epsilon
    if len(epsilon) != 2 or not all(0 <= value < np.inf for value in epsilon):
        raise ValueError(f"config.search.epsilon={epsilon}: need two numbers, the first and the last, not below 0")
    if config.table and space is not spaces.NAS_BENCH_201:
        raise ValueError(f"config.table: it has cells of nas_bench_201, config.space is {space.name}")


def _at(config, field):
    """Returns the value of a field such as search.epochs."""
    return functools.reduce(lambda node, name: node[name], field.split("."), config)


def run(config, data, workdir):
    """Returns the figures of the run; see the config for what they are."""
    jobs = jobs_.Jobs(config, data.space, data.dataset, workdir)
    if data.table is None and data.space is spaces.NAS_BENCH_201:
        logging.info("config.table is empty: selected cells are not looked up in the table of NAS-Bench-201")
    weights, scores, cells = {}, {}, {}
    for seed in config.seeds:
        for name in config.searches:
            state = jobs.search(name, seed)
            weights[name, seed] = edges_.flat(search.op_weights(state.alpha, state.choice))
            scores[name, seed] = jobs.strengths(name, seed, state)
            for way in config.selections:
                if way == "magnitude" and name == jobs_.FIXED:
                    continue  # alpha is what it was drawn as
                chosen = jobs.select(way, name, seed, state, scores[name, seed])
                cells[summary.name_of(way, name), seed] = chosen
                logging.info("%s, seed %d: %s", summary.name_of(way, name), seed, genotypes.format(chosen))
    accuracies = {cell: jobs.retrain(cell, config.retrain.seeds) for cell in dict.fromkeys(cells.values())}
    rng = np.random.default_rng(config.seeds[0])
    for number in range(config.retrain.random_cells):
        cell = genotypes.random(rng, data.space)
        cells[summary.RANDOM, number] = cell
        if cell not in accuracies:
            accuracies[cell] = jobs.retrain(cell, min(config.retrain.random_seeds, config.retrain.seeds))
    sizes = _sizes(config, data.dataset)
    _log_cells(workdir, cells, accuracies, data.table, sizes)
    plots.save(workdir, data.space)
    trained = [name for name in config.searches if name != jobs_.FIXED]
    baseline = summary.name_of("magnitude", trained[0]) if trained else None
    spread_of_seeds = [values.std(ddof=1) for values in accuracies.values() if len(values) > 1]
    return {
        "space": data.space.name,
        "searches": summary.searches(data.space, config.searches, config.seeds, weights, scores),
        "selections": summary.selections(cells, accuracies, data.table, baseline, sizes),
        "sd_of_retraining": float(np.mean(spread_of_seeds)) if spread_of_seeds else None,
    }


def _sizes(config, dataset):
    """Returns the sizes of the networks that are trained in the end."""
    own = config.retrain.network == "own"
    source = config.retrain if own else config
    return {
        "channels": source.channels,
        "layers": source.layers,
        "num_classes": dataset.num_classes,
        "image_size": dataset.x_train.shape[1],
    }


def _log_cells(workdir, cells, accuracies, table, sizes):
    for row, ((name, seed), cell) in enumerate(cells.items()):
        known = {name: values[0] for name, values in summary.counts([cell], sizes).items()}
        if table is not None:
            answer = tabular.of(table, cell)["cifar10"]
            known |= {"table_cifar10": answer["accuracy"], "rank_cifar10": answer["rank"]}
        workdir.log(
            "cells",
            row,
            selection=name,
            seed=seed,
            genotype=genotypes.format(cell),
            test_accuracy=accuracies[cell].tolist(),
            **known,
        )
