"""Whether cells trained at a small size keep their order from seed to seed, so that a table of them can rank cells."""

from typing import NamedTuple

import numpy as np
from absl import logging

from darts_perturb import agreement, isomorphism
from darts_perturb import data as images
from darts_perturb import genotype as genotypes
from darts_perturb.runs.analysis import pilot_plots, small_cells

INPUTS = ()


class Data(NamedTuple):
    """What load() returns."""

    cells: np.ndarray  # int32 [cells, edges]
    datasets: dict[str, images.Dataset]


def load(config):
    """Returns Data after checking every field of the config.

    Raises:
        ValueError: an impossible field.
        OSError: photographs that cannot be read.
    """
    _check_fields(config)
    datasets = {
        name: small_cells.images(config.known[name], config.data_seed, f"config.known.{name}")
        for name in config.settings
    }
    return Data(_cells(config.cell_seed, config.num_cells), datasets)


def _check_fields(config):
    settings, seeds = config.settings, config.seeds
    if not settings or len(set(settings)) < len(settings) or not set(settings) <= set(config.known):
        raise ValueError(f"config.settings={settings}: need different ones of {', '.join(sorted(config.known))}")
    if len(seeds) < 2 or len(set(seeds)) < len(seeds):
        raise ValueError(f"config.seeds={seeds}: need two or more different whole numbers")
    for name in ("cell_seed", "data_seed", *(f"seeds[{place}]" for place in range(len(seeds)))):
        value = seeds[int(name[6:-1])] if name.startswith("seeds") else config[name]
        if not isinstance(value, int) or not 0 <= value < 2**31:
            raise ValueError(f"config.{name}={value}: need a whole number from 0 to 2^31 - 1")
    num_networks = len(isomorphism.classes()[1]) - 1
    if not 6 <= config.num_cells <= num_networks:
        raise ValueError(f"config.num_cells={config.num_cells}: need 6 to {num_networks:,}")
    for name, least in {"eval_batch_size": 2, "resamples": 1}.items():
        if config[name] < least:
            raise ValueError(f"config.{name}={config[name]}: need at least {least}")
    if not 0 < config.needed < 1:
        raise ValueError(f"config.needed={config.needed}: need a correlation between 0 and 1")


def _cells(seed, count):
    """Returns cells that are different networks with an output, drawn at random, int32 [count, edges]."""
    networks = np.delete(isomorphism.classes()[1], isomorphism.zero_class(), axis=0)
    return networks[np.random.default_rng(seed).choice(len(networks), count, replace=False)]


def run(config, data, workdir):
    """Returns the figures of the run; see the config for what they are."""
    for number, choice in enumerate(data.cells):
        cell = genotypes.from_choice(isomorphism.SPACE, choice)
        share = genotypes.parameter_free_share(cell)
        workdir.log("cells", number, genotype=genotypes.format(cell), parameter_free_share=float(share))
    found = {}
    for name, dataset in data.datasets.items():
        options = config.known[name], dataset, data.cells, config.seeds, config.eval_batch_size
        trained = small_cells.trained(workdir, f"trained_{name}", *options)
        found[name] = figures(trained, config)
        logging.info("%s: rank correlation %.3f %s", name, found[name]["mean"], found[name]["interval"])
    pilot_plots.save(workdir, found, config.needed)
    passing = [name for name, each in found.items() if each["passes"]]
    best = max(found, key=lambda name: found[name]["mean"])
    return {"settings": found, "needed": config.needed, "passing": passing, "best": best}


def figures(trained, config):
    """Returns the figures of one setting.

    Args:
        trained: of `small_cells.trained`.
        config: of the run.
    """
    agreed = agreement.figures(trained["accuracy"], resamples=config.resamples)
    seconds = np.asarray(trained["cpu_s"], np.float64)
    networks = len(isomorphism.classes()[1])
    counts = {"networks": networks, "benchmark_classes": 6466, "cells": isomorphism.NUM_CELLS}
    hours = {name: seconds.mean() * len(config.seeds) * count / 3600 for name, count in counts.items()}
    return {
        **agreed,
        "passes": bool(agreed["mean"] >= config.needed),
        "lower_end_passes": bool(agreed["interval"][0] >= config.needed),
        "seeds": len(config.seeds),
        "cells": len(seconds),
        "cpu_s": {"value": seconds.mean(), "sd": seconds.mean(axis=1).std(ddof=1), "largest": seconds.max()},
        "cpu_hours_of_table": hours,
    }
