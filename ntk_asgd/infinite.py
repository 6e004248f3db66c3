"""The neural tangent kernel of infinite width: k = k_a + k_b, the expectation over weights uniform on the sphere.

Axes: n1, n2 examples, d input dimensions, q quadrature nodes.
"""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

from ntk_asgd import activations, empirical

_RADII, _ANGLES = 24, 192  # quadrature nodes


def ntk(x1, x2, *, activation, scale=1.0, gamma=0.0, part="both"):
    """Returns the infinite-width neural tangent kernel of the two-layer network at its symmetric initialisation.

        k(x, x') = E[sigma(b.x) sigma(b.x')] + R^2 (x.x' + gamma^2) E[sigma'(b.x) sigma'(b.x')]

    with b uniform on the unit sphere of R^d. For ReLU, with theta the angle between x and x',

        k_a = |x| |x'| (sin theta + (pi - theta) cos theta) / (2 pi d)
        k_b = R^2 (x.x' + gamma^2) (pi - theta) / (2 pi).

    Other activations, which should be smooth, take a quadrature over the projection of b on the plane of x and x': some
    thousands of nodes a pair, good to 1e-5 for a sharpness up to 20, and to 1e-3 at 50, between inputs of length 1.

    The angle is 2 atan2(|u - u'|, |u + u'|) over unit vectors, which keeps its accuracy where arccos loses it. ReLU's
    kernel of an input of length zero is zero, as sigma'(0) = 0.

    Args:
        x1: inputs [n1, d].
        x2: inputs [n2, d]; x1 where None.
        activation: a name or a callable (see `activations.get`).
        scale: size R of the output weights.
        gamma: weight of the bias inside the activation.
        part: "both", "output" (k_a) or "input" (k_b).

    Returns:
        Kernel [n1, n2].

    Raises:
        ValueError: an unknown activation or part, or d < 2.

    References:
        Nitanda and Suzuki, arXiv 2006.12297, Section 3; Cho and Saul (2009), arc-cosine kernels of degree 0 and 1.
    """
    empirical.check_part(part)
    sigma = activations.get(activation)
    dim = x1.shape[1]
    if dim < 2:
        raise ValueError(f"inputs must have at least 2 dimensions for a kernel over the sphere, not {dim}")
    x2 = x1 if x2 is None else x2
    norm1, norm2 = _norm(x1), _norm(x2)
    unit1, unit2 = (x / jnp.where(norm > 0, norm, 1)[:, None] for x, norm in ((x1, norm1), (x2, norm2)))
    theta = jax.lax.map(lambda u: 2 * jnp.arctan2(_norm(u[None, :] - unit2), _norm(u[None, :] + unit2)), unit1)
    lengths = norm1[:, None] * norm2[None, :]
    cosine = jnp.cos(theta)
    kernel = jnp.zeros_like(theta)
    if part != "input":
        if activation == "relu":
            output = lengths * (jnp.sin(theta) + (jnp.pi - theta) * cosine) / (2 * jnp.pi * dim)
        else:
            output = _expectation(sigma.fn, norm1, norm2, theta, dim)
        kernel = kernel + output
    if part != "output":
        if activation == "relu":
            slopes = jnp.where(lengths > 0, (jnp.pi - theta) / (2 * jnp.pi), 0)
        else:
            slopes = _expectation(sigma.derivative, norm1, norm2, theta, dim)
        kernel = kernel + scale**2 * (lengths * cosine + gamma**2) * slopes
    return kernel


def _expectation(fn, norm1, norm2, theta, dim):
    """Returns E[fn(b.x) fn(b.x')] [n1, n2] by quadrature.

    In the plane of x and x' the projection of b has a uniform direction phi and a squared radius of law
    Beta(1, (d-2)/2), so that (b.x, b.x') = radius (|x| cos phi, |x'| cos(phi - theta)).
    """
    if dim == 2:
        radius, radius_weights = np.ones(1), np.ones(1)
    else:
        nodes, radius_weights = special.roots_jacobi(_RADII, (dim - 4) / 2, 0)
        radius, radius_weights = np.sqrt((nodes + 1) / 2), radius_weights / radius_weights.sum()
    phi = np.arange(_ANGLES) * (2 * np.pi / _ANGLES)
    dtype = theta.dtype
    along, across = (jnp.asarray((radius[:, None] * wave(phi)[None, :]).ravel(), dtype) for wave in (np.cos, np.sin))
    weights = jnp.asarray(np.repeat(radius_weights / _ANGLES, _ANGLES), dtype)

    def row(norm_and_theta):
        norm, angle = norm_and_theta
        first = fn(norm * along)
        towards = jnp.cos(angle)[:, None] * along[None, :] + jnp.sin(angle)[:, None] * across[None, :]
        second = fn(norm2[:, None] * towards)
        return jnp.matmul(second, weights * first, precision=jax.lax.Precision.HIGHEST)

    return jax.lax.map(row, (norm1, theta))


def _norm(x):
    """Returns the lengths of the rows of x, with gradient zero where a length is zero."""
    square = jnp.sum(x**2, axis=1)
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)
