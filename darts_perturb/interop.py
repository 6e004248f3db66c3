"""Weights under the names of the public PyTorch code, into this project's parameters."""

import jax
import numpy as np

from darts_perturb import space as spaces
from darts_perturb import supernet
from darts_perturb.layers import mixed, reductions


def from_reference(space, state):
    """Returns supernet parameters from the state dict of the public PyTorch supernets.

    Args:
        space: `space.Space` whose cells the state dict has: nas_bench_201, darts, s1 to s4.
        state: {reference name: array}, convolutions in OIHW layout. Running statistics and alpha are not read.

    Raises:
        ValueError: a weight is missing, has no place in that space or another shape than it, or the number of cells is
            not 3 N + 2 of a space of stages.
    """
    state = _Read(state)
    num_cells = 1 + max((int(name.split(".")[1]) for name in state if name.startswith("cells.")), default=-1)
    cells = (_reductions if space.skeleton == spaces.REDUCTIONS else _stages)(space, state, num_cells)
    params = {
        **cells,
        "stem": {"kernel": _kernel(state, "stem.0.weight")},
        "stem_norm": _norm(state, "stem.1"),
        "classifier_kernel": _array(state, "classifier.weight").T,
        "classifier_bias": _array(state, "classifier.bias"),
    }
    left = [name for name, value in state.items() if name not in state.names and np.ndim(value) == 4]
    if left:
        raise ValueError(
            f"state dict has {left[0]!r} and {len(left) - 1} more convolutions that {space.name} has no place for; "
            "is it of another space?"
        )
    _check_shapes(space, params, num_cells)
    return params


class _Read(dict):
    """A state dict that remembers the names asked for."""

    def __init__(self, state):
        super().__init__(state)
        self.names = set()

    def __getitem__(self, name):
        self.names.add(name)
        return super().__getitem__(name)


def _check_shapes(space, params, num_cells):
    """Checks that parameters are those of a supernet of the size that the stem says."""
    channels, layers, num_classes = supernet.skeleton_sizes(params)
    layers = num_cells if space.skeleton == spaces.REDUCTIONS else layers
    sizes = {"channels": channels, "layers": layers, "num_classes": num_classes}
    wanted = jax.eval_shape(lambda: supernet.init(jax.random.key(0), space, **sizes))
    for (path, found), shape in zip(jax.tree.leaves_with_path(params), jax.tree.leaves(wanted)):
        if np.shape(found) != shape.shape:
            where = "/".join(str(key.key) for key in path)
            raise ValueError(f"state dict gives {where} the shape {np.shape(found)}; {space.name} needs {shape.shape}")


def _stages(space, state, num_cells):
    layers, rest = divmod(num_cells - (supernet.NUM_STAGES - 1), supernet.NUM_STAGES)
    if rest or layers < 1:
        raise ValueError(f"state dict has {num_cells} cells: need 3 N + 2, N in each stage and 2 residual blocks")
    params = {"last_norm": _norm(state, "lastact.0")}
    for stage in range(supernet.NUM_STAGES):
        first = stage * (layers + 1)
        params[f"stage_{stage}"] = _stack([_cell(space, state, first + n, "cell") for n in range(layers)])
        if stage < supernet.NUM_STAGES - 1:
            params[f"residual_{stage}"] = _residual(state, first + layers)
    return params


def _reductions(space, state, num_cells):
    if num_cells < 1:
        raise ValueError("state dict has no cells")
    # the channels do not matter: only which cells are alike is asked
    params, places = {}, reductions.places(1, num_cells)
    for number, run in enumerate(reductions.runs(1, num_cells)):
        cells = [_cell(space, state, index, places[index].kind) for index in run]
        params[f"run_{number}"] = cells[0] if len(run) == 1 else {"cell": _stack(cells)}
    for index, place in enumerate(places):
        for side in (0, 1):
            where = f"cells.{index}.preprocess{side}"
            if side == 0 and place.after_reduction:
                params[f"prepare_{index}_0"] = _factorized(state, [where])
            else:
                params[f"prepare_{index}_{side}_kernel"] = _kernel(state, f"{where}.op.1.weight")
    return params


def _array(state, name):
    if name not in state:
        raise ValueError(f"state dict has no {name!r}")
    return np.asarray(state[name])


def _kernel(state, name):
    return _array(state, name).transpose(2, 3, 1, 0)


def _norm(state, name):
    return {"scale": _array(state, f"{name}.weight"), "bias": _array(state, f"{name}.bias")}


def _residual(state, index):
    blocks = {
        name: {"conv": {"kernel": _kernel(state, f"{where}.1.weight")}, "norm": _norm(state, f"{where}.2")}
        for name in ("conv_a", "conv_b")
        for where in [f"cells.{index}.{name}.op"]
    }
    return {**blocks, "shortcut": {"kernel": _kernel(state, f"cells.{index}.downsample.1.weight")}}


def _cell(space, state, index, kind):
    """Returns the parameters of one cell: those of the edges that leave a node and share an operation together."""
    cell = {}
    for source in range(space.num_nodes - 1):
        for op in space.ops:
            edges = mixed.sharing(space, kind, source, op)
            found = _operation(space, state, index, kind, op, edges) if edges else {}
            if found:
                cell[f"from_{source}_{op}"] = found
    return cell


def _operation(space, state, index, kind, op, edges):
    """Returns the parameters of one operation on the edges that share it, {} if it has none."""
    numbers = [space.edge_ops(kind)[edge].index(op) for edge in edges]
    if space.skeleton == spaces.REDUCTIONS:
        where = [f"cells.{index}._ops.{edge}._ops.{number}" for edge, number in zip(edges, numbers)]
    else:
        ends = [space.edges[edge] for edge in edges]
        where = [f"cells.{index}.edges.{target}<-{source}.{n}" for (source, target), n in zip(ends, numbers)]
    name = op.partition("_")[0]
    if name == "nor":
        kernels = [_kernel(state, f"{one}.op.1.weight") for one in where]
        return {"conv": {"kernel": np.concatenate(kernels, axis=-1)}}
    if name == "skip" and space.stride(kind, edges[0]) == 2:
        return {"reduce": _factorized(state, where)}
    # the second half of a separable convolution stands after the first one's normalisation
    halves = {"dil": {"a": 1}, "sep": {"a": 1, "b": 5}}.get(name, {})
    return {
        f"{part}_{half}_kernel": np.stack([_kernel(state, f"{one}.op.{first + later}.weight") for one in where])
        for half, first in halves.items()
        for part, later in (("depthwise", 0), ("pointwise", 1))
    }


def _factorized(state, where):
    return {
        f"{half}_kernel": np.stack([_kernel(state, f"{one}.conv_{number}.weight") for one in where])
        for number, half in ((1, "even"), (2, "odd"))
    }


def _stack(cells):
    """Returns nested dicts whose arrays have the cells as their first axis."""
    first = cells[0]
    if isinstance(first, dict):
        return {name: _stack([cell[name] for cell in cells]) for name in first}
    return np.stack(cells)
