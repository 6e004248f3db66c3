"""The skeleton of DARTS: cells with two inputs, two of which halve the image and double the channels.

Stem of 3 C channels, then `layers` cells, each fed by the two cells before it, then the mean over pixels and a linear
classifier. Normal cells between two reductions differ only in what they read, so each run of them is a `lax.scan`: its
cells' parameters are stacked along their first axis, and a cell's inputs are prepared by the step before it.

References:
    DARTS: Liu et al. 2019, arXiv:1806.09055, section 3.1 and figure 4.
"""

import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from darts_perturb.layers import ops
from darts_perturb.layers.mixed import CARRIED, MixedCell
from darts_perturb.space import Space

STEM_MULTIPLIER = 3


class Place(NamedTuple):
    """One cell in the network."""

    kind: str
    channels: int
    after_reduction: bool


def places(channels, layers):
    """Returns the Place of every cell: reductions at a third and two thirds of the depth.

    >>> [place.kind for place in places(16, 5)]
    ['normal', 'reduce', 'normal', 'reduce', 'normal']
    """
    found, after = [], False
    for index in range(layers):
        reduces = index in (layers // 3, 2 * layers // 3)
        channels = 2 * channels if reduces else channels
        found.append(Place("reduce" if reduces else "normal", channels, after))
        after = reduces
    return found


def runs(channels, layers):
    """Returns [[cell numbers]]: reductions alone, the normal cells between them together.

    >>> runs(16, 8)
    [[0, 1], [2], [3, 4], [5], [6, 7]]
    """
    cells = places(channels, layers)
    groups = itertools.groupby(range(layers), lambda index: cells[index].channels)
    found = []
    for _, group in groups:
        same = list(group)
        # the channels double at a reduction, so it comes first
        found += [same[:1], same[1:]] if cells[same[0]].kind == "reduce" else [same]
    return [run for run in found if run]


class Reductions(nn.Module):
    """Stem, cells and classifier around `MixedCell`."""

    space: Space
    channels: int
    layers: int
    num_classes: int
    scanned: bool | None = None

    @nn.compact
    def __call__(self, weights, x, key=None):
        stem = ops.Conv(STEM_MULTIPLIER * self.channels, 3, name="stem")(x.transpose(3, 1, 2, 0))
        stem = ops.BatchNorm(name="stem_norm")(stem)
        cells, before, last = places(self.channels, self.layers), stem, stem
        for number, run in enumerate(runs(self.channels, self.layers)):
            place = cells[run[0]]
            inputs = self._prepared(run[0], place, before, last)
            keys = None if key is None else jax.random.split(jax.random.fold_in(key, number), len(run))
            options = {"space": self.space, "kind": place.kind, "scanned": self.scanned}
            if len(run) == 1:
                cell = MixedCell(**options, name=f"run_{number}")
                before, last = last, cell(inputs, weights[place.kind], None if keys is None else keys[0])[0]
            else:
                before, last = self._chain(number, options, run, inputs, last, weights[place.kind], keys)
        return ops.classified(self, last, self.num_classes)

    def _prepared(self, index, place, before, last):
        """Returns the two inputs of a cell, [C, H, W, B]; the older one is halved where it lies before a reduction."""
        new = relu_conv_bn(last, self._kernel(index, 1, last.shape[0], place.channels))
        if place.after_reduction:
            return ops.FactorizedReduce(place.channels, name=f"prepare_{index}_0")(before[None])[0], new
        return relu_conv_bn(before, self._kernel(index, 0, before.shape[0], place.channels)), new

    def _kernel(self, index, side, num_in, num_out):
        return self.param(f"prepare_{index}_{side}_kernel", ops.drawn_later, (1, 1, num_in, num_out))

    def _chain(self, number, options, run, inputs, last, weights, keys):
        """Returns the last two outputs of normal cells in a row, by a loop over them."""
        channels, num_last = inputs[0].shape[0], last.shape[0]
        num_out = channels * (self.space.num_nodes - self.space.num_inputs)
        width = max(num_out, num_last)

        def wide(kernel):
            return jnp.pad(kernel, ((0, 0), (0, 0), (0, width - kernel.shape[2]), (0, 0)))

        # the second cell reads what came before the run, which may be the stem
        read = [num_last] + [num_out] * (len(run) - 2)
        older = [wide(self._kernel(index, 0, size, channels)) for index, size in zip(run[1:], read)]
        newer = [wide(self._kernel(index, 1, num_out, channels)) for index in run[1:]]
        # the last cell prepares nothing: with kernels of zeros its inputs for a next one are zeros
        nothing = jnp.zeros((1, 1, width, channels), last.dtype)
        kernels = jnp.stack([*older, nothing]), jnp.stack([*newer, nothing])
        chain = nn.scan(
            Step,
            variable_axes={"params": 0, CARRIED: 0},
            split_rngs={"params": True},
            in_axes=(0, nn.broadcast, nn.broadcast if keys is None else 0),
            length=len(run),
        )
        last = _widened(last, width)
        carry = (*inputs, last, last)
        carry, _ = chain(options, width, name=f"run_{number}")(carry, kernels, weights, keys)
        return carry[2][:num_out], carry[3][:num_out]


class Step(nn.Module):
    """A normal cell, and the inputs of the one after it."""

    options: dict
    width: int

    @nn.compact
    def __call__(self, carry, kernels, weights, key):
        """Returns (carry, None); carry is (older input, newer input, output two cells ago, output one cell ago)."""
        older, newer, _, last = carry
        out = _widened(MixedCell(**self.options, name="cell")((older, newer), weights, key)[0], self.width)
        return (relu_conv_bn(last, kernels[0]), relu_conv_bn(out, kernels[1]), last, out), None


def relu_conv_bn(x, kernel):
    """Returns rectify, convolve, normalise, without anything learned but the kernel [K, K, C, D]."""
    return ops.batch_norm(ops.conv(jax.nn.relu(x), kernel))


def _widened(x, channels):
    """Returns x [C, H, W, B] with channels of zeros after its own."""
    return jnp.pad(x, ((0, channels - x.shape[0]), (0, 0), (0, 0), (0, 0)))
