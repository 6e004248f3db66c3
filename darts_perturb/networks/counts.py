"""Parameters and multiply-adds of derived networks, counted without building them.

Multiply-adds are those of convolutions and linear maps for one image, as the NAS-Bench-201 and DARTS papers count them;
normalisation, pools and sums are left out.
"""

from typing import NamedTuple

from darts_perturb import genotype_darts
from darts_perturb import space as spaces
from darts_perturb.networks.darts import AUXILIARY_CHANNELS, STEM_MULTIPLIER


class Layer(NamedTuple):
    """A convolution or linear map with what follows it."""

    weights: int
    pixels: int  # of its result, height times width
    norm: int = 0  # channels of the normalisation after it
    bias: int = 0


def num_params(layers):
    """Returns the number of parameters: kernels, biases, and a scale and a bias of every normalised channel."""
    return sum(layer.weights + 2 * layer.norm + layer.bias for layer in layers)


def num_multiply_adds(layers):
    """Returns the number of multiply-adds of layers for one image."""
    return sum(layer.weights * layer.pixels for layer in layers)


def _conv(size, num_in, num_out, side):
    return Layer(size * size * num_in * num_out, side * side, num_out)


def _linear(num_in, num_out):
    return Layer(num_in * num_out, 1, bias=num_out)


def nas_bench_201(genotype, *, channels, layers, num_classes, image_size=32):
    """Yields the layers of the network of a NAS-Bench-201 cell; arguments as of `network.flops`."""
    side = image_size
    yield _conv(3, 3, channels, side)
    for stage in range(3):
        if stage:
            side, channels = side // 2, 2 * channels
            yield _conv(3, channels // 2, channels, side)
            yield _conv(3, channels, channels, side)
            yield Layer(channels // 2 * channels, side * side)  # the shortcut
        for op in genotype.ops * layers:
            if op not in spaces.NAS_BENCH_201.parameter_free:
                yield _conv(spaces.window(op), channels, channels, side)
    yield Layer(0, 0, norm=channels)
    yield _linear(channels, num_classes)


def darts(genotype, *, channels, layers, num_classes, image_size=32, auxiliary=False):
    """Yields the layers of the network of a `DartsGenotype`; arguments as of `network.flops`."""
    side, num_before, num_last = image_size, *[STEM_MULTIPLIER * channels] * 2
    yield _conv(3, 3, num_last, side)
    for layer in range(layers):
        kind = "reduce" if layer in (layers // 3, 2 * layers // 3) else "normal"
        channels *= 2 if kind == "reduce" else 1
        # after a reduction the first has two kernels, each to half the channels: as many weights
        yield _conv(1, num_before, channels, side)
        yield _conv(1, num_last, channels, side)
        side //= 2 if kind == "reduce" else 1
        for source, _, op in genotype.edges(kind):
            yield from _operation(op, channels, side, kind == "reduce" and source < genotype_darts.NUM_INPUTS)
        num_before, num_last = num_last, channels * len(genotype.concat(kind))
        if auxiliary and layer == 2 * layers // 3:
            first, second = AUXILIARY_CHANNELS
            yield _conv(1, num_last, first, 2)
            yield _conv(2, first, second, 1)
            yield _linear(second, num_classes)
    yield _linear(num_last, num_classes)


def _operation(op, channels, side, halves):
    """Yields the layers of one operation of a DARTS cell, its result of a side."""
    if op == "skip_connect" and halves:
        yield _conv(1, channels, channels, side)
    if "_conv_" in op:
        for _ in range(2 if op.startswith("sep") else 1):
            yield Layer(spaces.window(op) ** 2 * channels, side * side)
            yield _conv(1, channels, channels, side)
