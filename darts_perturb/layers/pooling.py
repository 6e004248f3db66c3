"""Pools of 3x3 and wider windows, on batches [..., H, W, B]; what lies outside the image never counts."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from darts_perturb.layers import windows
from darts_perturb.layers.windows import Window


def average_pool(x, *, size=3, stride=1):
    """Returns the mean of the neighbours of every pixel that lie in the image, [..., H / stride, W / stride, B]."""
    window = Window(size, stride)
    # of numpy, so that it is a constant: XLA spends half a minute folding a pool over ones
    rows, columns = (_in_image(length, window) for length in x.shape[-3:-1])
    share = (1 / (rows[:, None, None] * columns[None, :, None]))[(None,) * (x.ndim - 3)]
    if windows.on_accelerator():
        total = _sum_columns(_sum_columns(x, window, axis=x.ndim - 3), window, axis=x.ndim - 2)
    else:
        total = _total(x, window, x.shape[-3:-1])
        total = total.reshape(*x.shape[:-3], len(rows), len(columns), x.shape[-1])
    return total * jnp.asarray(share, x.dtype)


def _in_image(length, window):
    start = np.arange(window.out(length)) * window.stride - window.border
    return np.minimum(start + window.size, length) - np.maximum(start, 0)


def _sum_columns(x, window, axis):
    """Returns the sum over the window along one axis."""
    length = x.shape[axis]
    sides = [(0, 0)] * x.ndim
    sides[axis] = window.padding(length)
    padded = jnp.pad(x, sides)
    last = (window.out(length) - 1) * window.stride + 1
    parts = [lax.slice_in_dim(padded, index, index + last, window.stride, axis=axis) for index in range(window.size)]
    return sum(parts[1:], parts[0])


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _total(x, window, side):
    """Returns the sum of what the taps see, [..., H, W B]; the gradient is written out as that of `_largest`."""

    def of_block(arrays):
        phases = windows.phases(arrays[0], window)
        terms = [windows.seen(phases, window, tap, x.shape[-1]) for tap in window.taps]
        return sum(terms[1:], terms[0])

    return windows.by_blocks(of_block, (x,), (x.ndim - 4,), x.ndim - 4)


def _total_backward(window, side, _, g):
    def terms(padded):
        return lambda number, shift: [shift(padded)]

    return (_sent_to_images((g,), (0,), terms, window, side),)


_total.defvjp(lambda x, window, side: (_total(x, window, side), None), _total_backward)


def _sent_to_images(arrays, fills, terms, window, side):
    """Returns the cotangent [..., H, W, B] of the images, a block of channels at a time.

    Args:
        arrays: tuple of arrays of the result's shape, [..., H, W B], the cotangent first.
        fills: what lies around each.
        terms: function of the padded arrays that gives that of `windows.sent_back`.
        window: `Window`.
        side: (height, width) of the images.
    """
    batch, channel = arrays[0].shape[-1] // window.out(side[1]), arrays[0].ndim - 3

    def of_block(arrays):
        padded = [windows.padded_cotangent(array, window, batch, fill) for array, fill in zip(arrays, fills)]
        x = jax.ShapeDtypeStruct((*arrays[0].shape[:-2], *side, batch), arrays[0].dtype)
        to_x = jax.linear_transpose(lambda x: windows.phases(x, window), x)
        return to_x(windows.sent_back(terms(*padded), window, batch))[0]

    return windows.by_blocks(of_block, arrays, (channel,) * len(arrays), channel)


def max_pool(x, *, size=3, stride=1, library=None):
    """Returns the largest neighbour of every pixel, [..., H / stride, W / stride, B].

    Args:
        x: [..., H, W, B].
        size: side of the window.
        stride: step between output pixels.
        library: XLA's pool, else shifted copies; None is by backend.
    """
    window = Window(size, stride)
    if windows.on_accelerator() if library is None else library:
        lead = (1,) * (x.ndim - 3)
        sides = [(0, 0)] * (x.ndim - 3) + [(window.border, window.border)] * 2 + [(0, 0)]
        return lax.reduce_window(x, -jnp.inf, lax.max, (*lead, size, size, 1), (*lead, stride, stride, 1), sides)
    out = _largest(x, window, x.shape[-3:-1])
    return out.reshape(*x.shape[:-3], *(window.out(length) for length in x.shape[-3:-1]), x.shape[-1])


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _largest(x, window, side):
    return _with_place(x, window)[0]


def _with_place(x, window):
    """Returns the largest of what the taps see, [..., H, W B], and the number of the first tap that saw it, int8."""

    def of_block(arrays):
        phases, batch = windows.phases(arrays[0], window, -jnp.inf), x.shape[-1]
        largest = windows.seen(phases, window, window.taps[0], batch)
        place = jnp.zeros(largest.shape, jnp.int8)
        for number, tap in enumerate(window.taps[1:], start=1):
            value = windows.seen(phases, window, tap, batch)
            place = jnp.where(value > largest, jnp.int8(number), place)
            # of which not a number is the largest, so that it is found out
            largest = jnp.maximum(largest, value)
        return largest, place

    return windows.by_blocks(of_block, (x,), (x.ndim - 4,), (x.ndim - 4,) * 2)


def _forward(x, window, side):
    # the place is stored: found again by equality it would be wrong wherever rounding differs
    return _with_place(x, window)


def _backward(window, side, place, g):
    def terms(g, place):
        return lambda number, shift: [jnp.where(shift(place) == number, shift(g), jnp.zeros((), g.dtype))]

    return (_sent_to_images((g, place), (0, -1), terms, window, side),)


_largest.defvjp(_forward, _backward)


def half_size(x):
    """Returns the mean over squares of 2x2 pixels, [C, H / 2, W / 2, B]; H and W are even."""
    channels, height, width, batch = x.shape
    return x.reshape(channels, height // 2, 2, width // 2, 2, batch).mean((2, 4))
