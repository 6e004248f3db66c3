"""What a sliding window sees of a batch [..., H, W, B], as shifted copies of it.

A CPU runs a sum of shifted copies, with the batch last so that a copy is a few long runs of memory, many times faster
than XLA's own grouped convolutions and pools; an accelerator has kernels for those. A stride of 2 reads the four
half-size images of even and odd rows and columns ("phases"), so that no work is spent on pixels left out.

Axis letters: h and w pixels of an image, b batch, p and q phases, t window positions ("taps").
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax


def on_accelerator():
    """Returns whether XLA's own convolutions and pools are the fast ones: everywhere but on a CPU.

    Several CPU devices stand in for accelerators and run what those run: a batch spread over devices stays spread in
    XLA's own operations, and would be sent whole to each for a sum of shifted copies.
    """
    return jax.default_backend() != "cpu" or jax.device_count() > 1


class Window(NamedTuple):
    """A window of size x size pixels, `dilation` apart, that moves by `stride`; zeros lie around the image."""

    size: int
    stride: int = 1
    dilation: int = 1

    @property
    def border(self):
        """Returns the rows the window reaches over the image's edge."""
        return self.dilation * (self.size // 2)

    @property
    def reach(self):
        """Returns the rows of a phase that one output pixel needs, less one."""
        return self.dilation * (self.size - 1) // self.stride

    def out(self, length):
        """Returns the height or width of the result."""
        return -(-length // self.stride)

    def padding(self, length):
        """Returns (low, high): rows to add on both sides, so that all phases have out(length) + reach rows."""
        return self.border, self.stride * (self.out(length) + self.reach) - length - self.border

    @property
    def taps(self):
        """Returns [(phase row, phase column, row, column)] of every pixel of the window, row by row."""
        steps = [divmod(index * self.dilation, self.stride)[::-1] for index in range(self.size)]
        return [(p, q, row, column) for p, row in steps for q, column in steps]


def phases(x, window, fill=0.0):
    """Returns the phases of a padded batch, [stride, stride, ..., H + reach, (W + reach) B] with H, W of the result.

    Args:
        x: [..., H, W, B].
        window: `Window`.
        fill: what lies around the image.
    """
    height, width, batch = x.shape[-3:]
    sides = [(low, high, 0) for low, high in (window.padding(height), window.padding(width))]
    padded = lax.pad(x, jnp.asarray(fill, x.dtype), [(0, 0, 0)] * (x.ndim - 3) + [*sides, (0, 0, 0)])
    lead, (rows, columns) = x.shape[:-3], padded.shape[-3:-1]
    s = window.stride
    if s == 1:
        return padded.reshape(1, 1, *lead, rows, columns * batch)
    split = padded.reshape(*lead, rows // s, s, columns // s, s, batch)
    return jnp.moveaxis(split, (-4, -2), (0, 1)).reshape(s, s, *lead, rows // s, (columns // s) * batch)


def seen(phases, window, tap, batch):
    """Returns what one pixel of the window sees, [..., H, W B]."""
    p, q, row, column = tap
    height, width = phases.shape[-2] - window.reach, phases.shape[-1] - window.reach * batch
    return phases[p, q, ..., row : row + height, column * batch : column * batch + width]


def sent_back(terms, window, batch):
    """Returns the transpose of `seen`, summed over taps and a leading axis: the cotangent of `phases`.

    Args:
        terms: function of (tap number, shift) that gives the list of cotangents of what that tap saw, each [..., H +
            reach, (W + reach) B]; shift(g [..., H, W B]) moves an array of the result's size to where the tap looked.
        window: `Window`.
        batch: B.
    """
    reach, s = window.reach, window.stride
    sums = [[None] * s for _ in range(s)]
    for number, (p, q, row, column) in enumerate(window.taps):

        def shift(padded, row=row, column=column):
            start = reach - row, (reach - column) * batch
            height, width = padded.shape[-2] - reach, padded.shape[-1] - reach * batch
            return padded[..., start[0] : start[0] + height, start[1] : start[1] + width]

        for term in terms(number, shift):
            sums[p][q] = term if sums[p][q] is None else sums[p][q] + term
    some = next(value for row in sums for value in row if value is not None)
    return jnp.stack([jnp.stack([jnp.zeros_like(some) if v is None else v for v in row]) for row in sums])


def padded_cotangent(g, window, batch, fill=0):
    """Returns g [..., H, W B] with `reach` rows and columns on both sides, for the shifts of `sent_back`."""
    reach = window.reach
    sides = [(0, 0, 0)] * (g.ndim - 2) + [(reach, reach, 0), (reach * batch, reach * batch, 0)]
    return lax.pad(g, jnp.asarray(fill, g.dtype), sides)


def flat(x):
    """Returns x [..., H, W, B] as [..., H, W B]."""
    return x.reshape(*x.shape[:-2], math.prod(x.shape[-2:]))


def by_blocks(fn, arrays, axes, out_axes):
    """Returns fn of arrays, a block of channels at a time.

    A block and its padded copy stay in the cache, and nothing of what comes before or after is computed once for every
    tap that reads it, as XLA does where it merges a window with its neighbours.

    Args:
        fn: function of a tuple of blocks that gives an array, or a tuple of them.
        arrays: tuple of arrays.
        axes: the axis of the channels in every array.
        out_axes: that axis in every result.
    """
    channels = arrays[0].shape[axes[0]]
    count = next((number for number in range(2, channels) if channels % number == 0), channels)

    def split(array, axis):
        shape = array.shape
        return jnp.moveaxis(array.reshape(*shape[:axis], count, -1, *shape[axis + 1 :]), axis, 0)

    def joined(array, axis):
        array = jnp.moveaxis(array, 0, axis)
        return array.reshape(*array.shape[:axis], channels, *array.shape[axis + 2 :])

    out = lax.map(fn, tuple(map(split, arrays, axes)))
    return jax.tree.map(joined, out, out_axes)
