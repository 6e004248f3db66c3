import numpy as np
import pytest
from scipy import stats

from darts_perturb import space as spaces
from darts_perturb.analysis import skip_domination
from tests.darts_perturb import tiny


def test_the_lead_by_hand():
    nb201 = spaces.NAS_BENCH_201
    weights = np.random.default_rng(0).dirichlet(np.ones(5), (4, 6))
    expected = weights[:, :, 1].mean(axis=1) - weights[:, :, 3].mean(axis=1)
    np.testing.assert_allclose(skip_domination.lead(weights, nb201, "nor_conv_3x3"), expected, rtol=1e-12)
    one = skip_domination.lead(np.eye(5)[[1, 1, 1, 3, 0, 0]], nb201, "nor_conv_3x3")
    np.testing.assert_allclose(one, 2 / 6)


def test_the_lead_where_edges_differ_is_over_those_that_may_take_either():
    s1 = spaces.get("s1")
    weights = np.random.default_rng(1).dirichlet(np.ones(2), 28)
    edges = [ops for kind in ("normal", "reduce") for ops in s1.edge_ops(kind)]
    means = []
    for op in ("skip_connect", "dil_conv_3x3"):
        means.append(np.mean([row[ops.index(op)] for row, ops in zip(weights, edges) if op in ops]))
    np.testing.assert_allclose(skip_domination.lead(weights, s1, "dil_conv_3x3"), means[0] - means[1], rtol=1e-12)


@pytest.mark.parametrize(
    ("space", "conv"),
    [("nas_bench_201", "nor_conv_3x3"), ("darts", "sep_conv_3x3"), ("s1", "sep_conv_3x3"), ("s3", "sep_conv_3x3")],
)
def test_the_convolution_is_a_3x3_one_where_there_is_one(space, conv):
    assert skip_domination.convolution(spaces.get(space)) == conv


def test_a_convolution_may_be_named_and_must_be_one():
    assert skip_domination.convolution(tiny.STAGES_SPACE) == "nor_conv_1x1"
    assert skip_domination.convolution(spaces.get("darts"), "dil_conv_5x5") == "dil_conv_5x5"
    for name, conv, words in (
        ("s4", "", "s4 has the operations noise, sep_conv_3x3: need skip_connect and a convolution"),
        ("s2", "skip_connect", "'skip_connect' is not a convolution of s2; known: sep_conv_3x3"),
    ):
        with pytest.raises(ValueError, match=words):
            skip_domination.convolution(spaces.get(name), conv)


def test_rank_correlation_is_spearman_s_and_0_where_nothing_is_ranked():
    rng = np.random.default_rng(2)
    x, y = rng.integers(0, 4, (2, 30))
    ranks = [stats.rankdata(values) for values in (x, y)]
    found = skip_domination.rank_correlation(x, y)
    np.testing.assert_allclose(found, np.corrcoef(*ranks)[0, 1], rtol=1e-12)
    np.testing.assert_allclose(found, stats.spearmanr(x, y).statistic, rtol=1e-12)
    assert skip_domination.rank_correlation(x, np.ones(30)) == 0.0


def test_the_partial_rank_correlation_is_the_textbook_s():
    rng = np.random.default_rng(3)
    x, y, z = rng.standard_normal((3, 40))
    y = y + 2 * z
    x = x + z
    xy, xz, yz = (stats.spearmanr(*pair).statistic for pair in ((x, y), (x, z), (y, z)))
    expected = (xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2))
    np.testing.assert_allclose(skip_domination.partial_rank_correlation(x, y, z), expected, rtol=1e-10)
    assert abs(expected) < xy


def test_nothing_is_left_of_two_courses_that_follow_the_epoch_alone():
    epoch = np.arange(40)
    assert skip_domination.partial_rank_correlation(epoch**2, np.sqrt(epoch), epoch) == 0.0
    assert skip_domination.rank_correlation(epoch**2, np.sqrt(epoch)) == pytest.approx(1.0)
