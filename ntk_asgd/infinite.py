"""The neural tangent kernel of infinite width: k = k_a + k_b, the expectation over the input weights.

Axes: n1, n2 examples, d input dimensions, q quadrature nodes, K degrees.
"""

import functools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from ntk_asgd import activations, empirical, sphere

WEIGHTS = ("sphere", "gaussian")
_NODES = 1_024  # most quadrature nodes, and twice the highest degree sought
_LONGEST = 8.0  # length up to which degrees suffice where lengths are not known while tracing
_dot = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)


def ntk(x1, x2=None, *, activation, scale=1.0, gamma=0.0, part="both", weights="sphere"):
    """Returns the infinite-width neural tangent kernel of the two-layer network at its symmetric initialisation.

        k(x, x') = E[sigma(b.x) sigma(b.x')] + R^2 (x.x' + gamma^2) E[sigma'(b.x) sigma'(b.x')]

    with b uniform on the unit sphere of R^d, or Gaussian with E|b|^2 = 1. For ReLU, with theta the angle between x and
    x', both laws give

        k_a = |x| |x'| (sin theta + (pi - theta) cos theta) / (2 pi d)
        k_b = R^2 (x.x' + gamma^2) (pi - theta) / (2 pi).

    The angle is 2 atan2(|u - u'|, |u + u'|) over unit vectors, which keeps its accuracy where arccos loses it; its sine
    and cosine follow from the same lengths. ReLU's kernel of an input of length zero is zero, as sigma'(0) = 0.

    Other activations take the series over degrees (see `_expectation`), in float32 to about 1e-6 of the largest value
    and in float64 to about 1e-13, while the activation's sharpness times the longest input is at most 50. A warning
    says where the degrees at hand leave more than 1e-6 out, as with a kink.

    Args:
        x1: inputs [n1, d].
        x2: inputs [n2, d]; x1 where left out.
        activation: a name or a callable (see `activations.get`), fixed while tracing.
        scale: size R of the output weights.
        gamma: weight of the bias inside the activation.
        part: "both", "output" (k_a) or "input" (k_b).
        weights: law of b, "sphere" (the paper's) or "gaussian", N(0, I/d).

    Returns:
        Kernel [n1, n2].

    Raises:
        ValueError: an unknown activation, part or law, d < 2, or a callable that does not compute in float64.

    References:
        Nitanda and Suzuki, arXiv 2006.12297, Section 3; Cho and Saul (2009), arc-cosine kernels of degree 0 and 1.
    """
    empirical.check_part(part)
    if weights not in WEIGHTS:
        raise ValueError(f"weights {weights!r} is unknown (known: {', '.join(WEIGHTS)})")
    sigma = activations.get(activation)
    dim = x1.shape[1]
    if dim < 2:
        raise ValueError(f"inputs must have at least 2 dimensions for a kernel over the sphere, not {dim}")
    x2 = x1 if x2 is None else x2
    norm1, norm2 = _norm(x1), _norm(x2)
    unit1, unit2 = (x / jnp.where(norm > 0, norm, 1)[:, None] for x, norm in ((x1, norm1), (x2, norm2)))
    lengths = norm1[:, None] * norm2[None, :]
    if activation == "relu":
        apart, joint = jax.lax.map(lambda u: _lengths(u, unit2.T), unit1)
        theta = 2 * jnp.arctan2(apart, joint)
        cosine = (joint - apart) * (joint + apart) / 4
        output = lengths * (joint * apart / 2 + (jnp.pi - theta) * cosine) / (2 * jnp.pi * dim)
        slopes = jnp.where(lengths > 0, (jnp.pi - theta) / (2 * jnp.pi), 0)
    else:
        cosine = jnp.clip(_dot(unit1, unit2.T), -1, 1)
        expectation = functools.partial(_expectation, norm1=norm1, norm2=norm2, cosine=cosine, dim=dim, weights=weights)
        output = 0 if part == "input" else expectation(sigma.fn)
        slopes = 0 if part == "output" else expectation(sigma.derivative)
    inner = scale**2 * (lengths * cosine + gamma**2) * slopes
    return {"output": output, "input": inner, "both": output + inner}[part]


def _expectation(fn, norm1, norm2, cosine, dim, weights):
    """Returns E[fn(b.x) fn(b.x')] [n1, n2] by its series over degrees.

    With t = b.u for a unit vector u, and e_k the orthonormal polynomials of its law,

        E[fn(b.x) fn(b.x')] = sum_k a_k(|x|) a_k(|x'|) P_k(cos),   a_k(r) = E[fn(r t) e_k(t)],

    where P_k is the Gegenbauer polynomial with P_k(1) = 1 on the sphere, and cos^k for Gaussian weights (Mehler). As
    |P_k| <= 1, degrees are dropped once the sum of the later a_k^2 is below rounding.
    """
    eps = float(jnp.finfo(cosine.dtype).eps)
    longest = jnp.maximum(jnp.max(norm1, initial=1), jnp.max(norm2, initial=1))
    radii = (1.0, _LONGEST) if isinstance(longest, jax.core.Tracer) else (float(longest),)
    orders = [_order(fn, dim, weights, radius, eps) for radius in radii]
    if orders[0][2] > 1e-6:
        warnings.warn(
            f"the activation is too sharp at inputs of length {radii[0]:.3g}: the kernel lacks {orders[0][2]:.1g} of "
            "its diagonal; lower the sharpness or the lengths",
            stacklevel=3,
        )
    series = [functools.partial(_series, fn, dim, weights, *order[:2]) for order in orders]
    if len(series) == 1:
        return series[0](norm1, norm2, cosine)
    return jax.lax.cond(longest <= 1 + 32 * eps, *series, norm1, norm2, cosine)


def _order(fn, dim, weights, radius, eps):
    """Returns (nodes, degree, missing): what a length needs, and the share of the diagonal past the degree."""
    num_nodes = 64
    while True:
        t, table = _rule(dim, weights, num_nodes)
        squares = (table @ (table[0] * activations.on_host(fn, radius * t))) ** 2
        missing = np.append(np.cumsum(squares[::-1])[::-1][1:], 0) / max(squares.sum(), np.finfo(np.float64).tiny)
        enough = np.flatnonzero(missing[: num_nodes // 2] <= eps / 4)
        if len(enough) or num_nodes == _NODES:
            degree = int(enough[0]) if len(enough) else num_nodes // 2
            return num_nodes, degree, float(missing[degree])
        num_nodes *= 2


@functools.lru_cache(maxsize=16)
def _rule(dim, weights, num_nodes):
    """Returns Gauss's nodes t [q] for the law of b.u, and sqrt(w_q) e_k(t_q) [q, q], k first (Golub and Welsch)."""
    gaussian = np.sqrt(np.arange(1, num_nodes) / dim)
    off = gaussian if weights == "gaussian" else sphere.off_diagonal(dim, num_nodes - 1)
    nodes, table = scipy.linalg.eigh_tridiagonal(np.zeros(num_nodes), off)
    return nodes, table * np.sign(table[0])[None, :]


def _series(fn, dim, weights, num_nodes, degree, norm1, norm2, cosine):
    """Returns sum_k a_k(|x|) a_k(|x'|) P_k(cos) [n1, n2] to a degree, a_k by Gauss's rule."""
    nodes, table = _rule(dim, weights, num_nodes)
    k = np.arange(degree + 1)
    if weights == "sphere":  # P_{k+1} = forth_k t P_k - back_k P_{k-1}
        forth, back = (2 * k + dim - 2) / np.maximum(k + dim - 2, 1), k / np.maximum(k + dim - 2, 1)
        forth[0] = 1
    else:
        forth, back = np.ones(degree + 1), np.zeros(degree + 1)
    dtype = cosine.dtype
    nodes, weighted = jnp.asarray(nodes, dtype), jnp.asarray((table[0] * table[: degree + 1]).T, dtype)
    own, others = (_dot(fn(norm[:, None] * nodes[None, :]), weighted) for norm in (norm1, norm2))
    return _sum_over_degrees(own, others.T, cosine, jnp.asarray(forth, dtype), jnp.asarray(back, dtype))


@jax.jit  # of arrays alone, so that calls outside jit compile it once
def _sum_over_degrees(own, others, cosine, forth, back):
    """Returns sum_k own[i, k] others[k, j] P_k(cosine[i, j]) [n1, n2]; a row at a time stays in the cache."""

    def row(own_and_cosine):
        own, t = own_and_cosine

        def ahead(carry, coefficients):
            previous, current, total = carry
            mine, other, forth, back = coefficients
            return (current, forth * t * current - back * previous, total + mine * other * current), None

        start = jnp.zeros_like(t), jnp.ones_like(t), jnp.zeros_like(t)
        return jax.lax.scan(ahead, start, (own, others, forth, back), unroll=8)[0][2]

    return jax.lax.map(row, (own, cosine))


def _lengths(u, others):
    """Returns (|u - u'|, |u + u'|) [n] for a vector [d] and the columns of others [d, n], summed over rows: fastest."""
    return _norm(u[:, None] - others, axis=0), _norm(u[:, None] + others, axis=0)


def _norm(x, axis=1):
    """Returns the lengths of the rows of x, or along another axis, with gradient zero where a length is zero."""
    square = jnp.sum(x**2, axis=axis)
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)
