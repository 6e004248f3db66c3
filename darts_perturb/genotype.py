"""Cells as text and as pictures: |op~source|+|op~source|op~source|+..., one group a node."""

import re
from typing import NamedTuple

import numpy as np

from darts_perturb import space as spaces


class Genotype(NamedTuple):
    """One cell: the operation of every edge, in the order of the space's edges."""

    space: str
    ops: tuple[str, ...]


def from_choice(space, choice):
    """Returns the genotype of chosen operations.

    Args:
        space: `space.Space`.
        choice: [edges] index of an operation for every edge.
    """
    return Genotype(space.name, tuple(space.ops[int(index)] for index in choice))


def to_choice(genotype):
    """Returns the index of every edge's operation, int32 [edges]."""
    ops = spaces.get(genotype.space).ops
    return np.asarray([ops.index(op) for op in genotype.ops], np.int32)


def to_weights(genotype):
    """Returns one-hot op weights, float32 [edges, ops]: with them the supernet is the network of this cell."""
    return np.eye(len(spaces.get(genotype.space).ops), dtype=np.float32)[to_choice(genotype)]


def format(genotype):
    """Returns the NAS-Bench-201 text of a genotype; `parse` reads it back."""
    space = spaces.get(genotype.space)
    groups = [[] for _ in range(space.num_nodes - 1)]
    for (source, target), op in zip(space.edges, genotype.ops):
        groups[target - 1].append(f"{op}~{source}")
    return "+".join(f"|{'|'.join(group)}|" for group in groups)


def parse(text):
    """Returns the genotype that a NAS-Bench-201 text describes.

    >>> text = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|avg_pool_3x3~2|"
    >>> format(parse(text)) == text
    True

    Raises:
        ValueError: the text does not describe a cell; one line that says where.
    """
    space = spaces.NAS_BENCH_201
    groups = text.strip().split("+")
    if len(groups) != space.num_nodes - 1:
        raise ValueError(f"genotype {text!r}: {len(groups)} nodes joined by '+', need {space.num_nodes - 1}")
    found = {}
    for target, group in enumerate(groups, start=1):
        if not re.fullmatch(r"\|(?:[^|]+\|)+", group):
            raise ValueError(f"genotype {text!r}: node {target} is {group!r}, need |op~source|op~source|...")
        for entry in group.strip("|").split("|"):
            op, _, source = entry.partition("~")
            edge = (int(source), target) if re.fullmatch(r"[0-9]{1,3}", source) else None
            if op not in space.ops:
                raise ValueError(f"genotype {text!r}: unknown operation {op!r}; known: {', '.join(space.ops)}")
            if edge not in space.edges:
                raise ValueError(f"genotype {text!r}: {entry!r} of node {target} needs a source of 0 to {target - 1}")
            if edge in found:
                raise ValueError(f"genotype {text!r}: node {target} has two operations from node {source}")
            found[edge] = op
    missing = [edge for edge in space.edges if edge not in found]
    if missing:
        raise ValueError(f"genotype {text!r}: node {missing[0][1]} has no operation from node {missing[0][0]}")
    return Genotype(space.name, tuple(found[edge] for edge in space.edges))


COLOURS = {
    "none": "#bbbbbb",
    "skip_connect": "#edae49",
    "avg_pool_3x3": "#d1495b",
    "nor_conv_1x1": "#00798c",
    "nor_conv_3x3": "#1b6ca8",
}


def draw(genotype, axis, title=""):
    """Draws a cell on matplotlib axes: nodes from left to right, a dotted line for `none`, an arrow for the rest."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    space = spaces.get(genotype.space)
    axis.set_axis_off()
    axis.set(xlim=(-0.25, space.num_nodes - 0.75), ylim=(-0.9, 0.75))
    axis.set_title(title, fontsize=7)
    for (source, target), op in zip(space.edges, genotype.ops):
        span, middle = target - source, (source + target) / 2
        # arcs over one node lie above or below the line in turn, the arc over two nodes lowest
        height = {1: 0.0, 2: 0.45 if source == 0 else -0.3, 3: -0.75}[span]
        lift = 4 / 3 * height  # of the two control points, so that the middle of the curve is at `height`
        start, end = source + 0.14, target - 0.14
        arc = Path([(start, height / 6), (start + 0.1, lift), (end - 0.1, lift), (end, height / 6)], [1, 4, 4, 4])
        style = {"arrowstyle": "-", "linestyle": ":"} if op == "none" else {"arrowstyle": "-|>", "mutation_scale": 8}
        axis.add_patch(FancyArrowPatch(path=arc, color=COLOURS[op], **style))
        label = op.replace("_connect", "").replace("nor_", "").replace("pool_3x3", "pool").replace("_", " ")
        axis.text(middle, height + 0.05, label, ha="center", va="bottom", fontsize=6, color=COLOURS[op])
    for node in range(space.num_nodes):
        name = {0: "in", space.num_nodes - 1: "out"}.get(node, str(node))
        circle = {"boxstyle": "circle,pad=0.25", "facecolor": "white", "edgecolor": "#333333"}
        axis.text(node, 0, name, ha="center", va="center", fontsize=6, bbox=circle)
