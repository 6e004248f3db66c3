"""Selection criteria side by side in the NAS-Bench-201 space: the true rank of the cell each of them selects.

One supernet a seed and a search; every criterion selects from the same one. The rank is that in a table of trained
cells, of NAS-Bench-201 or one of this project's own, so nothing is trained after selection.
"""

import math
import time
from typing import NamedTuple

import numpy as np
from absl import logging

from darts_perturb import data as images
from darts_perturb import genotype as genotypes
from darts_perturb import space as spaces
from darts_perturb import tabular
from darts_perturb.runs import jobs as jobs_
from darts_perturb.runs import summary
from darts_perturb.runs.analysis import criteria_plots, selectors, supernets

INPUTS = ("data_path", "table")
SPACE = spaces.NAS_BENCH_201
RANDOM = summary.RANDOM


class Data(NamedTuple):
    """What load() returns."""

    dataset: images.Dataset
    table: tabular.Table | None


def load(config):
    """Returns Data after checking every field of the config.

    Raises:
        ValueError: an impossible field, or images or a table that are not as they should be.
        OSError: files that cannot be read.
    """
    supernets.check(config)
    _check_fields(config)
    dataset = supernets.dataset_of(config)
    images.check_batch("config.zero_cost.batch_size", config.zero_cost.batch_size, len(dataset.y_train) // 2)
    batches = len(dataset.y_train) // 2 // config.eval_batch_size
    if config.shapley.batches > batches:
        raise ValueError(f"config.shapley.batches={config.shapley.batches}: the held-out images make {batches}")
    return Data(dataset, tabular.load(config.table) if config.table else None)


def _check_fields(config):
    criteria, known = config.criteria, (*selectors.OF_SUPERNET, *selectors.ZERO_COST)
    if not criteria or len(set(criteria)) < len(criteria) or not set(criteria) <= set(known):
        raise ValueError(f"config.criteria={criteria}: known are {', '.join(known)}, each once")
    found = {
        "random_cells": (config.random_cells, 1),
        "projection.tune_epochs": (config.projection.tune_epochs, 0),
        "shapley.walks": (config.shapley.walks, 1),
        "shapley.batches": (config.shapley.batches, 1),
        "zero_cost.batch_size": (config.zero_cost.batch_size, 2),
    }
    for field, (value, least) in found.items():
        if value < least:
            raise ValueError(f"config.{field}={value}: need at least {least}")
    if not 0 <= config.projection.learning_rate < math.inf:
        raise ValueError(f"config.projection.learning_rate={config.projection.learning_rate}: need a finite number")
    if config.projection.official:
        raise ValueError("config.projection.official=True: name official_accuracy among config.criteria instead")
    if config.projection.order != "random":
        raise ValueError(f"config.projection.order={config.projection.order!r}: need 'random'")
    if not 0 <= config.shapley.truncation < 1:
        raise ValueError(f"config.shapley.truncation={config.shapley.truncation}: need a share, 0 for whole walks")


def run(config, data, workdir):
    """Returns the figures of the run; see the config for what they are."""
    if data.table is None:
        logging.info("config.table is empty: the cells are selected and not ranked")
    jobs = selectors.Selectors(config, SPACE, data.dataset, workdir)
    found = {}
    for seed in config.seeds:
        for name in config.searches:
            state = jobs.search(name, seed)
            for criterion in _criteria(config, selectors.OF_SUPERNET):
                if criterion == selectors.MAGNITUDE and name == jobs_.FIXED:
                    continue  # alpha is what it was drawn as
                chosen = jobs.chosen(criterion, name, seed, state)
                found[summary.name_of(criterion, name), seed] = chosen
        for criterion in _criteria(config, selectors.ZERO_COST):
            found[criterion, seed] = jobs.chosen(criterion, "none", seed, jobs.untrained(seed))
    cells = {key: genotypes.from_choice(SPACE, chosen["choice"]) for key, chosen in found.items()}
    rng = np.random.default_rng(config.seeds[0])
    for number in range(config.random_cells):
        cells[RANDOM, number] = genotypes.random(rng, SPACE)
    _log(workdir, cells, found, data.table)
    criteria_plots.save(workdir)
    return {
        "table": _of_table(data.table),
        "criteria": figures(cells, found, data.table),
        "seeds": len(config.seeds),
    }


def _criteria(config, known):
    return [name for name in config.criteria if name in known]


def _of_table(table):
    """Returns {data set: cells, the mean rank of all of them, the best accuracy}, None without a table."""
    if table is None:
        return None
    return {
        name: {"cells": len(column), "mean_rank": (len(column) + 1) / 2, "best": column.max()}
        for name, column in zip(table.datasets, table.accuracy.T)
    }


def figures(cells, found, table):
    """Returns {criterion: figures over seeds of the cells it selected}.

    Args:
        cells: {(criterion, seed): genotype}, random cells among them.
        found: {(criterion, seed): what `Selectors.chosen` gave}, without random cells.
        table: `tabular.Table`, or None.
    """
    groups = {}
    for (name, seed), cell in cells.items():
        groups.setdefault(name, {})[seed] = cell
    every = {}
    for name, group in groups.items():
        of_seeds = list(group.values())
        every[name] = {
            "genotypes": [genotypes.format(cell) for cell in of_seeds] if name != RANDOM else None,
            "parameter_free_share": summary.spread([genotypes.parameter_free_share(cell) for cell in of_seeds]),
        }
        if table is not None:
            start = time.perf_counter()
            every[name]["table"] = summary.tabulated(table, of_seeds)
            every[name]["lookup_s"] = time.perf_counter() - start
        costs = [found[name, seed] for seed in group if (name, seed) in found]
        if costs:
            # the median: the first seed has compilation in it
            every[name]["cost"] = {what: float(np.median([cost[what] for cost in costs])) for what in selectors.COSTS}
    return every


def _log(workdir, cells, found, table):
    for row, ((name, seed), cell) in enumerate(cells.items()):
        shown = {"parameter_free_share": float(genotypes.parameter_free_share(cell))}
        if table is not None:
            for dataset, answer in tabular.of(table, cell).items():
                shown |= {f"rank {dataset}": answer["rank"], f"accuracy {dataset}": answer["accuracy"]}
        shown |= {what: float(found[name, seed][what]) for what in selectors.COSTS if (name, seed) in found}
        workdir.log("cells", row, criterion=name, seed=seed, genotype=genotypes.format(cell), **shown)
