"""Drawn cells: nodes in layers from left to right, every edge with the name of its operation on it.

Layers as Sugiyama's method makes them: a node stands one layer right of its last source, an edge has a place of its
own in every layer it passes, and an edge's label takes one of these places, so that no label covers another or a node.
"""

import itertools
import re
from typing import NamedTuple

import numpy as np
from scipy import optimize

from darts_perturb import space as spaces

# one hue for each family of operations: nothing, copy, pools, convolutions, separable and dilated ones
COLOURS = {
    "none": "#999999",
    "noise": "#8d6e63",
    "skip_connect": "#d18f00",
    "avg_pool_3x3": "#d1495b",
    "max_pool_3x3": "#8f2d56",
    "nor_conv_1x1": "#00798c",
    "nor_conv_3x3": "#1b6ca8",
    "sep_conv_3x3": "#1b6ca8",
    "sep_conv_5x5": "#103f66",
    "dil_conv_3x3": "#2e933c",
    "dil_conv_5x5": "#17591f",
}
TITLES = {"normal": "normal cell", "reduce": "reduction cell", None: ""}
_FAMILIES = {"sep_": "sep_conv_5x5", "dil_": "dil_conv_5x5", "max_": "max_pool_3x3", "avg_": "avg_pool_3x3"}
_SWEEPS = 24
_HEIGHTS = {"node": 1.0, "label": 0.62, "bend": 0.34}  # of a place in its layer


def colour(op):
    """Returns the colour of an operation: its own in COLOURS, or that of the largest of its family."""
    return COLOURS.get(op) or COLOURS[_FAMILIES.get(op[:4], "nor_conv_3x3")]


class Graph(NamedTuple):
    """A cell to be drawn."""

    nodes: tuple[str, ...]  # names
    edges: tuple[tuple[int, int, str], ...]  # source, target and operation, "" for an edge without one


def graph(genotype, cell=None):
    """Returns the Graph of a genotype; of a `DartsGenotype`, that of its cell "normal" or "reduce"."""
    if cell is None:
        space = spaces.get(genotype.space)
        inner = [str(node) for node in range(1, space.num_nodes - 1)]
        edges = tuple((*edge, op) for edge, op in zip(space.edges, genotype.ops))
        return Graph(("in", *inner, "out"), edges)
    edges = genotype.edges(cell)
    inner = max(target for _, target, _ in edges) - 1
    out = inner + 2
    names = ("$c_{k-2}$", "$c_{k-1}$", *map(str, range(2, out)), "$c_k$")
    return Graph(names, edges + tuple((node, out, "") for node in genotype.concat(cell)))


class Layout(NamedTuple):
    """Where a Graph is drawn, one unit a layer across and a node's height down."""

    nodes: np.ndarray  # [nodes, 2]
    routes: tuple[np.ndarray, ...]  # of each edge the places it passes, both its nodes included, [places, 2]
    labels: np.ndarray  # [edges, 2]


def layout(graph):
    """Returns the `Layout` of a Graph whose edges all go from a lower to a higher node."""
    layer_of = [0] * len(graph.nodes)
    for source, target, _ in sorted(graph.edges, key=lambda edge: edge[1]):
        layer_of[target] = max(layer_of[target], layer_of[source] + 2)  # the layers between are for labels
    layers, chains = [[] for _ in range(max(layer_of) + 1)], []
    for node, layer in enumerate(layer_of):
        layers[layer].append(("node", node))
    crowd = [0] * len(layers)
    labelled = {}
    for index in sorted(range(len(graph.edges)), key=lambda index: _span(graph.edges[index], layer_of)):
        source, target, op = graph.edges[index]
        between = range(layer_of[source] + 1, layer_of[target])
        labelled[index] = min(between[::2], key=lambda layer: (crowd[layer], layer))
        crowd[labelled[index]] += bool(op)
    for index, (source, target, op) in enumerate(graph.edges):
        chain = [("node", source)]
        for layer in range(layer_of[source] + 1, layer_of[target]):
            place = ("label" if op and layer == labelled[index] else "bend", index, layer)
            layers[layer].append(place)
            chain.append(place)
        chains.append([*chain, ("node", target)])
    height = _heights(layers, chains)
    point = {place: (layer, height[place]) for layer, places in enumerate(layers) for place in places}
    return Layout(
        np.array([point["node", node] for node in range(len(graph.nodes))], float),
        tuple(np.array([point[place] for place in chain], float) for chain in chains),
        np.array(
            [
                (labelled[index], next(point[p][1] for p in chain if p[0] != "node" and p[2] == labelled[index]))
                for index, chain in enumerate(chains)
            ],
            float,
        ),
    )


def _span(edge, layer_of):
    return layer_of[edge[1]] - layer_of[edge[0]]


def _heights(layers, chains):
    """Returns {place: height}: each place near its neighbours, those of one layer in order and apart."""
    before, after = {}, {}
    for chain in chains:
        for left, right in itertools.pairwise(chain):
            after.setdefault(left, []).append(right)
            before.setdefault(right, []).append(left)
    height = {}
    for places in layers:
        _stack(places, [float(rank) for rank in range(len(places))], height)
    for sweep in range(_SWEEPS):
        neighbours = (before, after)[sweep % 2]
        for places in layers if sweep % 2 == 0 else layers[::-1]:
            near = [
                neighbours.get(place, []) + (after.get(place, []) if sweep >= _SWEEPS // 2 else []) for place in places
            ]
            wanted = [
                np.mean([height[other] for other in some] or [height[place]]) for place, some in zip(places, near)
            ]
            order = sorted(range(len(places)), key=lambda rank: wanted[rank])
            places[:] = [places[rank] for rank in order]
            _stack(places, [wanted[rank] for rank in order], height)
    return height


def _stack(places, wanted, height):
    """Sets heights as near to those wanted as places of their sizes, in this order, can be."""
    sizes = np.array([_HEIGHTS[place[0]] for place in places])
    below = np.concatenate([[0.0], np.cumsum((sizes[1:] + sizes[:-1]) / 2)])
    fitted = optimize.isotonic_regression(np.asarray(wanted) - below).x + below
    height.update(zip(places, fitted.tolist()))


def draw(genotype, axis, title="", *, cell=None, fontsize=6):
    """Draws a cell on matplotlib axes: a dotted line for `none`, an arrow for every other operation, named on it.

    Args:
        genotype: `genotype.Genotype`, or a `DartsGenotype`.
        axis: matplotlib Axes; its ticks are taken away.
        title: above the cell.
        cell: "normal" or "reduce" of a `DartsGenotype`.
        fontsize: points, of operations and nodes.
    """
    picture = graph(genotype, cell)
    places = layout(picture)
    every = np.concatenate([places.nodes, *places.routes])
    axis.set_axis_off()
    low, high = every.min(axis=0), every.max(axis=0)
    axis.set(xlim=(low[0] - 0.4, high[0] + 0.4), ylim=(high[1] + 0.5, low[1] - 0.5))
    axis.set_title(title, fontsize=fontsize + 1)
    for (_, _, op), route, (x, _) in zip(picture.edges, places.routes, places.labels):
        axis.add_patch(_arrow(route, op, x))
    for (_, _, op), (x, y) in zip(picture.edges, places.labels):
        if op:
            box = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none"}
            style = {"ha": "center", "va": "center", "fontsize": fontsize, "color": colour(op), "bbox": box}
            axis.text(x, y, label(op), **style)
    for name, (x, y) in zip(picture.nodes, places.nodes):
        circle = {"boxstyle": "circle,pad=0.25", "facecolor": "white", "edgecolor": "#333333"}
        axis.text(x, y, name, ha="center", va="center", fontsize=fontsize, bbox=circle)


def _arrow(route, op, label_x):
    """Returns the curve through the places of an edge, level at each of them, from node border to node border."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    # level all along the label, lest the curve leave it at a corner
    wide = [0.3 if op and x == label_x else 0.0 for x, _ in route]
    points = np.concatenate([[(x - half, y), (x + half, y)] if half else [(x, y)] for (x, y), half in zip(route, wide)])
    points[0, 0] += 0.18
    points[-1, 0] -= 0.18
    corners = [points[0]]
    for left, right in itertools.pairwise(points):
        middle = (left[0] + right[0]) / 2
        corners += [(middle, left[1]), (middle, right[1]), right]
    curve = Path(corners, [Path.MOVETO] + [Path.CURVE4] * (len(corners) - 1))
    if op == "none":
        return FancyArrowPatch(path=curve, color=colour(op), arrowstyle="-", linestyle=":")
    line = colour(op) if op else "#999999"
    return FancyArrowPatch(path=curve, color=line, arrowstyle="-|>", mutation_scale=8, linewidth=1.2 if op else 0.8)


def label(op):
    """Returns the name of an operation in a picture.

    >>> label("sep_conv_5x5"), label("nor_conv_3x3"), label("skip_connect")
    ('sep 5x5', 'conv 3x3', 'skip')
    """
    op = re.sub("^(sep|dil)_conv", r"\1", op)
    return op.replace("_connect", "").replace("nor_", "").replace("pool_3x3", "pool").replace("_", " ")


def cells_of(genotype):
    """Returns the cells that a genotype has, as `graph` takes them."""
    return ("normal", "reduce") if hasattr(genotype, "normal") else (None,)


def size(genotype, cell=None):
    """Returns (layers across, nodes down) that the picture of a cell takes."""
    every = np.concatenate(layout(graph(genotype, cell)).routes)
    return tuple((np.ptp(every, axis=0) + np.array([0.8, 1.0])).tolist())


def figure(genotype):
    """Returns a matplotlib Figure of a genotype: one panel, or a normal and a reduction cell one below the other."""
    from matplotlib.figure import Figure

    cells = cells_of(genotype)
    sizes = [size(genotype, cell) for cell in cells]
    width = 0.85 * max(across for across, _ in sizes)
    heights = [0.42 * down + 0.3 for _, down in sizes]
    picture = Figure(figsize=(width, sum(heights)), layout="constrained")
    axes = picture.subplots(len(cells), height_ratios=heights, squeeze=False)[:, 0]
    for axis, cell in zip(axes, cells):
        draw(genotype, axis, TITLES[cell], cell=cell, fontsize=8)
    return picture
