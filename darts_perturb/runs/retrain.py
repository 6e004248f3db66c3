"""Train given cells from new weights in their own networks, choose the epoch on validation images, test once."""

from typing import NamedTuple

from absl import logging

from darts_perturb import data as images
from darts_perturb import genotype as genotypes
from darts_perturb import network, tabular
from darts_perturb.runs import datasets, retrain_plots, retrained, summary

INPUTS = ("data_path", "table")


class Data(NamedTuple):
    """What load() returns."""

    genotypes: tuple
    dataset: images.Dataset
    table: tabular.Table | None


def load(config):
    """Returns Data after checking every field of the config.

    Raises:
        ValueError: an impossible field or genotype, or images or a table that are not as they should be.
        OSError: files that cannot be read.
    """
    cells = _genotypes(config)
    if not config.seeds or len(set(config.seeds)) < len(config.seeds):
        raise ValueError(f"config.seeds={config.seeds}: need one or more different whole numbers")
    if config.table and cells[0].space != tabular.SPACE.name:
        raise ValueError(
            f"config.table: it has cells of {tabular.SPACE.name}, config.genotypes are of {cells[0].space}"
        )
    table = tabular.load(config.table) if config.table else None
    dataset = datasets.load(config)
    retrained.check(config, dataset, cells[0].space)
    return Data(cells, dataset, table)


def _genotypes(config):
    """Returns the genotypes of a config, all of one recipe."""
    if not config.genotypes:
        raise ValueError("config.genotypes is empty; give one or more cells, as ('|op~0|+...',)")
    cells = []
    for place, text in enumerate(config.genotypes):
        try:
            cells.append(genotypes.parse(text, config.space))
        except ValueError as error:
            where = "config.space" if str(error).startswith("unknown search space") else f"config.genotypes[{place}]"
            raise ValueError(f"{where}: {error}") from None
        if cells[place] in cells[:place]:
            raise ValueError(
                f"config.genotypes[{place}] is the same cell as config.genotypes[{cells.index(cells[-1])}]"
            )
        if type(cells[place]) is not type(cells[0]):
            raise ValueError(
                f"config.genotypes[{place}] is of {cells[place].space}, config.genotypes[0] of {cells[0].space}: "
                "they have not one recipe; give them in two runs"
            )
    return tuple(cells)


def run(config, data, workdir):
    """Returns the figures of the run; see the config for what they are."""
    if data.genotypes[0].space == tabular.SPACE.name and data.table is None:
        logging.info("config.table is empty: the cells are not looked up in the table of NAS-Bench-201")
    cells = []
    for place, genotype in enumerate(data.genotypes):
        found = []
        for seed in config.seeds:
            name = f"retrain_{place}_{seed}"
            found.append(retrained.retrained(workdir, name, genotype, data.dataset, config, seed))
            workdir.log("cells", len(cells) * len(config.seeds) + len(found), cell=place, seed=seed, **found[-1])
            logging.info("cell %d, seed %d: test accuracy %.4f", place, seed, found[-1]["test_accuracy"])
        cells.append(figures(genotype, found, config.retrain, data.dataset, data.table))
    retrain_plots.save(workdir, data.genotypes)
    return {"cells": cells}


def figures(genotype, found, recipe, dataset, table=None):
    """Returns the final figures of one cell.

    Args:
        genotype: `genotype.Genotype` or `genotype.DartsGenotype`.
        found: what `retrained.retrained` returned, of every seed.
        recipe: config.retrain.
        dataset: `data.Dataset`.
        table: `tabular.Table`, where there is one.
    """
    sizes = {"channels": recipe.channels, "layers": recipe.layers, "num_classes": dataset.num_classes}
    by_field = {field: [each[field] for each in found] for field in found[0]}
    counted = {
        "params": network.num_params(genotype, **sizes),
        "multiply_adds": network.flops(genotype, image_size=dataset.x_train.shape[1], **sizes),
    }
    if recipe.auxiliary:
        counted["params_with_auxiliary"] = network.num_params(genotype, auxiliary=True, **sizes)
    return {
        "genotype": genotypes.format(genotype),
        "space": genotype.space,
        "test_accuracy": {**summary.spread(by_field["test_accuracy"]), "every": by_field["test_accuracy"]},
        "valid_accuracy": {**summary.spread(by_field["valid_accuracy"]), "every": by_field["valid_accuracy"]},
        "best_epoch": by_field["best_epoch"],
        **counted,
        "table": None if table is None else tabular.of(table, genotype),
    }
