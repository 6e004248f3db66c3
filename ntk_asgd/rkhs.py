"""The reference ASGD, the averaged descent in the RKHS that Algorithm 1 follows, and its limit, kernel ridge.

g_0 = 0 and, on one fresh sample (x_t, y_t) a step,

    g_{t+1} = (1 - eta lambda) g_t - eta (g_t(x_t) - y_t) k(x_t, .),

for the kernel k of a network at its initialisation (then this is Algorithm 1 on the network's linearisation, exactly)
or for the kernel of infinite width. Functions are held by their coordinates in the kernel's eigenfunctions
(`reference_step`), where the risk is known exactly, or by their expansion in k(x_s, .)
(`kernel_coefficients`), which needs the Gram matrix of the samples alone. The iterates diverge for eta from
2 / (sup k + lambda) on.

References:
    Nitanda and Suzuki, arXiv 2006.12297, Section 4.1 (reference ASGD).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ntk_asgd import asgd


class ReferenceState(NamedTuple):
    """Reference ASGD after t = `num_steps` steps, in the coordinates of the kernel's eigenfunctions."""

    coefficients: jax.Array  # of g_t [N]
    mean: jax.Array  # over the averaged iterates, all of 0..t unless a tail is asked for [N]
    num_steps: jax.Array  # t, int32


def check_step_size(learning_rate, regularization, sup_k):
    """Checks that eta lambda < 1, which `asgd.unroll` needs, and that eta (sup k + lambda) < 2. Host code.

    Args:
        learning_rate: eta, the largest.
        regularization: lambda, the largest.
        sup_k: sup_x k(x, x).

    Raises:
        ValueError: the step size and lambda break a bound.
    """
    pull, whole = learning_rate * regularization, learning_rate * (sup_k + regularization)
    if not (pull < 1 and whole < 2):
        raise ValueError(
            f"eta lambda = {pull:.3g} must be below 1 and eta (sup k + lambda) = {whole:.3g} below 2, or the iterates "
            f"diverge (eta = {learning_rate:.3g}, lambda = {regularization:.3g}); lower one"
        )


def reference_init(num_functions):
    """Returns the state of the reference ASGD at g_0 = 0, with `num_functions` eigenfunctions."""
    zeros = jnp.zeros(num_functions)
    return ReferenceState(zeros, zeros, jnp.zeros((), jnp.int32))


def reference_step(state, features, y, *, eigenvalues, learning_rate, regularization, average_from=0, horizon=None):
    """Returns the state after one step of the reference ASGD on one fresh sample, and {"loss"}.

    k(x, .) = sum_i lambda_i e_i(x) e_i has coefficients lambda_i e_i(x). The distance of the mean to the Bayes rule in
    L2(rho_X) is then the distance of the coefficients, exactly.

    Args:
        state: `ReferenceState`.
        features: e_i(x) [N] at the sample.
        y: its observation, a scalar.
        eigenvalues: lambda_i [N].
        learning_rate: eta, or a function of the step's index.
        regularization: lambda.
        average_from: first iterate of the mean, as in `asgd.step`.
        horizon: T, as in `asgd.step`.

    Returns:
        The new `ReferenceState` and {"loss": (g(x) - y)^2 / 2 before the step}.
    """
    now = asgd.rates(state.num_steps, learning_rate, regularization, average_from, horizon)
    residual = jnp.vdot(state.coefficients, features) - y
    gradient = residual * eigenvalues * features
    coefficients = state.coefficients - now.pull * state.coefficients - now.eta * gradient
    mean = state.mean + now.weight.astype(state.mean.dtype) * (coefficients - state.mean)
    return ReferenceState(coefficients, mean, state.num_steps + now.moves), {"loss": jnp.square(residual) / 2}


class Expansion(NamedTuple):
    """The reference ASGD after T steps as sum_s c_s k(x_s, .), in the coefficients c [T]."""

    averaged: jax.Array  # of the mean of the iterates
    last: jax.Array  # of the last iterate
    residuals: jax.Array  # g_s(x_s) - y_s before step s


def kernel_coefficients(gram, y, *, learning_rate, regularization, average_from=0, horizon=None):
    """Returns the reference ASGD on T samples in order, g = sum_s c_s k(x_s, .), as an `Expansion`.

    g_t = -sum_{s<t} L_ts r_s k(x_s, .) with L_ts = eta (1 - eta lambda)^{t-1-s}, so the residuals r_t = g_t(x_t) - y_t
    solve the unit lower triangular system (I + L * K) r = -y, * elementwise.

    Args:
        gram: k(x_s, x_t) [T, T] of the samples in their order.
        y: their observations [T].
        learning_rate: eta, or a function of the step's index, eta lambda < 1.
        regularization: lambda.
        average_from: first iterate of the mean, as in `asgd.step`.
        horizon: number of samples used, all T where left out: runs of unequal length map as one.

    Returns:
        `Expansion`: the function at new inputs is `kernel(x, samples) @ averaged`.

    Raises:
        ValueError: a Gram matrix that does not fit the observations.
    """
    _check_gram(gram, y)
    steps = asgd.unroll(jnp.zeros((), jnp.int32), y.shape[0], learning_rate, regularization, average_from, horizon)
    residuals = _solve(steps.response[:-1] * gram, -y)
    return Expansion(-steps.mean_response * residuals, -steps.response[-1] * residuals, residuals)


def kernel_ridge(gram, y, regularization):
    """Returns the coefficients c [T] of kernel ridge regression, (K + T lambda I)^{-1} y.

    sum_s c_s k(x_s, .) minimises mean_s (g(x_s) - y_s)^2 / 2 + lambda / 2 ||g||_H^2.

    Args:
        gram: k(x_s, x_t) [T, T].
        y: observations [T].
        regularization: lambda > 0.

    Raises:
        ValueError: a Gram matrix that does not fit the observations.
    """
    _check_gram(gram, y)
    ridge = y.shape[0] * regularization * jnp.eye(y.shape[0], dtype=gram.dtype)
    return jax.scipy.linalg.solve(gram + ridge, y, assume_a="pos")


def ridge_limit(eigenvalues, coefficients, regularization):
    """Returns the minimiser of the regularised risk, lambda_i / (lambda_i + lambda) g_i [N], from the Bayes rule's g_i.

    The averaged iterates tend to it: its distance to the Bayes rule is the bias that lambda costs.
    """
    return eigenvalues / (eigenvalues + regularization) * coefficients


def _solve(strictly_lower, right):
    """Returns r of (I + L) r = right, for L [K, K] strictly lower triangular."""
    return jax.scipy.linalg.solve_triangular(strictly_lower, right, lower=True, unit_diagonal=True)


def _check_gram(gram, y):
    if y.ndim != 1 or gram.shape != (y.shape[0],) * 2:
        raise ValueError(f"gram must be [T, T] for observations y [T], not {gram.shape} for {y.shape}")
