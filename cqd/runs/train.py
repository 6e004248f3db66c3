"""Trains a link predictor on a graph, ranks the links held out, if any, and keeps it for questions."""

import numpy as np

from cqd import ranking
from cqd.runs import fitting, graphs, summaries
from cqd.runs import training_plots as plots

VECTORIZED = fitting.TRACED
INPUTS = graphs.INPUTS


def load(config):
    """Returns (the vocabulary, {seed: World}), and every field of the config checked."""
    fitting.check(config)
    return graphs.read(config, needs=())


def run(config, data, workdir):
    """Returns the figures: the size of the graph, the loss, MRR and Hits@k of the test links where there are some."""
    vocabulary, worlds = data
    metrics = []
    for number, (seed, world) in enumerate(worlds.items()):
        params = fitting.fit(config, vocabulary, world, seed, workdir)
        if len(world.splits.test):
            found = workdir.stage(f"links_{seed}", lambda p=params, w=world: fitting.link_prediction(p, w))
            metrics.append({name: float(found[name]) for name in ranking.METRICS})
            workdir.log("link_prediction", seed, seed=seed, **metrics[-1])
        if not number:
            fitting.save(vocabulary, world, params, workdir)
    rows = [{"seed": seed, **row} for seed in worlds for row in workdir.rows(f"train_{seed}")]
    workdir.save_figure("training", plots.plot_training(rows), rows)
    figures = {
        "graph": graphs.sizes(vocabulary, next(iter(worlds.values()))),
        "loss": summaries.spread([_last(rows, seed, "loss") for seed in worlds]),
    }
    if metrics:
        figures["link_prediction"] = {name: summaries.spread([each[name] for each in metrics]) for name in metrics[0]}
    return figures


def _last(rows, seed, name):
    return float(np.asarray([row[name] for row in rows if row["seed"] == seed and name in row])[-1])
