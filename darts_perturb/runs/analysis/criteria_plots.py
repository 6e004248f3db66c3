"""Pictures of criteria side by side, from logged rows alone."""

import numpy as np

from darts_perturb.runs import summary
from darts_perturb.runs.plots import names
from experiment import figures

_RANK = "rank "


def save(workdir):
    """Writes the figures of a run: what is selected, and its true rank where there is a table."""
    rows = [row for row in workdir.rows() if row["stage"] == "cells"]
    for name in ranked(rows):
        workdir.save_figure(f"rank_{name}", plot_rank(rows, name), rows)
    workdir.save_figure("parameter_free", plot_parameter_free(rows), rows)


def ranked(rows):
    """Returns the data sets that rows have ranks for."""
    return [field.removeprefix(_RANK) for field in rows[0] if field.startswith(_RANK)]


def plot_rank(rows, dataset):
    """Returns the true rank of the selected cells by criterion.

    Args:
        rows: {criterion, seed, "rank DATASET"}.
        dataset: of the table.
    """
    figure, axis = _by_criterion(rows, f"{_RANK}{dataset}")
    axis.set_xlabel(f"true rank on {dataset} among 15,625 cells, 1 is the best", fontsize=9)
    axis.set_xlim(-300, 15925)
    return figure


def plot_parameter_free(rows):
    """Returns the share of operations without parameters in the selected cells, by criterion."""
    figure, axis = _by_criterion(rows, "parameter_free_share")
    axis.set_xlabel("share of the six operations that have nothing to learn", fontsize=9)
    axis.set_xlim(-0.03, 1.03)
    return figure


def _by_criterion(rows, field):
    """Returns (figure, axis): a line a criterion, a dot a seed, mean and its 95% interval; random cells last."""
    groups = {}
    for row in rows:
        groups.setdefault(row["criterion"], []).append(row[field])
    groups = dict(sorted(groups.items(), key=lambda item: item[0] == summary.RANDOM))
    figure, axis = figures.new(width=7.4, height=1.3 + 0.27 * len(groups))
    for place, (name, values) in enumerate(groups.items()):
        colour = "#777777" if name == summary.RANDOM else _colour(name)
        axis.plot(values, np.full(len(values), place), "o", color=colour, alpha=0.35, markersize=4)
        found = summary.spread(values)
        low, high = found["interval"] or [found["value"]] * 2
        bar = [[found["value"] - low], [high - found["value"]]]
        axis.errorbar(found["value"], place, xerr=bar, fmt="D", color=colour, markersize=4, capsize=2.5, zorder=5)
    axis.set_yticks(range(len(groups)), [_label(name) for name in groups], fontsize=7.5)
    axis.set_ylim(len(groups) - 0.4, -0.6)
    axis.tick_params(axis="x", labelsize=8)
    if summary.RANDOM in groups:
        axis.axvline(np.mean(groups[summary.RANDOM]), color="#777777", linestyle="--", linewidth=1, zorder=0)
    seeds = len({row["seed"] for row in rows if row["criterion"] != summary.RANDOM})
    text = f"{names.of_seeds(seeds)}; dot: a cell; diamond: mean, with its 95% interval by Student's t"
    figure.suptitle(f"{text}\ndashed: mean of {len(groups.get(summary.RANDOM, []))} random cells", fontsize=8.5)
    return figure, axis


def _colour(name):
    """Returns one colour a family of criteria."""
    families = ("magnitude", "perturbation", "one_shot", "official", "shapley", "jacobian", "gradient", "saliency")
    place = next(place for place, family in enumerate(families) if name.startswith(family))
    return figures.COLOURS[place]


def _label(name):
    """Returns the name of a criterion in words.

    >>> _label("one_shot_loss of fixed")
    'one shot loss, fixed alpha'
    """
    way, _, search = name.partition(" of ")
    way = way.replace("_", " ")
    return f"{way}, {'fixed alpha' if search == 'fixed' else search.replace('_', ' ')}" if search else way
