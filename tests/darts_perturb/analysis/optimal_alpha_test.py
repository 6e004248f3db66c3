import numpy as np
import pytest

from darts_perturb import space as spaces
from darts_perturb.analysis import optimal_alpha
from tests.darts_perturb import tiny

NB201 = spaces.NAS_BENCH_201


def on_a_grid(moments, limit):
    """Returns the difference of least error on a fine grid, from the error as a polynomial of theta."""
    difference = np.linspace(-limit, limit, 400_001)
    conv = 1 / (1 + np.exp(difference))
    skip = 1 - conv
    error = conv**2 * moments.conv + skip**2 * moments.skip + 2 * conv * skip * moments.covariance
    return difference[np.argmin(error)], conv[np.argmin(error)]


@pytest.mark.parametrize("seed", range(5))
def test_the_optimum_is_where_a_grid_has_its_least_error(seed):
    conv, skip, share = np.random.default_rng(seed).uniform((0.2, 0.2, -0.9), (3.0, 3.0, 0.9))
    moments = optimal_alpha.Moments(conv, skip, share * min(conv, skip))
    found = optimal_alpha.optimum(moments)
    difference, theta_conv = on_a_grid(moments, 10.0)
    assert found.exists
    np.testing.assert_allclose(found.difference, difference, atol=1e-4)
    np.testing.assert_allclose(found.theta_conv, theta_conv, atol=1e-4)


def test_the_formula_agrees_with_direct_minimisation_on_synthetic_maps():
    rng, errors, missed = np.random.default_rng(0), [], []
    for _ in range(100):
        maps = [optimal_alpha.drawn(rng, 1000) for _ in range(2)]
        moments = optimal_alpha.moments_of(maps)
        found = optimal_alpha.optimum(moments)
        if found.exists and abs(found.difference) < 5:
            direct = optimal_alpha.minimised(maps)
            errors.append(abs(found.difference - direct))
            missed.append(abs(optimal_alpha.optimum(optimal_alpha.without_covariance(moments)).difference - direct))
    assert len(errors) > 50
    assert max(errors) < 1e-4
    assert np.median(missed) > 0.05


def test_without_covariance_it_is_the_log_ratio_of_the_variances():
    moments = optimal_alpha.Moments(np.array([2.0, 0.5]), np.array([1.0, 1.0]), np.array([0.3, 0.1]))
    found = optimal_alpha.optimum(optimal_alpha.without_covariance(moments))
    np.testing.assert_allclose(found.difference, np.log([2.0, 0.5]), rtol=1e-12)
    # theta is the inverse variance's share
    np.testing.assert_allclose(found.theta_conv, [1 / 3, 2 / 3], rtol=1e-12)
    assert found.difference[0] > 0 > found.difference[1]


def test_where_no_finite_alpha_is_best_the_limit_is_returned_and_said():
    # convolution better, skip better, equal errors, a variance of 0
    cases = optimal_alpha.Moments([1.0, 2.0, 1.0, 0.0], [2.0, 1.0, 1.0, 1.0], [1.5, 1.0, 1.0, 0.0])
    found = optimal_alpha.optimum(cases, limit=7.0)
    np.testing.assert_array_equal(found.exists, False)
    np.testing.assert_array_equal(found.difference, [-7.0, 7.0, 0.0, -7.0])
    np.testing.assert_array_equal(found.theta_conv, [1.0, 0.0, 0.5, 1.0])
    np.testing.assert_allclose(on_a_grid(optimal_alpha.Moments(1.0, 2.0, 1.5), 7.0)[0], -7.0)
    extreme = optimal_alpha.optimum(optimal_alpha.Moments(1.0, 1e-12, 0.0), limit=7.0)
    assert extreme.exists
    assert extreme.difference == 7.0


def test_moments_and_error_tell_the_same():
    rng = np.random.default_rng(1)
    maps = [optimal_alpha.drawn(rng, 50) for _ in range(3)]
    moments = optimal_alpha.moments_of(maps)
    for difference in (-1.0, 0.0, 2.0):
        conv = 1 / (1 + np.exp(difference))
        skip = 1 - conv
        expected = conv**2 * moments.conv + skip**2 * moments.skip + 2 * conv * skip * moments.covariance
        np.testing.assert_allclose(optimal_alpha.error(difference, maps) / 3, expected, rtol=1e-12)


def carried_values(space, seed=0):
    return list(np.random.default_rng(seed).standard_normal((len(space.edges), 2, 3, 3, 4)))


def in_numpy(x):
    x = np.asarray(x, np.float64)
    return (x - x.mean((1, 2, 3), keepdims=True)) / x.std((1, 2, 3), keepdims=True)


def test_the_estimators_by_hand():
    values = carried_values(NB201)
    ends = NB201.edges
    one = {name: optimal_alpha.shared_map(values, NB201, 4, name) for name in optimal_alpha.ESTIMATORS}
    assert ends[4] == (1, 3)
    # not 0 -> 1, which makes node 1
    np.testing.assert_allclose(one["others"], np.mean([in_numpy(values[n]) for n in (1, 2, 3, 5)], 0), atol=1e-12)
    np.testing.assert_allclose(one["node"], np.mean([in_numpy(values[n]) for n in (3, 4, 5)], 0), atol=1e-12)
    np.testing.assert_allclose(one["cell"], in_numpy(sum(np.asarray(values[n]) for n in (3, 4, 5))), atol=1e-12)
    cells = tiny.CELLS_SPACE
    values = carried_values(cells, 1)
    nodes = [sum(np.asarray(values[n]) for n in rows) for rows in ((0, 1), (2, 3, 4))]
    expected = np.mean([in_numpy(node) for node in nodes], 0)
    np.testing.assert_allclose(optimal_alpha.shared_map(values, cells, 0, "cell"), expected, atol=1e-12)


def test_an_estimator_without_another_edge_is_refused():
    chain = spaces.Space("chain", ("skip_connect", "nor_conv_1x1"), ((0, 1), (1, 2)))
    with pytest.raises(ValueError, match="edge 1 to 2 of chain has no other to compare with"):
        optimal_alpha.shared_map(carried_values(chain), chain, 1, "others")
    with pytest.raises(ValueError, match="unknown estimator 'mean'; known: others, node, cell"):
        optimal_alpha.maps_of([], [], NB201, "nor_conv_3x3", "mean")
    with pytest.raises(ValueError, match="no edge of s4 may take both skip_connect and sep_conv_3x3"):
        optimal_alpha.both(spaces.get("s4"), "sep_conv_3x3")


def test_the_maps_of_an_edge_are_its_operations_in_every_cell():
    from darts_perturb.analysis import carried

    values = carried_values(tiny.STAGES_SPACE)
    by_op = [{"skip_connect": value + 1, "nor_conv_1x1": 2 * np.flip(value, 1)} for value in values]
    cells = [carried.Cell(by_op, values), carried.Cell(by_op[::-1], values)]
    found = optimal_alpha.maps_of(cells, ["cell"] * 2, tiny.STAGES_SPACE, "nor_conv_1x1", "node")
    assert len(found) == 3
    assert len(found[0]) == 2
    x, o, m = found[0][1]
    np.testing.assert_allclose(x, in_numpy(values[2]), atol=1e-12)
    np.testing.assert_allclose(o, in_numpy(np.flip(values[2], 1)), atol=1e-12)
    np.testing.assert_allclose(m, in_numpy(values[0]), atol=1e-12)
