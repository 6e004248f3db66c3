"""Averaged stochastic gradient descent: Algorithm 1 on any model, and the reference dynamics in the RKHS."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class State(NamedTuple):
    """Algorithm 1 after t = `num_steps` steps, as displacements from the initial weights w_0.

    Averages of displacements keep in float32 what averages of the weights, which hardly leave w_0, would round away.
    """

    initial: Any  # w_0
    displacement: Any  # w_t - w_0
    mean_displacement: Any  # mean over s = 0..t of w_s - w_0
    num_steps: jax.Array  # t, int32


def init(weights):
    """Returns the state of Algorithm 1 before its first step, from the initial weights (any pytree)."""
    zeros = jax.tree.map(jnp.zeros_like, weights)
    return State(weights, zeros, zeros, jnp.zeros((), jnp.int32))


def step(state, x, y, *, apply_fn, learning_rate, regularization):
    """Returns the state after one step of Algorithm 1 on one fresh sample, and {"loss"}.

        w <- w - eta grad l(w) - eta lambda (w - w_0),   l(w) = (g_w(x) - y)^2 / 2,

    and the mean of all iterates, w_0 and the new one among them, is updated as a running mean.

    Args:
        state: `State`.
        x: one input [d].
        y: its observation, a scalar.
        apply_fn: `apply_fn(weights, x [n, d])` -> [n].
        learning_rate: eta.
        regularization: lambda.

    Returns:
        The new `State` and {"loss": l(w) before the step}.

    References:
        Nitanda and Suzuki, arXiv 2006.12297, Algorithm 1.
    """

    def loss_fn(weights):
        return jnp.square(apply_fn(weights, x[None])[0] - y) / 2

    loss, gradient = jax.value_and_grad(loss_fn)(last_weights(state))
    shrink = 1 - learning_rate * regularization
    displacement = jax.tree.map(lambda w, g: shrink * w - learning_rate * g, state.displacement, gradient)
    num_steps = state.num_steps + 1
    mean = jax.tree.map(lambda m, w: _running_mean(m, w, num_steps), state.mean_displacement, displacement)
    return State(state.initial, displacement, mean, num_steps), {"loss": loss}


def last_weights(state):
    """Returns the weights of the last iterate, w_t."""
    return jax.tree.map(jnp.add, state.initial, state.displacement)


def averaged_weights(state):
    """Returns what Algorithm 1 returns: the mean of the weights over all iterates w_0 .. w_t."""
    return jax.tree.map(jnp.add, state.initial, state.mean_displacement)


class ReferenceState(NamedTuple):
    """Reference ASGD after t = `num_steps` steps, in the coordinates of the kernel's eigenfunctions."""

    coefficients: jax.Array  # of g_t [N]
    mean: jax.Array  # over s = 0..t [N]
    num_steps: jax.Array  # t, int32


def reference_init(num_functions):
    """Returns the state of the reference ASGD at g_0 = 0, with `num_functions` eigenfunctions."""
    zeros = jnp.zeros(num_functions)
    return ReferenceState(zeros, zeros, jnp.zeros((), jnp.int32))


def reference_step(state, features, y, *, eigenvalues, learning_rate, regularization):
    """Returns the state after one step of the reference ASGD on one fresh sample, and {"loss"}.

        g <- (1 - eta lambda) g - eta (g(x) - y) k(x, .)

    where k(x, .) = sum_i lambda_i e_i(x) e_i has coefficients lambda_i e_i(x). The distance of the mean to the Bayes
    rule in L2(rho_X) is then the distance of the coefficients, exactly.

    Args:
        state: `ReferenceState`.
        features: e_i(x) [N] at the sample.
        y: its observation, a scalar.
        eigenvalues: lambda_i [N].
        learning_rate: eta.
        regularization: lambda.

    Returns:
        The new `ReferenceState` and {"loss": (g(x) - y)^2 / 2 before the step}.

    References:
        Nitanda and Suzuki, arXiv 2006.12297, Section 4.1 (reference ASGD).
    """
    residual = jnp.vdot(state.coefficients, features) - y
    gradient = residual * eigenvalues * features
    coefficients = (1 - learning_rate * regularization) * state.coefficients - learning_rate * gradient
    num_steps = state.num_steps + 1
    mean = _running_mean(state.mean, coefficients, num_steps)
    return ReferenceState(coefficients, mean, num_steps), {"loss": jnp.square(residual) / 2}


def _running_mean(mean, value, num_steps):
    """Returns the mean over iterates 0..t, from that over 0..t-1, the iterate at t = `num_steps`."""
    return mean + (value - mean) / (num_steps + 1).astype(mean.dtype)
