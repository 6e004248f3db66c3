"""A finite set of inputs as the whole population: rho_X is uniform on them, and samples are drawn with replacement.

The integral operator is then Sigma = K / n, K the Gram matrix, so that its eigenvalues, the coefficients of any Bayes
rule and the excess risk of any function are known exactly, on real inputs. Observations are Y = +-1 of mean g_rho(x).
Functions are held by their values on the n inputs.

Axes: n inputs and as many eigenfunctions N, T samples, m settings, q averages, M hidden units.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ntk_asgd import asgd, network, one_pass


class Operator(NamedTuple):
    """The integral operator of a kernel on the population, float64."""

    gram: np.ndarray  # k(x_i, x_j) [n, n]
    eigenvalues: np.ndarray  # of gram / n, descending [N]
    eigenfunctions: np.ndarray  # e_i(x_j), of mean square 1 over the population [n, N]

    def coefficients(self, values):
        """Returns g_i = mean_j g(x_j) e_i(x_j) [N] of a function's values [n]; zero where lost in rounding.

        On an eigenvalue of zero what is below 1e-8 of the function counts as zero: a function that is equal on equal
        inputs has no part there.
        """
        found = self.eigenfunctions.T @ np.asarray(values, np.float64) / len(values)
        lost = (self.eigenvalues == 0) & (np.abs(found) < 1e-8 * np.linalg.norm(found))
        return np.where(lost, 0, found)

    def values(self, coefficients):
        """Returns the values [n] of the function with coefficients [N]."""
        return self.eigenfunctions @ coefficients


def operator(gram):
    """Returns the `Operator` of a Gram matrix [n, n]. Host code in float64.

    Eigenvalues below n times the rounding of the largest are zero.

    Raises:
        ValueError: a matrix that is not square.
    """
    gram = np.asarray(gram, np.float64)
    if gram.ndim != 2 or gram.shape[0] != gram.shape[1]:
        raise ValueError(f"gram must be a square matrix, not of shape {gram.shape}")
    n = len(gram)
    eigenvalues, vectors = np.linalg.eigh(gram / n)
    eigenvalues, vectors = eigenvalues[::-1], vectors[:, ::-1]
    kept = np.where(eigenvalues > n * np.finfo(np.float64).eps * eigenvalues[0], eigenvalues, 0)
    return Operator(gram, kept, vectors * np.sqrt(n))


def excess_risk(values, target):
    """Returns ||g - g_rho||^2 in L2(rho_X) of functions' values [.., n], float64."""
    return np.mean((np.asarray(values, np.float64) - np.asarray(target, np.float64)) ** 2, axis=-1)


def samples(key, target, num_samples):
    """Returns (place [T] int32, y [T]): inputs drawn with replacement, and observations +-1 of mean target[place].

    Args:
        key: typed key.
        target: g_rho on the population [n], in [-1, 1].
        num_samples: T. A shorter stream of the same key is no prefix of a longer one: draw the longest and cut it.
    """
    key_place, key_sign = jax.random.split(key)
    place = jax.random.randint(key_place, (num_samples,), 0, target.shape[0])
    up = 2 * jax.random.uniform(key_sign, (num_samples,)) - 1 < target[place]
    return place, jnp.where(up, 1.0, -1.0)


class Descent(NamedTuple):
    """Numbers of a descent; the step at t has size eta (1 + t)^{-power}."""

    learning_rate: jax.Array  # eta
    regularization: jax.Array  # lambda
    power: jax.Array

    def eta(self, t):
        """Returns the step size at step t."""
        return self.learning_rate * (1.0 + t) ** -self.power


def residuals(gram, place, y, settings):
    """Returns the residuals g_t(x_t) - y_t [m, T] of m reference ASGDs side by side on the same T samples.

    Args:
        gram: [n, n].
        place: of the samples [T].
        y: their observations [T].
        settings: `Descent` of arrays [m].

    References:
        Nitanda and Suzuki, arXiv 2006.12297, Section 4.1 (reference ASGD).
    """

    def one_step(values, sample):
        t, place, y = sample
        residual = values[:, place] - y
        eta = settings.eta(t)
        keeps = 1 - eta * settings.regularization
        return keeps[:, None] * values - (eta * residual)[:, None] * gram[place][None, :], residual

    gram = jnp.asarray(gram)
    start = jnp.zeros((settings.power.shape[0], gram.shape[0]), gram.dtype)
    return jax.lax.scan(one_step, start, (jnp.arange(len(y)), place, y))[1].T


def averages(gram, place, residuals, weights, setting):
    """Returns the values [q, n] of weighted averages of the iterates of one reference ASGD.

    The iterate g_t is sum_{s<t} of -eta_s r_s prod_{s<u<t} (1 - eta_u lambda) k(x_s, .), so that averages need the
    residuals alone.

    Args:
        gram: [n, n].
        place: of the samples [T].
        residuals: r_t [T], from `residuals`.
        weights: of g_0 .. g_T [q, T+1], such as `weighting.weights`; zeros at the end make a shorter run.
        setting: `Descent` of scalars.
    """
    eta = setting.eta(jnp.arange(len(place)))
    keeps = 1 - eta * setting.regularization

    def one_step(later, now):  # later: of step s, sum_{t>s} w_t prod_{s<u<t} (1 - eta_u lambda) [q]
        weight, keeps = now
        return keeps * (weight + later), weight + later

    table = jnp.asarray(weights, gram.dtype).T[1:]
    response = jax.lax.scan(one_step, jnp.zeros(table.shape[1], gram.dtype), (table, keeps), reverse=True)[1]
    shares = -(eta * residuals)[:, None] * response
    at_inputs = jnp.zeros((gram.shape[0], table.shape[1]), gram.dtype).at[place].add(shares)
    return jnp.matmul(at_inputs.T, gram, precision=jax.lax.Precision.HIGHEST)


class Iterates(NamedTuple):
    """What is kept of Algorithm 1's iterates on a network, of m settings; averages are those of the first."""

    descents: asgd.State  # [m]
    averaged: network.Params  # weighted sums of displacements from the initial weights [q]
    ends: network.Params  # sum of the displacements at the ends of blocks
    functions: jax.Array  # sum of the networks' outputs there [n]
    num_blocks: jax.Array


def iterates_init(weights, *, num_settings, num_averages, num_inputs):
    """Returns the `Iterates` at the initial weights, `network.Params`."""
    zeros = jax.tree.map(jnp.zeros_like, weights)
    return Iterates(
        _copies(asgd.init(weights), num_settings),
        _copies(zeros, num_averages),
        zeros,
        jnp.zeros(num_inputs),
        jnp.zeros((), jnp.int32),
    )


def iterates_step(state, x, y, inputs, share, settings, *, activation, gamma):
    """Returns the `Iterates` after one block of samples.

    Args:
        state: `Iterates`.
        x: samples [K, d].
        y: [K].
        inputs: the population [n, d].
        share: weight of the mean over this block's iterates in every average [q], from `weighting.by_block`.
        settings: `Descent` of arrays [m].
        activation, gamma: of the network, static.
    """

    def advance(descent, setting):
        new, _ = one_pass.advance(
            descent,
            x,
            y,
            activation=activation,
            gamma=gamma,
            learning_rate=setting.eta,
            regularization=setting.regularization,
            average_from=descent.num_steps + 1,  # the mean starts anew: it is that of this block
        )
        return new

    descents = jax.vmap(advance)(state.descents, settings)
    first = jax.tree.map(lambda leaf: leaf[0], descents)

    def added(total, mean):
        return total + share.reshape(-1, *(1,) * mean.ndim) * mean[None]

    return Iterates(
        descents,
        jax.tree.map(added, state.averaged, first.mean_displacement),
        jax.tree.map(jnp.add, state.ends, first.displacement),
        state.functions + network.apply(asgd.last_weights(first), inputs, activation=activation, gamma=gamma),
        state.num_blocks + 1,
    )


def iterates_outputs(state, inputs, *, activation, gamma):
    """Returns outputs on the population.

    {"averaged": [q, n], the network at averaged weights; "last": [m, n]; "functions": [n], the mean of the networks at
    the ends of blocks; "weights": [n], the network at the mean of the same weights}.
    """
    weights = jax.tree.map(lambda leaf: leaf[0], state.descents.initial)

    def moved(displacement):
        return network.apply(jax.tree.map(jnp.add, weights, displacement), inputs, activation=activation, gamma=gamma)

    return {
        "averaged": jax.lax.map(moved, state.averaged),
        "last": jax.lax.map(moved, state.descents.displacement),
        "functions": state.functions / state.num_blocks,
        "weights": moved(jax.tree.map(lambda end: end / state.num_blocks, state.ends)),
    }


def _copies(tree, count):
    """Returns the tree with a leading axis of `count` copies."""
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (count, *leaf.shape)), tree)
