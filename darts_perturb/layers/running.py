"""Batch normalisation with running statistics, as an argument and a result: nothing here has a state."""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from darts_perturb.layers import ops

MOMENTUM = 0.1  # weight of a batch in the running statistics


class BatchNorm(nn.Module):
    """Normalises x [C, H, W, B] by the batch's statistics or the stored ones, then scales and moves every channel.

    In training the stored ones, the collection "batch_stats", move towards the batch's; the variance that is stored is
    the unbiased one, as PyTorch has it.
    """

    train: bool

    @nn.compact
    def __call__(self, x):
        channels = (x.shape[0],)
        scale, bias = (
            self.param("scale", nn.initializers.ones, channels),
            self.param("bias", nn.initializers.zeros, channels),
        )
        stored_mean = self.variable("batch_stats", "mean", jnp.zeros, channels)
        stored_variance = self.variable("batch_stats", "variance", jnp.ones, channels)
        if not self.train:
            factor = scale * lax.rsqrt(stored_variance.value + ops.BN_EPSILON)
            return x * _per_channel(factor, x) + _per_channel(bias - stored_mean.value * factor, x)
        if not self.is_initializing():
            mean, variance = _moments(lax.stop_gradient(x))
            count = math.prod(x.shape[1:])
            stored_mean.value += MOMENTUM * (mean - stored_mean.value)
            stored_variance.value += MOMENTUM * (variance * (count / max(count - 1, 1)) - stored_variance.value)
        return ops.batch_norm(x) * _per_channel(scale, x) + _per_channel(bias, x)


def _moments(x):
    """Returns the mean and variance of every channel in float32, in one pass over x."""
    x = x.astype(jnp.float32)
    mean = x.mean((1, 2, 3))
    return mean, jnp.maximum((x * x).mean((1, 2, 3)) - mean * mean, 0)


def _per_channel(values, x):
    return values.astype(x.dtype)[:, None, None, None]


def start(shapes):
    """Returns running statistics before training, mean 0 and variance 1, in the form of nested dicts of shapes."""

    def leaf(path, shape):
        return (jnp.ones if path[-1].key == "variance" else jnp.zeros)(shape.shape)

    return jax.tree.map_with_path(leaf, shapes)
