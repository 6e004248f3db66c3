"""Search spaces as data: the operations an edge may take, the edges of a cell and the kinds of cell.

A cell is a graph whose first nodes are its inputs. Every edge (j, i) carries a weighted sum of its operations of node
j, and node i is the sum of the edges that end in it (Liu et al. 2019, arXiv:1806.09055, eq. 2). A space of one's own is
another `Space`; the supernet reads nothing else. Operations are named by kind and window, any odd window up to 99:
nor_conv_3x3, sep_conv_5x5, dil_conv_3x3, max_pool_3x3, avg_pool_3x3, and none, skip_connect and noise.

References:
    NAS-Bench-201: Dong & Yang 2020, arXiv:2001.00326, section 2.1; DARTS: Liu et al. 2019, arXiv:1806.09055, section
    3.1; S1 to S4: Zela et al. 2020, arXiv:1909.09656, section 3.
"""

import dataclasses
import functools
import itertools
import json
import pathlib
import re

_WINDOW = "[1-9][0-9]?"
OPERATION = re.compile(rf"none|skip_connect|noise|(?:nor|sep|dil)_conv_({_WINDOW})x\1|(?:max|avg)_pool_({_WINDOW})x\2")
_WITHOUT_PARAMETERS = re.compile(r"none|skip_connect|noise|.*_pool_.*")

# how the cells are joined
STAGES = "stages"  # three stages of one kind of cell, residual blocks between them; the last node is the output
REDUCTIONS = "reductions"  # cells with two inputs, two of them halve the image; the other nodes side by side are output
KINDS = {STAGES: ("cell",), REDUCTIONS: ("normal", "reduce")}


@dataclasses.dataclass(frozen=True)
class Space:
    """A search space; hashable, so a static argument of jit.

    Attributes:
        name: what `get` knows it by.
        ops: names of the operations; where every edge has the same, in the order of an op weight's last axis.
        edges: (source, target) node of every edge, in the order of an op weight's first axis.
        skeleton: "stages" or "reductions".
        choices: the operations of every edge in every kind of cell, [kinds][edges][choices], where edges differ.
        pool_norm: whether pools are normalised, as DARTS does in its supernet.

    Raises:
        ValueError: an operation nobody knows, or edges that make no cell.
    """

    name: str
    ops: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    skeleton: str = STAGES
    choices: tuple[tuple[tuple[str, ...], ...], ...] = ()
    pool_norm: bool = False

    def __post_init__(self):
        """Checks the fields against one another."""
        self._check(self.skeleton in KINDS, f"skeleton {self.skeleton!r}; known: {', '.join(KINDS)}")
        self._check(self.ops and self.edges, "no ops or no edges")
        for op in self.ops:
            self._check(known(op), f"unknown operation {op!r}; known: sep_conv_3x3 and the like, none, skip_connect")
        self._check(len(set(self.ops)) == len(self.ops), f"ops name one twice: {self.ops}")
        self._check(len(set(self.edges)) == len(self.edges), f"edges name one twice: {self.edges}")
        targets = {target for _, target in self.edges}
        self._check(
            all(0 <= source < target for source, target in self.edges)
            and len(targets) == self.num_nodes - self.num_inputs,
            f"edges {self.edges}: need source < target and an edge into every node after the inputs",
        )
        wanted = 1 if self.skeleton == STAGES else 2
        self._check(
            self.num_inputs == wanted, f"edges leave {self.num_inputs} input nodes, {self.skeleton} has {wanted}"
        )
        if self.choices:
            sizes = {len(ops) for kind in self.choices for ops in kind}
            fits = len(self.choices) == len(self.kinds) and all(len(kind) == len(self.edges) for kind in self.choices)
            self._check(fits and len(sizes) == 1, "choices need as many operations for every kind and edge")
            named = {op for kind in self.choices for ops in kind for op in ops}
            self._check(named <= set(self.ops), f"choices name {sorted(named - set(self.ops))}, which are not in ops")

    def _check(self, holds, message):
        if not holds:
            raise ValueError(f"search space {self.name!r}: {message}")

    @property
    def kinds(self):
        """Returns the names of the kinds of cell; op weights are a dict by kind where there are several."""
        return KINDS[self.skeleton]

    @property
    def parameter_free(self):
        """Returns those of `ops` that have nothing to learn, a skip that halves the image aside."""
        return tuple(op for op in self.ops if _WITHOUT_PARAMETERS.fullmatch(op))

    @property
    def num_inputs(self):
        """Returns the number of nodes that no edge ends in."""
        return min(target for _, target in self.edges)

    @property
    def num_nodes(self):
        """Returns the number of nodes, the inputs counted."""
        return 1 + max(target for _, target in self.edges)

    @property
    def weights_shape(self):
        """Returns (edges, choices), the shape of the op weights of one kind of cell."""
        return len(self.edges), len(self.edge_ops(self.kinds[0])[0])

    def edge_ops(self, kind):
        """Returns the operations of every edge of a kind of cell, in the order of an op weight's last axis."""
        return self.choices[self.kinds.index(kind)] if self.choices else (self.ops,) * len(self.edges)

    def edges_from(self, source):
        """Returns the indices of the edges that leave a node, as a tuple."""
        return tuple(index for index, edge in enumerate(self.edges) if edge[0] == source)

    def stride(self, kind, edge):
        """Returns the stride of an edge: 2 on those from the inputs of a cell that halves the image."""
        return 2 if kind == "reduce" and self.edges[edge][0] < self.num_inputs else 1

    def map(self, fn, weights):
        """Returns fn of the op weights of every kind of cell, as `weights` is: an array, or a dict by kind."""
        return fn(weights) if self.skeleton == STAGES else {kind: fn(weights[kind]) for kind in self.kinds}


def known(op):
    """Returns whether a text names an operation with an odd window."""
    found = OPERATION.fullmatch(op)
    return bool(found) and int(found[1] or found[2] or 1) % 2 == 1


def window(op):
    """Returns the side of an operation's window.

    >>> window("sep_conv_5x5")
    5
    """
    return int(op.rpartition("x")[2])


NAS_BENCH_201 = Space(
    name="nas_bench_201",
    ops=("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"),
    edges=((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)),
)

# four nodes, each with an edge from the two inputs and from every node before it
_DARTS_EDGES = tuple((source, target) for target in range(2, 6) for source in range(target))
# without `none`, as in the code of arXiv:2108.04392
_DARTS_OPS = (
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)


def _like_darts(name, ops, choices=()):
    return Space(name, ops, _DARTS_EDGES, REDUCTIONS, choices, pool_norm=True)


_LETTERS = {
    "m": "max_pool_3x3",
    "a": "avg_pool_3x3",
    "i": "skip_connect",
    "s": "sep_conv_3x3",
    "d": "dil_conv_3x3",
    "D": "dil_conv_5x5",
}


def _by_letters(text):
    return tuple(tuple(_LETTERS[letter] for letter in edge) for edge in text.split())


# the two operations of every edge, one group a node (Zela et al. 2020)
_S1_NORMAL = _by_letters("id iD  iD is id  mi is is id  is mi id dD dD")
_S1_REDUCE = _by_letters("ma md  ma ma iD  ma ms id iD  ma ma iD iD iD")

_SPACES = {
    space.name: space
    for space in (
        NAS_BENCH_201,
        _like_darts("darts", _DARTS_OPS),
        _like_darts(
            "s1",
            tuple(op for op in _DARTS_OPS if op in set(itertools.chain(*_S1_NORMAL, *_S1_REDUCE))),
            (_S1_NORMAL, _S1_REDUCE),
        ),
        _like_darts("s2", ("skip_connect", "sep_conv_3x3")),
        _like_darts("s3", ("none", "skip_connect", "sep_conv_3x3")),
        _like_darts("s4", ("noise", "sep_conv_3x3")),
    )
}


BUILT_IN = tuple(_SPACES)


def get(name):
    """Returns the search space of a name: nas_bench_201, darts, s1, s2, s3 or s4, or the path of a file, see `load`.

    >>> get("nas_bench_201").ops[3]
    'nor_conv_3x3'
    >>> get("s1").edge_ops("reduce")[1]
    ('max_pool_3x3', 'dil_conv_3x3')

    Raises:
        ValueError: no space has that name, or the file holds none.
        OSError: no such file, or one that cannot be read.
    """
    if name.endswith(".json"):
        return load(name)
    if name not in _SPACES:
        raise ValueError(f"unknown search space {name!r}; known: {', '.join(sorted(_SPACES))}, or a .json file")
    return _SPACES[name]


@functools.cache
def load(path):
    """Returns the search space in a file, whose name is its path; a file is read once.

    Args:
        path: a .json file with the fields of `Space` but its name: {"ops": ["none", "skip_connect", "sep_conv_3x3"],
            "edges": [[0, 1], [0, 2], [1, 2]]}, and maybe skeleton, choices and pool_norm.

    Raises:
        ValueError: not JSON, an unknown or missing field, or fields that make no space; names the file.
        OSError: no such file, or one that cannot be read.
    """
    try:
        fields = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON: {error}") from None
    known_fields = {field.name for field in dataclasses.fields(Space)} - {"name"}
    if not isinstance(fields, dict) or not {"ops", "edges"} <= set(fields) <= known_fields:
        found = sorted(fields) if isinstance(fields, dict) else type(fields).__name__
        raise ValueError(f"{path}: fields {found}; need ops and edges, and may have {', '.join(sorted(known_fields))}")
    for name, value in fields.items():
        if not _has_form(value, _FORMS[name]):
            raise ValueError(f"{path}: a field is of another form: {name}, due as in {json.dumps(_EXAMPLES[name])}")
    try:
        return Space(str(path), **{name: _frozen(value) for name, value in fields.items()})
    except ValueError as error:
        text = str(error)
        raise ValueError(text if str(path) in text else f"{path}: {text}") from None


# [x] is a list of any number of x
_FORMS = {"ops": [str], "edges": [[int]], "skeleton": str, "choices": [[[str]]], "pool_norm": bool}
_EXAMPLES = {
    "ops": ["skip_connect", "sep_conv_3x3"],
    "edges": [[0, 1], [0, 2], [1, 2]],
    "skeleton": STAGES,
    "choices": [[["skip_connect"], ["sep_conv_3x3"], ["sep_conv_3x3"]]],
    "pool_norm": True,
}


def _has_form(value, form):
    if isinstance(form, list):
        return isinstance(value, list) and all(_has_form(each, form[0]) for each in value)
    return type(value) is form


def _frozen(value):
    """Returns nested lists as nested tuples."""
    return tuple(_frozen(each) for each in value) if isinstance(value, list) else value
