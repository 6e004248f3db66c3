"""What every run reads first: a graph, divided into train, valid and test for every seed."""

import contextlib
from typing import NamedTuple

import numpy as np
from absl import logging

from cqd import graph, loading, split

INPUTS = ("graph",)


class World(NamedTuple):
    """One seed's graph: its splits, and indices of the known edges (train and valid) and of all."""

    splits: split.Splits
    known: graph.Index
    full: graph.Index


def read(config, *, needs=("test",)):
    """Returns (the vocabulary, {seed: World}), the fields graph, columns, split, together and seeds checked.

    Args:
        config: of a run.
        needs: the parts that the run cannot do without; with config.patience "valid" is one of them too.
    """
    check_seeds(config)
    vocabulary, parts = loading.load(config.graph or "", columns=config.columns)
    groups = together(config, vocabulary)
    if config.graph is not None:
        _warn(loading.describe(loading.Loaded(vocabulary, parts)), config.graph)
    divided = {seed: _divide(config, parts, groups, seed) for seed in config.seeds}
    for splits in divided.values():
        _check_parts(config, splits, needs)
    return vocabulary, {seed: world(vocabulary, splits) for seed, splits in divided.items()}


def together(config, vocabulary):
    """Returns lists of ids of those relations that give one another away, as `split.groups` takes them."""
    texts = config.together if config.graph is not None else config.together + config.embedded.together
    with field("together"):
        return [[vocabulary.relation_id(label.strip()) for label in text.split(",")] for text in texts]


def world(vocabulary, splits):
    """Returns the World of given splits."""
    sizes = {"num_entities": vocabulary.num_entities, "num_relations": vocabulary.num_relations}
    known = graph.build_index(np.concatenate([splits.train, splits.valid]), **sizes)
    return World(splits, known, graph.build_index(np.concatenate(splits), **sizes))


def check_items(config, **kinds):
    """Raises ValueError where an item of a field that holds several is not of its kind: str, int or (int, float)."""
    for name, kind in kinds.items():
        for item in config[name]:
            if not isinstance(item, kind) or isinstance(item, bool):
                words = {str: "texts", int: "whole numbers"}.get(kind, "numbers")
                raise ValueError(f"config.{name}: {item!r} among {words}")


def check_seeds(config):
    """Raises ValueError for seeds that are missing, equal, or below 0."""
    check_items(config, seeds=int, split=(int, float), together=str)
    if not config.seeds or len(set(config.seeds)) < len(config.seeds) or min(*config.seeds, config.seed) < 0:
        raise ValueError(f"config.seeds={config.seeds}, config.seed={config.seed}: different seeds from 0 up are due")


@contextlib.contextmanager
def field(name):
    """Puts the name of a config field before a ValueError."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"config.{name}: {error}") from None


def _divide(config, parts, together, seed):
    if "all" in parts:
        with field("split"):
            fractions = tuple(config.split)
            return split.grouped_split(parts["all"], seed=(config.seed, seed), fractions=fractions, together=together)
    return split.Splits(*(parts[name] for name in loading.PARTS))


def _check_parts(config, splits, needs):
    for name in needs:
        if not len(getattr(splits, name)):
            raise ValueError(f"config.split={config.split}: leaves no {name} triples; give another, or a larger graph")
    if config.get("patience") and not len(splits.valid):
        raise ValueError(f"config.patience={config.patience}: there are no validation triples to watch; give 0")


def _warn(counts, path):
    """Says what of a graph no predictor can learn, one line each."""
    if counts["without_edge"]:
        logging.warning("%s: entities with no edge, which nothing can predict: %d", path, counts["without_edge"])
    for part, unseen in counts["unseen"].items():
        if unseen:
            logging.warning("%s: triples of %s whose entity or relation no training triple has: %d", path, part, unseen)


def sizes(vocabulary, world):
    """Returns the counts of a graph for summary.json."""
    parts = {name: len(triples) for name, triples in world.splits._asdict().items()}
    return {"entities": vocabulary.num_entities, "relations": len(vocabulary.relations), **parts}
