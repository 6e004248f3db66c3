import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate

from ntk_asgd import activations, empirical, infinite, network, sphere


def _zonal(theta, dim, part):
    """The kernel between unit vectors at an angle, R = gamma = 1, float64."""
    k_a = (np.sin(theta) + np.cos(theta) * (np.pi - theta)) / (2 * np.pi * dim)
    k_b = (np.cos(theta) + 1) * (np.pi - theta) / (2 * np.pi)
    return {"output": k_a, "input": k_b, "both": k_a + k_b}[part]


@pytest.mark.parametrize("part", ["both", "output", "input"])
def test_expectation_over_the_circle_by_quadrature(part):
    x, y, scale, gamma = np.array([0.6, -0.3]), np.array([0.2, 0.9]), 1.5, 0.7

    def integrand(angle):
        b = np.array([np.cos(angle), np.sin(angle)])
        output = max(b @ x, 0) * max(b @ y, 0)
        inner = scale**2 * (x @ y + gamma**2) * (b @ x > 0) * (b @ y > 0)
        return {"output": output, "input": inner, "both": output + inner}[part] / (2 * np.pi)

    kinks = [(np.arctan2(v[1], v[0]) + side * np.pi / 2) % (2 * np.pi) for v in (x, y) for side in (-1, 1)]
    expected = integrate.quad(integrand, 0, 2 * np.pi, points=sorted(kinks))[0]
    x1, x2 = jnp.asarray(x[None], jnp.float32), jnp.asarray(y[None], jnp.float32)
    actual = infinite.ntk(x1, x2, activation="relu", scale=scale, gamma=gamma, part=part)
    np.testing.assert_allclose(actual[0, 0], expected, rtol=1e-5)


@pytest.mark.parametrize("part", ["both", "output", "input"])
def test_float32_keeps_its_accuracy_up_to_parallel_and_opposite_inputs(part):
    angle = np.concatenate([[0, np.pi], 10.0 ** np.arange(-7, 0), np.pi - 10.0 ** np.arange(-6, 0)])
    x = np.array([[1.0, 0.0]])
    y = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    theta = np.arctan2(y[:, 1].astype(np.float32), y[:, 0].astype(np.float32)).astype(np.float64)
    expected = _zonal(theta, 2, part)
    actual = infinite.ntk(
        jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32), activation="relu", gamma=1.0, part=part
    )
    np.testing.assert_allclose(actual[0], expected, rtol=1e-5, atol=3e-7)


def test_diagonal_and_homogeneity():
    x = jax.random.normal(jax.random.key(0), (6, 5))
    norm = np.linalg.norm(np.asarray(x, np.float64), axis=1)
    kernel = infinite.ntk(x, None, activation="relu", scale=2.0, gamma=0.5)
    np.testing.assert_allclose(np.diag(kernel), norm**2 / 10 + 4 * (norm**2 + 0.25) / 2, rtol=1e-5)
    np.testing.assert_allclose(kernel, kernel.T, rtol=1e-5)
    output = infinite.ntk(x, None, activation="relu", part="output")
    np.testing.assert_allclose(infinite.ntk(3 * x, x, activation="relu", part="output"), 3 * output, rtol=1e-5)


def test_zero_input_has_kernel_zero_and_gradients_stay_finite():
    x = jnp.array([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
    kernel = infinite.ntk(x, None, activation="relu", gamma=1.0)
    np.testing.assert_array_equal(kernel[0], 0)
    gradient = jax.jit(jax.grad(lambda v: infinite.ntk(v, v, activation="relu", gamma=1.0).sum()))(x)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("part", ["both", "output", "input"])
def test_network_tends_to_it_as_the_root_of_the_width(part):
    x = jax.random.normal(jax.random.key(0), (8, 3))
    x = x / jnp.linalg.norm(x, axis=1, keepdims=True)
    limit = infinite.ntk(x, x, activation="relu", scale=0.7, gamma=0.5, part=part)
    errors = []
    for width in (256, 16_384):

        def kernel(key, width=width):
            params = network.init(key, width=width, dim=3, scale=0.7)
            return empirical.two_layer_ntk(params, x, activation="relu", gamma=0.5, part=part)

        kernels = jax.jit(jax.vmap(kernel))(jax.random.split(jax.random.key(1), 8))
        errors.append(np.sqrt(np.mean((kernels - limit[None]) ** 2)))
    assert 5 < errors[0] / errors[1] < 12  # 8 for M^{-1/2}
    assert errors[1] < 0.01


def test_agrees_with_the_series_of_its_spectrum():
    u = np.linspace(-0.95, 0.95, 9)
    y = np.zeros((9, 4))
    y[:, 0], y[:, 1] = u, np.sqrt(1 - u**2)
    actual = infinite.ntk(
        jnp.asarray(np.eye(1, 4), jnp.float32), jnp.asarray(y, jnp.float32), activation="relu", scale=0.8, gamma=0.6
    )
    series = sphere.zonal_kernel(u, dim=4, activation="relu", max_degree=300, scale=0.8, gamma=0.6)
    np.testing.assert_allclose(actual[0], series, atol=2e-5)


@pytest.mark.parametrize(("dim", "activation"), [(2, "swish:20"), (3, "swish:10"), (4, jnp.tanh), (30, "softplus:5")])
def test_quadrature_is_the_series_of_the_exact_spectrum_at_any_length(dim, activation):
    """Inputs of length c have the kernel of sigma(c u) between unit vectors, with gamma / c."""
    u, length, gamma = np.linspace(-1, 1, 7), 0.6, 0.4
    scaled = lambda v: activations.get(activation).fn(length * v)  # noqa: E731
    y = np.zeros((7, dim))
    y[:, 0], y[:, 1] = u, np.sqrt(1 - u**2)
    x1, x2 = (jnp.asarray(length * x, jnp.float32) for x in (np.eye(1, dim), y))
    for part in ("output", "input"):
        actual = infinite.ntk(x1, x2, activation=activation, scale=0.8, gamma=gamma, part=part)
        series = sphere.zonal_kernel(
            u, dim=dim, activation=scaled, max_degree=80, scale=0.8, gamma=gamma / length, part=part
        )
        np.testing.assert_allclose(actual[0], series, atol=3e-6 * np.abs(series).max())


def test_quadrature_takes_inputs_of_different_lengths():
    """At d = 2 the expectation is one over the circle."""
    x, y = np.array([[0.3, 0.4]]), np.array([[-1.0, 0.2], [0.0, 0.0]])
    angle = np.arange(4_000) * 2 * np.pi / 4_000
    b = np.stack([np.cos(angle), np.sin(angle)])
    expected = np.mean(np.tanh(x @ b) * np.tanh(y @ b), axis=1)
    slope = np.mean(np.cosh(x @ b) ** -2 * np.cosh(y @ b) ** -2, axis=1)
    expected = expected + (x @ y.T + 0.5**2)[0] * slope
    actual = infinite.ntk(jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32), activation=jnp.tanh, gamma=0.5)
    np.testing.assert_allclose(actual[0], expected, rtol=1e-5)


def test_impossible_requests_are_refused():
    for request, words in (
        ({"activation": "cube"}, "activation 'cube' is unknown"),
        ({"part": "a"}, "part 'a' is unknown"),
        ({"x1": jnp.ones((2, 1))}, "at least 2 dimensions"),
    ):
        with pytest.raises(ValueError, match=words):
            infinite.ntk(**{"x1": jnp.ones((1, 2)), "x2": None, "activation": "relu", **request})
