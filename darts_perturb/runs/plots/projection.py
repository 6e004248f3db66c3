"""The supernet over a projection: its accuracy and loss, and which edge was decided for which operation when."""

import numpy as np

from darts_perturb import drawing
from darts_perturb import edges as edges_
from darts_perturb.runs.plots import names
from experiment import figures

_LINE = {"linewidth": 1.2}
_MARKS = {"edge": "o", "node": "D"}  # field of a decision, and how it is drawn
_LABELS = {"accuracy": "accuracy (share)", "loss": "loss, nats"}


def joined(rows, way):
    """Returns {search, seed, step, edge, op, node, accuracy, loss}, the topology's steps after those of the projection.

    Args:
        rows: of metrics.jsonl.
        way: "perturbation" or "one_shot".
    """
    projected = names.staged(rows, way)
    ends = {}
    for row in projected:
        ends[row["search"], row["seed"]] = row["step"]
    pruned = [
        {**row, "step": row["step"] + ends[row["search"], row["seed"]]} for row in names.staged(rows, f"{way}_topology")
    ]
    nothing = {"edge": -1, "op": -1, "kind": -1, "node": -1}
    fields = ("search", "seed", "step", *nothing, *_LABELS)
    return [{name: {**nothing, **row}[name] for name in fields} for row in projected + pruned]


def plot_projection(rows, space):
    """Returns accuracy and loss over the projection, a column a search, a line a seed; below, the first seed's choices.

    A dot is an edge decided and a diamond a node whose edges are, both at what the supernet had on held-out images
    before; the thin line is the training in between.

    Args:
        rows: of `joined`.
        space: `space.Space`.
    """
    searches = names.grouped(rows, "search")
    listed = edges_.listed(space)
    heights = [1.8, 1.8, 0.5 + 0.15 * max(len(listed), 8)]
    figure, axes = figures.new(3, len(searches), width=max(2.3, 7.2 / len(searches)), height=sum(heights) / 3)
    axes = np.reshape(axes, (3, len(searches)))
    axes[0, 0].get_gridspec().set_height_ratios(heights)
    for line in axes[:2]:
        for axis in line[1:]:
            axis.sharey(line[0])
    for column, (search, points) in zip(axes.T, searches.items()):
        by_seed = names.grouped(points, "seed")
        for (seed, own), colour in zip(by_seed.items(), figures.COLOURS * len(by_seed)):
            for axis, field in zip(column, _LABELS):
                _course(axis, own, field, colour, f"seed {seed}")
        _sequence(column[2], next(iter(by_seed.values())), listed, space)
        column[0].set_title(names.SEARCHES[search], fontsize=9)
        column[2].set_xlabel("step of the selection", fontsize=9)
        end = max(row["step"] for row in points)
        for axis in column:
            axis.set_xlim(1 - 0.03 * end, 1.03 * end)
            axis.tick_params(labelsize=7.5)
            axis.xaxis.get_major_locator().set_params(integer=True)
        for axis in column[:2]:
            axis.tick_params(labelbottom=False)
    for axis in axes[:, 1:].ravel():
        axis.tick_params(labelleft=False)
    for axis, field in zip(axes[:, 0], _LABELS):
        axis.set_ylabel(_LABELS[field], fontsize=8.5)
    _legend(figure, rows)
    num_seeds = names.of_seeds(len({row["seed"] for row in rows}))
    figure.suptitle(f"{space.name}, {num_seeds}: the supernet while its operations are decided", fontsize=9)
    return figure


def _course(axis, rows, field, colour, label):
    """Draws one seed: training thin, held-out images before every decision with marks."""
    decided = [row for row in rows if _decides(row)]
    # a gap at every decision: what stands there was measured on other images
    training = [np.nan if _decides(row) else row[field] for row in rows]
    axis.plot([row["step"] for row in rows], training, color=colour, linewidth=0.8, alpha=0.5)
    axis.plot([row["step"] for row in decided], [row[field] for row in decided], color=colour, label=label, **_LINE)
    for name, mark in _MARKS.items():
        at = [(row["step"], row[field]) for row in rows if row[name] >= 0]
        if at:
            axis.plot(*zip(*at), linestyle="", marker=mark, color=colour, markersize=4)


def _decides(row):
    return any(row[name] >= 0 for name in _MARKS)


def _sequence(axis, rows, listed, space):
    """Draws which row of the edges was decided at which step, named by its operation."""
    end = max(row["step"] for row in rows)
    for row in rows:
        if row["edge"] < 0:
            continue
        op = listed[row["edge"]].ops[row["op"]]
        axis.plot(row["step"], row["edge"], "o", color=drawing.colour(op), markersize=4)
        late = row["step"] > 0.6 * end
        place = {"xytext": (-5 if late else 5, 0), "ha": "right" if late else "left", "va": "center"}
        text = names.of_op(op)
        style = {"textcoords": "offset points", "fontsize": 7, "color": drawing.colour(op)}
        axis.annotate(text, (row["step"], row["edge"]), **place, **style)
    axis.set_yticks(range(len(listed)), [names.of_edge(edge) for edge in listed])
    axis.set_ylim(len(listed) - 0.5, -0.5)
    letters = [kind[0] for kind in sorted(space.kinds)]  # n of normal, r of reduce
    nodes = [f"{letters[row['kind']]}{row['node']}" for row in rows if row["node"] >= 0]
    then = f"\nthen nodes {', '.join(nodes)}" if nodes else ""
    axis.set_title(f"seed {rows[0]['seed']}{then}", fontsize=8)


def _legend(figure, rows):
    from matplotlib.lines import Line2D

    texts = {"edge": "an edge decided", "node": "edges into a node decided"}
    handles = [
        Line2D([], [], color="black", marker=mark, markersize=4, label=f"{texts[name]}, held-out images before it")
        for name, mark in _MARKS.items()
        if any(row[name] >= 0 for row in rows)
    ]
    if not all(map(_decides, rows)):
        handles.append(Line2D([], [], color="black", linewidth=0.8, alpha=0.5, label="fine-tuning, training images"))
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    if len({row["seed"] for row in rows}) > 1:
        figure.axes[0].legend(fontsize=7, frameon=False)
