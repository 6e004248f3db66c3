import jax
import jax.numpy as jnp
import numpy as np
import pytest

from darts_perturb import edges, space
from tests.darts_perturb import tiny


@pytest.mark.parametrize("name", ["nas_bench_201", "darts", "s1", "s3"])
def test_flat_rows_are_the_listed_edges_and_go_back(name):
    found = space.get(name)
    listed = edges.listed(found)
    shape = (len(listed), found.weights_shape[1])
    rows = jnp.arange(float(np.prod(shape))).reshape(shape)
    tree = edges.by_cell(found, rows)
    np.testing.assert_array_equal(edges.flat(tree), rows)
    back = edges.like(tree, rows)
    assert jax.tree.all(jax.tree.map(np.array_equal, tree, back))
    # row by row against the space itself
    for row, edge in enumerate(listed):
        number = row % len(found.edges)
        assert (edge.source, edge.target) == found.edges[number]
        assert edge.ops == found.edge_ops(edge.kind)[number]
        cell = tree if name == "nas_bench_201" else tree[edge.kind]
        np.testing.assert_array_equal(cell[number], rows[row])


def test_operations_are_found_edge_by_edge():
    none = edges.holding(tiny.CELLS_SPACE, "none")
    assert none.shape == (10, 2)
    np.testing.assert_array_equal(none[:9], [[True, False]] * 9)
    np.testing.assert_array_equal(none[9], [False, True])


def test_rows_into_nodes():
    assert edges.into_nodes(tiny.CELLS_SPACE) == {
        ("normal", 2): [0, 1],
        ("normal", 3): [2, 3, 4],
        ("reduce", 2): [5, 6],
        ("reduce", 3): [7, 8, 9],
    }
