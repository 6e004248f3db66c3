"""The operations of a cell, on activations of shape [C, H, W, B].

Channels first and batch last: a shift by one pixel is then a copy of long contiguous runs and a convolution is one
matrix product over its shifted copies. On a CPU, where XLA's own convolution of few channels is slow (its gradient
inside a loop most of all), that makes a training step many times faster. On an accelerator the convolutions are XLA's,
and the order of the axes is only their names: the compiler chooses the layout.

Axis letters: c channels, h and w pixels, b batch, e edges that leave one node, o operations.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from darts_perturb import space as spaces
from darts_perturb.layers import windows
from darts_perturb.layers.depthwise import depthwise
from darts_perturb.layers.pooling import average_pool, half_size, max_pool

__all__ = [
    "BN_EPSILON",
    "BatchNorm",
    "Conv",
    "FactorizedReduce",
    "Operation",
    "ReluConvBN",
    "average_pool",
    "batch_norm",
    "classified",
    "conv",
    "drawn_later",
    "half_size",
    "max_pool",
    "pointwise",
]

BN_EPSILON = 1e-5

# `supernet.draw` fills in all kernels at once: drawn one by one inside the modules they take 15 s to compile
drawn_later = nn.initializers.zeros


def conv(x, kernel, stride=1, *, library=None):
    """Returns the convolution of x with zeros around it, of the same height and width at stride 1.

    Args:
        x: [C, H, W, B].
        kernel: [K, K, C, D], K odd.
        stride: step between output pixels.
        library: XLA's convolution, else one product over shifted copies; None is by backend.

    Returns:
        [D, ceil(H / stride), ceil(W / stride), B].
    """
    size, _, num_in, num_out = kernel.shape
    if windows.on_accelerator() if library is None else library:
        sides = [(size // 2, size // 2)] * 2
        return lax.conv_general_dilated(x, kernel, (stride, stride), sides, dimension_numbers=("CHWN", "HWIO", "CHWN"))
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


def pointwise(x, kernel):
    """Returns the convolution of every pixel alone, [E, D, H, W, B].

    Args:
        x: [E, C, H, W, B], or [1, C, H, W, B] of an input that the edges share.
        kernel: [E, C, D].
    """
    edges, num_in, num_out = kernel.shape
    if x.shape[0] == 1:
        kernel = jnp.moveaxis(kernel, 1, 2).reshape(1, edges * num_out, num_in)
    else:
        kernel = kernel.swapaxes(1, 2)
    return jnp.matmul(kernel, x.reshape(*x.shape[:2], -1)).reshape(edges, num_out, *x.shape[2:])


@jax.custom_vjp
def batch_norm(x):
    """Returns x [..., C, H, W, B] with mean 0 and variance 1 in every channel over this batch; keeps no statistics."""
    return _normalised(x)[0]


def _normalised(x):
    mean, square = (_mean(value) for value in (x, x.astype(jnp.float32) ** 2))
    # one pass; rounding may leave a constant channel a variance slightly below 0
    scale = lax.rsqrt(jnp.maximum(square - mean * mean, 0) + BN_EPSILON)
    return ((x - mean) * scale).astype(x.dtype), (x, mean, scale)


def _mean(x):
    return x.mean((-3, -2, -1), keepdims=True, dtype=jnp.float32)


def _normalised_backward(saved, g):
    """Returns the cotangent of x in two passes over it; the derivative of the sums alone takes four."""
    x, mean, scale = saved
    g_mean = _mean(g)
    g_centred = (_mean(g * x) - mean * g_mean) * scale * scale
    return ((scale * (g - g_mean - (x - mean) * g_centred)).astype(x.dtype),)


batch_norm.defvjp(_normalised, _normalised_backward)


class BatchNorm(nn.Module):
    """`batch_norm`, then a learned scale and bias of every channel where affine; x [C, H, W, B] or [E, C, H, W, B]."""

    affine: bool = True

    @nn.compact
    def __call__(self, x):
        x = batch_norm(x)
        if not self.affine:
            return x
        scale = self.param("scale", nn.initializers.ones, x.shape[:-3])
        bias = self.param("bias", nn.initializers.zeros, x.shape[:-3])
        return scale[..., None, None, None] * x + bias[..., None, None, None]


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
    affine: bool = True

    @nn.compact
    def __call__(self, x):
        x = Conv(self.features, self.size, self.stride, name="conv")(jax.nn.relu(x))
        return BatchNorm(self.affine, name="norm")(x)


class FactorizedReduce(nn.Module):
    """Half the height and width: half of the features from the even pixels, half from the odd ones.

    x [1, C, H, W, B] gives [E, features, H / 2, W / 2, B].
    """

    features: int
    num_edges: int = 1
    affine: bool = False

    @nn.compact
    def __call__(self, x):
        x = jax.nn.relu(x)
        halves = []
        for name, start, width in (("even", 0, self.features // 2), ("odd", 1, self.features - self.features // 2)):
            kernel = self.param(f"{name}_kernel", drawn_later, (self.num_edges, 1, 1, x.shape[1], width))
            halves.append(pointwise(x[:, :, start::2, start::2], kernel[:, 0, 0]))
        return BatchNorm(self.affine, name="norm")(jnp.concatenate(halves, axis=1))


class Operation(nn.Module):
    """Parallel operations of one name on the same input x [C, H, W, B]: [E, C, H, W, B], or [1, C, H, W, B].

    Several convolutions of one input are one convolution to E x C channels; a pool or a copy is the same for all edges
    and computed once. At stride 2 height and width are halved.

    Attributes:
        op: name of the operation, see `space`; not `none`.
        num_edges: E.
        affine: whether normalisation learns a scale and bias.
        stride: 1 or 2.
        pool_norm: whether pools are normalised, never with a learned scale.
    """

    op: str
    num_edges: int = 1
    affine: bool = False
    stride: int = 1
    pool_norm: bool = False

    @nn.compact
    def __call__(self, x, keys=None):
        """Returns what the edges carry; keys [E] are those of the noise, which is zeros without."""
        kind = self.op.partition("_")[0]
        if kind == "skip":
            return x[None] if self.stride == 1 else self._reduce(x[None])
        if kind in ("max", "avg"):
            pool = max_pool if kind == "max" else average_pool
            out = pool(x, size=spaces.window(self.op), stride=self.stride)[None]
            return batch_norm(out) if self.pool_norm else out
        if kind == "noise":
            like = x[:, :: self.stride, :: self.stride]
            if keys is None:
                return jnp.zeros((self.num_edges, *like.shape), x.dtype)
            return jax.vmap(lambda key: jax.random.normal(key, like.shape, x.dtype))(keys)
        if kind == "nor":
            out = Conv(self.num_edges * x.shape[0], spaces.window(self.op), self.stride, name="conv")(jax.nn.relu(x))
            out = BatchNorm(self.affine, name="norm")(out)
            return out.reshape(self.num_edges, x.shape[0], *out.shape[1:])
        if kind == "dil":
            return self._separable("a", x[None], self.stride, dilation=2)
        return self._separable("b", self._separable("a", x[None], self.stride), 1)

    def _reduce(self, x):
        return FactorizedReduce(x.shape[1], self.num_edges, self.affine, name="reduce")(x)

    def _separable(self, name, x, stride, dilation=1):
        """Returns rectify, depthwise convolution, convolution of every pixel, normalise."""
        size, channels = spaces.window(self.op), x.shape[1]
        window = self.param(f"depthwise_{name}_kernel", drawn_later, (self.num_edges, size, size, 1, channels))
        mix = self.param(f"pointwise_{name}_kernel", drawn_later, (self.num_edges, 1, 1, channels, channels))
        out = depthwise(jax.nn.relu(x), window[:, :, :, 0], stride=stride, dilation=dilation)
        return BatchNorm(self.affine, name=f"norm_{name}")(pointwise(out, mix[:, 0, 0]))


def classified(module, x, num_classes):
    """Returns logits [B, num_classes] by a linear layer, in parameters of a module, on the mean over pixels."""
    features = x.astype(jnp.float32).mean((1, 2))
    kernel = module.param("classifier_kernel", drawn_later, (features.shape[0], num_classes))
    bias = module.param("classifier_bias", nn.initializers.zeros, (num_classes,))
    return features.T @ kernel.astype(jnp.float32) + bias.astype(jnp.float32)[None, :]
