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
    count = rows[:, None, None] * columns[None, :, None]
    total = _sum_columns(_sum_columns(x, window, axis=x.ndim - 3), window, axis=x.ndim - 2)
    return total / jnp.asarray(count, x.dtype)[(None,) * (x.ndim - 3)]


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
    batch, height, width = x.shape[-1], window.out(x.shape[-3]), window.out(x.shape[-2])
    out = _largest(windows.phases(x, window, -jnp.inf), window, batch)
    return out.reshape(*x.shape[:-3], height, width, batch)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _largest(phases, window, batch):
    return _with_place(phases, window, batch)[0]


def _with_place(phases, window, batch):
    """Returns the largest of what the taps see and the number of the first tap that saw it, int8."""
    largest = windows.seen(phases, window, window.taps[0], batch)
    place = jnp.zeros(largest.shape, jnp.int8)
    for number, tap in enumerate(window.taps[1:], start=1):
        value = windows.seen(phases, window, tap, batch)
        # not a number wins, so that it is found out
        better = (value > largest) | (value != value)
        largest, place = jnp.where(better, value, largest), jnp.where(better, jnp.int8(number), place)
    return largest, place


def _forward(phases, window, batch):
    # the place is stored: found again by equality it would be wrong wherever rounding differs
    return _with_place(phases, window, batch)


def _backward(window, batch, place, g):
    g, place = windows.padded_cotangent(g, window, batch), windows.padded_cotangent(place, window, batch, -1)

    def terms(number, shift):
        return [jnp.where(shift(place) == number, shift(g), jnp.zeros((), g.dtype))]

    return (windows.sent_back(terms, window, batch),)


_largest.defvjp(_forward, _backward)


def half_size(x):
    """Returns the mean over squares of 2x2 pixels, [C, H / 2, W / 2, B]; H and W are even."""
    channels, height, width, batch = x.shape
    return x.reshape(channels, height // 2, 2, width // 2, 2, batch).mean((2, 4))
