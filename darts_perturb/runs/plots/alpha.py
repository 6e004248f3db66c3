"""The course of the op weights of a search: mean over edges, and on every edge."""

import numpy as np

from darts_perturb import drawing, selection
from darts_perturb import edges as edges_
from darts_perturb.runs.plots import names
from experiment import figures

PANELS_A_ROW = 3
EDGES_A_ROW = 7


def means(rows, space):
    """Returns {search, seed, step, weight_OP}: the weight of every operation, mean over the edges that have it.

    Args:
        rows: {search, seed, step, weight_ROW_CHOICE}, see `edges.listed`.
        space: `space.Space`.
    """
    places = {op: np.argwhere(edges_.holding(space, op)) for op in space.ops}
    return [
        {
            **{name: row[name] for name in ("search", "seed", "step")},
            **{f"weight_{op}": float(np.mean([row[_weight(*at)] for at in where])) for op, where in places.items()},
        }
        for row in rows
    ]


def _weight(row, choice):
    return f"weight_{row}_{choice}"


def first_run(rows):
    """Returns the rows of the first search and its first seed."""
    return next(iter(names.grouped(next(iter(names.grouped(rows, "search").values())), "seed").values()))


def convolution(space):
    """Returns the operation that the parameter-free ones are measured against, None where there is none."""
    learned = [op for op in space.ops if op not in space.parameter_free]
    return "nor_conv_3x3" if "nor_conv_3x3" in learned else next(iter(learned), None)


def plot_alpha(rows, space):
    """Returns the course of the mean op weights, a panel a search, and of their lead over a convolution's.

    Parameter-free operations are dashed. The lead is that of all of them where there is one search, and that of skip
    connections, by search, where there are several.

    Args:
        rows: of `means`.
        space: `space.Space`.

    References:
        arXiv:2108.04392, figure 3 and section 3.2: the lead of skip connections.
    """
    searches = names.grouped(rows, "search")
    leads = _leads(list(searches), space)
    panels = len(searches) + bool(leads)
    columns = panels if panels <= PANELS_A_ROW else -(-panels // 2)
    figure, _ = figures.new(-(-panels // columns), columns, width=max(3.1, 7.2 / columns), height=3.1)
    axes, spare = figure.axes[:panels], figure.axes[panels:]
    for axis, (search, points) in zip(axes, searches.items()):
        for op in space.ops:
            style = {"color": drawing.colour(op), "linestyle": _dashes(op, space)}
            _draw(axis, points, lambda row, op=op: row[f"weight_{op}"], label=names.of_op(op), **style)
        axis.set_title(names.SEARCHES[search], fontsize=9)
        axis.set_ylabel("op weight, mean over edges")
        axis.set_ylim(bottom=0.0)
    if leads:
        conv = convolution(space)
        for search, op, style in leads:
            _draw(axes[-1], searches[search], lambda row, op=op: row[f"weight_{op}"] - row[f"weight_{conv}"], **style)
        axes[-1].axhline(0.0, color="black", linewidth=0.8)
        one = names.of_op(leads[0][1]) if len(searches) > 1 else "operation"
        axes[-1].set_title(f"{one} minus {names.of_op(conv)}", fontsize=9)
        axes[-1].set_ylabel("difference of mean op weights")
    for axis in axes:
        axis.set_xlabel("half-step of the search")
        axis.xaxis.label.set_size(9)
        axis.yaxis.label.set_size(9)
        axis.tick_params(labelsize=8)
    for axis in spare:
        axis.remove()
    _legends(figure, axes, own=len(searches) > 1 and bool(leads))
    count = len({row["seed"] for row in rows})
    spread = f"median and quartiles over {count} seeds" if count > 1 else "1 seed"
    figure.suptitle(f"{space.name}: {spread}; dashed: nothing to learn", fontsize=9)
    return figure


def _dashes(op, space):
    return "--" if op in space.parameter_free else "-"


def _leads(searches, space):
    """Returns (search, operation, line style) of every lead that is drawn."""
    free = space.parameter_free
    if not free or convolution(space) is None:
        return []
    if len(searches) == 1:
        styles = {op: {"color": drawing.colour(op), "linestyle": "--", "label": names.of_op(op)} for op in free}
        return [(searches[0], op, style) for op, style in styles.items()]
    op = "skip_connect" if "skip_connect" in free else free[0]
    return [
        (search, op, {"color": colour, "linestyle": "-", "label": names.SEARCHES[search]})
        for search, colour in zip(searches, figures.COLOURS)
    ]


def _draw(axis, rows, value_of, **style):
    """Draws the median over seeds, and the quartiles as a band where there are several."""
    by_seed = list(names.grouped(rows, "seed").values())
    steps = [row["step"] for row in by_seed[0]]
    values = np.array([[value_of(row) for row in points] for points in by_seed])
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75), axis=0)
    axis.plot(steps, middle, linewidth=1.6, **style)
    if len(by_seed) > 1:
        axis.fill_between(steps, low, high, color=style["color"], alpha=0.15, linewidth=0)


def _legends(figure, axes, *, own):
    """Adds the legend of the operations below the panels, and to the last panel its own where that has other names."""
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=8, frameon=False)
    if own:
        axes[-1].legend(fontsize=8, frameon=False)


def plot_alpha_edges(rows, space):
    """Returns the course of all op weights, a panel an edge; its title has the operation with the largest at the end.

    Args:
        rows: {search, seed, step, weight_ROW_CHOICE} of one seed of one search.
        space: `space.Space`.
    """
    listed, may = edges_.listed(space), selection.allowed(space)
    per_kind = len(space.edges)
    columns = min(EDGES_A_ROW, -(-per_kind // 2))
    rows_a_kind = -(-per_kind // columns)
    width = max(1.25, 7.2 / columns)
    shape = len(space.kinds) * rows_a_kind, columns
    figure, axes = figures.new(*shape, width=width, height=min(2.2, 1.2 * width))
    axes = np.reshape(axes, (len(space.kinds), rows_a_kind * columns))
    steps = [row["step"] for row in rows]
    drawn = {}
    for place, edge in enumerate(listed):
        axis = axes[divmod(place, per_kind)]
        for choice, op in enumerate(edge.ops):
            style = {"color": drawing.colour(op), "linestyle": _dashes(op, space), "linewidth": 1.3}
            (line,) = axis.plot(steps, [row[_weight(place, choice)] for row in rows], **style)
            drawn[op] = line
        last = [rows[-1][_weight(place, choice)] if may[place, choice] else -1.0 for choice in range(len(edge.ops))]
        op = edge.ops[int(np.argmax(last))]
        axis.set_title(f"{names.of_edge(edge)}\n{names.of_op(op)}", fontsize=7.5, color=drawing.colour(op))
        axis.tick_params(labelsize=7)
        axis.locator_params(nbins=3)
    top = 1.05 * max(row[name] for row in rows for name in row if name.startswith("weight_"))
    for axis in axes.ravel():
        axis.set(ylim=(0.0, top), xlim=(0, steps[-1]))
        axis.label_outer()
    for kind in axes:
        for spare in kind[per_kind:]:
            spare.remove()
    ops = [op for op in space.ops if op in drawn]
    labels = [names.of_op(op) for op in ops]
    lines = [drawn[op] for op in ops]
    figure.legend(lines, labels, loc="outside lower center", ncols=len(ops), fontsize=8, frameon=False)
    # on a panel, not on the figure, where the legend is
    axes[-1, (rows_a_kind - 1) * columns + (per_kind - 1) % columns // 2].set_xlabel(
        "half-step of the search", fontsize=9
    )
    figure.supylabel("op weight (softmax of alpha)", fontsize=9)
    figure.suptitle(
        f"{space.name}, {names.SEARCHES[rows[0]['search']]}, seed {rows[0]['seed']}; dashed: nothing to learn; "
        "titles: largest op weight at the end",
        fontsize=8.5,
    )
    return figure
