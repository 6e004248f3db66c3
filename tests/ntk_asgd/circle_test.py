import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk_asgd import asgd, circle, network, rkhs, sphere, targets


def _problem(beta=2.0, num_functions=9, learning_rate=0.2):
    eigenvalues = circle.power_law(num_functions, beta)
    coefficients = targets.source_coefficients(eigenvalues, 0.5, sup_norm=0.5, eigenfunction_bound=2**0.5, tail=0.2)
    return circle.Problem(eigenvalues, coefficients, learning_rate, noise=0.3, beta=beta, r=0.5, constant=1.0)


def _samples(stream, num_steps):
    angles, signs = zip(*(targets.circle_sample(stream, step, noise=1.0) for step in range(num_steps)))
    return jnp.stack(angles), jnp.stack(signs)


def test_sup_of_the_kernel_is_met_at_angle_zero():
    eigenvalues = circle.power_law(20, 1.5)
    features = np.asarray(sphere.circle_eigenfunctions(jnp.linspace(0, 2 * np.pi, 721), 20))
    assert circle.sup_kernel(eigenvalues) == pytest.approx((features**2 @ eigenvalues).max(), rel=1e-6)


def test_settings_descend_as_each_alone_would():
    """Three settings side by side against `rkhs.reference_step`, sample by sample: kernels, steps and averages."""
    num_steps, problems = 12, [_problem(), _problem(3.0, learning_rate=0.1), _problem()]
    settings = circle.numbers(problems, num_steps, power=(0.0, 0.0, 0.5), average_from=(0, 6, 0))
    streams = jax.random.split(jax.random.key(0), 2)
    state = circle.reference_start(2, settings)
    for step in (0, 4, 8):
        state, info = circle.advance_reference(state, streams, step, settings, num_steps=4)
    assert info["loss"].shape == (4,)
    angles, signs = _samples(jax.random.clone(streams)[1], num_steps)
    features = sphere.circle_eigenfunctions(angles, 9)
    for m, problem in enumerate(problems):
        one = rkhs.reference_init(9)
        for t in range(num_steps):
            y = features[t] @ jnp.asarray(problem.coefficients, jnp.float32) + problem.noise * signs[t]
            one, _ = rkhs.reference_step(
                one,
                features[t],
                y,
                eigenvalues=jnp.asarray(problem.eigenvalues, jnp.float32),
                learning_rate=problem.learning_rate / ((1 + t) ** 0.5 if m == 2 else 1),
                regularization=problem.regularization(num_steps),
                average_from=6 if m == 1 else 0,
            )
        np.testing.assert_allclose(state.mean[1, m], one.mean, rtol=1e-4, atol=1e-7)
        np.testing.assert_allclose(state.coefficients[1, m], one.coefficients, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("width", [8, 4])
def test_padded_network_is_the_narrow_one(width):
    """A network padded from `width` to 8 units against Algorithm 1 on a network of that width, step by step."""
    num_steps, problem = 10, _problem()
    settings = circle.numbers([problem] * 2, num_steps, sharpness=5.0, gain=circle.padding_gain((width, 8)))
    keys = jax.random.split(jax.random.key(3), 2)
    streams = jax.random.split(jax.random.key(4), 2)
    start = circle.network_start(keys, (width, 8), scale=1.0)
    (state, _), _ = circle.advance_network(
        (start, circle.reference_start(2, settings)),
        streams,
        0,
        settings,
        activation=None,
        gamma=0.7,
        num_steps=num_steps,
    )
    half = width // 2
    wide = network.init(jax.random.clone(keys)[0], width=8, dim=2)
    narrow = jax.tree.map(lambda leaf: jnp.concatenate([leaf[:half], leaf[4 : 4 + half]]), wide)
    apply_fn = functools.partial(network.apply, activation="swish:5", gamma=0.7)
    one = asgd.init(narrow)
    angles, signs = _samples(jax.random.clone(streams)[0], num_steps)
    clean = sphere.circle_eigenfunctions(angles, 9) @ jnp.asarray(problem.coefficients, jnp.float32)
    for t in range(num_steps):
        one, _ = asgd.step(
            one,
            circle.on_circle(angles[t : t + 1])[0],
            clean[t] + problem.noise * signs[t],
            apply_fn=apply_fn,
            learning_rate=problem.learning_rate,
            regularization=problem.regularization(num_steps),
        )
    expected = apply_fn(asgd.averaged_weights(one), circle.on_circle(circle.grid()))
    outputs = circle.network_outputs(asgd.averaged_weights(state), settings, activation=None, gamma=0.7)
    np.testing.assert_allclose(outputs[0, 0], expected, rtol=1e-3, atol=1e-6)
    assert jnp.abs(expected).max() > 0.01


def test_distance_is_that_of_the_functions():
    problem = _problem()
    coefficients = problem.coefficients + np.array([0.3, 0, 0, 0, 0.4, 0, 0, 0, 0])
    assert problem.distance(coefficients[None])[0] == pytest.approx(0.25)
    functions = np.asarray(circle.basis(9)) @ (coefficients - problem.coefficients)
    assert np.mean(functions**2) == pytest.approx(0.25, rel=1e-5)


def test_problem_is_balanced_as_asked():
    eigenvalues = circle.power_law(64, 2.0)
    target = targets.source_coefficients(eigenvalues, 0.5, sup_norm=0.5, eigenfunction_bound=2**0.5, tail=0.2)
    sup_k = circle.sup_kernel(eigenvalues)
    settings = {"sup_k": sup_k, "eta_sup_k": 0.25, "noise": 0.25, "beta": 2.0, "r": 0.5}
    made = circle.problem(eigenvalues, target, bias_over_variance=0.5, num_samples=4_096, **settings)
    bias, variance = made.expected_risk(4_096)
    assert bias / variance == pytest.approx(0.5, rel=1e-6)
    assert made.learning_rate == pytest.approx(0.25 / sup_k)
