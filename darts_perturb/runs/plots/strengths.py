"""What every operation is worth to a trained supernet, beside the weight that alpha gives it.

Few edges have a panel each. Many are two maps, of the op weight and of the loss, with a row an edge.
"""

import numpy as np

from darts_perturb import drawing, selection
from darts_perturb import edges as edges_
from darts_perturb.runs.plots import names
from experiment import figures

MOST_PANELS = 12
LEAST_WEIGHT = 1e-6  # where those below are drawn
_MARKS = {
    mark: {"s": size, "facecolor": "none", "edgecolor": "black", "linewidth": 1.1}
    for mark, size in (("o", 75), ("s", 120))
}
_WEIGHT = "op weight (softmax of alpha)"
_RISE = "rise of the loss without the operation, nats"


def plot_strengths(rows, space):
    """Returns the op strengths of one search: a panel an edge, or maps of all edges where there are many.

    Args:
        rows: {search, seed, row, source, target, op, weight, loss_rise, loss_se}.
        space: `space.Space`.

    References:
        arXiv:2108.04392, section 3.1 and figures 1 and 2: op weight against op strength.
    """
    return plot_panels(rows, space) if len(edges_.listed(space)) <= MOST_PANELS else plot_maps(rows, space)


def chosen(rows, space, field):
    """Returns the rows with the largest `field` of their seed and edge, operations that may not be chosen left out.

    Args:
        rows: see `plot_strengths`.
        space: `space.Space`.
        field: "weight" or "loss_rise".
    """
    may, listed = selection.allowed(space), edges_.listed(space)
    groups = {}
    for row in rows:
        if may[row["row"], listed[row["row"]].ops.index(row["op"])]:
            groups.setdefault((row["seed"], row["row"]), []).append(row)
    return [max(group, key=lambda row: row[field]) for group in groups.values()]


def noise(rows):
    """Returns the median standard error of the rises of the loss: below it the axis of the loss is linear."""
    return float(np.median([row["loss_se"] for row in rows if row["loss_se"] > 0] or [1e-3]))


def plot_panels(rows, space):
    """Returns one panel an edge: the loss that every operation saves, against its op weight.

    With fixed alpha the op weights are all but equal, and the operations stand side by side instead. A circle marks
    the largest op weight of a seed, a square the operation whose removal raises its loss most.

    Args:
        rows: see `plot_strengths`.
        space: `space.Space`.
    """
    trained = rows[0]["search"] != names.FIXED
    listed = edges_.listed(space)
    columns = -(-len(listed) // 2)
    columns = columns if columns < 4 else -(-len(listed) // 3)
    figure, axes = figures.new(-(-len(listed) // columns), columns, width=2.5, height=2.35)
    axes = np.ravel(axes)
    by_removal = chosen(rows, space, "loss_rise")
    by_alpha = chosen(rows, space, "weight") if trained else []
    sample = names.grouped(rows, "seed")
    place_of = _places(space, sample, trained)
    for number, (axis, edge) in enumerate(zip(axes, listed)):
        for op in edge.ops:
            _points(axis, [row for row in rows if row["row"] == number and row["op"] == op], place_of, space)
        for mark, found in {"o": by_alpha, "s": by_removal}.items():
            points = [(place_of(row), row["loss_rise"]) for row in found if row["row"] == number]
            if points:
                axis.scatter(*zip(*points), marker=mark, zorder=4, **_MARKS[mark])
        axis.axhline(0.0, color="black", linewidth=0.8)
        axis.set_title(names.of_edge(edge) + _agreement(number, by_alpha, by_removal, len(sample)), fontsize=8.5)
        _axes_of_panel(axis, edge, rows, trained)
    for axis in axes[len(listed) :]:
        axis.remove()
    figure.supylabel(_RISE, fontsize=9)
    if trained:
        # on a panel, not on the figure, where the legend is
        axes[(len(listed) - 1) // columns * columns + columns // 2].set_xlabel(_WEIGHT, fontsize=9)
    _panels_legend(figure, space, trained)
    same = "\nsame: circle and square mark one operation" if trained else ""
    _title(figure, rows, space, f"bars: paired standard error{same}")
    return figure


def _places(space, by_seed, trained):
    """Returns the function from a row to its place across."""
    if trained:
        return lambda row: max(row["weight"], LEAST_WEIGHT)
    seeds = list(by_seed)
    aside = np.linspace(-0.22, 0.22, len(seeds)) if len(seeds) > 1 else np.zeros(1)
    listed = edges_.listed(space)
    return lambda row: listed[row["row"]].ops.index(row["op"]) + aside[seeds.index(row["seed"])]


def _points(axis, points, place_of, space):
    if not points:
        return
    op = points[0]["op"]
    x, y, se = zip(*((place_of(row), row["loss_rise"], row["loss_se"]) for row in points))
    style = {"color": drawing.colour(op), "markersize": 5.5, "elinewidth": 1.0, "label": names.of_op(op)}
    axis.errorbar(x, y, yerr=se, fmt="o", markerfacecolor=_face(op, space), zorder=3, **style)


def _face(op, space):
    return "white" if op in space.parameter_free else drawing.colour(op)


def _axes_of_panel(axis, edge, rows, trained):
    """Gives every panel the same axes, so that edges compare: signed logarithms above the noise of the losses."""
    quiet = noise(rows)
    axis.set_yscale("symlog", linthresh=quiet, linscale=0.6)
    low = min(row["loss_rise"] - row["loss_se"] for row in rows)
    high = max(row["loss_rise"] + row["loss_se"] for row in rows)
    axis.set_ylim(min(1.6 * low, -quiet), max(2.2 * high, 2 * quiet))
    ticks = _powers(*axis.get_ylim(), quiet)
    axis.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.minorticks_off()
    if trained:
        weights = [max(row["weight"], LEAST_WEIGHT) for row in rows]
        axis.set_xscale("log")
        axis.set_xlim(0.7 * min(weights), 1.5 * max(weights))
        axis.xaxis.set_major_formatter("{x:g}")
    else:
        short = [names.of_op(op).replace(" ", "\n") for op in edge.ops]
        axis.set_xticks(range(len(edge.ops)), short)
        axis.set_xlim(-0.5, len(edge.ops) - 0.5)
    axis.tick_params(labelsize=7.5)
    axis.label_outer()


def _powers(low, high, quiet):
    """Returns 0 and the powers of ten between the limits, none of them within the noise."""
    above = [10.0**power for power in range(-8, 4) if quiet <= 10.0**power <= high]
    below = [-(10.0**power) for power in range(-8, 4) if quiet <= 10.0**power <= -low]
    return [*below[::-1], 0.0, *above]


def _agreement(number, by_alpha, by_removal, num_seeds):
    """Returns in how many seeds the operation with the largest op weight is the one worth most."""
    if not by_alpha:
        return ""
    worth = {row["seed"]: row["op"] for row in by_removal if row["row"] == number}
    same = sum(worth[row["seed"]] == row["op"] for row in by_alpha if row["row"] == number)
    if num_seeds == 1:
        return ": same" if same else ": not the same"
    return f": same in {same} of {num_seeds} seeds"


def _panels_legend(figure, space, trained):
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], linestyle="", marker="o", color=drawing.colour(op), markerfacecolor=_face(op, space))
        for op in space.ops
    ]
    labels = [names.of_op(op) for op in space.ops]
    more_handles, more_labels = _marks(trained)
    style = {"loc": "outside lower center", "fontsize": 8, "frameon": False, "columnspacing": 1.2, "handletextpad": 0.2}
    figure.legend(handles + more_handles, labels + more_labels, ncols=len(labels) + len(more_labels), **style)


def _marks(trained):
    """Returns (handles, labels) of the marks in a legend."""
    from matplotlib.lines import Line2D

    marks = {"largest op weight": ("o", 8)} if trained else {}
    marks["worth most"] = ("s", 9)
    style = {"linestyle": "", "color": "black", "markerfacecolor": "none"}
    handles = [Line2D([], [], marker=mark, markersize=size, **style) for mark, size in marks.values()]
    return handles, list(marks)


def _title(figure, rows, space, more):
    count = names.of_seeds(len({row["seed"] for row in rows}))
    figure.suptitle(f"{space.name}, {names.SEARCHES[rows[0]['search']]}, {count}; {more}", fontsize=9)


def plot_maps(rows, space):
    """Returns maps of edges by operations, one row of maps a kind of cell: op weight, and rise of the loss.

    Both are means over seeds, each with a circle at the largest op weight and a square at the largest rise of an edge.
    With fixed alpha there is no map of the op weights.

    Args:
        rows: see `plot_strengths`.
        space: `space.Space`.
    """
    trained = rows[0]["search"] != names.FIXED
    weight, rise = (_table(rows, space, field) for field in ("weight", "loss_rise"))
    may = _spread_out(selection.allowed(space), space)
    marks = {"s": np.where(may, rise, -np.inf).argmax(axis=1)}
    if trained:
        marks["o"] = np.where(may, weight, -np.inf).argmax(axis=1)
    maps = {_WEIGHT: (weight, _weight_colours(weight))} if trained else {}
    maps[_RISE] = rise, _rise_colours(rise, noise(rows))
    kinds = sorted(space.kinds)
    per_kind = len(space.edges)
    height = 1.0 + 0.235 * per_kind
    width = max(3.4, 1.2 + 0.52 * len(space.ops))
    figure, axes = figures.new(len(kinds), len(maps), width=width, height=height)
    axes = np.reshape(axes, (len(kinds), len(maps)))
    for column, (title, (table, colours)) in enumerate(maps.items()):
        for place in range(len(kinds)):
            part = slice(place * per_kind, (place + 1) * per_kind)
            axis = axes[place, column]
            image = _map(axis, table[part], colours, {mark: at[part] for mark, at in marks.items()})
            edge_names = [names.of_edge(edge) for edge in edges_.listed(space)[part]]
            axis.set_yticks(range(per_kind), edge_names if column == 0 else [""] * per_kind, fontsize=7.5)
            bottom = place == len(kinds) - 1
            ops = [names.of_op(op) if bottom else "" for op in space.ops]
            axis.set_xticks(range(len(ops)), ops, fontsize=7.5, rotation=40, ha="right", rotation_mode="anchor")
        bar = figure.colorbar(image, ax=axes[:, column], location="top", aspect=35, shrink=0.95, pad=0.01)
        bar.set_label(title, fontsize=8.5)
        bar.ax.tick_params(labelsize=7)
        if column == len(maps) - 1:
            ticks = _powers(*image.get_clim(), image.norm.linthresh)
            bar.set_ticks(ticks, labels=[f"{tick:g}" for tick in ticks])
            bar.ax.minorticks_off()
    handles, labels = _marks(trained)
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=8, frameon=False)
    barred = [names.of_op(op) for column, op in enumerate(space.ops) if not may[:, column].any()]
    notes = ["mean over seeds", *(f"{op} may not be chosen" for op in barred)]
    notes += ["grey: not in the space"] * bool(np.isnan(weight).any())
    _title(figure, rows, space, "; ".join(notes))
    return figure


def _map(axis, table, colours, marks):
    """Draws one map, with the marks of every edge, and returns the image."""
    image = axis.imshow(table, aspect="auto", **colours)
    for mark, places in marks.items():
        axis.scatter(places, np.arange(len(places)), marker=mark, **_MARKS[mark])
    axis.set_facecolor("#d9d9d9")
    axis.grid(visible=False)
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    return image


def _table(rows, space, field):
    """Returns the mean of a field over seeds, [rows, ops]; nan where an edge does not have the operation."""
    total, count = (np.zeros((len(edges_.listed(space)), len(space.ops))) for _ in range(2))
    for row in rows:
        at = row["row"], space.ops.index(row["op"])
        total[at] += row[field]
        count[at] += 1
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _spread_out(values, space):
    """Returns bool [rows, choices] as bool [rows, ops]."""
    out = np.zeros((len(values), len(space.ops)), bool)
    for row, edge in enumerate(edges_.listed(space)):
        for choice, op in enumerate(edge.ops):
            out[row, space.ops.index(op)] = values[row, choice]
    return out


def _weight_colours(weight):
    """Returns colours of op weights, from 0 on."""
    from matplotlib.colors import Normalize

    return {"norm": Normalize(0.0, np.nanmax(weight)), "cmap": _pale("Oranges", 0.0, 0.7)}


def _rise_colours(rise, quiet):
    """Returns colours of a signed logarithm: white at 0, blue where the operation is of use, red where it harms."""
    from matplotlib.colors import SymLogNorm

    far = max(np.nanmax(np.abs(rise)), 2 * quiet)
    return {"norm": SymLogNorm(quiet, linscale=0.6, vmin=-far, vmax=far), "cmap": _pale("RdBu", 0.12, 0.88)}


def _pale(name, low, high):
    """Returns a part of a colour map that is pale enough for black marks."""
    from matplotlib import colormaps
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list(f"pale {name}", colormaps[name](np.linspace(low, high, 256)))
