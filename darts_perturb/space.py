"""Search spaces as data: the operations an edge may take and the edges of a cell.

A cell is a graph whose node 0 is its input. Every edge (j, i) carries a weighted sum of all operations of node j, and
node i is the sum of the edges that end in it (Liu et al. 2019, arXiv:1806.09055, eq. 2).
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Space:
    """A search space of one kind of cell; hashable, so a static argument of jit.

    Attributes:
        name: what `get` knows it by.
        ops: names of the operations, in the order of an op weight's last axis.
        edges: (source, target) node of every edge, in the order of an op weight's first axis.
        parameter_free: those of `ops` that have nothing to learn.
    """

    name: str
    ops: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    parameter_free: tuple[str, ...]

    @property
    def num_nodes(self):
        """Returns the number of nodes, the input counted."""
        return 1 + max(target for _, target in self.edges)

    def edges_from(self, source):
        """Returns the indices of the edges that leave a node, as a tuple."""
        return tuple(index for index, edge in enumerate(self.edges) if edge[0] == source)


NAS_BENCH_201 = Space(
    name="nas_bench_201",
    ops=("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"),
    edges=((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)),
    parameter_free=("none", "skip_connect", "avg_pool_3x3"),
)

_SPACES = {space.name: space for space in (NAS_BENCH_201,)}


def get(name):
    """Returns the search space of a name.

    >>> get("nas_bench_201").ops[3]
    'nor_conv_3x3'

    Raises:
        ValueError: no space has that name.

    References:
        NAS-Bench-201: Dong & Yang 2020, arXiv:2001.00326, section 2.1.
    """
    if name not in _SPACES:
        raise ValueError(f"unknown search space {name!r}; known: {', '.join(sorted(_SPACES))}")
    return _SPACES[name]
