"""Rows of one form: each type's columns by hand, unions as disjuncts, what does not fit."""

import numpy as np
import pytest

from cqd import query, symbolic
from cqd.baselines import forms
from cqd.graph import build_index


def encoded(*texts):
    return forms.encode([query.parse(text) for text in texts])


def test_the_columns_of_every_conjunctive_type():
    rows, owner = encoded(
        "#1(#11)",
        "#2(#1(#11))",
        "#3(#2(#1(#11)))",
        "#1(#11) & #2(#12)",
        "#1(#11) & #2(#12) & !#3(#13)",
        "#3(#1(#11) & !#2(#12))",
        "#3(#11) & !#2(#1(#12))",
        "!#2(#1(#12)) & #3(#11)",
    )
    assert owner.tolist() == list(range(8))
    assert rows.tolist() == [
        [11, -1, -1, 1, -1, -1, 0, 0, 0, -1, -1],
        [11, -1, -1, 1, -1, -1, 0, 0, 0, 2, -1],
        [11, -1, -1, 1, -1, -1, 0, 0, 0, 2, 3],
        [11, 12, -1, 1, 2, -1, 0, 0, 0, -1, -1],
        [11, 12, 13, 1, 2, 3, 0, 0, 1, -1, -1],
        [11, 12, -1, 1, 2, -1, 0, 1, 0, -1, 3],
        [12, 11, -1, 1, 3, -1, 1, 0, 0, 2, -1],
        [12, 11, -1, 1, 3, -1, 1, 0, 0, 2, -1],
    ]


def test_a_union_is_its_disjuncts():
    rows, owner = encoded("#5(#1(#11) | #2(#12))", "#1(#11)", "#1(#11) | #2(#12)")
    assert owner.tolist() == [0, 0, 1, 2, 2]
    expected, _ = encoded("#5(#1(#11))", "#5(#2(#12))", "#1(#11)", "#1(#11)", "#2(#12)")
    assert rows.tolist() == expected.tolist()


def test_disjuncts_have_the_same_answers():
    rng = np.random.default_rng(0)
    triples = np.stack([rng.integers(12, size=80), 2 * rng.integers(3, size=80), rng.integers(12, size=80)], axis=1)
    index = build_index(triples, num_entities=12, num_relations=6)
    texts = "#0(#1) | #2(#3) & #4(#1)", "#0(#2(#1) | #4(#2)) & (#2(#3) | !#1(#4))", "#0((#1(#2) | #3(#4)) & !#5(#6))"
    for tree in map(query.parse, texts):
        parts = forms.disjuncts(tree)
        assert len(parts) > 1
        assert not any("|" in query.to_text(part) for part in parts)
        together = np.unique(np.concatenate(symbolic.answers(index, parts)))
        assert len(together)
        np.testing.assert_array_equal(together, symbolic.answers(index, [tree])[0])


def test_every_benchmark_type_is_of_the_form():
    for name, template in query.TEMPLATES.items():
        tree = query.fill(query.parse(template), range(20))
        assert len(forms.encode([tree])[0]) == (2 if "u" in name else 1)
    assert forms.encode([])[0].shape == (0, forms.WIDTH)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("#1(#1) & #2(#2) & #3(#3) & #4(#4)", "up to 3 branches"),
        ("#1(#2(#1)) & #2(#1(#2))", "one of up to two"),
        ("#1(#1(#1(#1(#1))))", "query models embed"),
        ("#1(#1) & #3", "query models embed"),
        ("#3", "query models embed"),
        ("#1(#1) & !(#1(#2) | #2(#3))", "a union within a negation"),
    ],
)
def test_what_does_not_fit(text, words):
    with pytest.raises(ValueError, match=words):
        encoded(text)
