"""Problems on the circle with a known answer, and the descents on them: one sample a step, for all seeds at once.

A problem is a kernel and a Bayes rule in the coordinates of the circle's eigenfunctions. Several settings of it (the
`Numbers`: step sizes, kernels, averages) descend side by side on the same samples, which makes them comparable and
shares the cost of the eigenfunctions. What runs on the device is compiled here. Axes: S seeds, m settings,
N eigenfunctions, M hidden units.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ntk_asgd import asgd, network, one_pass, rkhs, sphere, targets, theory

_GRID = 512  # angles on which a network is compared with its target


class Problem(NamedTuple):
    """A kernel in coordinates, a Bayes rule, and the constants of the descent."""

    eigenvalues: np.ndarray  # [N], in the order of `sphere.circle_eigenfunctions`
    coefficients: np.ndarray  # of the Bayes rule [N]
    learning_rate: float
    noise: float
    beta: float
    r: float
    constant: float  # C of lambda = C T^{-beta / (2 r beta + 1)}

    def regularization(self, num_samples):
        """Returns lambda for T samples."""
        return theory.regularization(num_samples, self.r, self.beta, constant=self.constant, misspecified=True)

    def expected_risk(self, num_samples):
        """Returns (bias, variance) of `theory.reference_error` at T samples."""
        return theory.reference_error(
            self.eigenvalues,
            self.coefficients,
            num_samples=num_samples,
            learning_rate=self.learning_rate,
            regularization=self.regularization(num_samples),
            noise=self.noise,
        )

    def distance(self, coefficients):
        """Returns the squared L2(rho_X) distances of functions [.., N], in coordinates, to the Bayes rule, float64."""
        return np.sum((np.asarray(coefficients, np.float64) - self.coefficients) ** 2, axis=-1)


def problem(eigenvalues, coefficients, *, sup_k, eta_sup_k, noise, beta, r, bias_over_variance, num_samples):
    """Returns the `Problem` with eta = eta_sup_k / sup_k and the C that balances its expected risk.

    Args:
        eigenvalues, coefficients: [N].
        sup_k: sup_x k(x, x).
        eta_sup_k: eta in units of 1 / sup_k.
        noise: standard deviation of the observations.
        beta, r: decay and source condition, which set how lambda falls with T.
        bias_over_variance: of the expected risk, at `num_samples`: this fixes C (`theory.balancing_constant`).
        num_samples: T.

    Raises:
        ValueError: no C does.
    """
    settings = {"learning_rate": eta_sup_k / sup_k, "noise": noise, "beta": beta, "r": r}
    constant = theory.balancing_constant(
        eigenvalues,
        coefficients,
        bias_over_variance=bias_over_variance,
        num_samples=num_samples,
        misspecified=True,
        **settings,
    )
    return Problem(eigenvalues, coefficients, constant=constant, **settings)


def power_law(num_functions, beta):
    """Returns eigenvalues [N] proportional to i^{-beta}, of sum 1."""
    eigenvalues = np.arange(1, num_functions + 1) ** -float(beta)
    return eigenvalues / eigenvalues.sum()


def sup_kernel(eigenvalues):
    """Returns sup_x k(x, x) = lambda_1 + 2 (lambda_2 + lambda_4 + ..), met at angle 0, for descending eigenvalues."""
    return float(eigenvalues[0] + 2 * eigenvalues[1::2].sum())


def network_eigenvalues(*, activation, max_degree, scale, gamma):
    """Returns the eigenvalues [2 max_degree + 1] of the network's infinite-width kernel on the circle."""
    mu, multiplicity = sphere.eigenvalues(dim=2, activation=activation, max_degree=max_degree, scale=scale, gamma=gamma)
    return np.repeat(mu, multiplicity)


class Numbers(NamedTuple):
    """What the steps of m settings need, each leaf with the settings leading; arrays to pass into compiled code."""

    eigenvalues: jax.Array  # [m, N]
    coefficients: jax.Array  # of the Bayes rule [m, N]
    learning_rate: jax.Array  # eta of the first step [m]
    regularization: jax.Array  # lambda [m]
    noise: jax.Array  # [m]
    power: jax.Array  # the step at t has size eta (1 + t)^{-power} [m]
    average_from: jax.Array  # first iterate of the mean [m], int32
    sharpness: jax.Array  # s of swish_s, for networks of no named activation [m]
    gain: jax.Array  # factor of that swish_s [m]


def numbers(problems, num_samples, *, power=0.0, average_from=0, sharpness=1.0, gain=1.0):
    """Returns the `Numbers` of a list of m problems at T samples; the keywords are one for all or m values."""
    m = len(problems)
    columns = zip(
        *((p.eigenvalues, p.coefficients, p.learning_rate, p.regularization(num_samples), p.noise) for p in problems)
    )
    first = (jnp.asarray(np.array(column), jnp.float32) for column in columns)
    spread = (jnp.asarray(np.broadcast_to(np.float32(each), (m,))) for each in (power, average_from, sharpness, gain))
    made = Numbers(*first, *spread)
    return made._replace(average_from=made.average_from.astype(jnp.int32))


@functools.partial(jax.jit, static_argnames="num_seeds")
def reference_start(num_seeds, settings):
    """Returns the states [S, m] of the reference ASGD at g_0 = 0."""
    m, num_functions = settings.eigenvalues.shape
    return jax.tree.map(
        lambda leaf: jnp.broadcast_to(leaf, (num_seeds, m, *leaf.shape)), rkhs.reference_init(num_functions)
    )


@functools.partial(jax.jit, static_argnames=("widths", "scale"))
def network_start(keys, widths, *, scale):
    """Returns the states [S, m] of Algorithm 1 for networks of the given widths, padded to the largest.

    A seed's networks share their first units. A unit of zero weights moves no output and, for an activation that is
    zero at zero, never moves itself: with `gain`, from `padding_gain`, what is left is the narrow network exactly.
    """
    largest = max(widths)
    weights = jax.vmap(functools.partial(network.init, width=largest, dim=2, scale=scale))(keys)
    place = np.arange(largest) % (largest // 2)
    live = jnp.asarray(place[None, :] < np.array(widths)[:, None] // 2)  # [m, M]

    def spread(leaf):  # [S, M, ..] to [S, m, M, ..]
        mask = live.reshape(1, *live.shape, *(1,) * (leaf.ndim - 2))
        return jnp.where(mask, leaf[:, None], 0)

    return jax.vmap(jax.vmap(asgd.init))(jax.tree.map(spread, weights))


def padding_gain(widths):
    """Returns the gains sqrt(M / M') [m] that make up for the output's factor M^{-1/2} in networks padded to M."""
    return np.sqrt(max(widths) / np.array(widths))


@functools.partial(jax.jit, static_argnames="num_steps")
def advance_reference(state, streams, step, settings, num_steps):
    """Returns the reference states [S, m] after num_steps more samples, and {"loss": [num_steps]}, the mean loss."""

    def one_seed(state, stream):
        def one_step(state, sample):
            angle, sign = sample
            features = sphere.circle_eigenfunctions(angle[None], settings.eigenvalues.shape[1])[0]
            return jax.vmap(_reference_step, in_axes=(0, None, 0))(state, (features, sign), settings)

        return jax.lax.scan(one_step, state, _samples(stream, step, num_steps))

    state, info = jax.vmap(one_seed)(state, streams)
    return state, {"loss": info["loss"].mean(axis=(0, 2))}


@functools.partial(jax.jit, static_argnames=("activation", "gamma", "num_steps"))
def advance_network(state, streams, step, settings, *, activation, gamma, num_steps):
    """Returns the (network, reference) states [S, m] after num_steps more samples, and each step's mean losses.

    Args:
        state: of `network_start` and of `reference_start`.
        streams: keys [S].
        step: number of samples used already.
        settings: `Numbers`.
        activation: a name, or None for swish_s with the settings' own s and gain. Static.
        gamma: weight of the bias inside the activation. Static.
        num_steps: samples to use. Static.
    """

    def one_setting(network_state, reference, one, samples, features):
        angles, signs = samples
        y = features @ one.coefficients + one.noise * signs
        ours, info = one_pass.advance(
            network_state,
            on_circle(angles),
            y,
            activation=activation or _swish(one),
            gamma=gamma,
            **_descent(one),
        )
        reference, reference_info = jax.lax.scan(
            functools.partial(_reference_step, one=one), reference, (features, signs)
        )
        return (ours, reference), {"loss": info["loss"], "reference_loss": reference_info["loss"]}

    def one_seed(state, stream):
        samples = _samples(stream, step, num_steps)
        features = sphere.circle_eigenfunctions(samples[0], settings.eigenvalues.shape[1])
        return jax.vmap(one_setting, in_axes=(0, 0, 0, None, None))(*state, settings, samples, features)

    state, info = jax.vmap(one_seed)(state, streams)
    return state, jax.tree.map(lambda losses: losses.mean(axis=(0, 1)), info)


@functools.partial(jax.jit, static_argnames=("activation", "gamma"))
def network_outputs(weights, settings, *, activation, gamma):
    """Returns the networks' outputs [S, m, angles] on a grid of the circle, from weights [S, m]."""

    def one(weights, one):
        return network.apply(weights, on_circle(grid()), activation=activation or _swish(one), gamma=gamma)

    return jax.vmap(jax.vmap(one), in_axes=(0, None))(weights, settings)


@functools.partial(jax.jit, static_argnames="num_functions")
def basis(num_functions):
    """Returns the eigenfunctions [angles, N] on the grid of `network_outputs`."""
    return sphere.circle_eigenfunctions(grid(), num_functions)


def grid():
    """Returns the angles of the grid."""
    return jnp.arange(_GRID) * (2 * np.pi / _GRID)


def on_circle(angle):
    """Returns the points [n, 2] of the unit circle at angles [n]."""
    return jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=1)


def _reference_step(state, sample, one):
    features, sign = sample
    y = jnp.vdot(one.coefficients, features) + one.noise * sign
    return rkhs.reference_step(state, features, y, eigenvalues=one.eigenvalues, **_descent(one))


def _swish(one):
    return lambda u: one.gain * u * jax.nn.sigmoid(one.sharpness * u)


def _descent(one):
    return {
        "learning_rate": lambda t: one.learning_rate * (1.0 + t) ** -one.power,
        "regularization": one.regularization,
        "average_from": one.average_from,
    }


def _samples(stream, step, num_steps):
    """Returns (angles, signs) [num_steps] of a stream from a step on."""
    return jax.vmap(functools.partial(targets.circle_sample, stream, noise=1.0))(step + jnp.arange(num_steps))
