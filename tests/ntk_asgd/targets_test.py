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


def test_target_with_a_tail_has_the_power_it_was_given():
    eigenvalues = np.arange(1, 1_001) ** -1.5
    g = targets.source_coefficients(eigenvalues, 0.5, sup_norm=1.0, eigenfunction_bound=1.0, tail=0.2)
    np.testing.assert_allclose(np.diff(np.log(g)), -(0.75 + 0.6) * np.diff(np.log(np.arange(1, 1_001))), rtol=1e-9)
    for tail in (0.0, -0.1, np.inf):
        with pytest.raises(ValueError, match="tail must be positive"):
            targets.source_coefficients(eigenvalues, 0.5, sup_norm=1.0, eigenfunction_bound=1.0, tail=tail)


@pytest.mark.parametrize(("last", "count"), [(12, 10), (10, 8)])
def test_eigenfunction_average_is_the_papers(last, count):
    g = targets.eigenfunction_average(20, 3, last)
    np.testing.assert_array_equal(np.flatnonzero(g), np.arange(2, last))
    np.testing.assert_allclose(g[g > 0], 1 / count)
    for first, end in ((0, 3), (5, 4), (3, 21)):
        with pytest.raises(ValueError, match="must lie in"):
            targets.eigenfunction_average(20, first, end)


def test_degrees_that_a_kernel_without_bias_cannot_see_are_named():
    """gamma = 0 leaves the ReLU kernel no odd degree from 3 on."""
    blind, seeing = (
        np.repeat(*sphere.eigenvalues(dim=2, activation="relu", max_degree=8, gamma=gamma)) for gamma in (0.0, 1.0)
    )
    degrees = (np.arange(17) + 1) // 2
    target = np.full(17, 0.1)
    with pytest.raises(ValueError, match=r"zero on degrees 3, 5, 7, .* stays at 0.06 or more; choose"):
        targets.check_visible(blind, target, degrees=degrees)
    targets.check_visible(seeing, target, degrees=degrees)
    targets.check_visible(blind, np.where((degrees % 2 == 1) & (degrees > 1), 0, target), degrees=degrees)
    with pytest.raises(ValueError, match="zero on eigenfunctions 2,"):
        targets.check_visible([1.0, 0.0], [1.0, 1.0])


@pytest.mark.parametrize("dim", [2, 5])
def test_samples_of_the_sphere_are_uniform(dim):
    draw = jax.vmap(lambda step: targets.sphere_sample(jax.random.key(1), step, dim=dim, noise=0.3, kind="uniform"))
    x, disturbance = draw(jnp.arange(4_000))
    np.testing.assert_allclose(np.sum(x**2, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.cov(x.T, bias=True), np.eye(dim) / dim, atol=4 / dim / np.sqrt(4_000))
    assert np.abs(disturbance).max() <= 0.3 * np.sqrt(3)
    assert np.std(disturbance) == pytest.approx(0.3, rel=0.03)
    again = targets.sphere_sample(jax.random.key(1), 7, dim=dim, noise=0.3, kind="uniform")
    np.testing.assert_allclose(again[0], x[7], rtol=1e-6)


def test_unknown_noise_is_refused():
    with pytest.raises(ValueError, match="noise kind 'gauss' is unknown"):
        targets.circle_sample(jax.random.key(0), 0, noise=1.0, kind="gauss")


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
