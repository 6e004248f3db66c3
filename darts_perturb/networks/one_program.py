"""The network of every cell of NAS-Bench-201 in one compiled program: which cell it is, is an argument.

Of every edge the one chosen operation is computed, by a branch of a `lax.switch`; the supernet with one-hot op weights
computes all of them, and `network.apply` is a program of its own for every cell. The edges run in a loop, whose
gradient is written out: left to JAX, every branch would store what the others save as well.

Normalisation is by the batch at hand and inside the cells without scale and bias, so the parameters of operations that
are not chosen change nothing, and an edge that carries zeros carries zeros after any operation.

Letters: c channels, h and w pixels, b batch, e edges, n nodes, l cells of one stage.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
from jax import lax

from darts_perturb import space as spaces
from darts_perturb import supernet
from darts_perturb.layers import ops

SPACE = spaces.NAS_BENCH_201
# what halves the image between two stages: the benchmark's residual block, or a mean of 2x2 pixels and a 1x1
# convolution, with which nothing but the cells is non-linear before the classifier
REDUCTIONS = ("residual", "pooled")
CONVOLUTIONS = tuple(op for op in SPACE.ops if op not in SPACE.parameter_free)


def shapes(*, channels, layers, num_classes, reduction="residual"):
    """Returns the shapes of the parameters: nested dicts as of `network.init`, but for the cells.

    stage_k is {operation: kernels [layers, edges, K, K, C, C]}, one for every edge and convolution, chosen or not.

    Args:
        channels: C of the first stage.
        layers: cells a stage.
        num_classes: outputs.
        reduction: of REDUCTIONS.

    Raises:
        ValueError: sizes that make no network, or an unknown reduction.
    """
    if channels < 1 or layers < 1 or num_classes < 1:
        raise ValueError(f"channels={channels}, layers={layers}, num_classes={num_classes}: need numbers above 0")
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction={reduction!r}: known are {', '.join(REDUCTIONS)}")
    widths = [channels * 2**stage for stage in range(supernet.NUM_STAGES)]
    tree = {"stem": _kernel(3, supernet.IMAGE_CHANNELS, channels), "stem_norm": _norm(channels)}
    for stage, width in enumerate(widths):
        tree[f"stage_{stage}"] = {
            op: _shape(layers, len(SPACE.edges), spaces.window(op), spaces.window(op), width, width)
            for op in CONVOLUTIONS
        }
    for stage, (before, after) in enumerate(itertools.pairwise(widths)):
        block = {"shortcut": _kernel(1, before, after)}
        if reduction == "residual":
            for name, width in (("conv_a", before), ("conv_b", after)):
                block[name] = {"conv": _kernel(3, width, after), "norm": _norm(after)}
        tree[f"residual_{stage}"] = block
    tree["last_norm"] = _norm(widths[-1])
    return tree | {"classifier_kernel": _shape(widths[-1], num_classes), "classifier_bias": _shape(num_classes)}


def _shape(*sizes):
    return jax.ShapeDtypeStruct(sizes, jnp.float32)


def _kernel(size, num_in, num_out):
    return {"kernel": _shape(size, size, num_in, num_out)}


def _norm(width):
    return {"scale": _shape(width), "bias": _shape(width)}


def init(key, **sizes):
    """Returns freshly drawn parameters, as `supernet.draw` draws them; sizes as of `shapes`.

    An operation of an edge has the same weights in every cell.
    """
    tree = shapes(**sizes)
    stages = {name: tree.pop(name) for name in sorted(tree) if name.startswith("stage_")}
    named = tree | {name: {op: {"kernel": leaf} for op, leaf in stage.items()} for name, stage in stages.items()}
    params = supernet.draw_like(key, named)
    return params | {name: {op: params[name][op]["kernel"] for op in stage} for name, stage in stages.items()}


def apply(params, choice, x):
    """Returns the logits [B, num_classes] of a batch.

    Args:
        params: of `init`.
        choice: int32 [edges], the operation of every edge; traced, one for the whole batch.
        x: images [B, H, W, 3], or [B, H, W, 1], whose channel is then repeated; H and W are multiples of 4.
    """
    x = supernet.three_channels(x).transpose(3, 1, 2, 0)
    x = _affine(params["stem_norm"], ops.batch_norm(ops.conv(x, params["stem"]["kernel"])))
    for stage in range(supernet.NUM_STAGES):
        if stage:
            x = _reduced(params[f"residual_{stage - 1}"], x)
        x, _ = lax.scan(lambda x, kernels: (cell(x, choice, kernels), None), x, params[f"stage_{stage}"])
    x = jax.nn.relu(_affine(params["last_norm"], ops.batch_norm(x)))
    return x.mean((1, 2)).T @ params["classifier_kernel"] + params["classifier_bias"][None]


def _affine(params, x):
    return params["scale"][:, None, None, None] * x + params["bias"][:, None, None, None]


def _reduced(params, x):
    """Returns x at half the height and width, with twice the channels."""
    short = ops.conv(ops.half_size(x), params["shortcut"]["kernel"])
    for name, stride in (("conv_a", 2), ("conv_b", 1)):
        if name in params:
            x = ops.conv(jax.nn.relu(x), params[name]["conv"]["kernel"], stride)
            x = _affine(params[name]["norm"], ops.batch_norm(x))
    return short + x if "conv_b" in params else short


@jax.custom_vjp
def cell(x, choice, kernels):
    """Returns the last node of a cell, [C, H, W, B].

    Args:
        x: the first node [C, H, W, B].
        choice: see `apply`.
        kernels: {convolution: [edges, K, K, C, C]}.
    """
    return _forward(x, choice, kernels)[0]


def _forward(x, choice, kernels):
    def add(nodes, inputs):
        source, target, op, own = inputs
        out, scale = lax.switch(op, [functools.partial(_computed, name) for name in SPACE.ops], nodes[source], own)
        return nodes.at[target].add(out), (out, scale)

    nodes = jnp.zeros((SPACE.num_nodes, *x.shape), x.dtype).at[0].set(x)
    nodes, carried = lax.scan(add, nodes, (*_ends(), choice, kernels))
    return nodes[-1], (nodes, carried, choice, kernels)


def _backward(saved, g):
    nodes, carried, choice, kernels = saved

    def back(g_nodes, inputs):
        source, target, op, (out, scale), own = inputs
        branches = [functools.partial(_pulled_back, name) for name in SPACE.ops]
        g_x, g_own = lax.switch(op, branches, nodes[source], out, scale, own, g_nodes[target])
        return g_nodes.at[source].add(g_x), g_own

    g_nodes = jnp.zeros_like(nodes).at[-1].set(g)
    # edges are listed by target, so that backwards a node is complete before the edges into it are met
    g_nodes, g_kernels = lax.scan(back, g_nodes, (*_ends(), choice, carried, kernels), reverse=True)
    return g_nodes[0], None, g_kernels


cell.defvjp(_forward, _backward)


def _ends():
    """Returns (sources, targets) of the edges."""
    return tuple(jnp.asarray(ends, jnp.int32) for ends in zip(*SPACE.edges))


def _computed(op, x, kernels):
    """Returns what an edge carries, and what normalisation has multiplied with [C], where the operation has one."""
    nothing = jnp.ones(x.shape[0], x.dtype)
    if op in CONVOLUTIONS:
        return _normalised(ops.conv(jax.nn.relu(x), kernels[op]))
    if op == "none":
        return jnp.zeros_like(x), nothing
    return (x if op == "skip_connect" else ops.average_pool(x, size=spaces.window(op))), nothing


def _pulled_back(op, x, out, scale, kernels, g):
    """Returns the cotangents of an edge's input and of its kernels, from what `_computed` gave."""
    g_kernels = jax.tree.map(jnp.zeros_like, kernels)
    if op == "none":
        return jnp.zeros_like(g), g_kernels
    if op == "skip_connect":
        return g, g_kernels
    if op not in CONVOLUTIONS:
        (g_x,) = jax.vjp(lambda x: ops.average_pool(x, size=spaces.window(op)), x)[1](g)
        return g_x, g_kernels
    mean_g, mean_out_g = (value.mean((1, 2, 3), keepdims=True) for value in (g, out * g))
    g = scale[:, None, None, None] * (g - mean_g - out * mean_out_g)
    rectified, own = jax.nn.relu(x), kernels[op]
    g_rectified, g_own = jax.vjp(ops.conv, rectified, own)[1](g)
    return jnp.where(rectified > 0, g_rectified, 0), g_kernels | {op: g_own}


def _normalised(x):
    """Returns x with mean 0 and variance 1 in every channel, and what it was multiplied with, [C]."""
    mean, square = (value.mean((1, 2, 3), keepdims=True) for value in (x, x * x))
    scale = lax.rsqrt(jnp.maximum(square - mean * mean, 0) + ops.BN_EPSILON)
    return (x - mean) * scale, scale[:, 0, 0, 0]
