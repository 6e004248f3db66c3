import jax
import numpy as np
import pytest

from darts_perturb import edges, supernet
from darts_perturb.analysis import carried
from tests.darts_perturb import tiny

IMAGES = jax.random.normal(jax.random.key(2), (3, 8, 8, 3))


def weights_of(space):
    rows = jax.nn.softmax(jax.random.normal(jax.random.key(1), (len(edges.listed(space)), space.weights_shape[1])))
    return edges.by_cell(space, rows)


@pytest.fixture(scope="module")
def at_work():
    """Returns {space: (parameters, weights, logits without looking, logits, cells)}, a program each."""
    found = {}
    for space, layers in ((tiny.STAGES_SPACE, 2), (tiny.CELLS_SPACE, 6)):
        params = supernet.init(jax.random.key(0), space, channels=2, layers=layers, num_classes=5)
        weights = weights_of(space)

        def run(params, weights, space=space):
            plain = supernet.apply(params, weights, IMAGES, space=space)
            return plain, *carried.cells(params, weights, IMAGES, space=space)

        found[space.name] = params, weights, *jax.jit(run)(params, weights)
    return found


@pytest.mark.parametrize("space", [tiny.STAGES_SPACE, tiny.CELLS_SPACE])
def test_looking_changes_nothing(at_work, space):
    params, _, plain, logits, cells = at_work[space.name]
    np.testing.assert_allclose(logits, plain, atol=1e-5)
    assert len(cells) == len(carried.kinds(params, space))


def test_a_cell_of_stages_by_hand(at_work):
    _, weights, _, _, cells = at_work["tiny"]
    assert len(cells) == 6
    for cell in cells:
        for (source, _), own, sums, weight in zip(tiny.STAGES_SPACE.edges, cell.by_op, cell.edges, np.asarray(weights)):
            assert sorted(own) == ["nor_conv_1x1", "skip_connect"]
            np.testing.assert_allclose(
                sums, weight[1] * own["skip_connect"] + weight[2] * own["nor_conv_1x1"], atol=1e-5
            )
            node = cell.by_op[0]["skip_connect"] if source == 0 else cell.edges[0]
            np.testing.assert_allclose(own["skip_connect"], node, atol=1e-6)
    # the last node of the first cell of a stage is the input of the second
    np.testing.assert_allclose(cells[1].by_op[0]["skip_connect"], cells[0].edges[1] + cells[0].edges[2], atol=1e-5)


def test_kinds_and_sizes_of_cells_with_reductions(at_work):
    params, _, _, _, cells = at_work["tiny_cells"]
    assert carried.kinds(params, tiny.CELLS_SPACE) == ["normal", "normal", "reduce", "normal", "reduce", "normal"]
    sides = {2: 8, 4: 4, 8: 2}
    shapes = [cell.edges[0].shape for cell in cells]
    assert shapes == [(channels, sides[channels], sides[channels], 3) for channels in (2, 2, 4, 4, 8, 8)]
    assert [sorted(own) for own in cells[0].by_op][2] == ["max_pool_3x3"]


def test_standardised_maps_have_one_scale():
    x = 3 + 2 * np.random.default_rng(0).standard_normal((2, 4, 4, 5))
    x[1] = 7.0
    found = carried.standardised(x)
    np.testing.assert_allclose([found[0].mean(), found[0].std()], [0, 1], atol=1e-12)
    np.testing.assert_array_equal(found[1], 0.0)
