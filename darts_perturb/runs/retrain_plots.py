"""Pictures of retraining, from the rows of metrics.jsonl and the genotypes alone."""

import numpy as np

from darts_perturb import drawing
from darts_perturb import genotype as genotypes
from experiment import figures


def save(workdir, cells):
    """Writes every figure of the run: curves, and one picture of every cell."""
    rows = by_epoch(workdir.rows())
    workdir.save_figure("curves", plot_curves(rows), rows)
    for place, genotype in enumerate(cells):
        workdir.save_figure(f"cell_{place}", drawing.figure(genotype), edges(genotype))


def by_epoch(rows):
    """Returns {cell, seed, epoch, loss, accuracy, learning_rate, valid_accuracy} of every epoch.

    Args:
        rows: of metrics.jsonl; the calls of an epoch are equally long, so its loss is their mean.
    """
    calls = {}
    for row in rows:
        kind, *place = row["stage"].split("_")
        if kind == "retrain":
            calls.setdefault((*map(int, place), int(np.ceil(row["epoch"]))), []).append(row)
    return [
        {
            **dict(zip(("cell", "seed", "epoch"), key)),
            **{name: float(np.mean([row[name] for row in parts])) for name in ("loss", "accuracy", "learning_rate")},
            "valid_accuracy": parts[-1]["valid_accuracy"],
        }
        for key, parts in calls.items()
    ]


def edges(genotype):
    """Returns {kind, source, target, op} of every edge of a genotype."""
    kinds = ("normal", "reduce") if isinstance(genotype, genotypes.DartsGenotype) else (None,)
    names = ("source", "target", "op")
    return [
        {"kind": kind or "cell", **dict(zip(names, edge))}
        for kind in kinds
        for edge in drawing.graph(genotype, kind).edges
        if edge[2]
    ]


def plot_curves(rows):
    """Returns the training loss and the validation accuracy over epochs: median and quartiles over seeds.

    Args:
        rows: of `by_epoch`.
    """
    from matplotlib import ticker

    figure, axes = figures.new(1, 2)
    places = sorted({row["cell"] for row in rows})
    seeds = sorted({row["seed"] for row in rows})
    for axis, field in zip(axes, ("loss", "valid_accuracy")):
        for place in places:
            values = np.array(
                [[row[field] for row in rows if (row["cell"], row["seed"]) == (place, seed)] for seed in seeds]
            )
            epochs = 1 + np.arange(values.shape[1])
            low, middle, high = np.quantile(values, (0.25, 0.5, 0.75), axis=0)
            (line,) = axis.plot(epochs, middle, label=f"cell {place}", marker="." if len(epochs) < 4 else None)
            axis.fill_between(epochs, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
        axis.set_xlabel("epoch")
    axes[0].set(ylabel="training loss (cross entropy, nats)", yscale="log")
    axes[0].yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes[0].yaxis.set_major_formatter("{x:g}")
    axes[0].yaxis.set_minor_formatter(ticker.NullFormatter())
    axes[1].set_ylabel("validation accuracy")
    if len(places) > 1:
        axes[1].legend(fontsize=8, frameon=False)
    figure.suptitle(f"median and quartiles over {len(seeds)} seeds", fontsize=9)
    return figure
