"""Cells of the DARTS spaces: a normal and a reduction cell, two operations for every node, as Genotype(...) tuples.

Nodes 0 and 1 are the outputs of the two cells before, nodes 2 to 5 sum what their two operations return, and the cell
returns the nodes of its concat side by side (Liu et al. 2019, arXiv:1806.09055, section 2.1).
"""

import ast
import dataclasses

import numpy as np

from darts_perturb import space as spaces

CELLS = ("normal", "reduce")
NUM_INPUTS = 2
NUM_NODES = 6
OPS_PER_NODE = 2
_FIELDS = ("normal", "normal_concat", "reduce", "reduce_concat")
_LONGEST = 10_000  # characters of a text; a published one has 600
_BRACKETS = {"list": "[{}]", "tuple": "({})", "range": "range({})"}


@dataclasses.dataclass(frozen=True)
class DartsGenotype:
    """A normal and a reduction cell; hashable, so a static argument of jit.

    Attributes:
        space: name of the search space.
        normal: (operation, source) twice for node 2, twice for node 3, and so on.
        reduce: likewise; its operations on nodes 0 and 1 halve the image.
        normal_concat: nodes whose values the cell returns.
        reduce_concat: likewise.
        written: how the two concats are written, "range", "list" or "tuple"; equal cells may differ in it.
    """

    space: str
    normal: tuple[tuple[str, int], ...]
    reduce: tuple[tuple[str, int], ...]
    normal_concat: tuple[int, ...] = (2, 3, 4, 5)
    reduce_concat: tuple[int, ...] = (2, 3, 4, 5)
    written: tuple[str, str] = dataclasses.field(default=("range", "range"), compare=False, repr=False)

    def edges(self, cell):
        """Returns (source, target, operation) of every edge of "normal" or "reduce"."""
        pairs = getattr(self, cell)
        return tuple((source, NUM_INPUTS + place // OPS_PER_NODE, op) for place, (op, source) in enumerate(pairs))

    @property
    def all_ops(self):
        """Returns the operations of both cells."""
        return tuple(op for op, _ in self.normal + self.reduce)

    def concat(self, cell):
        """Returns the nodes that "normal" or "reduce" returns."""
        return getattr(self, f"{cell}_concat")


def format(genotype):
    """Returns the text Genotype(normal=[...], normal_concat=..., reduce=[...], reduce_concat=...)."""
    parts = []
    for cell, written in zip(CELLS, genotype.written):
        nodes = genotype.concat(cell)
        if written == "range":
            inside = f"{nodes[0]}, {nodes[-1] + 1}"
        else:
            inside = ", ".join(map(str, nodes)) + ("," if written == "tuple" and len(nodes) == 1 else "")
        parts += [f"{cell}={list(getattr(genotype, cell))}", f"{cell}_concat={_BRACKETS[written].format(inside)}"]
    return f"Genotype({', '.join(parts)})"


def parse(text, space=None):
    """Returns the `DartsGenotype` of a text; see `genotype.parse`.

    >>> text = "Genotype(normal=[{0}], normal_concat=[2, 3, 4, 5], reduce=[{0}], reduce_concat=range(2, 6))".format(
    ...     ", ".join("('sep_conv_3x3', 0), ('skip_connect', 1)" for _ in range(4))
    ... )
    >>> format(parse(text)) == text
    True

    Raises:
        ValueError: as of `genotype.parse`.
    """
    head = f"genotype {text[:37] + '...' if len(text) > 40 else text!r}"
    head = " ".join(head.split())
    try:
        fields = _fields(text)
        pairs = {cell: _pairs(cell, fields[cell]) for cell in CELLS}
        concats = {cell: _concat(f"{cell}_concat", fields[f"{cell}_concat"]) for cell in CELLS}
        used = {op for cell in CELLS for op, _ in pairs[cell]}
        name = space or ("s4" if "noise" in used else "s3" if "none" in used else "darts")
        for cell in CELLS:
            _check_ops(spaces.get(name), cell, pairs[cell])
    except ValueError as error:
        raise ValueError(f"{head}: {error}") from None
    return DartsGenotype(
        name,
        pairs["normal"],
        pairs["reduce"],
        concats["normal"][0],
        concats["reduce"][0],
        (concats["normal"][1], concats["reduce"][1]),
    )


def _fields(text):
    """Returns {name: syntax tree} of the four fields of Genotype(...)."""
    if len(text) > _LONGEST:
        raise ValueError(f"{len(text)} characters are no genotype")
    try:
        call = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        where = f"; line {error.lineno}, column {error.offset}" if getattr(error, "lineno", None) else ""
        raise ValueError(f"not written as Genotype(normal=[...], ...){where}: {getattr(error, 'msg', error)}") from None
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.func.id != "Genotype":
        raise ValueError("need one Genotype(...) and nothing else")
    nodes = dict(zip(_FIELDS, call.args)) if len(call.args) <= len(_FIELDS) else {}
    for keyword in call.keywords:
        if keyword.arg not in _FIELDS or keyword.arg in nodes:
            raise ValueError(f"unknown or repeated field {keyword.arg!r}; the fields are {', '.join(_FIELDS)}")
        nodes[keyword.arg] = keyword.value
    missing = [name for name in _FIELDS if name not in nodes]
    if missing:
        raise ValueError(f"no field {missing[0]!r}; the fields are {', '.join(_FIELDS)}")
    return nodes


def _literal(name, node):
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        raise ValueError(f"{name} must be written with names in quotes and whole numbers alone") from None


def _pairs(cell, node):
    """Returns ((operation, source), ...) of a cell, every source checked."""
    pairs, wanted = _literal(cell, node), OPS_PER_NODE * (NUM_NODES - NUM_INPUTS)
    if not isinstance(pairs, (list, tuple)) or len(pairs) != wanted:
        found = f"{len(pairs)} entries" if isinstance(pairs, (list, tuple)) else type(pairs).__name__
        raise ValueError(f"{cell} has {found}; need {wanted}, two for each node")
    for place, pair in enumerate(pairs):
        target = NUM_INPUTS + place // OPS_PER_NODE
        if not isinstance(pair, (list, tuple)) or [type(value) for value in pair] != [str, int]:
            raise ValueError(f"{cell}[{place}] is {pair!r}; need ('operation', source)")
        if not 0 <= pair[1] < target:
            raise ValueError(f"{cell}[{place}] is {pair!r}; node {target} needs a source of 0 to {target - 1}")
        if place % OPS_PER_NODE and pair[1] == pairs[place - 1][1]:
            raise ValueError(f"{cell}[{place}] is {pair!r}; node {target} has two operations from node {pair[1]}")
    return tuple((op, source) for op, source in pairs)


def _concat(name, node):
    """Returns (nodes, how they are written) of a concat."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range" and not node.keywords:
        bounds = [_literal(name, bound) for bound in node.args]
        if len(bounds) != 2 or any(type(bound) is not int or not 0 <= bound <= NUM_NODES for bound in bounds):
            raise ValueError(f"{name} is range{tuple(bounds)}; need range(first, last + 1) of nodes 0 to 5")
        nodes, written = tuple(range(*bounds)), "range"
    else:
        nodes = _literal(name, node)
        written = type(nodes).__name__
        if written not in _BRACKETS or any(type(value) is not int for value in nodes):
            raise ValueError(f"{name} is {nodes!r}; need range(2, 6) or a list of nodes")
    allowed = range(NUM_INPUTS, NUM_NODES)
    if not nodes or len(set(nodes)) < len(nodes) or any(value not in allowed for value in nodes):
        raise ValueError(f"{name} is {list(nodes)}; need one or more different nodes of 2 to 5")
    return tuple(nodes), written


def _check_ops(space, cell, pairs):
    edges = list(space.edges)
    for place, (op, source) in enumerate(pairs):
        if op not in space.ops:
            raise ValueError(
                f"{cell}[{place}]: unknown operation {op!r} in {space.name}; known: {', '.join(space.ops)}"
            )
        allowed = space.edge_ops(cell)[edges.index((source, NUM_INPUTS + place // OPS_PER_NODE))]
        if op not in allowed:
            where = f"the edge from {source} to {NUM_INPUTS + place // OPS_PER_NODE}"
            raise ValueError(f"{cell}[{place}] is {op!r}; in {space.name} {where} takes {' or '.join(allowed)}")


def from_choice(space, choice, kept):
    """Returns the genotype of chosen operations and kept edges; see `genotype.from_choice`.

    Raises:
        ValueError: a node keeps other than two edges.
    """
    pairs = {}
    for cell in CELLS:
        if kept is None:
            raise ValueError(f"kept is missing: {space.name} needs the two edges that every node keeps")
        rows = [index for index in range(len(space.edges)) if bool(kept[cell][index])]
        targets = [space.edges[index][1] for index in rows]
        if sorted(targets) != [node for node in range(NUM_INPUTS, NUM_NODES) for _ in range(OPS_PER_NODE)]:
            raise ValueError(f"kept[{cell!r}] keeps edges into the nodes {sorted(targets)}; need two of each of 2 to 5")
        rows.sort(key=lambda index: (space.edges[index][1], space.edges[index][0]))
        ops = space.edge_ops(cell)
        pairs[cell] = tuple((ops[index][int(choice[cell][index])], space.edges[index][0]) for index in rows)
    return DartsGenotype(space.name, pairs["normal"], pairs["reduce"])


def to_choice(genotype):
    """Returns {"normal": int32 [edges], "reduce": int32 [edges]}: the index of every edge's operation among those that
    the edge may take, -1 where the edge is dropped."""
    space, choice = spaces.get(genotype.space), {}
    for cell in CELLS:
        choice[cell] = np.full(len(space.edges), -1, np.int32)
        for source, target, op in genotype.edges(cell):
            edge = space.edges.index((source, target))
            choice[cell][edge] = space.edge_ops(cell)[edge].index(op)
    return choice


def to_weights(genotype):
    """Returns {"normal": float32 [edges, choices], "reduce": ...}, one-hot rows, 0 where an edge is dropped."""
    num_choices = spaces.get(genotype.space).weights_shape[1]
    return {
        cell: (rows[:, None] == np.arange(num_choices)).astype(np.float32) for cell, rows in to_choice(genotype).items()
    }


def random(rng, space):
    """Returns a `DartsGenotype` drawn at random, without `none`; see `genotype.random`."""
    choice, kept = {}, {}
    for cell in CELLS:
        choice[cell] = [rng.choice([i for i, op in enumerate(ops) if op != "none"]) for ops in space.edge_ops(cell)]
        kept[cell] = np.zeros(len(space.edges), bool)
        for node in range(NUM_INPUTS, NUM_NODES):
            into = [index for index, (_, target) in enumerate(space.edges) if target == node]
            kept[cell][rng.choice(into, OPS_PER_NODE, replace=False)] = True
    return from_choice(space, choice, kept)
