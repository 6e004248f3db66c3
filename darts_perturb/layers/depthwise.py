"""Depthwise convolutions: every channel with a window of its own.

Axis letters: e edges, c channels, h and w pixels, b batch, t window positions.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from darts_perturb.layers import windows
from darts_perturb.layers.windows import Window


def depthwise(x, kernel, *, stride=1, dilation=1, library=None):
    """Returns the depthwise convolution of a batch by the kernels of several edges.

    Args:
        x: [E, C, H, W, B], or [1, C, H, W, B] of an input that the edges share.
        kernel: [E, K, K, C], K odd.
        stride: step between output pixels.
        dilation: step between the pixels of the window.
        library: XLA's grouped convolution, else shifted copies; None is by backend.

    Returns:
        [E, C, ceil(H / stride), ceil(W / stride), B].
    """
    window = Window(kernel.shape[1], stride, dilation)
    if windows.on_accelerator() if library is None else library:
        return _grouped(x, kernel, window)
    taps_tec = kernel.reshape(kernel.shape[0], -1, kernel.shape[3]).swapaxes(0, 1)
    out = _weighted_taps(x, taps_tec, window)
    return out.reshape(*out.shape[:2], *(window.out(length) for length in x.shape[2:4]), x.shape[4])


def _grouped(x, kernel, window):
    """Returns the same by one grouped convolution; the edges of a shared input are further outputs of its channels."""
    edges, size, _, channels = kernel.shape
    shared = x.shape[0]
    own = kernel.reshape(shared, edges // shared, size, size, channels).transpose(2, 3, 0, 4, 1)
    out = lax.conv_general_dilated(
        x.reshape(-1, *x.shape[2:]),
        own.reshape(size, size, 1, -1),
        (window.stride, window.stride),
        [(window.border, window.border)] * 2,
        rhs_dilation=(window.dilation, window.dilation),
        dimension_numbers=("CHWN", "HWIO", "CHWN"),
        feature_group_count=shared * channels,
    )
    out = out.reshape(shared, channels, edges // shared, *out.shape[1:])
    return jnp.moveaxis(out, 2, 1).reshape(edges, channels, *out.shape[3:])


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _weighted_taps(x, taps_tec, window):
    """Returns the sum over taps of weight times what the tap sees, [E, C, H, W B].

    A loop over blocks of channels: XLA then does not merge the sum with the matrix product after it, which would cost
    five times the sum, and the padded block stays in the cache. The gradients are written out because XLA would sum
    them over edges, or one tap after the other, in slow loops.
    """

    def of_block(inputs):
        x, taps_tec = inputs
        phases = windows.phases(x, window)
        terms = [
            weight[:, :, None, None] * windows.seen(phases, window, tap, x.shape[-1])
            for weight, tap in zip(taps_tec, window.taps)
        ]
        return sum(terms[1:], terms[0])

    return windows.by_blocks(of_block, (x, taps_tec), (1, 2), 1)


def _forward(x, taps_tec, window):
    return _weighted_taps(x, taps_tec, window), (x, taps_tec)


def _backward(window, saved, g):
    def of_block(inputs):
        x, taps_tec, g = inputs
        phases, to_x = jax.vjp(lambda x: windows.phases(x, window), x)
        g_phases = _to_phases(g, taps_tec, window, x.shape[-1], x.shape[0])
        return to_x(g_phases)[0], _to_taps(g, phases, window, x.shape[-1])

    return windows.by_blocks(of_block, (*saved, g), (1, 2, 1), (1, 2))


def _to_phases(g, taps_tec, window, batch, shared):
    """Returns the cotangent of the phases; one sum over taps and edges, so that it is one pass."""
    padded = windows.padded_cotangent(g, window, batch)
    edges = taps_tec.shape[1]
    parts = [slice(None)] if shared == edges else [slice(edge, edge + 1) for edge in range(edges)]

    def terms(number, shift):
        return [taps_tec[number, part, :, None, None] * shift(padded[part]) for part in parts]

    return windows.sent_back(terms, window, batch)


def _to_taps(g, phases, window, batch):
    """Returns the cotangent of the weights, all taps in one reduction: g is read once."""
    products = [(windows.seen(phases, window, tap, batch) * g).astype(jnp.float32) for tap in window.taps]
    zeros = [jnp.float32(0)] * len(products)
    sums = lax.reduce(products, zeros, lambda a, b: [left + right for left, right in zip(a, b)], (2, 3))
    return jnp.stack(sums).astype(g.dtype)


_weighted_taps.defvjp(_forward, _backward)
