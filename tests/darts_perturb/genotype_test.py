import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darts_perturb import genotype, space

SPACE = space.get("nas_bench_201")
TEXT = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_1x1~1|none~2|"
CELLS = st.lists(st.sampled_from(SPACE.ops), min_size=6, max_size=6)


def test_the_published_text_is_read_edge_by_edge():
    found = genotype.parse(TEXT)
    assert found.ops == ("nor_conv_3x3", "none", "skip_connect", "avg_pool_3x3", "nor_conv_1x1", "none")
    np.testing.assert_array_equal(genotype.to_choice(found), [3, 0, 1, 4, 2, 0])
    np.testing.assert_array_equal(genotype.to_weights(found).argmax(axis=1), [3, 0, 1, 4, 2, 0])
    np.testing.assert_array_equal(genotype.to_weights(found).sum(axis=1), 1.0)


@given(CELLS)
def test_every_cell_survives_its_text(ops):
    cell = genotype.Genotype(SPACE.name, tuple(ops))
    assert genotype.parse(genotype.format(cell)) == cell
    assert genotype.from_choice(SPACE, genotype.to_choice(cell)) == cell


@given(st.text(alphabet="|~+01239 nonesk_ip", max_size=60))
def test_any_other_text_is_one_line_of_error(text):
    with pytest.raises(ValueError, match=r"\Agenotype [^\n]*\Z"):
        genotype.parse(text)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("", "1 nodes joined by"),
        (TEXT.replace("none~0", "conv_7x7~0"), "unknown operation 'conv_7x7'"),
        (TEXT.replace("skip_connect~1", "skip_connect~2"), "'skip_connect~2' of node 2 needs a source of 0 to 1"),
        (TEXT.replace("skip_connect~1", "skip_connect"), "needs a source"),
        (TEXT.replace("skip_connect~1", "skip_connect~0"), "node 2 has two operations from node 0"),
        (TEXT.replace("none~0|skip", "skip"), "node 2 has no operation from node 0"),
        (TEXT.replace("|nor_conv_3x3~0|+", "nor_conv_3x3~0+"), "node 1 is 'nor_conv_3x3~0'"),
    ],
)
def test_a_malformed_text_says_where(wrong, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        genotype.parse(wrong)


DARTS = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat={}, "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat={})"
)
PUBLISHED = DARTS.format("range(2, 6)", "range(2, 6)")


@pytest.mark.parametrize("first", ["range(2, 6)", "[2, 3, 4, 5]", "(2, 3, 4, 5)", "[4, 5, 2]", "(3,)", "range(4, 5)"])
@pytest.mark.parametrize("second", ["range(2, 6)", "[2, 3, 4, 5]"])
def test_the_published_tuples_come_back_to_the_letter(first, second):
    text = DARTS.format(first, second)
    found = genotype.parse(text)
    assert genotype.format(found) == text
    assert found.edges("normal")[7] == (2, 5, "dil_conv_3x3")
    assert found.edges("reduce")[2] == (2, 3, "skip_connect")
    assert found.concat("normal") == tuple(eval(first, {"range": range}))


def test_how_the_concat_is_written_makes_no_other_cell():
    one, other = genotype.parse(PUBLISHED), genotype.parse(DARTS.format("[2, 3, 4, 5]", "(2, 3, 4, 5)"))
    assert one == other
    assert hash(one) == hash(other)
    assert one != genotype.parse(DARTS.format("[2, 3, 4]", "range(2, 6)"))


def test_spaces_lines_and_positional_fields_are_read_too():
    fields = genotype.parse(PUBLISHED)
    loose = PUBLISHED.replace(", (", ",\n  (").replace("normal=", "").replace("normal_concat=", "")
    assert genotype.parse(f"  {loose}\n") == fields
    assert genotype.format(genotype.parse(loose)) == PUBLISHED


KINDS = ("normal", "reduce")


@st.composite
def darts_cells(draw):
    """Cells of any of the DARTS spaces, as (space, choice, kept)."""
    found = space.get(draw(st.sampled_from(["darts", "s1", "s2", "s3", "s4"])))
    choice, kept = {}, {}
    for kind in KINDS:
        choice[kind] = np.array(draw(st.lists(st.integers(0, found.weights_shape[1] - 1), min_size=14, max_size=14)))
        kept[kind] = np.zeros(14, bool)
        for node in range(2, 6):
            rows = [index for index, (_, target) in enumerate(found.edges) if target == node]
            kept[kind][draw(st.lists(st.sampled_from(rows), min_size=2, max_size=2, unique=True))] = True
    return found, choice, kept


@given(darts_cells())
def test_every_darts_cell_survives_its_text_and_its_choice(drawn):
    found, choice, kept = drawn
    cell = genotype.from_choice(found, choice, kept)
    assert genotype.parse(genotype.format(cell), found) == cell
    weights = genotype.to_weights(cell)
    for kind in KINDS:
        expected = np.where(kept[kind], choice[kind], -1)
        np.testing.assert_array_equal(genotype.to_choice(cell)[kind], expected)
        assert weights[kind].shape == found.weights_shape
        np.testing.assert_array_equal(weights[kind].sum(axis=1), kept[kind])
        np.testing.assert_array_equal(weights[kind].argmax(axis=1)[kept[kind]], choice[kind][kept[kind]])
    assert genotype.parse(genotype.format(cell)).normal == cell.normal


@pytest.mark.parametrize(
    ("wrong", "space_name", "words"),
    [
        (PUBLISHED.replace("dil_conv_3x3", "conv_7x7"), None, "normal[7]: unknown operation 'conv_7x7' in darts"),
        (PUBLISHED.replace("('dil_conv_3x3', 2)", "('dil_conv_3x3', 5)"), None, "node 5 needs a source of 0 to 4"),
        (PUBLISHED.replace("('dil_conv_3x3', 2)", "('dil_conv_3x3', -1)"), None, "normal[7] is ('dil_conv_3x3', -1)"),
        (
            PUBLISHED.replace("('dil_conv_3x3', 2)", "('dil_conv_3x3', 0)"),
            None,
            "node 5 has two operations from node 0",
        ),
        (PUBLISHED.replace("('dil_conv_3x3', 2)", "('dil_conv_3x3', True)"), None, "need ('operation', source)"),
        (PUBLISHED.replace("('dil_conv_3x3', 2)", "'dil_conv_3x3'"), None, "normal[7] is 'dil_conv_3x3'"),
        (PUBLISHED.replace(", ('dil_conv_3x3', 2)", ""), None, "normal has 7 entries; need 8"),
        (DARTS.format("range(2, 7)", "[2]"), None, "normal_concat is range(2, 7)"),
        (DARTS.format("[2]", "[2, 2]"), None, "reduce_concat is [2, 2]; need one or more different nodes of 2 to 5"),
        (DARTS.format("[1, 2]", "[2]"), None, "normal_concat is [1, 2]"),
        (DARTS.format("[]", "[2]"), None, "normal_concat is []"),
        (DARTS.format("__import__('os').getcwd()", "[2]"), None, "normal_concat must be written with names in quotes"),
        (DARTS.format("range(2, int('6'))", "[2]"), None, "normal_concat must be written"),
        (PUBLISHED.replace("reduce_concat", "concat"), None, "unknown or repeated field 'concat'"),
        (PUBLISHED.replace(", reduce_concat=range(2, 6)", ""), None, "no field 'reduce_concat'"),
        (PUBLISHED[:-1], None, "not written as Genotype(normal=[...], ...)"),
        (PUBLISHED + ".normal", None, "need one Genotype(...) and nothing else"),
        (PUBLISHED + " " * 10_000 + "#", None, "characters are no genotype"),
        ("Genotype" + "(" * 3000, None, "not written as"),
        (PUBLISHED, "nas_bench_201", "it is of another space; one of nas_bench_201 is written |op~source|"),
        (TEXT, "darts", "it is of another space; one of darts is written Genotype(normal="),
        (TEXT, "darts2", "unknown search space 'darts2'"),
        (PUBLISHED, "s2", "normal[7]: unknown operation 'dil_conv_3x3' in s2; known: skip_connect, sep_conv_3x3"),
        (PUBLISHED, "s1", "normal[0] is 'sep_conv_3x3'; in s1 the edge from 0 to 2 takes skip_connect or dil_conv_3x3"),
        (PUBLISHED, "s4", "unknown operation 'skip_connect' in s4"),
    ],
)
def test_malformed_tuples_and_other_spaces_say_where(wrong, space_name, words):
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        genotype.parse(wrong, space_name)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250


def test_the_space_is_that_of_its_operations():
    assert genotype.parse(PUBLISHED).space == "darts"
    few = re.sub("max_pool_3x3|dil_conv_3x3", "skip_connect", PUBLISHED)
    assert genotype.parse(few.replace("skip_connect", "noise")).space == "s4"
    assert genotype.parse(few.replace("('skip_connect', 0)", "('none', 0)")).space == "s3"
    assert genotype.parse(few, "s2").space == "s2"


@given(st.text(alphabet="[](),=' 0129normal_reduceconcatrangesep3x", max_size=80))
def test_any_other_tuple_is_one_line_of_error(text):
    with pytest.raises(ValueError, match=r"\Agenotype [^\n]*\Z"):
        genotype.parse("Genotype(" + text)


def test_a_node_keeps_two_edges():
    found = space.get("darts")
    choice, kept = ({kind: np.zeros(14, int) for kind in KINDS} for _ in range(2))
    with pytest.raises(ValueError, match=re.escape("kept['normal'] keeps edges into the nodes []; need two of each")):
        genotype.from_choice(found, choice, kept)
    with pytest.raises(ValueError, match="kept is missing"):
        genotype.from_choice(found, choice)


def test_a_cell_is_written_node_by_node_whatever_the_order_of_the_edges():
    known = space.get("s2")
    found = space.Space("mine", known.ops, known.edges[::-1], known.skeleton)
    kept = {kind: np.array([source < 2 for source, _ in found.edges]) for kind in KINDS}
    cell = genotype.from_choice(found, {kind: np.zeros(14, int) for kind in KINDS}, kept)
    assert cell.normal == (("skip_connect", 0), ("skip_connect", 1)) * 4


@pytest.mark.parametrize("name", ["nas_bench_201", "darts", "s1", "s2", "s3", "s4"])
def test_random_cells_lie_in_their_space_and_differ(name):
    rng = np.random.default_rng(0)
    cells = [genotype.random(rng, space.get(name)) for _ in range(30)]
    assert len(set(cells)) > 25
    assert all(genotype.parse(genotype.format(cell), name) == cell for cell in cells)
    if name == "s3":
        assert not any("none" in cell.all_ops for cell in cells)
    again = np.random.default_rng(0)
    assert [genotype.random(again, space.get(name)) for _ in range(30)] == cells


def test_the_share_of_operations_with_nothing_to_learn():
    text = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|nor_conv_1x1~0|avg_pool_3x3~1|nor_conv_3x3~2|"
    assert genotype.parameter_free_share(genotype.parse(text)) == 0.5
    pairs = (("sep_conv_3x3", 0), ("skip_connect", 1)) * 4
    reduce = (("dil_conv_5x5", 0), ("sep_conv_3x3", 1)) * 4
    assert genotype.parameter_free_share(genotype.DartsGenotype("darts", pairs, reduce)) == 0.25
