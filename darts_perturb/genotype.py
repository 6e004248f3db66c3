"""Cells as text: the NAS-Bench-201 string and the Genotype(...) tuples of DARTS; each is read and written exactly."""

import re
from typing import NamedTuple

import numpy as np

from darts_perturb import genotype_darts
from darts_perturb import space as spaces
from darts_perturb.drawing import COLOURS, draw
from darts_perturb.genotype_darts import DartsGenotype

__all__ = (
    "COLOURS",
    "DartsGenotype",
    "Genotype",
    "draw",
    "format",
    "from_choice",
    "parameter_free_share",
    "parse",
    "random",
    "to_choice",
    "to_weights",
)


class Genotype(NamedTuple):
    """One cell of NAS-Bench-201, or of a space like it: the operation of every edge, in the order of its edges."""

    space: str
    ops: tuple[str, ...]


def parse(text, space=None):
    """Returns the genotype that a text describes: a `Genotype`, or a `DartsGenotype`.

    >>> text = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|avg_pool_3x3~2|"
    >>> format(parse(text)) == text
    True

    Args:
        text: a NAS-Bench-201 string, or Genotype(normal=[...], normal_concat=..., reduce=[...], reduce_concat=...). It
            is read as data; nothing in it is executed.
        space: the `space.Space` or the name of one in which the genotype must lie. Where left out a string is of
            nas_bench_201 and a Genotype(...) is of darts, or of s3 or s4 if it has `none` or `noise`.

    Raises:
        ValueError: the text does not describe a cell, or not one of that space; one line that says where.
    """
    name = getattr(space, "name", space)
    is_darts = text.strip().startswith("Genotype")
    if name is not None and is_darts == (spaces.get(name).skeleton == spaces.STAGES):
        form = "Genotype(normal=..., reduce=...)" if not is_darts else "|op~source|+..."
        raise ValueError(f"genotype {_short(text)}: it is of another space; one of {name} is written {form}")
    return genotype_darts.parse(text, name) if is_darts else _parse_string(text, spaces.get(name or "nas_bench_201"))


def format(genotype):
    """Returns the text of a genotype, as `parse` reads it."""
    if isinstance(genotype, DartsGenotype):
        return genotype_darts.format(genotype)
    space = spaces.get(genotype.space)
    groups = [[] for _ in range(space.num_nodes - 1)]
    for (source, target), op in zip(space.edges, genotype.ops):
        groups[target - 1].append(f"{op}~{source}")
    return "+".join(f"|{'|'.join(group)}|" for group in groups)


def _parse_string(text, space):
    groups = text.strip().split("+")
    if len(groups) != space.num_nodes - 1:
        raise ValueError(f"genotype {text!r}: {len(groups)} nodes joined by '+', need {space.num_nodes - 1}")
    found = {}
    for target, group in enumerate(groups, start=1):
        if not re.fullmatch(r"\|(?:[^|]+\|)+", group):
            raise ValueError(f"genotype {text!r}: node {target} is {group!r}, need |op~source|op~source|...")
        for entry in group.strip("|").split("|"):
            op, _, source = entry.partition("~")
            edge = (int(source), target) if re.fullmatch(r"0|[1-9][0-9]{0,2}", source) else None
            if op not in space.ops:
                raise ValueError(f"genotype {text!r}: unknown operation {op!r}; known: {', '.join(space.ops)}")
            if edge not in space.edges and edge is not None and edge[0] < target:
                raise ValueError(f"genotype {text!r}: {entry!r}: {space.name} has no edge from {source} to {target}")
            if edge not in space.edges:
                raise ValueError(f"genotype {text!r}: {entry!r} of node {target} needs a source of 0 to {target - 1}")
            allowed = space.edge_ops("cell")[space.edges.index(edge)]
            if op not in allowed:
                raise ValueError(f"genotype {text!r}: {entry!r} of node {target} takes {' or '.join(allowed)}")
            if edge in found:
                raise ValueError(f"genotype {text!r}: node {target} has two operations from node {source}")
            found[edge] = op
    missing = [edge for edge in space.edges if edge not in found]
    if missing:
        raise ValueError(f"genotype {text!r}: node {missing[0][1]} has no operation from node {missing[0][0]}")
    return Genotype(space.name, tuple(found[edge] for edge in space.edges))


def _short(text):
    return repr(text if len(text) <= 40 else f"{text[:37]}...")


def from_choice(space, choice, kept=None):
    """Returns the genotype of chosen operations.

    Args:
        space: `space.Space`.
        choice: [edges] index of an operation for every edge, among those it may take; of the DARTS spaces {"normal":
            [edges], "reduce": [edges]}.
        kept: of the DARTS spaces, which edges the cell keeps, {"normal": bool [edges], "reduce": bool [edges]}: two
            that end in every node.

    Raises:
        ValueError: a node keeps other than two edges.
    """
    if isinstance(choice, dict):
        return genotype_darts.from_choice(space, choice, kept)
    return Genotype(space.name, tuple(ops[int(index)] for ops, index in zip(space.edge_ops("cell"), choice)))


def to_choice(genotype):
    """Returns the index of every edge's operation, int32 [edges]; of a `DartsGenotype` a dict of two, -1 if dropped."""
    if isinstance(genotype, DartsGenotype):
        return genotype_darts.to_choice(genotype)
    choices = spaces.get(genotype.space).edge_ops("cell")
    return np.asarray([ops.index(op) for ops, op in zip(choices, genotype.ops)], np.int32)


def to_weights(genotype):
    """Returns one-hot op weights, float32 [edges, ops]: with them the supernet is the network of this cell.

    Of a `DartsGenotype` {"normal": [edges, ops], "reduce": [edges, ops]}; the rows of dropped edges are 0.
    """
    if isinstance(genotype, DartsGenotype):
        return genotype_darts.to_weights(genotype)
    return np.eye(spaces.get(genotype.space).weights_shape[1], dtype=np.float32)[to_choice(genotype)]


def random(rng, space):
    """Returns a cell drawn at random: its operations, and, of the DARTS spaces, two edges into every node.

    Args:
        rng: `numpy.random.Generator`.
        space: `space.Space` that `space.get` knows.
    """
    if space.skeleton == spaces.STAGES:
        return from_choice(space, rng.integers(space.weights_shape[1], size=len(space.edges)))
    return genotype_darts.random(rng, space)


def parameter_free_share(genotype):
    """Returns the share of a cell's operations that have nothing to learn; both cells of a `DartsGenotype` count."""
    ops = genotype.all_ops if isinstance(genotype, DartsGenotype) else genotype.ops
    return np.mean([op in spaces.get(genotype.space).parameter_free for op in ops])
