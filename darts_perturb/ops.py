"""The operations of a cell, on activations of shape [C, H, W, B].

Channels first and batch last: a shift by one pixel is then a copy of long contiguous runs and a convolution is one
matrix product over its shifted copies. On a CPU, where XLA's own convolution of few channels is slow (its gradient
inside a loop most of all), that makes a training step many times faster.

Axis letters: c channels, h and w pixels, b batch, e edges that leave one node, o operations.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

BN_EPSILON = 1e-5

# `supernet.draw` fills in all kernels at once: drawn one by one inside the modules they take 15 s to compile
drawn_later = nn.initializers.zeros


def conv(x, kernel, stride=1):
    """Returns the convolution of x with zeros around it, of the same height and width at stride 1.

    Args:
        x: [C, H, W, B].
        kernel: [K, K, C, D], K odd.
        stride: step between output pixels.

    Returns:
        [D, ceil(H / stride), ceil(W / stride), B].
    """
    size, _, num_in, num_out = kernel.shape
    patches = x[None] if size == 1 else _shifted(x, size, stride)
    product = jnp.matmul(kernel.reshape(-1, num_out).T, patches.reshape(size * size * num_in, -1))
    return product.reshape(num_out, *patches.shape[-3:])


def _shifted(x, size, stride):
    """Returns the shifted copies of x under a kernel, [K, K, C, H / stride, W / stride, B].

    Rows first, then columns: all K^2 slices in one expression would take XLA twice as long to compile.
    """
    _, height, width, _ = x.shape
    border = size // 2
    padded = jnp.pad(x, ((0, 0), (border, border), (border, border), (0, 0)))
    rows = jnp.stack([padded[:, i : i + height : stride] for i in range(size)])
    return jnp.stack([rows[:, :, :, j : j + width : stride] for j in range(size)], axis=1)


def average_pool(x):
    """Returns the mean of the 3x3 neighbours of every pixel that lie in the image, [C, H, W, B]."""
    _, height, width, _ = x.shape
    # of numpy, so that it is a constant: XLA spends half a minute folding a pool over ones
    per_row, per_column = (np.minimum(np.arange(n) + 2, n) - np.maximum(np.arange(n) - 1, 0) for n in (height, width))
    count = (per_row[:, None] * per_column[None, :]).astype(np.float32)
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    rows = padded[:, :height] + padded[:, 1 : height + 1] + padded[:, 2:]
    return (rows[:, :, :width] + rows[:, :, 1 : width + 1] + rows[:, :, 2:]) / count[None, :, :, None]


def half_size(x):
    """Returns the mean over squares of 2x2 pixels, [C, H / 2, W / 2, B]; H and W are even."""
    channels, height, width, batch = x.shape
    return x.reshape(channels, height // 2, 2, width // 2, 2, batch).mean((2, 4))


def batch_norm(x):
    """Returns x [C, H, W, B] with mean 0 and variance 1 in every channel over this batch; no running statistics."""
    mean = x.mean((1, 2, 3), keepdims=True)
    # one pass; rounding may leave a constant channel a variance slightly below 0
    variance = jnp.maximum((x * x).mean((1, 2, 3), keepdims=True) - mean * mean, 0)
    return (x - mean) * lax.rsqrt(variance + BN_EPSILON)


class BatchNorm(nn.Module):
    """`batch_norm`, then a learned scale and bias of every channel where affine."""

    affine: bool = True

    @nn.compact
    def __call__(self, x):
        x = batch_norm(x)
        if not self.affine:
            return x
        scale = self.param("scale", nn.initializers.ones, (x.shape[0],))
        bias = self.param("bias", nn.initializers.zeros, (x.shape[0],))
        return scale[:, None, None, None] * x + bias[:, None, None, None]


class Conv(nn.Module):
    """`conv` with its kernel as a parameter."""

    features: int
    size: int
    stride: int = 1

    @nn.compact
    def __call__(self, x):
        kernel = self.param("kernel", drawn_later, (self.size, self.size, x.shape[0], self.features))
        return conv(x, kernel, self.stride)


class ReluConvBN(nn.Module):
    """Rectify, convolve, normalise."""

    features: int
    size: int
    stride: int = 1

    @nn.compact
    def __call__(self, x):
        x = Conv(self.features, self.size, self.stride, name="conv")(jax.nn.relu(x))
        return BatchNorm(name="norm")(x)


CONV_SIZES = {"nor_conv_1x1": 1, "nor_conv_3x3": 3}


class Operation(nn.Module):
    """Parallel operations of one name on the same input x [C, H, W, B]: [E, C, H, W, B], or [1, C, H, W, B].

    Several convolutions of one input are one convolution to E x C channels; a pool or a copy is the same for all edges
    and computed once.
    """

    op: str
    num_edges: int = 1
    affine: bool = False

    @nn.compact
    def __call__(self, x):
        if self.op == "skip_connect":
            return x[None]
        if self.op == "avg_pool_3x3":
            return average_pool(x)[None]
        out = Conv(self.num_edges * x.shape[0], CONV_SIZES[self.op], name="conv")(jax.nn.relu(x))
        return BatchNorm(self.affine, name="norm")(out).reshape(self.num_edges, *x.shape)
