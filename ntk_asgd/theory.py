"""The paper's rates and schedules. r: source condition; beta: decay, lambda_i = Theta(i^{-beta}); T: samples."""

import numpy as np


def rate_exponent(r, beta):
    """Returns the exponent p of the optimal rate T^{-p}, p = 2 r beta / (2 r beta + 1).

    Args:
        r: source condition, the target lies in Sigma^r(L2); in [1/2, 1].
        beta: decay exponent of the eigenvalues, above 1.

    Raises:
        ValueError: r outside [1/2, 1] or beta <= 1.

    References:
        Nitanda and Suzuki, arXiv 2006.12297, Corollary 1.

    >>> rate_exponent(1.0, 2.0)
    0.8
    """
    _check(r, beta)
    return 2 * r * beta / (2 * r * beta + 1)


def regularization(num_samples, r, beta):
    """Returns the regularisation lambda = T^{-beta / (2 r beta + 1)} of Corollary 1.

    Args:
        num_samples: number of steps T, one fresh sample each.
        r: source condition, in [1/2, 1].
        beta: decay exponent of the eigenvalues, above 1.

    Raises:
        ValueError: num_samples < 1, r outside [1/2, 1] or beta <= 1.

    References:
        Nitanda and Suzuki, arXiv 2006.12297, Corollary 1.
    """
    _check(r, beta)
    if np.any(np.asarray(num_samples) < 1):
        raise ValueError(f"num_samples must be at least 1, not {num_samples}")
    return num_samples ** (-beta / (2 * r * beta + 1))


def decay_exponent(dim):
    """Returns beta = d / (d-1), the eigenvalue decay of the ReLU network's kernel on the sphere of R^d.

    Raises:
        ValueError: dim < 2.

    References:
        Nitanda and Suzuki, arXiv 2006.12297, Corollary 2.
    """
    if dim < 2:
        raise ValueError(f"dim must be at least 2, not {dim}")
    return dim / (dim - 1)


def reference_error(eigenvalues, coefficients, *, num_samples, learning_rate, regularization, noise):
    """Returns (bias, variance), the expected error ||mean g_t - g_rho||^2 of the reference ASGD after T steps.

    With the random operator of a step replaced by its mean Sigma, the recursion is linear with additive noise. For
    a_i = eta (lambda_i + lambda), p_i = 1 - a_i and gbar the mean of g_0 .. g_T,

        E gbar_i   = lambda_i / (lambda_i + lambda) g_i (1 - (1 - p_i^{T+1}) / (a_i (T+1))),
        Var gbar_i = (noise eta lambda_i)^2 / (a_i (T+1))^2 sum_{s=1..T} (1 - p_i^s)^2.

    It lacks the noise of the random design, which is small where noise^2 is large beside the error of g_t. Its slope in
    T is what the rate looks like at a finite T, lower-order terms included.

    Args:
        eigenvalues: lambda_i [N].
        coefficients: g_i [N].
        num_samples: T.
        learning_rate: eta; every a_i must lie in (0, 1].
        regularization: lambda > 0.
        noise: standard deviation of the observations.

    Returns:
        Two floats. Host code in float64.

    Raises:
        ValueError: a step size for which some a_i leaves (0, 1].

    References:
        Nitanda and Suzuki, arXiv 2006.12297, Theorem 1, whose bias and variance terms bound these two.
    """
    eigenvalues, coefficients = np.asarray(eigenvalues, np.float64), np.asarray(coefficients, np.float64)
    a = learning_rate * (eigenvalues + regularization)
    if not ((a > 0) & (a <= 1)).all():
        raise ValueError("learning_rate * (eigenvalue + regularization) must lie in (0, 1] for every eigenvalue")
    p, total = 1 - a, num_samples + 1
    limit = eigenvalues / (eigenvalues + regularization) * coefficients
    bias = limit * (1 - (1 - p**total) / (a * total)) - coefficients
    sum_p, sum_p2 = p * (1 - p**num_samples) / a, p**2 * (1 - p ** (2 * num_samples)) / (1 - p**2)
    variance = (noise * learning_rate * eigenvalues / (a * total)) ** 2 * (num_samples - 2 * sum_p + sum_p2)
    return float(np.sum(bias**2)), float(variance.sum())


def _check(r, beta):
    if not np.all((np.asarray(r) >= 0.5) & (np.asarray(r) <= 1)):
        raise ValueError(f"r must lie in [1/2, 1], where the theorem holds, not {r}")
    if not np.all(np.asarray(beta) > 1):
        raise ValueError(f"beta must be above 1, where the kernel has a trace, not {beta}")
