"""Bayes rules with a known source condition, and streams of samples with bounded noise.

Coordinates are those of the integral operator's eigenfunctions, in the order of its eigenvalues.
"""

import jax
import numpy as np


def source_coefficients(eigenvalues, r, *, sup_norm, eigenfunction_bound):
    """Returns the coefficients g_i of a Bayes rule on the edge of the source condition of order r.

    g_i is proportional to lambda_i^r i^{-1/2} / log(i+1): up to the factor, Sigma^{-r} g_rho has the squared norm
    sum_i 1 / (i log(i+1)^2), which is finite, and any larger r would make it infinite. The factor is the one that
    bounds the function: eigenfunction_bound * sum_i |g_i| = sup_norm.

    Args:
        eigenvalues: lambda_i [N], descending, positive.
        r: order of the source condition.
        sup_norm: bound on sup_x |g_rho(x)|.
        eigenfunction_bound: bound on sup_x |e_i(x)|.

    Returns:
        Coefficients [N], float64. Host code.

    References:
        Nitanda and Suzuki, arXiv 2006.12297, Assumption A3 (source condition) and A2 (bounded outputs).
    """
    index = np.arange(1, len(eigenvalues) + 1)
    shape = np.asarray(eigenvalues, np.float64) ** r / (np.sqrt(index) * np.log(index + 1))
    return sup_norm * shape / (eigenfunction_bound * shape.sum())


def circle_sample(key, step, *, noise):
    """Returns (angle, disturbance): the input of one step, uniform on the circle, and the noise of its observation.

    The disturbance is +-noise evenly: bounded, with standard deviation `noise`. A stream is a key; its sample at a step
    is a function of the two alone.

    Args:
        key: typed key of the stream.
        step: index of the sample.
        noise: size of the disturbance, at least 0.
    """
    key_angle, key_sign = jax.random.split(jax.random.fold_in(key, step))
    return jax.random.uniform(key_angle, maxval=2 * np.pi), noise * jax.random.rademacher(key_sign, (), float)
