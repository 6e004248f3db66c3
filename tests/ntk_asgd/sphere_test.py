import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from ntk_asgd import activations, spectrum, sphere

AT_ONE = {"output": lambda d, r, g: 1 / (2 * d), "input": lambda d, r, g: r**2 * (1 + g**2) / 2}


def _relu_zonal(dim, part, scale=1.0, gamma=1.0):
    def kernel(t):
        theta = jnp.arccos(t)
        k_a = (jnp.sin(theta) + t * (jnp.pi - theta)) / (2 * jnp.pi * dim)
        k_b = scale**2 * (t + gamma**2) * (jnp.pi - theta) / (2 * jnp.pi)
        return {"output": k_a, "input": k_b, "both": k_a + k_b}[part]

    return kernel


@pytest.mark.parametrize("part", ["both", "output", "input"])
@pytest.mark.parametrize("dim", [2, 3, 5, 10])
def test_relu_eigenvalues_are_the_funk_hecke_coefficients_of_the_closed_zonal_kernel(dim, part):
    mu, _ = sphere.eigenvalues(dim=dim, activation="relu", max_degree=200, scale=0.7, gamma=0.4, part=part)
    direct = sphere.funk_hecke(_relu_zonal(dim, part, 0.7, 0.4), dim=dim, max_degree=200)
    np.testing.assert_allclose(mu, direct, atol=2e-15)


def test_funk_hecke_against_independent_quadrature():
    t, weights = special.roots_jacobi(400, 1.0, 1.0)  # weight (1-t^2)^{(d-3)/2} at d = 5
    weights /= weights.sum()
    gegenbauer = [special.eval_gegenbauer(k, 1.5, t) / special.eval_gegenbauer(k, 1.5, 1.0) for k in range(9)]
    expected = [weights @ (np.exp(t) * p) for p in gegenbauer]
    np.testing.assert_allclose(sphere.funk_hecke(jnp.exp, dim=5, max_degree=8), expected, rtol=1e-9, atol=2e-15)


def test_circle_coefficients_are_cosine_integrals():
    angle = (np.arange(4_096) + 0.5) * np.pi / 4_096
    expected = [np.mean(np.exp(2 * np.cos(angle)) * np.cos(k * angle)) for k in range(12)]
    np.testing.assert_allclose(
        sphere.funk_hecke(lambda t: jnp.exp(2 * t), dim=2, max_degree=11), expected, rtol=1e-10, atol=1e-15
    )


@pytest.mark.parametrize(("dim", "activation"), [(2, "swish:10"), (3, "swish:10"), (4, "erf"), (3, jnp.tanh)])
def test_smooth_activations_give_the_kernel_of_direct_quadrature(dim, activation):
    """The series of both parts against E_b[...] by Gauss and trapezoid rules in the plane of x and x'."""
    mu, counts = sphere.eigenvalues(dim=dim, activation=activation, max_degree=60, gamma=0.8)
    sigma = activations.get(activation)
    radius2, weight = special.roots_jacobi(60, (dim - 4) / 2, 0.0) if dim > 2 else (np.ones(1), np.ones(1))
    radius = np.sqrt((radius2 + 1) / 2)
    phi = np.arange(600) * 2 * np.pi / 600
    for u in (-0.4, 0.3, 1.0):
        one = radius[:, None] * np.cos(phi)[None, :]
        two = radius[:, None] * np.cos(phi - np.arccos(u))[None, :]
        products = [np.asarray(f(jnp.asarray(one))) * np.asarray(f(jnp.asarray(two))) for f in sigma]
        output, slope = ((weight / weight.sum()) @ p.mean(axis=1) for p in products)
        expected = output + (u + 0.8**2) * slope
        series = sphere.zonal_kernel(u, dim=dim, activation=activation, max_degree=60, gamma=0.8)
        np.testing.assert_allclose(series, expected, rtol=2e-5)
    assert (mu * counts).sum() == pytest.approx(series, rel=1e-12)


@pytest.mark.parametrize("part", ["output", "input"])
@pytest.mark.parametrize("dim", [2, 3, 5, 10])
def test_trace_tends_to_the_kernel_on_the_diagonal_from_below(dim, part):
    mu, counts = sphere.eigenvalues(dim=dim, activation="relu", max_degree=400, scale=0.5, gamma=2.0, part=part)
    whole = AT_ONE[part](dim, 0.5, 2.0)
    partial = np.cumsum(mu * counts)
    assert (mu >= 0).all()
    assert partial[-1] <= whole * (1 + 1e-12)
    assert partial[-1] > 0.995 * whole
    assert whole - partial[400] < 0.7 * (whole - partial[200])


def test_trace_of_the_paper_setting():
    mu, counts = sphere.eigenvalues(dim=3, activation="relu", max_degree=400, gamma=1.0)
    assert (mu * counts).sum() == pytest.approx(1.1659, abs=5e-5)


@pytest.mark.parametrize("dim", [2, 3, 5, 100])
def test_output_layer_of_relu_has_no_odd_degree_past_one(dim):
    mu, _ = sphere.eigenvalues(dim=dim, activation="relu", max_degree=30, part="output")
    assert mu[3::2].max() < 1e-24 * mu[0]
    assert (mu[2::2] > 0).all()
    assert mu[1] == pytest.approx(1 / (4 * dim**2), rel=1e-12)  # the odd part of relu is t / 2, and E t^2 = 1/d


def test_gamma_zero_leaves_the_input_layer_no_odd_degree_past_one():
    mu, _ = sphere.eigenvalues(dim=3, activation="relu", max_degree=20, part="input")
    assert mu[3::2].max() < 1e-24
    assert mu[2::2].min() > 1e-7


@pytest.mark.parametrize(
    ("dim", "degree", "window", "theory", "tolerance"),
    [
        (2, 3_000, (100, 5_000), -2, 0.01),
        (3, 150, (1_000, 10_000), -1.5, 0.005),
        (5, 60, (10_000, 100_000), -1.25, 0.01),
    ],
)
def test_decay_exponent_is_d_over_d_minus_one(dim, degree, window, theory, tolerance):
    mu, counts = sphere.eigenvalues(dim=dim, activation="relu", max_degree=degree, gamma=1.0)
    slope = spectrum.decay_slope(spectrum.by_index(mu, counts, window[1]), *window)
    assert slope == pytest.approx(theory, abs=tolerance)


def test_swish_follows_relu_up_to_its_sharpness_only():
    relu, swish = (
        sphere.eigenvalues(dim=2, activation=name, max_degree=40, gamma=1.0)[0] for name in ("relu", "swish:10")
    )
    np.testing.assert_allclose((swish / relu)[[5, 16]], [1.37, 0.123], rtol=5e-3)
    assert swish[33] / relu[33] < 1e-4


def test_multiplicities():
    np.testing.assert_array_equal(sphere.multiplicities(2, 4), [1, 2, 2, 2, 2])
    np.testing.assert_array_equal(sphere.multiplicities(3, 4), [1, 3, 5, 7, 9])
    np.testing.assert_array_equal(sphere.multiplicities(4, 4), [1, 4, 9, 16, 25])
    assert sphere.multiplicities(5, 4).dtype == np.int64
    assert sphere.multiplicities(100, 2).sum() == 5_150
    large = sphere.multiplicities(100, 60)
    assert large.dtype == np.float64
    assert large[60] == pytest.approx(special.binom(159, 99) - special.binom(157, 99), rel=1e-9)


def test_circle_eigenfunctions_are_orthonormal_and_ordered():
    angles = jnp.arange(64) * (2 * np.pi / 64)
    basis = sphere.circle_eigenfunctions(angles, 9)
    np.testing.assert_allclose(basis.T @ basis / 64, np.eye(9), atol=1e-5)
    np.testing.assert_allclose(basis[:, 5], np.sqrt(2) * np.cos(3 * np.asarray(angles)), atol=1e-5)
    np.testing.assert_allclose(basis[:, 6], np.sqrt(2) * np.sin(3 * np.asarray(angles)), atol=1e-5)


def test_impossible_requests_are_refused():
    for sizes, field in (({"dim": 1}, "dim"), ({"max_degree": -1}, "max_degree"), ({"part": "c"}, "part")):
        with pytest.raises(ValueError, match=field):
            sphere.eigenvalues(**{"dim": 3, "activation": "relu", "max_degree": 4, **sizes})
    with pytest.raises(ValueError, match="activation 'cube' is unknown"):
        sphere.eigenvalues(dim=3, activation="cube", max_degree=4)


@pytest.mark.parametrize("part", ["both", "output", "input"])
def test_trace_is_the_kernel_on_the_diagonal(part):
    whole = sum(AT_ONE[p](5, 0.5, 2.0) for p in ("output", "input") if part in (p, "both"))
    setting = {"dim": 5, "activation": "relu", "scale": 0.5, "gamma": 2.0, "part": part}
    assert sphere.trace(**setting) == pytest.approx(whole, rel=1e-13)


def test_trace_identity_of_the_paper_setting_within_1e3():
    setting = {"dim": 3, "activation": "relu", "gamma": 1.0}
    errors = [sphere.trace_error(*sphere.eigenvalues(max_degree=k, **setting), **setting) for k in (100, 400, 2_000)]
    assert 0 < errors[2] < errors[1] < 1e-3 < errors[0]
    smooth = {"dim": 3, "activation": "swish:5"}
    assert abs(sphere.trace_error(*sphere.eigenvalues(max_degree=60, **smooth), **smooth)) < 1e-13


@pytest.mark.parametrize("dim", [100, 784, 3_072])
def test_high_dimensions_stay_finite_to_degree_400(dim):
    mu, counts = sphere.eigenvalues(dim=dim, activation="relu", max_degree=400, gamma=1.0)
    assert np.isfinite(mu).all()
    assert np.isfinite(counts).all()
    assert mu[0] > 0
    missing = sphere.trace_error(mu, counts, dim=dim, activation="relu", gamma=1.0)
    assert 0 < missing < 0.06


@pytest.mark.parametrize("dim", [2, 3, 5, 10, 100])
def test_zonal_eigenfunctions_are_orthonormal(dim):
    theta, weights = sphere._angles(dim, 30)
    with jax.enable_x64(True):
        basis = np.asarray(sphere.zonal_eigenfunctions(jnp.asarray(np.cos(theta)), dim=dim, max_degree=12))
    np.testing.assert_allclose(basis.T @ (weights[:, None] * basis), np.eye(13), atol=1e-11)


def test_zonal_eigenfunctions_are_chebyshev_and_legendre():
    t = jnp.linspace(-1, 1, 11)
    k = np.arange(7)
    known = {2: special.eval_chebyt, 3: special.eval_legendre}
    for dim, polynomial in known.items():
        expected = np.sqrt(sphere.multiplicities(dim, 6)) * polynomial(k[None, :], np.asarray(t, float)[:, None])
        np.testing.assert_allclose(sphere.zonal_eigenfunctions(t, dim=dim, max_degree=6), expected, atol=2e-5)


def test_cosines_beyond_one_are_refused():
    with pytest.raises(ValueError, match="normalise the inputs"):
        sphere.zonal_eigenfunctions(jnp.array([1.1]), dim=3, max_degree=2)
    with pytest.raises(ValueError, match="normalise the inputs"):
        sphere.zonal_kernel([-1.1], dim=3, activation="relu", max_degree=2)
