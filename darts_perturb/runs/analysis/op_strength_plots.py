"""Pictures of the strength of operations against their measures, from the rows of metrics.jsonl alone."""

import numpy as np

from darts_perturb import drawing
from darts_perturb import edges as edges_
from darts_perturb.analysis import op_strength
from darts_perturb.runs.plots import names
from experiment import figures

_MEASURES = {"weight": "op weight (softmax of alpha)", "loss_rise": "rise of the loss when removed, nats"}


def settling(rows):
    """Returns {search, seed, row, choice, epoch, accuracy, loss}: every operation made discrete, by epoch after it."""
    found = []
    for row in names.staged(rows, "discrete"):
        for epoch in range(sum(name.startswith("accuracy_") for name in row)):
            values = {what: row[f"{what}_{epoch}"] for what in ("accuracy", "loss")}
            where = {name: row[name] for name in ("search", "seed", "row", "choice")}
            found.append({**where, "epoch": epoch, **values})
    return found


def last_changes(rows, search):
    """Returns what the last epoch of fine-tuning changed of the accuracies, {mean, of_an_operation: [seeds]}.

    Changes up and down cancel in the mean; of_an_operation is the mean of their sizes.

    Args:
        rows: of `settling`.
        search: whose.
    """
    found = {"mean": [], "of_an_operation": []}
    for of_seed in names.grouped(names.grouped(rows, "search")[search], "seed").values():
        by_epoch = names.grouped(of_seed, "epoch")
        before, after = ([row["accuracy"] for row in by_epoch[epoch]] for epoch in sorted(by_epoch)[-2:])
        found["mean"].append(np.mean(np.subtract(after, before)))
        found["of_an_operation"].append(np.mean(np.abs(np.subtract(after, before))))
    return found


def points(rows, space):
    """Returns {search, seed, row, op, weight, loss_rise, accuracy_drop, accuracy, loss} of every operation of an edge.

    Args:
        rows: of metrics.jsonl.
        space: `space.Space`.
    """
    last = {}
    for row in settling(rows):
        last[row["search"], row["seed"], row["row"], row["choice"]] = {name: row[name] for name in ("accuracy", "loss")}
    listed = edges_.listed(space)
    found = []
    for row in names.staged(rows, "strengths"):
        measured = {name: row[name] for name in ("search", "seed", "row", "op", *_MEASURES, "accuracy_drop")}
        choice = listed[row["row"]].ops.index(row["op"])
        found.append(measured | last[row["search"], row["seed"], row["row"], choice])
    return found


def plot(rows, space):
    """Returns strength against alpha and against removal, and their rank correlations by edge, a line a search.

    Args:
        rows: of `points`.
        space: `space.Space`.

    References:
        arXiv:2108.04392, figures 1 and 2.
    """
    searches = names.grouped(rows, "search")
    figure, axes = figures.new(len(searches), 3, width=3.2, height=3.0)
    axes = np.reshape(axes, (len(searches), 3))
    for line, (search, own) in zip(axes, searches.items()):
        measures = [field for field in _MEASURES if search != names.FIXED or field != "weight"]
        for axis, (field, label) in zip(line, _MEASURES.items()):
            if field not in measures:
                axis.set_axis_off()  # alpha that never moved measures nothing
                continue
            for op, group in names.grouped(own, "op").items():
                free = op in space.parameter_free
                style = {"color": drawing.colour(op), "markerfacecolor": "white" if free else drawing.colour(op)}
                x, y = zip(*((row[field], row["accuracy"]) for row in group))
                axis.plot(x, y, "o", markersize=4, label=names.of_op(op), **style)
            axis.set_xlabel(label, fontsize=8.5)
            if field == "loss_rise":
                axis.set_xscale("symlog", linthresh=max(1e-3, np.quantile(np.abs([r[field] for r in own]), 0.3)))
            axis.tick_params(labelsize=7.5)
        first = line[list(_MEASURES).index(measures[0])]
        first.set_ylabel(f"{names.SEARCHES[search]}\naccuracy when made discrete", fontsize=8.5)
        _correlations(line[2], own, measures)
    handles, labels = axes[0, 1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=8, frameon=False)
    count = names.of_seeds(len({row["seed"] for row in rows}))
    figure.suptitle(f"{space.name}, {count}: a dot an operation of an edge; hollow: nothing to learn", fontsize=9)
    return figure


def _correlations(axis, rows, measures):
    """Draws the rank correlation over operations on every edge of every seed, and the mean of every seed."""
    for number, field in enumerate(measures):
        means = []
        for own in names.grouped(rows, "seed").values():
            edges = [
                ([row[field] for row in edge], [row["accuracy"] for row in edge])
                for edge in names.grouped(own, "row").values()
            ]
            values = [op_strength.rank_correlation(*edge) for edge in edges]
            axis.plot(
                number + np.linspace(-0.2, 0.2, len(values)), values, "o", color="#999999", markersize=3, alpha=0.6
            )
            means.append(np.mean(values))
        axis.plot([number] * len(means), means, "D", color=figures.COLOURS[1], markersize=6)
    axis.axhline(0.0, color="black", linewidth=0.8)
    axis.set_xticks(range(len(measures)), ["alpha", "removal"][-len(measures) :])
    axis.set_xlim(-0.5, len(measures) - 0.5)
    axis.set_ylim(-1.05, 1.05)
    axis.set_ylabel("rank correlation with strength", fontsize=8.5)
    axis.set_title("grey: an edge; red: mean of a seed", fontsize=8)
    axis.tick_params(labelsize=7.5)


def plot_settling(rows, space):
    """Returns the held-out accuracy by epoch of fine-tuning after one edge is made discrete, a panel a search.

    Args:
        rows: of `settling`.
        space: `space.Space`.
    """
    searches = names.grouped(rows, "search")
    figure, axes = figures.new(1, len(searches), width=4.2, height=3.2)
    for axis, (search, own) in zip(np.ravel(axes), searches.items()):
        for (seed, of_seed), colour in zip(names.grouped(own, "seed").items(), figures.COLOURS * len(own)):
            by_case = names.grouped([{**row, "case": (row["row"], row["choice"])} for row in of_seed], "case")
            courses = np.array([[row["accuracy"] for row in case] for case in by_case.values()])
            epochs = range(courses.shape[1])
            axis.plot(epochs, courses.T, color=colour, linewidth=0.5, alpha=0.3)
            axis.plot(epochs, courses.mean(axis=0), color=colour, linewidth=2.2, label=f"seed {seed}")
        axis.set_title(names.SEARCHES[search], fontsize=9)
        axis.set_xlabel("epoch after an edge is made discrete")
        axis.set_ylabel("held-out accuracy (share)")
        axis.xaxis.get_major_locator().set_params(integer=True)
    np.ravel(axes)[0].legend(fontsize=8, frameon=False)
    count = names.of_seeds(len({row["seed"] for row in rows}))
    figure.suptitle(f"{space.name}, {count}: thin: an operation of an edge; thick: the mean of a seed", fontsize=9)
    return figure
