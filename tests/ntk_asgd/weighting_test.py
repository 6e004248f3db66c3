import numpy as np
import pytest

from ntk_asgd import weighting


def test_tables_are_those_of_their_formulas():
    t = np.arange(11.0)
    expected = {
        "average": np.ones(11),
        "tail": t > 5,
        "tail:0.3": t > 7,
        "last": t == 10,
        "polynomial:2": (t + 1) * (t + 2),
        "exponential:0.5": np.exp(t / 5),
    }
    for scheme, shape in expected.items():
        np.testing.assert_allclose(weighting.weights(scheme, 10), shape / shape.sum(), rtol=1e-12)
    np.testing.assert_array_equal(weighting.weights("polynomial", 40), weighting.weights("polynomial:3", 40))
    np.testing.assert_array_equal(weighting.weights("exponential", 40), weighting.weights("exponential:0.25", 40))


def test_polynomial_weights_are_the_running_average_of_shamir_and_zhang():
    """mean <- (1 - (k+1)/(t+k+1)) mean + (k+1)/(t+k+1) g_t."""
    values = np.random.default_rng(0).standard_normal(30)
    mean = 0.0
    for t, value in enumerate(values):
        share = 4 / (t + 4)
        mean = (1 - share) * mean + share * value
    assert weighting.weights("polynomial:3", 29) @ values == pytest.approx(mean)


def test_blocks_carry_the_weight_of_their_iterates():
    table = np.stack([weighting.weights(scheme, 12) for scheme in ("average", "tail", "last", "polynomial")])
    blocks = weighting.by_block(table, 3)
    np.testing.assert_allclose(blocks.sum(axis=1) + table[:, 0], 1)
    np.testing.assert_allclose(blocks[1], [0, 0, 0.5, 0.5])
    np.testing.assert_allclose(blocks[2], [0, 0, 0, 1])


@pytest.mark.parametrize("scheme", ["mean", "last:2", "tail:0", "polynomial:1.5", "polynomial:x", "exponential:2"])
def test_impossible_averages_are_refused(scheme):
    with pytest.raises(ValueError, match=f"average '{scheme}'"):
        weighting.weights(scheme, 10)
