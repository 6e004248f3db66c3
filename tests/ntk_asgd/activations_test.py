import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from ntk_asgd import activations

U = np.linspace(-3, 3, 25) + 0.01  # off the kink at 0
CLOSED = {
    "relu": (lambda u: np.maximum(u, 0), lambda u: (u > 0) * 1.0),
    "erf": (scipy.special.erf, lambda u: 2 / np.sqrt(np.pi) * np.exp(-(u**2))),
    "swish": (
        lambda u: u / (1 + np.exp(-u)),
        lambda u: 1 / (1 + np.exp(-u)) + u * np.exp(-u) / (1 + np.exp(-u)) ** 2,
    ),
    "swish:10": (
        lambda u: u / (1 + np.exp(-10 * u)),
        lambda u: 1 / (1 + np.exp(-10 * u)) + 10 * u * np.exp(-10 * u) / (1 + np.exp(-10 * u)) ** 2,
    ),
    "softplus:4": (lambda u: np.log1p(np.exp(4 * u)) / 4, lambda u: 1 / (1 + np.exp(-4 * u))),
}


@pytest.mark.parametrize("name", CLOSED)
def test_value_and_derivative_follow_the_closed_form(name):
    value, derivative = CLOSED[name]
    with jax.enable_x64(True):
        sigma = activations.get(name)
        np.testing.assert_allclose(sigma.fn(jnp.asarray(U)), value(U), rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(sigma.derivative(jnp.asarray(U)), derivative(U), rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("name", [*CLOSED, "softplus", jnp.sin])
def test_derivative_is_that_of_autodiff_and_keeps_the_type(name):
    sigma = activations.get(name)
    u = jnp.asarray(U, jnp.float32)
    np.testing.assert_allclose(sigma.derivative(u), jax.vmap(jax.grad(sigma.fn))(u), rtol=2e-5, atol=1e-6)
    assert sigma.fn(u).dtype == sigma.derivative(u).dtype == jnp.float32


def test_relu_has_derivative_zero_at_zero():
    assert activations.get("relu").derivative(jnp.zeros(())) == 0


@pytest.mark.parametrize("name", ["tanhh", "relu:2", "", None, 3])
def test_unknown_name_is_refused_with_those_known(name):
    with pytest.raises(ValueError, match=r"unknown \(known: relu, erf, swish\[:s\], softplus\[:s\], or a callable\)"):
        activations.get(name)


@pytest.mark.parametrize("name", ["swish:", "swish:fast", "softplus:-1", "swish:0", "swish:inf"])
def test_a_sharpness_that_is_no_positive_number_is_refused(name):
    with pytest.raises(ValueError, match="sharpness"):
        activations.get(name)


@pytest.mark.parametrize(
    ("name", "first", "second", "holds"),
    [
        ("relu", 1, np.inf, False),
        ("erf", 2 / np.sqrt(np.pi), np.sqrt(8 / np.pi) * np.exp(-0.5), True),
        ("swish:10", 1.0998393, 5, True),
        ("swish:1000", 1.0998393, 500, True),
        ("softplus:4", 1, 1, True),
        (jnp.tanh, 1, 4 / np.sqrt(27), True),
        (lambda u: jnp.maximum(u - 0.3, 0), 1, np.inf, False),  # a kink off 0, which autodiff does not show
        (lambda u: 2.1 * jnp.sin(u), 2.1, 2.1, False),
        (lambda u: 0.5 * jnp.sign(u), np.inf, 0, False),
    ],
)
def test_assumption_a1_has_the_suprema_of_the_closed_form(name, first, second, holds):
    found = activations.assumption_a1(name)
    np.testing.assert_allclose([found.sup_derivative, found.sup_second_derivative], [first, second], rtol=1e-6)
    assert found.holds == holds
    assert ("A1 holds" in found.words()) == holds


def test_assumption_a1_finds_growth_beyond_one_plus_u():
    found = activations.assumption_a1("softplus:0.1")  # log(2) / s at 0
    assert found.sup_growth_excess == pytest.approx(10 * np.log(2) - 1, rel=1e-9)
    assert not found.holds


def test_host_values_are_had_while_tracing_and_float32_is_refused():
    value = jax.jit(lambda x: x + activations.on_host(jnp.tanh, np.ones(1))[0])(0.0)
    assert value == pytest.approx(np.tanh(1))
    with pytest.raises(ValueError, match="compute in the type of its argument"):
        activations.assumption_a1(lambda u: jnp.tanh(u.astype(jnp.float32)))
