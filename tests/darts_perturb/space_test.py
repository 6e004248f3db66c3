import pytest

from darts_perturb import space


def test_nas_bench_201_is_the_published_space():
    found = space.get("nas_bench_201")
    assert found.ops == ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    assert found.edges == ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
    assert found.num_nodes == 4
    assert [found.edges_from(node) for node in range(4)] == [(0, 1, 3), (2, 4), (5,), ()]
    assert hash(found) == hash(space.get("nas_bench_201"))


def test_an_unknown_space_is_named_with_the_known_ones():
    with pytest.raises(ValueError, match=r"unknown search space 'nas_bench_301'; known: .*nas_bench_201"):
        space.get("nas_bench_301")
