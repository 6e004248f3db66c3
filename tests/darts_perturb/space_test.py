import json
import os
import pathlib

import jax
import pytest

from darts_perturb import genotype, space

VECTORS = os.environ.get("VECTORS", "")
DARTS_EDGES = (
    (0, 2),
    (1, 2),
    (0, 3),
    (1, 3),
    (2, 3),
    (0, 4),
    (1, 4),
    (2, 4),
    (3, 4),
    (0, 5),
    (1, 5),
    (2, 5),
    (3, 5),
    (4, 5),
)


def test_nas_bench_201_is_the_published_space():
    found = space.get("nas_bench_201")
    assert found.ops == ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    assert found.edges == ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
    assert found.parameter_free == ("none", "skip_connect", "avg_pool_3x3")
    assert (found.num_nodes, found.num_inputs, found.weights_shape) == (4, 1, (6, 5))
    assert [found.edges_from(node) for node in range(4)] == [(0, 1, 3), (2, 4), (5,), ()]
    assert hash(found) == hash(space.get("nas_bench_201"))


def test_darts_is_the_space_of_the_perturbation_paper():
    found = space.get("darts")
    assert found.edges == DARTS_EDGES
    assert found.kinds == ("normal", "reduce")
    assert found.weights_shape == (14, 7)
    assert "none" not in found.ops
    assert found.parameter_free == ("max_pool_3x3", "avg_pool_3x3", "skip_connect")
    assert [found.stride("reduce", edge) for edge in range(5)] == [2, 2, 2, 2, 1]
    assert {found.stride("normal", edge) for edge in range(14)} == {1}


@pytest.mark.parametrize(("name", "size"), [("s1", 2), ("s2", 2), ("s3", 3), ("s4", 2)])
def test_reduced_spaces_have_their_sizes(name, size):
    found = space.get(name)
    assert found.weights_shape == (14, size)
    assert {len(ops) for kind in found.kinds for ops in found.edge_ops(kind)} == {size}


def test_s1_has_operations_of_its_own_on_every_edge():
    found = space.get("s1")
    assert found.edge_ops("normal")[5] == ("max_pool_3x3", "skip_connect")
    assert found.edge_ops("reduce")[0] == ("max_pool_3x3", "avg_pool_3x3")
    assert found.edge_ops("normal") != found.edge_ops("reduce")


@pytest.mark.skipif(not VECTORS, reason="VECTORS names no folder")
def test_reduced_spaces_are_the_reference_s():
    tables = json.loads((pathlib.Path(VECTORS) / "reduced_spaces.json").read_text())
    assert sorted(tables) == ["s1", "s2", "s3", "s4"]
    for name, kinds in tables.items():
        for kind, edges in kinds.items():
            assert [list(ops) for ops in space.get(name).edge_ops(kind)] == edges, (name, kind)


def test_weights_are_mapped_in_the_form_they_have():
    alpha = jax.numpy.zeros((14, 7))
    found = space.get("darts").map(jax.nn.softmax, {"normal": alpha, "reduce": alpha})
    assert {kind: float(value[3, 2]) for kind, value in found.items()} == pytest.approx(
        {"normal": 1 / 7, "reduce": 1 / 7}
    )
    assert space.get("nas_bench_201").map(lambda value: value + 1, 2) == 3


def test_an_unknown_space_is_named_with_the_known_ones():
    with pytest.raises(ValueError, match=r"unknown search space 'nas_bench_301'; known: .*nas_bench_201"):
        space.get("nas_bench_301")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"ops": ("sep_conv_4x4",)}, "unknown operation 'sep_conv_4x4'"),
        ({"ops": ("sep_conv_3x5",)}, "unknown operation 'sep_conv_3x5'"),
        ({"ops": ()}, "no ops"),
        ({"ops": ("none", "none")}, "twice"),
        ({"edges": ((0, 1), (0, 1))}, "twice"),
        ({"edges": ((1, 0),)}, "source < target"),
        ({"edges": ((0, 1), (0, 3))}, "an edge into every node"),
        ({"skeleton": "tree"}, "skeleton 'tree'"),
        ({"skeleton": "reductions"}, "1 input nodes, reductions has 2"),
        ({"choices": ((("none",),), (("none",),))}, "choices need"),
        ({"choices": ((("noise",),),)}, "not in ops"),
    ],
)
def test_a_space_that_makes_no_cell_is_refused(fields, message):
    with pytest.raises(ValueError, match=f"search space 'mine': .*{message}"):
        space.Space(**{"name": "mine", "ops": ("none", "skip_connect"), "edges": ((0, 1),), **fields})


def test_a_space_of_one_s_own_is_read_from_a_file(tmp_path):
    path = tmp_path / "own.json"
    fields = {"ops": ["none", "skip_connect", "sep_conv_3x3"], "edges": [[0, 1], [0, 2], [1, 2]]}
    path.write_text(json.dumps(fields))
    found = space.get(str(path))
    assert found == space.Space(str(path), ("none", "skip_connect", "sep_conv_3x3"), ((0, 1), (0, 2), (1, 2)))
    assert hash(found) == hash(space.load(str(path)))
    cell = genotype.from_choice(found, [2, 1, 0])
    assert genotype.format(cell) == "|sep_conv_3x3~0|+|skip_connect~0|none~1|"
    assert genotype.parse(genotype.format(cell), found) == cell
    assert genotype.to_choice(cell).tolist() == [2, 1, 0]
    choices = [[["none", "skip_connect"], ["skip_connect", "sep_conv_3x3"], ["none", "sep_conv_3x3"]]]
    other = tmp_path / "choices.json"
    other.write_text(json.dumps(fields | {"choices": choices}))
    cell = genotype.from_choice(space.get(str(other)), [1, 1, 0])
    assert cell.ops == ("skip_connect", "sep_conv_3x3", "none")
    assert genotype.to_choice(cell).tolist() == [1, 1, 0]
    assert genotype.to_weights(cell).shape == (3, 2)
    with pytest.raises(ValueError, match="'sep_conv_3x3~0' of node 1 takes none or skip_connect"):
        genotype.parse("|sep_conv_3x3~0|+|skip_connect~0|none~1|", str(other))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ("[]", "fields list; need ops and edges"),
        ('{"ops": ["none"]}', "fields ['ops']; need ops and edges"),
        ('{"ops": [], "edges": [], "name": "mine"}', "fields ['edges', 'name', 'ops']"),
        ('{"ops": ["conv"], "edges": [[0, 1]]}', "unknown operation 'conv'"),
        ('{"ops": ["none"], "edges": [[1, 0]]}', "need source < target"),
        ('{"ops": ["none"], "edges": [0, 1]}', "a field is of another form"),
        ('{"ops": ["none"], "edges": [["a", "b"]]}', "a field is of another form"),
        ('{"ops": 3, "edges": [[0, 1]]}', "a field is of another form"),
        ('{"ops": ["none"], "edges": [[0, 1]], "skeleton": "ladder"}', "skeleton 'ladder'; known: stages"),
    ],
)
def test_a_file_that_holds_no_space_is_one_line_with_its_name(tmp_path, text, words):
    path = tmp_path / "own.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"own\.json") as caught:
        space.load(str(path))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
