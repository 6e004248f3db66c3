"""Activations by name, each with its derivative."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

NAMES = ("relu", "erf", "swish[:s]", "softplus[:s]")


_CELLS, _ZOOM, _KEPT = 2**20, 8, 16  # of the search for the steepest cell: of the first grid, of a cut, kept a level
_FINEST = 1e-9  # width below which rounding hides a slope: what still grows there is a jump


class Activation(NamedTuple):
    """An activation sigma and its derivative, both elementwise."""

    fn: Callable
    derivative: Callable


class A1(NamedTuple):
    """What an activation has of the paper's assumption A1, over -limit..limit.

    Attributes:
        sup_derivative: of |sigma'|, to be at most 2; inf where sigma jumps.
        sup_second_derivative: of |sigma''|, to be finite; inf where sigma' jumps.
        sup_growth_excess: of |sigma(u)| - (1 + |u|), to be at most 0.
        holds: whether all three are as they should be.
        limit: half the width of the range searched.
    """

    sup_derivative: float
    sup_second_derivative: float
    sup_growth_excess: float
    holds: bool
    limit: float

    def words(self):
        """Returns one line for people."""
        return (
            f"A1 {'holds' if self.holds else 'does not hold'} on |u| <= {self.limit:g}: "
            f"sup |sigma'| = {self.sup_derivative:.4g} (at most 2), "
            f"sup |sigma''| = {self.sup_second_derivative:.4g} (finite), "
            f"sup |sigma(u)| - (1 + |u|) = {self.sup_growth_excess:.4g} (at most 0)"
        )


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


def assumption_a1(activation, *, limit=32.0):
    """Returns what an activation has of the paper's assumption A1, as `A1`, found numerically.

    A1 asks for |sigma'| <= 2, |sigma''| <= C for some C, and |sigma(u)| <= 1 + |u|. Suprema of derivatives are those of
    difference quotients, so that a callable with a kink is found out, where its derivative by autodiff shows nothing.
    Host code in float64. A jump of sigma' smaller than sup |sigma''| times the cell of the first grid, limit / 2^19,
    may be missed.

    Args:
        activation: as `get`.
        limit: the range searched is -limit..limit.

    Raises:
        ValueError: an unknown activation, or a callable that does not compute in float64.

    References:
        Nitanda and Suzuki, arXiv 2006.12297, Assumption A1.

    >>> assumption_a1("relu").sup_second_derivative
    inf
    """
    sigma = get(activation)
    u = np.linspace(-limit, limit, _CELLS // 16 + 1)
    excess = np.nan_to_num(np.abs(on_host(sigma.fn, u)), nan=np.inf) - (1 + np.abs(u))
    first, second = _steepest(sigma.fn, limit), _steepest(sigma.derivative, limit)
    holds = first <= 2 * (1 + 1e-6) and second < np.inf and excess.max() <= 1e-12
    return A1(first, second, float(excess.max()), bool(holds), float(limit))


def on_host(fn, u):
    """Returns fn(u) as numpy float64, computed at once even while JAX traces.

    Args:
        fn: elementwise function of JAX arrays, such as those of `Activation`.
        u: float64 numpy array.

    Raises:
        ValueError: fn(u) is not of float64, or not of the shape of u.
    """
    with jax.ensure_compile_time_eval(), jax.enable_x64(True):
        value = fn(jnp.asarray(u))
        if value.dtype != np.float64 or value.shape != u.shape:
            raise ValueError(
                f"the activation makes {value.dtype}{list(value.shape)} of float64{list(u.shape)}: it must be "
                "elementwise and compute in the type of its argument, for exact spectra need float64"
            )
        return np.asarray(value)


def _steepest(fn, limit):
    """Returns the supremum of the difference quotients of fn, inf where they grow for ever as cells narrow."""
    left, width, before = np.linspace(-limit, limit, _CELLS, endpoint=False), 2 * limit / _CELLS, np.inf
    while True:
        with np.errstate(invalid="ignore"):
            rises = np.nan_to_num(np.abs(on_host(fn, left + width) - on_host(fn, left)), nan=np.inf)
        steepest = rises.max() / width
        if steepest == np.inf or (width < _FINEST and steepest > 2 * before):
            return np.inf
        if abs(steepest / before - 1) < 1e-7 or rises.max() < 1e-12 or width < _FINEST:
            return float(steepest)
        best, before, width = left[np.argsort(rises)[-_KEPT:]], steepest, width / _ZOOM
        left = (best[:, None] + width * np.arange(_ZOOM)[None, :]).ravel()


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
