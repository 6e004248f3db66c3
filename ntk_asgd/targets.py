"""Bayes rules with a known source condition, and streams of samples with bounded noise.

Coordinates are those of the integral operator's eigenfunctions, in the order of its eigenvalues. A stream is a key: its
sample at a step is a function of the two alone, so each is drawn once and a resumed run draws the same.
"""

import jax
import jax.numpy as jnp
import numpy as np

NOISES = ("sign", "uniform")


def source_coefficients(eigenvalues, r, *, sup_norm, eigenfunction_bound, tail=None):
    """Returns the coefficients g_i of a Bayes rule on the edge of the source condition of order r.

    g_i is proportional to lambda_i^r i^{-1/2} / log(i+1): up to the factor, Sigma^{-r} g_rho has the squared norm
    sum_i 1 / (i log(i+1)^2), which is finite, and any larger r would make it infinite. With a `tail` it is proportional
    to lambda_i^r i^{-(1+tail)/2} instead: inside the edge by tail / (2 beta) in r, but free of the logarithm, which at
    a finite T bends the error by as much as a power does. The factor is the one that bounds the function:
    eigenfunction_bound * sum_i |g_i| = sup_norm.

    Args:
        eigenvalues: lambda_i [N], descending, not negative.
        r: order of the source condition.
        sup_norm: bound on sup_x |g_rho(x)|.
        eigenfunction_bound: bound on sup_x |e_i(x)|.
        tail: positive, or None for the logarithm.

    Returns:
        Coefficients [N], float64. Host code.

    Raises:
        ValueError: a tail that is not positive.

    References:
        Nitanda and Suzuki, arXiv 2006.12297, Assumption A3 (source condition) and A2 (bounded outputs).
    """
    if tail is not None and not 0 < tail < np.inf:
        raise ValueError(f"tail must be positive, not {tail}: at 0 the source condition fails")
    index = np.arange(1, len(eigenvalues) + 1)
    edge = index**-0.5 / np.log(index + 1) if tail is None else index ** (-(1 + tail) / 2)
    shape = np.asarray(eigenvalues, np.float64) ** r * edge
    return sup_norm * shape / (eigenfunction_bound * shape.sum())


def eigenfunction_average(num_functions, first=3, last=12):
    """Returns the coefficients [num_functions] of the mean of eigenfunctions first..last, places counted from 1.

    The paper's target is the "average of the eigenfunctions of the 10 largest eigenvalues excluding the first and
    second": ten of them, 3..12, or those left of the ten largest, 3..10.

    Raises:
        ValueError: places outside 1..num_functions, or none.

    References:
        Nitanda and Suzuki, arXiv 2006.12297, Figure 2.

    >>> eigenfunction_average(6, 3, 4).tolist()
    [0.0, 0.0, 0.5, 0.5, 0.0, 0.0]
    """
    if not 1 <= first <= last <= num_functions:
        raise ValueError(f"places {first}..{last} must lie in 1..{num_functions}")
    coefficients = np.zeros(num_functions)
    coefficients[first - 1 : last] = 1 / (last - first + 1)
    return coefficients


def check_visible(eigenvalues, coefficients, *, degrees=None, floor=1e-28):
    """Raises where a Bayes rule has coefficients on eigenvalues of zero: no descent in that kernel can learn them.

    Without a bias (gamma = 0) the ReLU kernels are blind to every odd degree from 3 on, and the output layer's kernel
    is at any gamma.

    Args:
        eigenvalues: lambda_i [N].
        coefficients: g_i [N].
        degrees: degree of each place [N], for the message; the place itself, from 1, where left out.
        floor: eigenvalues up to this share of the largest count as zero: what quadrature leaves of an exact zero.

    Raises:
        ValueError: naming the degrees, and the excess risk that stays.
    """
    eigenvalues, coefficients = np.asarray(eigenvalues, np.float64), np.asarray(coefficients, np.float64)
    unseen = (eigenvalues <= floor * eigenvalues.max()) & (coefficients != 0)
    if unseen.any():
        word = "eigenfunctions" if degrees is None else "degrees"
        listed = np.arange(1, len(eigenvalues) + 1) if degrees is None else np.asarray(degrees)
        listed = np.unique(listed[unseen]).tolist()
        shown = ", ".join(map(str, listed[:5])) + (", .." if len(listed) > 5 else "")
        raise ValueError(
            f"the kernel's eigenvalues are zero on {word} {shown}, where the target has coefficients: the excess risk "
            f"stays at {np.sum(coefficients[unseen] ** 2):.3g} or more; choose a target without them, a gamma above 0 "
            "where it is 0, or another activation"
        )


def circle_sample(key, step, *, noise, kind="sign"):
    """Returns (angle, disturbance): the input of one step, uniform on the circle, and the noise of its observation.

    Args:
        key: typed key of the stream.
        step: index of the sample.
        noise: standard deviation of the disturbance, at least 0.
        kind: law of the disturbance, as in `disturbance`.
    """
    key_angle, key_noise = jax.random.split(jax.random.fold_in(key, step))
    return jax.random.uniform(key_angle, maxval=2 * np.pi), disturbance(key_noise, noise=noise, kind=kind)


def sphere_sample(key, step, *, dim, noise, kind="sign"):
    """Returns (x [d], disturbance): the input of one step, uniform on the sphere S^{d-1}, and its observation's noise.

    Args:
        key: typed key of the stream.
        step: index of the sample.
        dim: dimension d >= 1.
        noise: standard deviation of the disturbance, at least 0.
        kind: law of the disturbance, as in `disturbance`.
    """
    key_input, key_noise = jax.random.split(jax.random.fold_in(key, step))
    x = jax.random.normal(key_input, (dim,))
    return x / jnp.linalg.norm(x), disturbance(key_noise, noise=noise, kind=kind)


def disturbance(key, *, noise, kind="sign"):
    """Returns bounded noise of mean zero and standard deviation `noise`.

    Args:
        key: typed key.
        noise: standard deviation, at least 0.
        kind: "sign", +-noise evenly, or "uniform" on [-sqrt3 noise, sqrt3 noise].

    Raises:
        ValueError: an unknown kind.
    """
    if kind == "sign":
        return noise * jax.random.rademacher(key, (), float)
    if kind == "uniform":
        return noise * jax.random.uniform(key, minval=-np.sqrt(3), maxval=np.sqrt(3))
    raise ValueError(f"noise kind {kind!r} is unknown (known: {', '.join(NOISES)})")
