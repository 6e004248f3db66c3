"""Averaged stochastic gradient descent: Algorithm 1 on any model, and on its linearisation."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class State(NamedTuple):
    """Algorithm 1 after t = `num_steps` steps, as displacements from the initial weights w_0.

    Averages of displacements keep in float32 what averages of the weights, which hardly leave w_0, would round away.
    """

    initial: Any  # w_0
    displacement: Any  # w_t - w_0
    mean_displacement: Any  # mean of w_s - w_0 over the averaged iterates s, all of 0..t unless a tail is asked for
    num_steps: jax.Array  # t, int32


def init(weights):
    """Returns the state of Algorithm 1 before its first step, from the initial weights (any pytree)."""
    zeros = jax.tree.map(jnp.zeros_like, weights)
    return State(weights, zeros, zeros, jnp.zeros((), jnp.int32))


def step(state, x, y, *, apply_fn, learning_rate, regularization, average_from=0, horizon=None):
    """Returns the state after one step of Algorithm 1 on one fresh sample or minibatch, and {"loss"}.

        w <- w - eta grad l(w) - eta lambda (w - w_0),   l(w) = (g_w(x) - y)^2 / 2,

    l meaned over a minibatch. The mean of all iterates, w_0 and the new one among them, is updated as a running mean.

    Args:
        state: `State`.
        x: one input [d], or a minibatch [b, d].
        y: its observation, a scalar, or [b].
        apply_fn: `apply_fn(weights, x [n, d])` -> [n].
        learning_rate: eta, or a function of the step's index t = 0, 1, .. that returns it (an optax schedule).
        regularization: lambda.
        average_from: the mean is over the iterates from this one on (a tail average); up to it, the mean is the last
            iterate.
        horizon: T, from which on a step leaves the state as it is, so that runs of unequal length map as one; no end
            where left out.

    Returns:
        The new `State` and {"loss": l(w) before the step}.

    References:
        Nitanda and Suzuki, arXiv 2006.12297, Algorithm 1.
    """
    if jnp.ndim(y) == 0:
        x, y = x[None], jnp.asarray(y)[None]

    def loss_fn(weights):
        return jnp.square(apply_fn(weights, x) - y).mean() / 2

    loss, gradient = jax.value_and_grad(loss_fn)(last_weights(state))
    now = rates(state.num_steps, learning_rate, regularization, average_from, horizon)
    displacement = jax.tree.map(lambda w, g: w - now.pull * w - now.eta * g, state.displacement, gradient)
    mean = jax.tree.map(lambda m, w: m + now.weight.astype(m.dtype) * (w - m), state.mean_displacement, displacement)
    return State(state.initial, displacement, mean, state.num_steps + now.moves), {"loss": loss}


def last_weights(state):
    """Returns the weights of the last iterate, w_t."""
    return jax.tree.map(jnp.add, state.initial, state.displacement)


def averaged_weights(state):
    """Returns what Algorithm 1 returns: the mean of the weights over the averaged iterates, all of w_0 .. w_t."""
    return jax.tree.map(jnp.add, state.initial, state.mean_displacement)


def linearize(apply_fn, weights):
    """Returns the model g(w_0) + grad g(w_0) . (w - w_0), as an `apply_fn(w, x)`, with w_0 = `weights`."""

    def linearized(moved, x):
        tangent = jax.tree.map(jnp.subtract, moved, weights)
        outputs, change = jax.jvp(lambda w: apply_fn(w, x), (weights,), (tangent,))
        return outputs + change

    return linearized


def freeze(apply_fn, trainable):
    """Returns the model whose leaves (or subtrees) marked False in `trainable` have no gradient, so never move."""

    def frozen(weights, x):
        kept = jax.tree.map(lambda train, part: part if train else jax.lax.stop_gradient(part), trainable, weights)
        return apply_fn(kept, x)

    return frozen


class Rates(NamedTuple):
    """The numbers of one step, or of K steps [K], of any averaged descent."""

    eta: jax.Array  # the step size; 0 from the horizon on
    pull: jax.Array  # eta lambda
    weight: jax.Array  # of the new iterate in the running mean
    moves: jax.Array  # 1, or 0 from the horizon on, int32


def rates(num_steps, learning_rate, regularization, average_from=0, horizon=None):
    """Returns the `Rates` of the step that leaves iterate t = `num_steps`; the other arguments are those of `step`."""
    eta = learning_rate(num_steps) if callable(learning_rate) else learning_rate
    moves = jnp.ones((), jnp.int32) if horizon is None else (num_steps < horizon).astype(jnp.int32)
    if horizon is not None:
        eta = eta * moves
    count = jnp.maximum(num_steps + 2 - average_from, 1)  # iterates in the new mean
    return Rates(eta, eta * regularization, moves / count.astype(float), moves)


class Unrolled(NamedTuple):
    """K steps w_{j+1} = (1 - eta_j lambda) w_j - eta_j d_j, and the running mean of their iterates, written out:

    w_j = start[j] w_0 - sum_s response[j, s] d_s,
    mean <- (1 - mean_weight) mean + mean_start w_0 - sum_s mean_response[s] d_s.
    """

    start: jax.Array  # [K+1]
    response: jax.Array  # [K+1, K], zero for s >= j
    mean_weight: jax.Array  # scalar
    mean_start: jax.Array  # scalar
    mean_response: jax.Array  # [K]
    num_steps: jax.Array  # t after the K steps


def unroll(num_steps, length, learning_rate, regularization, average_from=0, horizon=None):
    """Returns `length` = K steps from t = `num_steps`, `Unrolled`; the other arguments are those of `step`.

    Needs eta lambda < 1. Products of 1 - eta lambda are exponentials of sums of logarithms, which in float32 lose
    nothing over thousands of steps and cannot overflow.
    """
    place = jnp.arange(length + 1, dtype=jnp.int32)
    steps = jax.vmap(lambda t: rates(t, learning_rate, regularization, average_from, horizon))(num_steps + place[:-1])
    eta, pull = steps.eta.astype(float), steps.pull.astype(float)
    log_start = jnp.concatenate([jnp.zeros(1), jnp.cumsum(jnp.log1p(-pull))])
    decay = jnp.exp(jnp.minimum(log_start[:, None] - log_start[None, 1:], 0))
    response = jnp.where(place[:, None] > place[None, :-1], decay * eta[None, :], 0)
    end = num_steps + jnp.sum(steps.moves, dtype=jnp.int32)
    iterate = num_steps + 1 + place[:-1]
    averaged = (iterate <= end) & (iterate >= jnp.minimum(average_from, end))
    weights = averaged / jnp.maximum(end + 1 - average_from, 1).astype(float)
    return Unrolled(
        start=jnp.exp(log_start),
        response=response,
        mean_weight=weights.sum(),
        mean_start=jnp.dot(weights, jnp.exp(log_start[1:]), precision=jax.lax.Precision.HIGHEST),
        mean_response=jnp.matmul(weights, response[1:], precision=jax.lax.Precision.HIGHEST),
        num_steps=end,
    )
