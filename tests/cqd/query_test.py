"""Query trees, the 14 types, and the text form."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cqd import query
from cqd.graph import Vocabulary
from cqd.query import And, Entity, Not, Or, Projection

WANTED = {
    "1p": ((0, 1), "#1(#0)"),
    "2p": ((0, 1, 2), "#2(#1(#0))"),
    "3p": ((0, 1, 2, 3), "#3(#2(#1(#0)))"),
    "2i": ((0, 1, 2, 3), "#1(#0) & #3(#2)"),
    "3i": ((0, 1, 2, 3, 4, 5), "#1(#0) & #3(#2) & #5(#4)"),
    "ip": ((0, 1, 2, 3, 4), "#4(#1(#0) & #3(#2))"),
    "pi": ((0, 1, 2, 3, 4), "#2(#1(#0)) & #4(#3)"),
    "2u": ((0, 1, 2, 3), "#1(#0) | #3(#2)"),
    "up": ((0, 1, 2, 3, 4), "#4(#1(#0) | #3(#2))"),
    "2in": ((0, 1, 2, 3), "#1(#0) & !#3(#2)"),
    "3in": ((0, 1, 2, 3, 4, 5), "#1(#0) & #3(#2) & !#5(#4)"),
    "inp": ((0, 1, 2, 3, 4), "#4(#1(#0) & !#3(#2))"),
    "pin": ((0, 1, 2, 3, 4), "#2(#1(#0)) & !#4(#3)"),
    "pni": ((0, 1, 2, 3, 4), "!#2(#1(#0)) & #4(#3)"),
}


@pytest.mark.parametrize("type_name", query.TEMPLATES)
def test_benchmark_types(type_name):
    row, text = WANTED[type_name]
    built = query.from_benchmark(type_name, row)
    assert query.to_text(built) == text
    assert query.parse(text) == built
    assert query.row(built) == row
    assert query.structure(built) == query.structure(query.from_benchmark(type_name, [9] * len(row)))


def test_bad_benchmark_rows():
    with pytest.raises(ValueError, match="'4p': choose one of 1p, 2p"):
        query.from_benchmark("4p", (0, 1))
    with pytest.raises(ValueError, match="a row of type 2p has 3 entries, not 4"):
        query.from_benchmark("2p", (0, 1, 2, 3))


def test_and_binds_closer_than_or():
    a, b, c = (Projection("r", Entity(name)) for name in "abc")
    assert query.parse("r(a) | r(b) & r(c)") == Or((a, And((b, c))))
    assert query.parse("(r(a) | r(b)) & r(c)") == And((Or((a, b)), c))
    assert query.parse("((r(a)&r(b)))&!!r(c)") == And((And((a, b)), Not(Not(c))))
    assert query.parse(' r ^-1 ( "a" )') == Projection("r^-1", Entity("a"))
    assert query.parse("#6^-1(#2)") == Projection(7, Entity(2))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "column 1: a name is due, not the end"),
        ("r(a", r"column 4: '\)' is due, not the end"),
        ("r(a) & ", "column 7: a name is due, not the end"),
        ("r(a) r(b)", "column 6: 'r' after the end"),
        ("r(a))", r"column 5: '\)' after the end"),
        ("r(a) & & r(b)", "column 8: a name is due, not '&'"),
        ('r("a)', "column 3: a quote that does not end"),
        ("r^2(a)", r"column 2: .* not \^-1"),
        ("r^-1", r"column 5: '\(' is due"),
        ("r()", r"column 3: a name is due, not '\)'"),
    ],
)
def test_mistakes_name_the_column(text, message):
    with pytest.raises(ValueError, match=message):
        query.parse(text)


def test_labels_are_looked_up():
    vocabulary = Vocabulary(("Chad", "China", "a (b)"), ("borders",))
    assert query.parse("borders^-1(China)", vocabulary) == Projection(1, Entity(1))
    assert query.to_text(Projection(1, Entity(2)), vocabulary) == 'borders^-1("a (b)")'
    with pytest.raises(ValueError, match=r"unknown entity 'Chnia'.*'China'"):
        query.parse("borders(Chnia)", vocabulary)
    with pytest.raises(ValueError, match=r"unknown relation 'bord'.*'borders'"):
        query.parse("bord(China)", vocabulary)
    with pytest.raises(ValueError, match="relation #2: ids run from 0 to 1"):
        query.bind(Projection(2, Entity(1)), vocabulary)


def test_a_connective_of_one_part_is_no_query():
    with pytest.raises(ValueError, match="And of 1 part"):
        query.to_text(And((Entity(0),)))


NAMES = st.integers(0, 99) | st.text(min_size=1, max_size=8) | st.sampled_from(["#1", 'a"b', "a\\", "(", "^-1", " x "])
RELATIONS = NAMES.filter(lambda name: isinstance(name, int) or not name.endswith("^-1"))
RELATIONS |= RELATIONS.filter(lambda name: isinstance(name, str)).map(lambda name: name + "^-1")
QUERIES = st.recursive(
    st.builds(Entity, NAMES),
    lambda parts: st.one_of(
        st.builds(Projection, RELATIONS, parts),
        st.builds(Not, parts),
        st.builds(And, st.lists(parts, min_size=2, max_size=3).map(tuple)),
        st.builds(Or, st.lists(parts, min_size=2, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(tree=QUERIES)
def test_text_is_read_back_as_the_same_query(tree):
    assert query.parse(query.to_text(tree)) == tree


@settings(max_examples=300, deadline=None, derandomize=True)
@given(text=st.text(alphabet='ab#1()&|!"^- \\', max_size=12))
def test_any_text_is_a_query_or_a_value_error(text):
    try:
        tree = query.parse(text)
    except ValueError:
        with pytest.raises(ValueError, match=r"query .*, column [0-9]+: "):
            query.parse(text)
    else:
        assert query.parse(query.to_text(tree)) == tree


@pytest.mark.parametrize("text", ["(" * 5000 + "a", "r(" * 5000 + "a" + ")" * 5000, "!" * 5000 + "a"])
def test_a_query_too_deep_for_the_stack_is_a_value_error(text):
    with pytest.raises(ValueError, match="nested too deeply"):
        query.parse(text)


def test_ids_of_a_row_are_whole():
    assert query.from_benchmark("1p", np.array([1.0, 2.0])) == query.parse("#2(#1)")
    with pytest.raises(ValueError, match=r"1\.5 in a row of ids: a whole number is due"):
        query.from_benchmark("1p", (1.5, 2))
