"""Search spaces of a user's own, small enough to compile in a moment."""

from darts_perturb.space import REDUCTIONS, Space

STAGES_SPACE = Space("tiny", ("none", "skip_connect", "nor_conv_1x1"), ((0, 1), (0, 2), (1, 2)))
# node 3 has an edge to spare; the operations differ by edge
NORMAL = (
    ("none", "skip_connect"),
    ("none", "skip_connect"),
    ("none", "max_pool_3x3"),
    ("none", "skip_connect"),
    ("none", "skip_connect"),
)
REDUCE = (("none", "skip_connect"),) * 4 + (("max_pool_3x3", "none"),)
CELLS_SPACE = Space(
    "tiny_cells",
    ("none", "skip_connect", "max_pool_3x3"),
    ((0, 2), (1, 2), (0, 3), (1, 3), (2, 3)),
    REDUCTIONS,
    (NORMAL, REDUCE),
)
