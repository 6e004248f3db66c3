import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk_asgd import sphere, targets


@pytest.mark.parametrize("r", [0.5, 1.0])
def test_target_sits_on_the_edge_of_the_source_condition(r):
    eigenvalues = np.arange(1, 2**18 + 1) ** -2.0
    g = targets.source_coefficients(eigenvalues, r, sup_norm=1.0, eigenfunction_bound=1.0)
    within, beyond = (np.cumsum((g / eigenvalues**order) ** 2) for order in (r, r + 0.1))
    doublings = 2 ** np.arange(8, 19) - 1
    assert (np.diff(within[doublings], 2) < 0).all()  # what a doubling adds falls: sum 1 / (i log^2) is finite
    assert (np.diff(beyond[doublings])[4:] > np.diff(beyond[doublings])[3:-1]).all()  # and grows for any larger order


def test_target_is_bounded_as_asked():
    eigenvalues = np.arange(1, 65) ** -1.5
    g = targets.source_coefficients(eigenvalues, 0.75, sup_norm=0.5, eigenfunction_bound=np.sqrt(2))
    angles = jnp.linspace(0, 2 * np.pi, 500)
    values = sphere.circle_eigenfunctions(angles, 64) @ jnp.asarray(g, jnp.float32)
    assert np.sqrt(2) * g.sum() == pytest.approx(0.5)
    assert jnp.abs(values).max() <= 0.5


def test_samples_are_uniform_with_bounded_noise_of_mean_zero():
    draw = jax.vmap(lambda step: targets.circle_sample(jax.random.key(0), step, noise=0.3))
    angle, disturbance = draw(jnp.arange(4_000))
    np.testing.assert_allclose(np.abs(disturbance), 0.3, rtol=1e-6)
    assert abs(np.mean(disturbance)) < 4 * 0.3 / np.sqrt(4_000)
    counts, _ = np.histogram(angle, bins=8, range=(0, 2 * np.pi))
    assert np.sum((counts - 500.0) ** 2 / 500) < 30  # chi^2 with 7 degrees of freedom, p = 1e-4
    assert abs(np.corrcoef(np.cos(np.asarray(angle)), disturbance)[0, 1]) < 4 / np.sqrt(4_000)


def test_a_sample_depends_on_its_step_alone():
    key = jax.random.key(3)
    draw = jax.vmap(lambda step: targets.circle_sample(key, step, noise=1.0))
    np.testing.assert_array_equal(draw(jnp.arange(4, 8))[0], draw(jnp.arange(8))[0][4:])
