"""Activations by name, each with its derivative."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

NAMES = ("relu", "erf", "swish[:s]", "softplus[:s]")


class Activation(NamedTuple):
    """An activation sigma and its derivative, both elementwise."""

    fn: Callable
    derivative: Callable


def get(activation):
    """Returns the activation sigma with its derivative sigma', as an `Activation`.

    - "relu": max(u, 0), derivative 1 where u > 0 and 0 elsewhere;
    - "erf": erf(u);
    - "swish:s": u / (1 + exp(-s u)), the smooth approximation of the paper's Corollary 2 (s = 1 where left out);
    - "softplus:s": log(1 + exp(s u)) / s (s = 1 where left out).

    Args:
        activation: a name above, or an elementwise callable, whose derivative comes from forward mode.

    Returns:
        `Activation(fn, derivative)`; each maps an array to an array of its shape and type.

    Raises:
        ValueError: an unknown name, or a sharpness that is no positive number.

    References:
        Nitanda and Suzuki, arXiv 2006.12297, Corollary 2 (swish_s).

    >>> float(get("softplus:4").derivative(jnp.zeros(())))
    0.5
    """
    if callable(activation):
        return Activation(activation, _forward_derivative(activation))
    name, colon, text = str(activation).partition(":")
    if not colon and name == "relu":
        return Activation(jax.nn.relu, lambda u: (u > 0).astype(u.dtype))
    if not colon and name == "erf":
        return Activation(jax.scipy.special.erf, lambda u: 2 / np.sqrt(np.pi) * jnp.exp(-(u**2)))
    if name in ("swish", "softplus"):
        sharpness = _sharpness(activation, text if colon else "1")
        return _swish(sharpness) if name == "swish" else _softplus(sharpness)
    raise ValueError(f"activation {activation!r} is unknown (known: {', '.join(NAMES)}, or a callable)")


def _sharpness(activation, text):
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 < value < float("inf"):
        raise ValueError(
            f"activation {activation!r}: the sharpness after ':' must be a positive number, as in 'swish:10'"
        )
    return value


def _swish(s):
    def derivative(u):
        gate = jax.nn.sigmoid(s * u)
        return gate + s * u * gate * (1 - gate)

    return Activation(lambda u: u * jax.nn.sigmoid(s * u), derivative)


def _softplus(s):
    return Activation(lambda u: jax.nn.softplus(s * u) / s, lambda u: jax.nn.sigmoid(s * u))


def _forward_derivative(fn):
    return lambda u: jax.jvp(fn, (u,), (jnp.ones_like(u),))[1]
