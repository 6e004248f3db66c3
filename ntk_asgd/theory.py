"""The paper's rates, schedules and bound, and the expected error of the reference ASGD. Host code in float64.

r: source condition; beta: decay, lambda_i = Theta(i^{-beta}); T: samples; eta: step size; lambda: regularisation.
"""

from typing import NamedTuple

import numpy as np
from scipy import optimize

from ntk_asgd import spectrum


def rate_exponent(r, beta, *, misspecified=False):
    """Returns the exponent p of the optimal rate T^{-p}, p = 2 r beta / (2 r beta + 1).

    Args:
        r: source condition, the target lies in Sigma^r(L2); in [1/2, 1].
        beta: decay exponent of the eigenvalues, above 1.
        misspecified: whether to give the formula's value outside the theorem too, for any positive r and beta.

    Raises:
        ValueError: r outside [1/2, 1] or beta <= 1; where misspecified, r or beta not positive.

    References:
        Nitanda and Suzuki, arXiv 2006.12297, Corollary 1.

    >>> rate_exponent(1.0, 2.0)
    0.8
    """
    _check(r, beta, misspecified)
    return 2 * r * beta / (2 * r * beta + 1)


def regularization(num_samples, r, beta, *, constant=1.0, misspecified=False):
    """Returns the regularisation lambda = C T^{-beta / (2 r beta + 1)} of Corollary 1, whose rate any C > 0 keeps.

    Args:
        num_samples: number of steps T, one fresh sample each.
        r: source condition, in [1/2, 1].
        beta: decay exponent of the eigenvalues, above 1.
        constant: C.
        misspecified: as `rate_exponent`.

    Raises:
        ValueError: num_samples < 1, or r and beta as `rate_exponent`.

    References:
        Nitanda and Suzuki, arXiv 2006.12297, Corollary 1.
    """
    _check(r, beta, misspecified)
    if np.any(np.asarray(num_samples) < 1):
        raise ValueError(f"num_samples must be at least 1, not {num_samples}")
    return constant * num_samples ** (-beta / (2 * r * beta + 1))


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


def max_learning_rate(regularization):
    """Returns the largest step size of Theorem 1, eta = 1 / (4 (6 + lambda)).

    References:
        Nitanda and Suzuki, arXiv 2006.12297, Theorem 1.
    """
    return 1 / (4 * (6 + regularization))


class Bound(NamedTuple):
    """The terms of Theorem 1's bound on the excess risk, each without the universal constant alpha."""

    source: float  # lambda^{2r} ||Sigma^{-r} g_rho||^2
    initial: float  # ||g_rho||_H^2 / (T+1)
    step_size: float  # ||g_rho||_H^2 / (lambda eta^2 (T+1)^2)
    variance: float  # (1 + ||g_rho||^2 + ||Sigma^{-r} g_rho||^2) N(lambda) / (T+1)


def bound(
    eigenvalues, coefficients, *, r, regularization, num_samples, learning_rate, multiplicity=None, misspecified=False
):
    """Returns the terms of Theorem 1's bound, a `Bound`: the excess risk is at most alpha times their sum, plus eps.

    alpha is a universal constant and eps the distance of the network from the reference ASGD. The theorem asks for
    4 (6 + lambda) eta <= 1 (`max_learning_rate`); the terms are evaluated at any eta.

    Args:
        eigenvalues: lambda_i [N], or one a degree where multiplicities are given.
        coefficients: g_i [N], or the norm of g_rho in each degree's eigenspace.
        r: source condition.
        regularization: lambda > 0.
        num_samples: T.
        learning_rate: eta.
        multiplicity: of each eigenvalue; one each where left out.
        misspecified: whether to take r outside [1/2, 1] too.

    Returns:
        `Bound` of floats; a term is infinite where g_rho has a coefficient on an eigenvalue of zero.

    Raises:
        ValueError: r outside [1/2, 1], or a regularization, num_samples or learning_rate that is not positive.

    References:
        Nitanda and Suzuki, arXiv 2006.12297, Theorem 1.
    """
    _check(r, 2, misspecified)
    if not num_samples >= 1 or not learning_rate > 0:
        raise ValueError(f"num_samples={num_samples} and learning_rate={learning_rate} must be positive")
    free = spectrum.degrees_of_freedom(eigenvalues, regularization, multiplicity)
    norm, source, rkhs = (source_norm(eigenvalues, coefficients, order) ** 2 for order in (0, r, 0.5))
    total = num_samples + 1
    return Bound(
        source=regularization ** (2 * r) * source,
        initial=rkhs / total,
        step_size=rkhs / (regularization * (learning_rate * total) ** 2),
        variance=(1 + norm + source) * free / total,
    )


def source_norm(eigenvalues, coefficients, r):
    """Returns ||Sigma^{-r} g|| = (sum_i (g_i / lambda_i^r)^2)^{1/2}; infinite where lambda_i = 0 carries a coefficient.

    r = 0 gives the norm in L2(rho_X), r = 1/2 that of the RKHS.
    """
    eigenvalues, coefficients = np.asarray(eigenvalues, np.float64), np.asarray(coefficients, np.float64)
    if r == 0:
        return float(np.linalg.norm(coefficients))
    seen = eigenvalues > 0
    if coefficients[~seen].any():
        return float("inf")
    return float(np.linalg.norm(coefficients[seen] / eigenvalues[seen] ** r))


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
        learning_rate: eta; every a_i must lie in (0, 2).
        regularization: lambda > 0.
        noise: standard deviation of the observations.

    Returns:
        Two floats. Host code in float64.

    Raises:
        ValueError: a step size for which some a_i leaves (0, 2), where the mean of the iterates does not converge.

    References:
        Nitanda and Suzuki, arXiv 2006.12297, Theorem 1, whose bias and variance terms bound these two.
    """
    settings = {"num_samples": num_samples, "learning_rate": learning_rate, "regularization": regularization}
    bias = reference_mean(eigenvalues, coefficients, **settings) - np.asarray(coefficients, np.float64)
    eigenvalues, total = np.asarray(eigenvalues, np.float64), num_samples + 1
    a = learning_rate * (eigenvalues + regularization)
    p = 1 - a
    sum_p, sum_p2 = p * (1 - p**num_samples) / a, p**2 * (1 - p ** (2 * num_samples)) / (1 - p**2)
    variance = (noise * learning_rate * eigenvalues / (a * total)) ** 2 * (num_samples - 2 * sum_p + sum_p2)
    return float(np.sum(bias**2)), float(variance.sum())


def reference_mean(eigenvalues, coefficients, *, num_samples, learning_rate, regularization):
    """Returns E gbar_i [N] of `reference_error`: exact for the random design too, as a sample is independent of g_t.

    Args and Raises: as `reference_error`.
    """
    eigenvalues, coefficients = np.asarray(eigenvalues, np.float64), np.asarray(coefficients, np.float64)
    a, total = learning_rate * (eigenvalues + regularization), num_samples + 1
    if not ((a > 0) & (a < 2)).all():
        raise ValueError("learning_rate * (eigenvalue + regularization) must lie in (0, 2) for every eigenvalue")
    limit = eigenvalues / (eigenvalues + regularization) * coefficients
    return limit * (1 - (1 - (1 - a) ** total) / (a * total))


def averaging_error(eigenvalues, coefficients, weights, *, learning_rate, regularization, noise):
    """Returns (bias [q], variance [q]) as `reference_error`, of any weighted averages sum_t w_t g_t of the iterates.

    For p_u,i = 1 - eta_u (lambda_i + lambda) and b_s = sum_{t > s} w_t prod_{s < u < t} p_u, gathered from the last
    step back,

        E gbar_i = lambda_i g_i sum_s eta_s b_s,   Var gbar_i = (noise lambda_i)^2 sum_s (eta_s b_s)^2.

    Args:
        eigenvalues: lambda_i [N].
        coefficients: g_i [N].
        weights: w_t of g_0 .. g_T [q, T+1], such as `weighting.weights`.
        learning_rate: eta, one for all steps or [T].
        regularization: lambda.
        noise: standard deviation of the observations.

    Returns:
        Two arrays. Host code in float64, T steps of q N multiplications.
    """
    eigenvalues, coefficients = np.asarray(eigenvalues, np.float64), np.asarray(coefficients, np.float64)
    weights = np.atleast_2d(np.asarray(weights, np.float64))
    num_samples = weights.shape[1] - 1
    eta = np.broadcast_to(np.asarray(learning_rate, np.float64), (num_samples,))
    later = mean = square = np.zeros((len(weights), len(eigenvalues)))
    for s in reversed(range(num_samples)):
        keeps = 1 - eta[s + 1] * (eigenvalues + regularization) if s + 1 < num_samples else 0.0
        later = weights[:, s + 1, None] + keeps * later
        mean, square = mean + eta[s] * later, square + (eta[s] * later) ** 2
    bias = eigenvalues * coefficients * mean - coefficients
    return np.sum(bias**2, axis=1), np.sum((noise * eigenvalues) ** 2 * square, axis=1)


def balancing_constant(
    eigenvalues, coefficients, *, bias_over_variance, num_samples, r, beta, learning_rate, noise, misspecified=False
):
    """Returns the C of lambda = C T^{-beta/(2 r beta+1)} at which `reference_error` has the given bias over variance.

    Args:
        eigenvalues, coefficients, learning_rate, noise: as `reference_error`; noise above 0.
        bias_over_variance: the ratio at T.
        num_samples: T.
        r, beta, misspecified: as `rate_exponent`.

    Raises:
        ValueError: no C in [1e-6, 1e6] gives the ratio with a stable step size.
    """
    unit = regularization(num_samples, r, beta, misspecified=misspecified)

    def excess(log_constant):
        bias, variance = reference_error(
            eigenvalues,
            coefficients,
            num_samples=num_samples,
            learning_rate=learning_rate,
            regularization=np.exp(log_constant) * unit,
            noise=noise,
        )
        return np.log(bias) - np.log(variance * bias_over_variance)

    highest = (1.999 / learning_rate - np.max(eigenvalues)) / unit  # beyond it the reference ASGD diverges
    low, high = np.log(1e-6), np.log(min(1e6, highest)) if highest > 1e-6 else -np.inf
    if not (low < high and excess(low) < 0 < excess(high)):
        raise ValueError(
            f"no lambda gives a bias of {bias_over_variance} times the variance at T={num_samples}: raise one of them"
        )
    return float(np.exp(optimize.brentq(excess, low, high, xtol=1e-10)))


def _check(r, beta, misspecified=False):
    if misspecified:
        if not (np.all(np.asarray(r) > 0) and np.all(np.asarray(beta) > 0)):
            raise ValueError(f"r={r} and beta={beta} must be positive")
        return
    if not np.all((np.asarray(r) >= 0.5) & (np.asarray(r) <= 1)):
        raise ValueError(f"r must lie in [1/2, 1], where the theorem holds, not {r}")
    if not np.all(np.asarray(beta) > 1):
        raise ValueError(f"beta must be above 1, where the kernel has a trace, not {beta}")
