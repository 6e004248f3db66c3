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


def test_a_cell_is_drawn_with_one_line_an_edge():
    from matplotlib.figure import Figure

    axis = Figure().subplots()
    genotype.draw(genotype.parse(TEXT), axis, "cell")
    assert len(axis.patches) == 6
    assert [text.get_text() for text in axis.texts[-4:]] == ["in", "1", "2", "out"]
