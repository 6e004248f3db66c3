"""Pictures of explanations: what is in them, and that nothing lies on anything else."""

import itertools

import numpy as np
import pytest
from matplotlib.colors import same_color
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from cqd import drawing, explain, graph, predictor, query, rooting
from cqd.pattern import Atom, Variable
from cqd.query import Entity
from experiment import figures

NAMES = ("Chad", "Saint Vincent and the Grenadines and more of them", "Costs $1 or $2", "Italy", "Java", "K", "Laos")
VOCABULARY = graph.Vocabulary(NAMES, ("borders", "is the official language of"))
X, Y = Variable("x"), Variable("y")
RING = (Atom(X, 0, Y), Atom(Y, 0, X), Atom(Y, 2, Entity(3)))
LOOP = (*RING, Atom(X, 2, X))
TEXTS = {
    "1p": "#0(#1)",
    "2p": "#2(#0(#1))",
    "3p": "#0(#2(#0(#1)))",
    "ip": "#2(#0(#1) & #0(#4))",
    "up": "#2(#0(#1) | #0(#4))",
    "pi": "#2(#0(#1)) & #0(#4)",
    "pin": "#2(#0(#1)) & !#0(#4)",
    "3in": "#2(#3) & #0(#1) & #0(#2) & !#2(#0(#4) & #0(#5))",
}


def explained(one):
    rng = np.random.default_rng(0)
    params = predictor.complex_params(*(rng.normal(size=(size, 6)).astype(np.float32) for size in (len(NAMES), 4)))
    triples = np.array([(1, 0, 2), (2, 2, 3), (4, 0, 2), (3, 0, 4)])
    index = graph.build_index(triples, num_entities=len(NAMES), num_relations=4)
    return explain.explain(params, one, vocabulary=VOCABULARY, observed=index, num_answers=3)


EXPLANATIONS = {name: explained(query.parse(text)) for name, text in TEXTS.items()} | {
    name: explained(rooting.compile(pattern, "x")) for name, pattern in (("ring", RING), ("loop", LOOP))
}


def atoms_of(proof):
    return [*proof["atoms"], *(atom for denial in proof["denials"] for atom in atoms_of(denial))]


@pytest.mark.parametrize("name", EXPLANATIONS)
def test_boxes_are_the_entities_and_arrows_the_edges(name):
    explanation = EXPLANATIONS[name]
    axes = drawing.draw(explanation).axes
    assert len(axes) == len(explanation["answers"])
    for axis, answer in zip(axes, explanation["answers"]):
        edges = {tuple(atom.values()) for atom in atoms_of(answer["proofs"][0])}
        boxes = [patch for patch in axis.patches if isinstance(patch, FancyBboxPatch)]
        arrows = [patch for patch in axis.patches if isinstance(patch, FancyArrowPatch)]
        assert len(arrows) == len(edges)
        assert len(boxes) == len({edge[0] for edge in edges} | {edge[2] for edge in edges})
        for key, colour in drawing._COLOURS.items():
            due = [edge for edge in edges if (edge[5] and key == "negated") or (edge[4] == key and not edge[5])]
            assert sum(same_color(arrow.get_edgecolor(), colour) for arrow in arrows) == len(due)


@pytest.mark.parametrize("name", EXPLANATIONS)
def test_boxes_lie_apart_and_inside_and_hold_their_words(name):
    figure = drawing.draw(EXPLANATIONS[name])
    figure.canvas.draw()
    for axis in figure.axes:
        boxes = [patch.get_window_extent() for patch in axis.patches if isinstance(patch, FancyBboxPatch)]
        assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
        words = [text.get_window_extent() for text in axis.texts if text.get_zorder() == 4]
        assert len(words) == len(boxes)
        for box, text in zip(boxes, words):
            assert box.x0 <= text.x0
            assert text.x1 <= box.x1
            assert axis.bbox.x0 <= box.x0
            assert box.x1 <= axis.bbox.x1
            assert axis.bbox.y0 <= box.y0
            assert box.y1 <= axis.bbox.y1
        title = next(text.get_window_extent() for text in axis.texts if text.get_zorder() == 3)
        assert not any(title.overlaps(box) for box in boxes)


def test_the_answer_is_at_the_right_and_the_anchors_at_the_left():
    ends = [("Chad", "K"), ("Italy", "K"), ("Java", "K"), ("Italy", "Laos"), ("M", "N")]
    edges = [drawing._Edge(*pair, "borders", 0.5, "predicted", False) for pair in ends]
    columns = drawing._columns("Laos", edges)
    assert columns == [["Laos"], ["Italy"], ["K"], ["Chad", "Java"], ["M", "N"]]
    lines = {entity: [entity] for column in columns for entity in column}
    boxes, width, _ = drawing._placed(columns, edges, lines, dict.fromkeys(lines, "variable"))
    at = [boxes[column[0]][2] for column in columns]
    assert at == sorted(at, reverse=True)
    assert 0 < at[-1] < at[0] < width
    assert boxes["Chad"][3] > boxes["Java"][3]


def test_named_variables_stand_in_their_boxes():
    answer = EXPLANATIONS["ring"]["answers"][0]
    shown = [text for text, *_ in drawing._panel(answer).boxes.values()]
    for name in ("?x", "?y"):
        assert any(name in text.splitlines()[0] for text in shown)


def test_a_denied_part_and_a_truth_beyond_its_proof_are_told():
    texts = [text.get_text() for axis in drawing.draw(EXPLANATIONS["pin"]).axes for text in axis.texts]
    assert any("denied for" in text and "borders(Java)" in text for text in texts)
    texts = [text.get_text() for axis in drawing.draw(EXPLANATIONS["up"]).axes for text in axis.texts]
    assert any("its best proof" in text for text in texts)


def test_the_same_picture_twice():
    one, other = (figures.png(drawing.draw(EXPLANATIONS["ip"])) for _ in range(2))
    assert one == other
    assert one.startswith(b"\x89PNG")
