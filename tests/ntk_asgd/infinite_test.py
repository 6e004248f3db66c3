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


def _sphere(num_points, dim, dtype):
    x = np.random.default_rng(0).standard_normal((num_points, dim))
    return jnp.asarray(x / np.linalg.norm(x, axis=1, keepdims=True), dtype)


def _angle_quadrature(theta, dim, part):
    """E over b by Gauss-Legendre between the kinks of relu, in the plane of x and x'; E radius^2 = 2/d."""
    nodes, weights = np.polynomial.legendre.leggauss(40)
    low, high = theta - np.pi / 2, np.pi / 2  # where both projections are positive
    phi = (low + high) / 2 + (high - low) / 2 * nodes
    values = 2 / dim * np.cos(phi) * np.cos(phi - theta) if part == "output" else 2 * np.ones_like(phi)
    return weights @ values * (high - low) / 2 / (2 * np.pi)  # input: (cos + 1) times half of it, below


@pytest.mark.parametrize("dim", [2, 3, 5, 10, 100])
def test_relu_is_within_1e12_of_quadrature_in_float64(dim):
    with jax.enable_x64(True):
        x = _sphere(6, dim, jnp.float64)
        theta = np.arccos(np.clip(np.asarray(x @ x.T), -1, 1))
        pairs = [(i, j) for i in range(6) for j in range(i)]
        for part in ("output", "input"):
            kernel = np.asarray(infinite.ntk(x, activation="relu", gamma=1.0, part=part))
            for i, j in pairs:
                expected = _angle_quadrature(theta[i, j], dim, part)
                if part == "input":
                    expected *= (np.cos(theta[i, j]) + 1) / 2
                assert kernel[i, j] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("x64", "slack"), [(True, 1e-12), (False, 1e-6)])
@pytest.mark.parametrize("activation", ["relu", "swish:10"])
def test_positive_up_to_equal_points(x64, slack, activation):
    with jax.enable_x64(x64):
        x = _sphere(20, 3, jnp.float64 if x64 else jnp.float32)
        near = x.at[:, 0].add(1e-9)
        gram = np.asarray(infinite.ntk(jnp.concatenate([x, x, near]), activation=activation, gamma=1.0), np.float64)
    assert np.linalg.eigvalsh((gram + gram.T) / 2)[0] >= -slack * len(gram)
    np.testing.assert_allclose(gram[:20, :20], gram[:20, 20:40], atol=1e-13 if x64 else 3e-6)


@pytest.mark.parametrize(("x64", "accuracy"), [(True, 1e-13), (False, 2e-6)])
@pytest.mark.parametrize(("dim", "activation"), [(2, "swish:50"), (3, "swish:50"), (10, "softplus:50"), (784, "erf")])
def test_series_keeps_its_accuracy_at_sharpness_50(x64, accuracy, dim, activation):
    with jax.enable_x64(x64):
        x = _sphere(12, dim, jnp.float64 if x64 else jnp.float32)
        actual = np.asarray(jax.jit(lambda x: infinite.ntk(x, activation=activation, gamma=0.7))(x))
    u = np.clip(np.asarray(x, np.float64) @ np.asarray(x, np.float64).T, -1, 1)
    degree = 40 if dim == 784 else 420
    series = sphere.zonal_kernel(u, dim=dim, activation=activation, max_degree=degree, gamma=0.7)
    np.testing.assert_allclose(actual, series, atol=accuracy * series.max())


@pytest.mark.parametrize("dim", [2, 3, 50])
def test_gaussian_weights_have_the_arcsine_kernel_of_erf(dim):
    """Williams (1997): E erf(u) erf(v) = 2/pi arcsin(2 c12 / sqrt((1 + 2 c11) (1 + 2 c22)))."""
    with jax.enable_x64(True):
        x = jnp.asarray(np.random.default_rng(1).uniform(-1, 1, (5, dim)) / np.sqrt(dim))
        both = {part: infinite.ntk(x, activation="erf", part=part, weights="gaussian") for part in ("output", "input")}
    c = np.asarray(x) @ np.asarray(x).T / dim
    one = 1 + 2 * np.diag(c)
    outer = one[:, None] * one[None, :]
    np.testing.assert_allclose(both["output"], 2 / np.pi * np.arcsin(2 * c / np.sqrt(outer)), atol=1e-13)
    np.testing.assert_allclose(both["input"], c * dim * 4 / np.pi / np.sqrt(outer - 4 * c**2), atol=1e-13)


def test_gaussian_weights_leave_relu_as_it_is_and_change_others():
    x = _sphere(5, 3, jnp.float32)
    for activation, same in (("relu", True), ("swish:5", False)):
        one, other = (infinite.ntk(x, activation=activation, weights=w) for w in ("sphere", "gaussian"))
        assert np.allclose(one, other, rtol=1e-5) == same


def test_a_kink_is_said_to_cost_accuracy_and_an_unknown_law_refused():
    with pytest.warns(UserWarning, match="too sharp"):
        infinite.ntk(_sphere(2, 3, jnp.float32), activation=lambda u: jnp.maximum(u, 0), part="input")
    with pytest.raises(ValueError, match="weights 'cube' is unknown"):
        infinite.ntk(jnp.ones((1, 2)), activation="erf", weights="cube")
