"""Which cells of NAS-Bench-201 are the same network, told from their operations alone.

Two cells are the same network if their last nodes are the same sum of the same operations of the same sums: a copy adds
the terms of its node, `none` and any operation of a node without terms add nothing. There are 4,930 such classes among
the 15,625 cells; one of them, 341 cells, has an output without terms. The rule of the benchmark's authors keeps zeros
as terms and does not look into copied sums, and counts 6,466.

References:
    NAS-Bench-201: Dong & Yang 2020, arXiv:2001.00326, section 2.1.
"""

import functools
import itertools

import numpy as np

from darts_perturb import space as spaces

SPACE = spaces.NAS_BENCH_201
NUM_CELLS = len(SPACE.ops) ** len(SPACE.edges)
_ZERO = "#"


def form(ops):
    """Returns the terms of the last node, sorted, () where it is zero: equal for cells that are the same network.

    >>> form(["skip_connect", "none", "nor_conv_3x3", "none", "none", "skip_connect"])
    ('nor_conv_3x3(x)',)

    Args:
        ops: the operation of every edge.
    """
    nodes = [("x",)] + [()] * (SPACE.num_nodes - 1)
    for (source, target), op in zip(SPACE.edges, ops):
        if op == "none" or not nodes[source]:
            continue
        terms = nodes[source] if op == "skip_connect" else (f"{op}({'+'.join(nodes[source])})",)
        nodes[target] = tuple(sorted(nodes[target] + terms))
    return nodes[-1]


def benchmark_form(ops):
    """Returns the text by which the authors of the benchmark tell cells apart; their letters, as the order matters."""
    nodes = ["0"] + [""] * (SPACE.num_nodes - 1)
    terms = [[] for _ in nodes]
    for (source, target), op in zip(SPACE.edges, ops):
        before = nodes[source]
        if op == "none" or before == _ZERO:
            terms[target].append(_ZERO)
        else:
            terms[target].append(before if op == "skip_connect" else f"({before})@{op}")
        nodes[target] = "+".join(sorted(terms[target]))
    return nodes[-1]


def pruned(choice):
    """Returns a cell that is the same network with `none` on every edge that carries zeros or leads nowhere.

    Args:
        choice: [edges], the index of every edge's operation.
    """
    choice = np.array(choice, np.int32)
    none = SPACE.ops.index("none")
    reached = np.zeros(SPACE.num_nodes, bool)
    reached[0] = True
    for (source, target), op in zip(SPACE.edges, choice):
        reached[target] |= reached[source] and op != none
    leads = np.zeros(SPACE.num_nodes, bool)
    leads[-1] = True
    for (source, target), op in zip(SPACE.edges[::-1], choice[::-1]):
        leads[source] |= leads[target] and op != none
    used = np.array([reached[source] and leads[target] for source, target in SPACE.edges])
    return np.where(used, choice, none).astype(np.int32)


@functools.cache
def classes():
    """Returns (class of every cell int32 [15625], one cell of every class int32 [4930, edges]).

    Cells are in the order of `tabular.cells`, classes in that of their first cell. The cell of a class is `pruned`.
    """
    every = list(itertools.product(range(len(SPACE.ops)), repeat=len(SPACE.edges)))
    numbers, first = {}, []
    members = np.empty(NUM_CELLS, np.int32)
    for row, choice in enumerate(every):
        terms = form([SPACE.ops[op] for op in choice])
        if terms not in numbers:
            numbers[terms] = len(numbers)
            first.append(pruned(choice))
        members[row] = numbers[terms]
    return members, np.array(first)


def zero_class():
    """Returns the number of the class whose output is zero."""
    return int(classes()[0][0])
