"""The evaluation network of a DARTS genotype: cells in a row, two of them reductions, with running statistics.

A stem to 3 C channels; `layers` cells, those at a third and two thirds reductions, which halve the image and double the
channels; the mean over pixels; a linear classifier. An auxiliary classifier may look at the output of the second
reduction. Equal cells in a row run under one `lax.scan`: the 20 layers compile as 9 cells.

Normalisation uses the statistics of the batch in training and stored running statistics in evaluation. The stored ones
are an argument and a result: nothing here has a state.

Letters: c channels, h and w pixels, b batch; activations are [c, h, w, b], as everywhere in this package.

References:
    DARTS: Liu et al. 2019, arXiv:1806.09055, section 3.2 and appendix A.3; drop path: Larsson et al. 2017,
    arXiv:1605.07648.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from darts_perturb import genotype_darts, supernet
from darts_perturb.layers import ops, pooling, running
from darts_perturb.layers.depthwise import depthwise
from darts_perturb.layers.running import BatchNorm

STEM_MULTIPLIER = 3
AUXILIARY_CHANNELS = (128, 768)
AUXILIARY_SIDE = 8  # height and width of what the auxiliary classifier looks at; it is made for images of 32x32
_IMAGE_CHANNELS = 3


class Output(NamedTuple):
    """What the network returns of a batch."""

    logits: jax.Array  # [B, num_classes]
    auxiliary: jax.Array | None  # [B, num_classes] in training, where there is an auxiliary classifier
    stats: Any  # running statistics: moved towards the batch's in training, those given in evaluation


class Setting(NamedTuple):
    """What is the same for all cells of a pass; static."""

    genotype: genotype_darts.DartsGenotype
    train: bool


class Conv(nn.Module):
    """A convolution, or a depthwise one, with its kernel as a parameter."""

    features: int  # 0 for a depthwise one
    size: int = 1
    stride: int = 1
    dilation: int = 1

    @nn.compact
    def __call__(self, x):
        if self.features:
            kernel = self.param("kernel", nn.initializers.zeros, (self.size, self.size, x.shape[0], self.features))
            return ops.conv(x, kernel.astype(x.dtype), self.stride)
        kernel = self.param("kernel", nn.initializers.zeros, (1, self.size, self.size, x.shape[0])).astype(x.dtype)
        return depthwise(x[None], kernel, stride=self.stride, dilation=self.dilation)[0]


class ReluConvBN(nn.Module):
    """Rectify, convolve with a 1x1 kernel, normalise."""

    features: int
    train: bool

    @nn.compact
    def __call__(self, x):
        return BatchNorm(self.train, name="norm")(Conv(self.features, name="conv")(jax.nn.relu(x)))


class FactorizedReduce(nn.Module):
    """Half the height and width: half the channels from the even pixels, half from the odd ones."""

    features: int
    train: bool

    @nn.compact
    def __call__(self, x):
        x = jax.nn.relu(x)
        even = Conv(self.features // 2, name="even")(x[:, ::2, ::2])
        odd = Conv(self.features - self.features // 2, name="odd")(x[:, 1::2, 1::2])
        return BatchNorm(self.train, name="norm")(jnp.concatenate([even, odd]))


class Operation(nn.Module):
    """One operation of a cell, x [C, H, W, B] -> [C, H / stride, W / stride, B]."""

    op: str
    stride: int
    train: bool

    @nn.compact
    def __call__(self, x, key):
        kind, _, size = self.op.rpartition("_")
        size = int(size.partition("x")[0]) if "x" in size else 0
        if self.op == "skip_connect":
            return x if self.stride == 1 else FactorizedReduce(x.shape[0], self.train, name="reduce")(x)
        if self.op in ("none", "noise"):
            shape = jax.eval_shape(lambda x: x[:, :: self.stride, :: self.stride], x).shape
            return jnp.zeros(shape, x.dtype) if self.op == "none" else jax.random.normal(key, shape, x.dtype)
        if kind == "avg_pool":
            return pooling.average_pool(x, size=size, stride=self.stride)
        if kind == "max_pool":
            return pooling.max_pool(x, size=size, stride=self.stride)
        dilation, repeats = (2, 1) if kind == "dil_conv" else (1, 2)
        for index in range(repeats):
            x = Conv(0, size, self.stride if index == 0 else 1, dilation, name=f"depthwise_{index}")(jax.nn.relu(x))
            x = Conv(x.shape[0], name=f"pointwise_{index}")(x)
            x = BatchNorm(self.train, name=f"norm_{index}")(x)
        return x


class Cell(nn.Module):
    """A cell; its carry is the outputs of the two cells before it."""

    setting: Setting
    kind: str  # "normal" or "reduce"
    channels: int
    after_reduction: bool = False

    @nn.compact
    def __call__(self, carry, key, drop_path):
        genotype, train = self.setting
        first = FactorizedReduce if self.after_reduction else ReluConvBN
        nodes = [
            first(self.channels, train, name="input_0")(carry[0]),
            ReluConvBN(self.channels, train, name="input_1")(carry[1]),
        ]
        for place, (source, target, op) in enumerate(genotype.edges(self.kind)):
            stride = 2 if self.kind == "reduce" and source < genotype_darts.NUM_INPUTS else 1
            noise_key, path_key = (None, None) if key is None else jax.random.split(jax.random.fold_in(key, place))
            out = Operation(op, stride, train, name=f"edge_{place}")(nodes[source], noise_key)
            if train and drop_path is not None and (op, stride) != ("skip_connect", 1):
                out = _dropped(path_key, out, drop_path)
            if target == len(nodes):
                nodes.append(out)
            else:
                nodes[target] = nodes[target] + out
        return (carry[1], jnp.concatenate([nodes[node] for node in genotype.concat(self.kind)])), None


def _dropped(key, x, rate):
    """Returns x [C, H, W, B] with images set to 0 at a rate, and the others scaled so that the mean stays."""
    kept = jax.random.bernoulli(key, 1 - rate, x.shape[-1:]) / (1 - rate)
    return x * kept.astype(x.dtype)[None, None, None]


class Auxiliary(nn.Module):
    """The auxiliary classifier on [C, 8, 8, B]: [B, num_classes]."""

    num_classes: int
    train: bool

    @nn.compact
    def __call__(self, x):
        x = jax.nn.relu(x)
        # means over 5x5 pixels, 3 apart
        corners = [[x[:, i : i + 5, j : j + 5].mean((1, 2)) for j in (0, 3)] for i in (0, 3)]
        x = jnp.stack([jnp.stack(row, axis=1) for row in corners], axis=1)
        x = jax.nn.relu(BatchNorm(self.train, name="norm_0")(Conv(AUXILIARY_CHANNELS[0], name="conv_0")(x)))
        kernel = self.param("conv_1_kernel", nn.initializers.zeros, (2, 2, *AUXILIARY_CHANNELS))
        x = jnp.einsum("hwcd,chwb->db", kernel.astype(x.dtype), x)[:, None, None]
        x = jax.nn.relu(BatchNorm(self.train, name="norm_1")(x))[:, 0, 0]
        return Classifier(self.num_classes, name="classifier")(x)


class Classifier(nn.Module):
    """A linear map of features [C, B] to logits [B, num_classes], in float32."""

    num_classes: int

    @nn.compact
    def __call__(self, x):
        kernel = self.param("kernel", nn.initializers.zeros, (x.shape[0], self.num_classes))
        bias = self.param("bias", nn.initializers.zeros, (self.num_classes,))
        return x.astype(jnp.float32).T @ kernel + bias[None]


class Network(nn.Module):
    """The whole network; its call takes images [B, H, W, 3]."""

    setting: Setting
    channels: int
    layers: int
    num_classes: int
    auxiliary: bool

    @nn.compact
    def __call__(self, x, key, drop_path):
        train, auxiliary = self.setting.train, None
        x = Conv(STEM_MULTIPLIER * self.channels, 3, name="stem")(x.transpose(3, 1, 2, 0))
        x = BatchNorm(train, name="stem_norm")(x)
        carry = (x, x)
        keys = None if key is None else jax.random.split(key, self.layers)
        for first, count, kind, channels, after_reduction in runs(self.layers, self.channels):
            options = (self.setting, kind, channels, after_reduction)
            if count == 1:
                cell = Cell(*options, name=f"cell_{first}")
                carry, _ = cell(carry, None if keys is None else keys[first], drop_path)
            else:
                part = None if keys is None else keys[first : first + count]
                carry, _ = _stack(count)(*options, name=f"cells_{first}")(carry, part, drop_path)
            if self.auxiliary and first == 2 * self.layers // 3 and (train or self.is_initializing()):
                auxiliary = Auxiliary(self.num_classes, train, name="auxiliary")(carry[1])
        return Classifier(self.num_classes, name="classifier")(carry[1].mean((1, 2))), auxiliary


def _stack(count):
    """Returns the class of `count` equal cells in a row, their parameters and statistics along a first axis."""
    return nn.scan(
        Cell,
        variable_axes={"params": 0, "batch_stats": 0},
        split_rngs={"params": True},
        in_axes=(0, nn.broadcast),
        length=count,
    )


def runs(layers, channels):
    """Returns (first layer, number of equal cells, kind, channels, whether after a reduction) of the cells in a row.

    Cells are equal from the third of their size on: the first two have inputs of other sizes. Reductions, and what
    follows one, stand alone.

    >>> [(first, count) for first, count, *_ in runs(20, 36)]
    [(0, 1), (1, 1), (2, 4), (6, 1), (7, 1), (8, 5), (13, 1), (14, 1), (15, 5)]
    """
    reductions, found, after_reduction = (layers // 3, 2 * layers // 3), [], False
    for layer in range(layers):
        if layer in reductions:
            channels, kind = 2 * channels, "reduce"
        else:
            kind = "normal"
        alone = kind == "reduce" or after_reduction or layer < 2
        joins = found and found[-1][1] and not found[-1][5] and not alone
        if joins:
            found[-1][1] += 1
        else:
            found.append([layer, 1, kind, channels, after_reduction, alone])
        after_reduction = kind == "reduce"
    return [tuple(run[:5]) for run in found]


def init(key, genotype, *, channels, layers, num_classes, auxiliary=False):
    """Returns (parameters, running statistics) of a network before training, both nested dicts of arrays.

    Kernels are uniform on +-1/sqrt(fan-in), scales 1, biases 0.

    Args:
        key: typed key.
        genotype: `DartsGenotype`.
        channels: C; the cells have C, 2 C and 4 C.
        layers: number of all cells.
        num_classes: outputs.
        auxiliary: whether there is an auxiliary classifier.

    Raises:
        ValueError: fewer than 3 layers.
    """
    variables = shapes(genotype, channels=channels, layers=layers, num_classes=num_classes, auxiliary=auxiliary)
    return supernet.draw_like(key, variables["params"]), running.start(variables["batch_stats"])


def shapes(genotype, *, channels, layers, num_classes, auxiliary=False):
    """Returns {"params", "batch_stats"} with the shapes of all arrays, computing nothing; arguments as of `init`."""
    if layers < 3:
        raise ValueError(f"layers={layers}: a network of a DARTS genotype has at least 3 cells, two of them reductions")
    module = Network(Setting(genotype, True), channels, layers, num_classes, auxiliary)
    side = 4 * AUXILIARY_SIDE
    images, key = jnp.zeros((1, side, side, _IMAGE_CHANNELS)), jax.random.key(0)
    return jax.eval_shape(lambda: module.init(key, images, key, None))


def apply(params, stats, x, *, genotype, layers, train=False, key=None, drop_path=None, dtype=jnp.float32):
    """Returns the `Output` of a batch.

    Args:
        params: of `init`, which fixes channels, classes and whether there is an auxiliary classifier.
        stats: running statistics, of `init` or of an `Output`.
        x: images [B, H, W, 3], or [B, H, W, 1], whose channel is then repeated; H and W are multiples of 4, and 32
            where there is an auxiliary classifier.
        genotype: `DartsGenotype`; static.
        layers: number of all cells; static.
        train: whether to normalise by the batch, move the running statistics and ask the auxiliary classifier; static.
        key: typed key of drop path and of the operation `noise`; not needed without them.
        drop_path: rate at which, in training, an operation is left out for an image; a number below 1, may be traced.
        dtype: of the activations, such as jnp.bfloat16 on an accelerator; statistics and logits stay float32; static.

    Raises:
        ValueError: shapes that do not fit, or a key that is missing.
    """
    auxiliary = "auxiliary" in params
    if x.ndim != 4 or x.shape[3] not in (1, _IMAGE_CHANNELS) or x.shape[1] % 4 or x.shape[2] % 4:
        raise ValueError(f"images of shape {x.shape}: need [B, H, W, 1 or 3] with H and W multiples of 4")
    if auxiliary and train and x.shape[1:3] != (4 * AUXILIARY_SIDE,) * 2:
        raise ValueError(f"images of shape {x.shape}: the auxiliary classifier is made for images of 32x32")
    noisy = any(op == "noise" for op, _ in genotype.normal + genotype.reduce)
    if key is None and (noisy or (train and drop_path is not None)):
        raise ValueError("key is missing: drop path and the operation noise draw from it")
    x = jnp.broadcast_to(x, (*x.shape[:3], _IMAGE_CHANNELS)).astype(dtype)
    channels = params["stem"]["kernel"].shape[-1] // STEM_MULTIPLIER
    module = Network(Setting(genotype, train), channels, layers, params["classifier"]["bias"].shape[0], auxiliary)
    variables = {"params": params, "batch_stats": stats}
    (logits, extra), moved = module.apply(variables, x, key, drop_path, mutable=["batch_stats"])
    return Output(logits, extra, moved["batch_stats"] if train else stats)
