"""Weights under the names of the public PyTorch code, into this project's parameters."""

import numpy as np

from darts_perturb import supernet


def from_reference(space, state):
    """Returns supernet parameters from the state dict of the public NAS-Bench-201 supernet.

    Args:
        space: `space.Space`; nas_bench_201.
        state: {reference name: array}, convolutions in OIHW layout. Running statistics and alpha are not read.

    Raises:
        ValueError: a weight is missing, or the number of cells is not 3 N + 2.
    """
    if space.name != "nas_bench_201":
        raise ValueError(f"from_reference knows the names of nas_bench_201, not of {space.name}")
    num_cells = 1 + max((int(name.split(".")[1]) for name in state if name.startswith("cells.")), default=-1)
    layers, rest = divmod(num_cells - (supernet.NUM_STAGES - 1), supernet.NUM_STAGES)
    if rest or layers < 1:
        raise ValueError(f"state dict has {num_cells} cells: need 3 N + 2, N in each stage and 2 residual blocks")
    params = {
        "stem": {"kernel": _kernel(state, "stem.0.weight")},
        "stem_norm": _norm(state, "stem.1"),
        "last_norm": _norm(state, "lastact.0"),
        "classifier_kernel": _array(state, "classifier.weight").T,
        "classifier_bias": _array(state, "classifier.bias"),
    }
    for stage in range(supernet.NUM_STAGES):
        first = stage * (layers + 1)
        params[f"stage_{stage}"] = _stack([_cell(space, state, first + n) for n in range(layers)])
        if stage < supernet.NUM_STAGES - 1:
            params[f"residual_{stage}"] = _residual(state, first + layers)
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


def _cell(space, state, index):
    """Returns the parameters of one cell: kernels of the edges that leave a node side by side."""
    cell = {}
    for source in range(space.num_nodes - 1):
        targets = [space.edges[edge][1] for edge in space.edges_from(source)]
        for number, op in enumerate(space.ops):
            if op in space.parameter_free:
                continue
            names = [f"cells.{index}.edges.{target}<-{source}.{number}.op.1.weight" for target in targets]
            kernels = [_kernel(state, name) for name in names]
            cell[f"from_{source}_{op}"] = {"conv": {"kernel": np.concatenate(kernels, axis=-1)}}
    return cell


def _stack(cells):
    """Returns nested dicts whose arrays have the cells as their first axis."""
    first = cells[0]
    if isinstance(first, dict):
        return {name: _stack([cell[name] for cell in cells]) for name in first}
    return np.stack(cells)
