"""The exact spectrum of the kernel's integral operator under the uniform law on the sphere S^{d-1}.

Host code in float64 (numpy), but for the eigenfunctions. A zonal kernel k(x.x') has the spherical
harmonics for eigenfunctions: one eigenvalue mu_k a degree k, with multiplicity N_k. Letters: d dimension, k degree,
t = x.x'.
"""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

from ntk_asgd import activations, empirical

_PANEL_NODES = 48


def eigenvalues(*, dim, activation, max_degree, scale=1.0, gamma=0.0, part="both"):
    """Returns the eigenvalues mu_k and multiplicities N_k of the infinite-width kernel's integral operator.

    The kernel E[f(b.x) f(b.x')] over b uniform on the sphere is the square of the zonal operator of f, so with the
    Funk-Hecke coefficients alpha_k = <sigma>_k and beta_k = <sigma'>_k (see `funk_hecke`),

        output layer: mu_k = alpha_k^2
        input layer:  mu_k = R^2 [gamma^2 beta_k^2 + (k beta_{k-1}^2 + (k+d-2) beta_{k+1}^2) / (2k+d-2)],

    the second from t P_k = ((k+d-2) P_{k+1} + k P_{k-1}) / (2k+d-2). Squares of small coefficients keep their relative
    accuracy far below the float64 resolution of the kernel itself.

    Args:
        dim: input dimension d >= 2.
        activation: a name or a callable, smooth but at 0 (see `activations.get`).
        max_degree: largest degree K.
        scale: size R of the output weights.
        gamma: weight of the bias inside the activation.
        part: "both", "output" or "input".

    Returns:
        mu [K+1] float64, and multiplicities [K+1]: int64, or float64 where they pass the range of int64.

    Raises:
        ValueError: dim < 2, max_degree < 0, an unknown part or activation, a callable that does not compute in float64.

    References:
        Nitanda and Suzuki, arXiv 2006.12297, Section 3 and Corollary 2; Atkinson and Han, Spherical Harmonics (2012),
        the Funk-Hecke formula.
    """
    empirical.check_part(part)
    sigma = activations.get(activation)
    counts = multiplicities(dim, max_degree)
    mu = np.zeros(max_degree + 1)
    if part != "input":
        mu += funk_hecke(sigma.fn, dim=dim, max_degree=max_degree) ** 2
    if part != "output":
        squares = funk_hecke(sigma.derivative, dim=dim, max_degree=max_degree + 1) ** 2
        k = np.arange(max_degree + 1)
        below = np.concatenate([[0.0], squares[:-2]])
        step = (k * below + (k + dim - 2) * squares[1:]) / np.maximum(2 * k + dim - 2, 1)
        if dim == 2:
            step[0] = squares[1]  # t P_0 = P_1, where the recursion reads 0 / 0
        mu += scale**2 * (gamma**2 * squares[:-1] + step)
    return mu, counts


def multiplicities(dim, max_degree):
    """Returns N_k [K+1], the dimension of the spherical harmonics of degree k on S^{d-1}.

    N_k = C(k+d-1, d-1) - C(k+d-3, d-1); int64, or float64 where a count passes the range of int64. A count past
    1.8e308 (high degrees of d in the hundreds) stands as the largest float64, and its mu_k underflows to about 0.

    Raises:
        ValueError: dim < 2 or max_degree < 0.

    >>> multiplicities(3, 3).tolist()
    [1, 3, 5, 7]
    """
    if dim < 2:
        raise ValueError(f"dim must be at least 2 for a sphere with a spectrum, not {dim}")
    if max_degree < 0:
        raise ValueError(f"max_degree must be at least 0, not {max_degree}")
    counts, largest = [1], int(np.finfo(np.float64).max)
    for k in range(max_degree):  # N_{k+1} / N_k = (2k+d) (k+d-2) / ((k+1) (2k+d-2)), which at k = 0 is d
        ahead = counts[k] * (2 * k + dim) * (k + dim - 2) // ((k + 1) * (2 * k + dim - 2)) if k else dim
        counts.append(ahead)
        if ahead > largest:
            break
    counts = [min(count, largest) for count in counts] + [largest] * (max_degree + 1 - len(counts))
    return np.array(counts, np.int64 if max(counts) < 2**63 else np.float64)


def funk_hecke(fn, *, dim, max_degree):
    """Returns the Funk-Hecke coefficients <f>_k = E[f(t) P_k(t)] [K+1], t a coordinate of a uniform point on S^{d-1}.

    P_k is the Gegenbauer polynomial with P_k(1) = 1. For a zonal kernel f(x.x') these are its eigenvalues.

    Args:
        fn: elementwise function on [-1, 1], evaluated in float64; smooth but at 0 and, in the angle, at +-1.
        dim: dimension d >= 2.
        max_degree: largest degree K.
    """
    theta, weights = _angles(dim, max_degree)
    t = np.cos(theta)
    weighted = weights * activations.on_host(fn, t)
    return np.array([weighted @ p for p in _gegenbauer(t, dim, max_degree)])


def trace(*, dim, activation, scale=1.0, gamma=0.0, part="both"):
    """Returns k(x, x) on the sphere, which is the trace of the operator, sum_k N_k mu_k, by quadrature.

    k(x, x) = E[sigma(t)^2] + R^2 (1 + gamma^2) E[sigma'(t)^2], t a coordinate of a uniform point on S^{d-1}.

    Args:
        dim, activation, scale, gamma, part: as `eigenvalues`.
    """
    empirical.check_part(part)
    sigma = activations.get(activation)
    multiplicities(dim, 0)  # checks dim
    theta, weights = _angles(dim, 0)
    output, inner = (weights @ activations.on_host(fn, np.cos(theta)) ** 2 for fn in sigma)
    inner *= scale**2 * (1 + gamma**2)
    return float({"output": output, "input": inner, "both": output + inner}[part])


def trace_error(mu, multiplicity, *, dim, activation, scale=1.0, gamma=0.0, part="both"):
    """Returns the share of the trace that a spectrum lacks, 1 - sum_k N_k mu_k / k(x, x): its own error estimate.

    As every N_k mu_k is positive and |P_k| <= 1, it bounds what the series of the kernel lacks anywhere, relative to
    k(x, x). It is negative, of the order of rounding, where nothing is missing.

    Args:
        mu, multiplicity: as `eigenvalues` returns them [K+1].
        dim, activation, scale, gamma, part: as `eigenvalues`.
    """
    whole = trace(dim=dim, activation=activation, scale=scale, gamma=gamma, part=part)
    return float(1 - np.asarray(mu, np.float64) @ np.asarray(multiplicity, np.float64) / whole)


def zonal_kernel(t, *, dim, activation, max_degree, scale=1.0, gamma=0.0, part="both"):
    """Returns the infinite-width kernel at x.x' = t between unit vectors, k(t) = sum_k N_k mu_k P_k(t), to degree K.

    Args:
        t: inner products, any shape, in [-1, 1].
        dim, activation, max_degree, scale, gamma, part: as `eigenvalues`. What degrees past max_degree add is left out.

    Returns:
        Kernel values, float64, of the shape of t.

    Raises:
        ValueError: |t| > 1, or as `eigenvalues`.
    """
    t = np.clip(_check_cosine(t), -1, 1).astype(np.float64)
    mu, counts = eigenvalues(dim=dim, activation=activation, max_degree=max_degree, scale=scale, gamma=gamma, part=part)
    return sum(c * p for c, p in zip(mu * counts, _gegenbauer(t, dim, max_degree)))


def zonal_eigenfunctions(cosine, *, dim, max_degree):
    """Returns the eigenfunctions of every zonal operator on S^{d-1} that depend on t = x.pole alone, sqrt(N_k) P_k(t).

    One a degree, orthonormal for x uniform on the sphere. They follow the recursion of orthonormal polynomials,

        t e_k = A_k e_{k+1} + A_{k-1} e_{k-1},   A_k^2 = (k+1) (k+d-2) / ((2k+d) (2k+d-2)),

    which needs no large N_k.

    Args:
        cosine: t [n], inner products of unit vectors with one unit vector, the pole.
        dim: dimension d >= 2.
        max_degree: largest degree K.

    Returns:
        Values [n, K+1], of the type of cosine.

    Raises:
        ValueError: dim < 2 or max_degree < 0; |t| > 1, where the values are known.
    """
    multiplicities(dim, max_degree)  # checks both
    t = jnp.clip(_check_cosine(cosine), -1, 1)
    off = off_diagonal(dim, max_degree + 1)
    below = np.concatenate([[0.0], off[:-1]])

    def ahead(carry, coefficients):
        previous, current = carry
        back, forth = coefficients
        return (current, (t * current - back * previous) / forth), current

    steps = jnp.asarray(below, t.dtype), jnp.asarray(off, t.dtype)
    return jax.lax.scan(ahead, (jnp.zeros_like(t), jnp.ones_like(t)), steps)[1].T


def off_diagonal(dim, count):
    """Returns A_0 .. A_{count-1} of t e_k = A_k e_{k+1} + A_{k-1} e_{k-1}, e_k = sqrt(N_k) P_k."""
    k = np.arange(1, count)
    later = np.sqrt((k + 1) * (k + dim - 2) / ((2 * k + dim) * (2 * k + dim - 2)))
    return np.concatenate([[1 / np.sqrt(dim)], later])


def circle_eigenfunctions(angle, num_functions):
    """Returns the eigenfunctions of every zonal operator on the circle, 1, sqrt2 cos a, sqrt2 sin a, sqrt2 cos 2a, ...

    They are orthonormal under the uniform law and bounded by sqrt2; degree k >= 1 holds places 2k-1 and 2k (from 0).

    Args:
        angle: angles in radians [n].
        num_functions: how many functions.

    Returns:
        Values [n, num_functions].
    """
    cosine, sine = jnp.cos(angle)[:, None], jnp.sin(angle)[:, None]
    while cosine.shape[1] < num_functions // 2:  # addition theorems double the degrees: far cheaper than cosines
        top, side = cosine[:, -1:], sine[:, -1:]
        higher = top * cosine - side * sine, side * cosine + top * sine
        cosine, sine = jnp.concatenate([cosine, higher[0]], axis=1), jnp.concatenate([sine, higher[1]], axis=1)
    waves = np.sqrt(2) * jnp.stack([cosine, sine], axis=2).reshape(len(angle), -1)
    return jnp.concatenate([jnp.ones_like(waves[:, :1]), waves], axis=1)[:, :num_functions].astype(angle.dtype)


def _gegenbauer(t, dim, max_degree):
    """Yields P_0(t) .. P_K(t), normalised to P_k(1) = 1 (Chebyshev at d = 2, Legendre at d = 3)."""
    previous, current = np.ones_like(t), t
    for k in range(max_degree + 1):
        yield previous
        ahead = ((2 * k + dim) * t * current - (k + 1) * previous) / (k + dim - 1)
        previous, current = current, ahead


def _check_cosine(t):
    """Returns t, or raises ValueError where its values are known and some |t| passes 1 by more than rounding."""
    if not isinstance(t, jax.core.Tracer):
        t = t if isinstance(t, jax.Array) else np.asarray(t, getattr(t, "dtype", np.float64))
        largest = np.abs(np.asarray(t)).max(initial=0)
        if not largest <= 1 + 16 * np.finfo(t.dtype).eps:
            raise ValueError(
                f"t reaches {largest}: inner products of unit vectors lie in [-1, 1]; normalise the inputs"
            )
    return t


def _angles(dim, max_degree):
    """Returns quadrature angles and weights for the law of t = cos(theta), density proportional to sin^{d-2}(theta).

    Gauss-Legendre in theta over panels, which takes away the square root of arccos at t = +-1. Panels are narrow
    enough for degree K + d and shrink geometrically towards pi/2, where an activation may have a kink or a sharp bend.
    """
    num_panels = 4 + (max_degree + dim) // 16
    even = np.linspace(0, np.pi / 2, num_panels + 1)
    graded = np.pi / 2 * (1 - 0.5 ** np.arange(1, 25))
    edges = np.unique(np.concatenate([even, graded]))
    edges = np.concatenate([edges, np.pi - edges[-2::-1]])
    nodes, node_weights = special.roots_legendre(_PANEL_NODES)
    half = np.diff(edges)[:, None] / 2
    theta = (edges[:-1, None] + half * (1 + nodes)).ravel()
    weights = (half * node_weights).ravel() * np.sin(theta) ** (dim - 2)
    return theta, weights / weights.sum()
