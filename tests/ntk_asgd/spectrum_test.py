import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk_asgd import infinite, spectrum, sphere


@pytest.mark.parametrize("count", [None, 3, 40])
def test_gram_eigenvalues_are_those_of_a_matrix_with_a_known_spectrum(count):
    values = 2.0 ** -np.arange(200)
    basis, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((200, 200)))
    actual = spectrum.gram_eigenvalues((basis * values) @ basis.T, count)
    np.testing.assert_allclose(actual, values[:count] / 200, atol=1e-16)
    assert actual.dtype == np.float64


def test_gram_of_points_on_the_sphere_approaches_the_exact_spectrum():
    x = jax.random.normal(jax.random.key(0), (1_000, 3))
    x = x / jnp.linalg.norm(x, axis=1, keepdims=True)
    gram = infinite.ntk(x, x, activation="relu", gamma=1.0)
    exact = spectrum.by_index(*sphere.eigenvalues(dim=3, activation="relu", max_degree=20, gamma=1.0), 9)
    values = spectrum.gram_eigenvalues(gram, 9)
    np.testing.assert_allclose(values[0], exact[0], rtol=0.02)
    np.testing.assert_allclose([values[1:4].mean(), values[4:9].mean()], [exact[1], exact[4]], rtol=0.05)


def test_by_index_sorts_and_repeats():
    listed = spectrum.by_index([4.0, 1.0, 2.0, 0.5, 0.25], [1, 2, 3, 4, 5], 8)
    np.testing.assert_array_equal(listed, [4, 2, 2, 2, 1, 1, 0.5, 0.5])


@pytest.mark.parametrize("count", [11, 16])
def test_by_index_refuses_what_degrees_left_out_might_change(count):
    with pytest.raises(ValueError, match="raise max_degree"):
        spectrum.by_index([4.0, 1.0, 2.0, 0.5, 0.25], [1, 2, 3, 4, 5], count)


def test_by_index_takes_multiplicities_past_int64():
    listed = spectrum.by_index([1.0, 0.5, 0.25, 0.1], np.array([1.0, 1e30, 1e40, 1e50]), 4)
    np.testing.assert_array_equal(listed, [1, 0.5, 0.5, 0.5])


def test_decay_slope_of_a_power_law():
    index = np.arange(1, 101.0)
    assert spectrum.decay_slope(3 * index**-1.7, 1, 100) == pytest.approx(-1.7, abs=1e-12)
    broken = np.where(index < 50, 1.0, 50 / index)
    assert spectrum.decay_slope(broken, 50, 100) == pytest.approx(-1, abs=1e-12)


@pytest.mark.parametrize("window", [(0, 5), (5, 5), (5, 101)])
def test_decay_slope_refuses_an_impossible_window(window):
    with pytest.raises(ValueError, match="window"):
        spectrum.decay_slope(np.ones(100), *window)


def test_decay_slope_refuses_eigenvalues_that_are_not_positive():
    with pytest.raises(ValueError, match="not all positive"):
        spectrum.decay_slope([1.0, 0.5, 0.0], 1, 3)


def test_degrees_of_freedom():
    values = np.array([1.0, 0.5, 0.1])
    assert spectrum.degrees_of_freedom(values, 0.5) == pytest.approx(1 / 1.5 + 0.5 + 0.1 / 0.6)
    assert spectrum.degrees_of_freedom(values, 0.5, [1, 2, 3]) == pytest.approx(1 / 1.5 + 1 + 0.3 / 0.6)
    long = np.arange(1, 200_001) ** -2.0
    grown = [spectrum.degrees_of_freedom(long, reg) for reg in (1e-4, 1e-6)]
    assert np.log(grown[1] / grown[0]) / np.log(1e2) == pytest.approx(0.5, abs=0.01)  # N(lambda) ~ lambda^{-1/beta}
    with pytest.raises(ValueError, match="regularization"):
        spectrum.degrees_of_freedom(values, 0.0)


def test_impossible_gram_requests_are_refused():
    with pytest.raises(ValueError, match="square"):
        spectrum.gram_eigenvalues(np.ones((2, 3)))
    with pytest.raises(ValueError, match="num_eigenvalues"):
        spectrum.gram_eigenvalues(np.eye(3), 4)


def _symmetric(values, seed=0):
    basis, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(values), len(values))))
    return (basis * values) @ basis.T


def test_top_eigenvalues_of_products_alone():
    values = 2.0 ** -np.arange(200)
    matrix = _symmetric(values)
    found = [spectrum.top_eigenvalues(lambda v: matrix @ v, 200, 30) for _ in range(2)]
    np.testing.assert_allclose(found[0], values[:30], atol=1e-14)
    np.testing.assert_array_equal(*found)
    for k in (0, 201):
        with pytest.raises(ValueError, match="k must lie in"):
            spectrum.top_eigenvalues(lambda v: matrix @ v, 200, k)


def test_block_lanczos_finds_more_copies_than_its_block_holds():
    values = np.repeat([3.0, 2.0, 1.0, 0.0], [10, 20, 40, 30])
    matrix = _symmetric(values)
    for block_size in (1, 4, 24):
        found = spectrum.top_eigenvalues(lambda v: matrix @ v, 100, 60, block_size=block_size)
        np.testing.assert_allclose(found, values[:60], atol=1e-12)


@pytest.mark.parametrize("exponent", [1.1, 2.0])
def test_block_lanczos_on_a_power_law_is_far_below_its_tolerance(exponent):
    values = np.arange(1, 601) ** -exponent
    matrix = _symmetric(values)
    blocks = []

    def matmul(v):
        blocks.append(v.shape[1])
        return matrix @ v

    np.testing.assert_allclose(spectrum.top_eigenvalues(matmul, 600, 20), values[:20], rtol=1e-7)
    assert sum(blocks) < 300  # it stopped long before it spanned the space


def test_by_degree_is_the_mean_over_each_full_block():
    values = np.array([[4.0, 3, 2, 1, 1, 1, 9], [8.0, 6, 4, 2, 2, 2, 9]])
    np.testing.assert_array_equal(spectrum.by_degree(values, [1, 2, 3, 5]), [[4, 2.5, 1], [8, 5, 2]])
    with pytest.raises(ValueError, match="no degree in full"):
        spectrum.by_degree([1.0], [2, 3])


@pytest.mark.parametrize("beta", [1.5, 2.0, 3.0])
def test_degrees_of_freedom_prediction_is_within_one_of_the_sum(beta):
    index = np.arange(1, 2_000_001.0)
    for reg in (1e-2, 1e-4):
        whole = spectrum.degrees_of_freedom(0.7 * index**-beta, reg)
        predicted = spectrum.degrees_of_freedom_prediction(reg, beta=beta, leading=0.7)
        rest = 0.7 / reg * index[-1] ** (1 - beta) / (beta - 1)
        assert 0 < predicted - whole < 1 + rest
    with pytest.raises(ValueError, match="beta must be above 1"):
        spectrum.degrees_of_freedom_prediction(1e-3, beta=1.0, leading=1.0)


def test_rounding_of_a_float32_gram_is_said():
    with pytest.warns(UserWarning, match="from index 4 on"):
        spectrum.gram_eigenvalues(np.diag([1.0, 0.5, 1e-3, 1e-9, 1e-10]).astype(np.float32))


def test_degrees_of_freedom_of_order_two_are_the_trace_of_the_square():
    values, level = np.array([0.5, 0.1, 0.01]), 0.03
    operator = np.diag(values) @ np.linalg.inv(np.diag(values) + level * np.eye(3))
    found = spectrum.degrees_of_freedom(values, level, order=2)
    assert found == pytest.approx(np.trace(operator @ operator))
    assert spectrum.degrees_of_freedom(values, level, [1, 1, 2], order=2) > found
