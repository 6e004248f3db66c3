"""Algorithm 1 on the two-layer network, exactly and fast: blocks of samples at a time.

Within a block of K steps the input layer moves by rank one a step, u_t x_t^T, so its matrices stand still: their
products with the K inputs are formed once, every step mends its own pre-activation by the moves before it,

    h_t = w_0 . x_t + start_t (delta . x_t) - sum_{s<t} response_ts r_s (x_s . x_t) u_s,

with u_s = M^{-1/2} a_s sigma'(h_s), r_s the residual and the numbers of `asgd.unroll`, and at the block's end two
products move the displacement and its mean. A step then passes over a few vectors of the width M instead of over all
M (d + 2) weights and their mean.

Axes: n samples, K samples of a block, d input dimensions with the bias among them as one more, M hidden units.
"""

import functools

import jax
import jax.numpy as jnp

from ntk_asgd import activations, asgd, empirical, network

BLOCK_SIZE = 8  # samples a block: the fastest of 4, 8, 16 and 32 on CPU


def advance(
    state,
    x,
    y,
    *,
    activation,
    gamma,
    learning_rate,
    regularization,
    part="both",
    linearized=False,
    average_from=0,
    horizon=None,
    block_size=BLOCK_SIZE,
):
    """Returns the state after the steps of Algorithm 1 on n samples in order, and {"loss": [n]}.

    The result is that of n steps of `asgd.step` with `network.apply`, up to rounding.

    Args:
        state: `asgd.State` of `network.Params`.
        x: inputs [n, d].
        y: observations [n].
        activation: a name or a callable (see `activations.get`), static.
        gamma: weight of the bias inside the activation.
        learning_rate: eta, or a function of the step's index, eta lambda < 1.
        regularization: lambda.
        part: the layers trained: "both", "output" (a) or "input" (b and c), static.
        linearized: whether to train the network's linearisation at its initial weights instead, static.
        average_from: first iterate of the mean, as in `asgd.step`.
        horizon: T, as in `asgd.step`.
        block_size: samples a block, static: speed alone depends on it.

    Returns:
        The new `asgd.State` and {"loss": (g(x_s) - y_s)^2 / 2 before each step [n]}.

    Raises:
        ValueError: an unknown part or activation, a block size below 1, or inputs that do not fit.

    References:
        Nitanda and Suzuki, arXiv 2006.12297, Algorithm 1.
    """
    empirical.check_part(part)
    num_samples, dim = y.shape[0], state.initial.b.shape[1]
    if x.shape != (num_samples, dim):
        raise ValueError(f"x must be [n, d] = [{num_samples}, {dim}] for observations [n], not {x.shape}")
    if block_size < 1:
        raise ValueError(f"block_size must be at least 1, not {block_size}")
    if num_samples == 0:
        return state, {"loss": jnp.zeros((0,), state.initial.b.dtype)}
    size = min(block_size, num_samples)
    end = state.num_steps + num_samples
    block = functools.partial(
        _block,
        sigma=activations.get(activation),
        learning_rate=learning_rate,
        regularization=regularization,
        part=part,
        linearized=linearized,
        average_from=average_from,
        horizon=end if horizon is None else jnp.minimum(end, horizon),  # the samples that fill up the last block
        initial=_packed(state.initial),
    )
    inputs = jnp.concatenate([x, jnp.full((num_samples, 1), gamma, x.dtype)], axis=1)
    fill = -num_samples % size
    blocks = (
        jnp.pad(inputs, [(0, fill), (0, 0)]).reshape(-1, size, dim + 1),
        jnp.pad(y, [(0, fill)]).reshape(-1, size),
    )
    carry = (_packed(state.displacement), _packed(state.mean_displacement), state.num_steps)
    (displacement, mean, num_steps), loss = jax.lax.scan(lambda carry, each: block(carry, *each), carry, blocks)
    new = asgd.State(state.initial, _unpacked(displacement), _unpacked(mean), num_steps)
    return new, {"loss": loss.reshape(-1)[:num_samples]}


def _block(carry, inputs, y, *, initial, sigma, learning_rate, regularization, part, linearized, average_from, horizon):
    """Returns the carry (displacement, its mean, t) after the block's K steps, and their losses [K]."""
    displacement, mean, num_steps = carry
    (a0, b0), (delta_a, delta_b) = initial, displacement
    size, width, dtype = y.shape[0], a0.shape[0], b0.dtype
    steps = asgd.unroll(num_steps, size, learning_rate, regularization, average_from, horizon)
    start, response = steps.start.astype(dtype), (steps.response / jnp.sqrt(width)).astype(dtype)
    still, moved, gram = _dot(inputs, b0), _dot(inputs, delta_b), _dot(inputs, inputs.T)

    def one_step(t, so_far):
        values, slopes, residuals, value, slope = so_far  # sigma(h_s), a_s sigma'(h_s) [K, M], g(x_s) - y_s [K]
        # The rows of step t - 1 go in here, before anything reads: XLA copies a buffer that is read, then written.
        values, slopes = _with_row(values, value, t - 1), _with_row(slopes, slope, t - 1)
        weights = response[t] * residuals  # zero from t on
        a, change = a0 + start[t] * delta_a, start[t] * moved[t]
        if part != "input":
            a = a - _dot(weights, values)
        if part != "output":
            change = change - _dot(weights * gram[t], slopes)
        h = still[t] if linearized else still[t] + change
        value, slope = sigma.fn(h), sigma.derivative(h) * (a0 if linearized else a)
        terms = value * a + slope * change if linearized else value * a
        residual = network.total(terms[None])[0] - y[t]
        return values, slopes, _with_row(residuals, residual, t), value, slope

    rows, row = jnp.zeros((size, width), dtype), jnp.zeros(width, dtype)
    so_far = jax.lax.fori_loop(0, size, one_step, (rows, rows, jnp.zeros(size, dtype), row, row))
    values, slopes = (_with_row(so_far[i], so_far[i + 3], size - 1) for i in (0, 1))
    residuals = so_far[2]

    def moved_on(leaf_a, leaf_b, response):
        """Returns the leaves less the gradients, weighted."""
        weights = response * residuals
        leaf_a = leaf_a if part == "input" else leaf_a - _dot(weights, values)
        leaf_b = leaf_b if part == "output" else leaf_b - _dot((weights[:, None] * inputs).T, slopes)
        return leaf_a, leaf_b

    mean_weight, mean_start = steps.mean_weight.astype(dtype), steps.mean_start.astype(dtype)
    mean_response = (steps.mean_response / jnp.sqrt(width)).astype(dtype)
    new = moved_on(start[-1] * delta_a, start[-1] * delta_b, response[-1])
    kept = jax.tree.map(lambda m, w: m + (mean_start * w - mean_weight * m), mean, displacement)
    return (new, moved_on(*kept, mean_response), steps.num_steps), jnp.square(residuals) / 2


def _with_row(rows, row, place):
    """Returns the rows with one of them set; a place before the first is the first."""
    return jax.lax.dynamic_update_index_in_dim(rows, row, jnp.maximum(place, 0), 0)


def _packed(params):
    """Returns (a [M], [b, c] [d+1, M]): the bias is one more input, of the constant value gamma."""
    return params.a, jnp.concatenate([params.b.T, params.c[None]])


def _unpacked(pair):
    return network.Params(a=pair[0], b=pair[1][:-1].T, c=pair[1][-1])


def _dot(left, right):
    return jnp.matmul(left, right, precision=jax.lax.Precision.HIGHEST)
