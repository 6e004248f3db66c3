"""The two-layer network and its symmetric initialisation.

Axes: n examples, d input dimensions, M hidden units (the width).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ntk_asgd import activations


class Params(NamedTuple):
    """Weights of the two-layer network: output `a` [M], input `b` [M, d], bias `c` [M]."""

    a: jax.Array
    b: jax.Array
    c: jax.Array


def init(key, *, width, dim, scale=1.0):
    """Returns parameters at the symmetric initialisation, where the network is exactly zero.

    a_r = scale for the first half and -scale for the second; b_r = b_{r + M/2} uniform on the unit sphere; c = 0.

    Args:
        key: typed key.
        width: number of hidden units M, even.
        dim: input dimension d.
        scale: size R of the output weights.

    Returns:
        `Params`, float32 (float64 where x64 is enabled).

    Raises:
        ValueError: an odd or non-positive width, or dim < 1.

    References:
        Nitanda and Suzuki, arXiv 2006.12297, Section 2 (symmetric initialisation).
    """
    if width < 2 or width % 2:
        raise ValueError(f"width must be even and at least 2 for the symmetric initialisation, not {width}")
    if dim < 1:
        raise ValueError(f"dim must be at least 1, not {dim}")
    half = jax.random.normal(key, (width // 2, dim))
    half = half / jnp.linalg.norm(half, axis=1, keepdims=True)
    sign = jnp.repeat(jnp.array([1.0, -1.0], half.dtype), width // 2)
    return Params(a=scale * sign, b=jnp.concatenate([half, half]), c=jnp.zeros(width, half.dtype))


def apply(params, x, *, activation, gamma):
    """Returns the network's outputs g(x) = M^{-1/2} sum_r a_r sigma(b_r . x + gamma c_r).

    Units r and r + M/2 are added first, so that they cancel to exactly zero at the symmetric initialisation.

    Args:
        params: `Params`.
        x: inputs [n, d].
        activation: a name or a callable (see `activations.get`).
        gamma: weight of the bias inside the activation.

    Returns:
        Outputs [n].
    """
    return total(activations.get(activation).fn(preactivation(params, x, gamma=gamma)) * params.a[None, :])


def total(terms):
    """Returns M^{-1/2} times the sum of the units' terms [n, M], [n]; units r and r + M/2 are added first."""
    width = terms.shape[1]
    paired, rest = terms[:, : width // 2] + terms[:, width // 2 : width // 2 * 2], terms[:, width // 2 * 2 :]
    return (paired.sum(axis=1) + rest.sum(axis=1)) / jnp.sqrt(width)


def preactivation(params, x, *, gamma):
    """Returns b_r . x + gamma c_r [n, M] for inputs x [n, d]."""
    product = jnp.matmul(x, params.b.T, precision=jax.lax.Precision.HIGHEST)
    return product + (gamma * params.c)[None, :]
