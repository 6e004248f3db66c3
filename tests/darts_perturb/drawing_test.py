import io
import itertools

import numpy as np
import pytest
from matplotlib import image
from matplotlib.figure import Figure

from darts_perturb import drawing, genotype, space

TEXT = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_1x1~1|none~2|"


def random_cell(seed):
    """A cell of the DARTS space, its edges and operations drawn at random."""
    rng, found = np.random.default_rng(seed), space.get("darts")
    kept = {}
    for kind in ("normal", "reduce"):
        kept[kind] = np.zeros(14, bool)
        for node in range(2, 6):
            rows = [index for index, (_, target) in enumerate(found.edges) if target == node]
            kept[kind][rng.choice(rows, 2, replace=False)] = True
    return genotype.from_choice(found, {kind: rng.integers(7, size=14) for kind in kept}, kept)


GRAPHS = [drawing.graph(genotype.parse(TEXT))]
GRAPHS += [drawing.graph(random_cell(seed), kind) for seed in range(20) for kind in ("normal", "reduce")]


def test_a_cell_is_drawn_with_one_line_an_edge():
    axis = Figure().subplots()
    genotype.draw(genotype.parse(TEXT), axis, "cell")
    assert len(axis.patches) == 6
    assert [text.get_text() for text in axis.texts] == [
        *("conv 3x3", "none", "skip", "avg pool", "conv 1x1", "none"),
        *("in", "1", "2", "out"),
    ]
    assert [text.get_color() for text in axis.texts[:3]] == [
        drawing.COLOURS[op] for op in ("nor_conv_3x3", "none", "skip_connect")
    ]


def test_both_cells_of_a_darts_genotype_are_drawn():
    picture = drawing.figure(random_cell(0))
    assert [axis.get_title() for axis in picture.axes] == ["normal cell", "reduction cell"]
    for axis in picture.axes:
        assert len(axis.patches) == 12
        assert [text.get_text() for text in axis.texts[-7:]] == [
            *("$c_{k-2}$", "$c_{k-1}$", "2", "3", "4", "5"),
            "$c_k$",
        ]


@pytest.mark.parametrize("graph", GRAPHS)
def test_an_edge_runs_from_left_to_right_between_its_nodes(graph):
    places = drawing.layout(graph)
    for (source, target, _), route in zip(graph.edges, places.routes):
        np.testing.assert_array_equal(route[[0, -1]], places.nodes[[source, target]])
        np.testing.assert_array_equal(np.diff(route[:, 0]), 1)


@pytest.mark.parametrize("graph", GRAPHS)
def test_no_label_covers_a_node_an_edge_or_another_label(graph):
    places = drawing.layout(graph)
    shown = [tuple(place) for (_, _, op), place in zip(graph.edges, places.labels) if op]
    nodes = [tuple(place) for place in places.nodes]
    assert all(place in map(tuple, route) for place, route in zip(shown, places.routes))
    stations = {tuple(place) for route in places.routes for place in route[1:-1]}
    assert len(stations) == sum(len(route) - 2 for route in places.routes)
    taken = sorted(stations | set(nodes))
    for (x, y), (other_x, other_y) in itertools.pairwise(taken):
        if x == other_x:
            labels = ((x, y) in shown) + ((other_x, other_y) in shown)
            assert other_y - y > {0: 0.33, 1: 0.47, 2: 0.61}[labels]


def test_every_operation_of_every_space_has_a_colour():
    for name in ("nas_bench_201", "darts", "s1", "s2", "s3", "s4"):
        assert set(space.get(name).ops) <= set(drawing.COLOURS)
    assert drawing.colour("sep_conv_7x7") == drawing.COLOURS["sep_conv_5x5"]


def test_the_picture_shows_every_family_in_its_colour():
    buffer = io.BytesIO()
    drawing.figure(genotype.parse(TEXT)).savefig(buffer, format="png", dpi=100)
    pixels = image.imread(io.BytesIO(buffer.getvalue()))[..., :3].reshape(-1, 3)
    for op in ("nor_conv_3x3", "skip_connect", "avg_pool_3x3", "nor_conv_1x1"):
        colour = np.array([int(drawing.COLOURS[op][i : i + 2], 16) for i in (1, 3, 5)]) / 255
        assert (abs(pixels - colour).max(axis=1) < 0.02).sum() > 50, op
