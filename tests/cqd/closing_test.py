"""Relations that observed edges close, and the proofs they rule out."""

import numpy as np
import pytest

from cqd import closing, explain, graph, predictor, proof_search, proofs, query
from cqd.closing import Reason
from cqd.query import Entity, Projection

SIZE = 30
# Relation 0 is functional, not its inverse; 2 is one to one; 4 has two tails once; 6 has a loop; 8 is rare.
HEADS = np.arange(22)
EDGES = np.concatenate(
    [
        np.stack([HEADS, np.full(22, 0), 22 + HEADS % 3], axis=1),
        np.stack([HEADS, np.full(22, 2), HEADS + 1], axis=1),
        np.stack([HEADS, np.full(22, 4), HEADS + 2], axis=1),
        [(0, 4, 9)],
        np.stack([HEADS, np.full(22, 6), np.maximum(HEADS, 1)], axis=1)[:1],
        np.stack([HEADS, np.full(22, 6), HEADS + 1], axis=1),
        [(5, 6, 5), (1, 8, 2), (3, 8, 4)],
    ]
)
INDEX = graph.build_index(EDGES, num_entities=SIZE, num_relations=10)


def make_params(seed=0):
    rng = np.random.default_rng(seed)
    return predictor.complex_params(*(rng.normal(size=(size, 8)).astype(np.float32) for size in (SIZE, 10)))


def test_closed_relations_against_a_count():
    found = closing.closed(INDEX)
    for relation in range(10):
        tails = [INDEX.tails_of(head, relation) for head in range(SIZE)]
        heads = [len(each) for each in tails if len(each)]
        loops = sum(head in each for head, each in enumerate(tails))
        assert found.functional[relation] == (len(heads) >= 20 and max(heads) == 1)
        assert found.loopless[relation] == (sum(heads) >= 20 and loops == 0)
    assert found.functional.tolist() == [True, False, True, True, False, False, False, False, False, False]
    assert found.loopless.tolist() == [True] * 6 + [False] * 4


@pytest.mark.parametrize(
    ("edge", "wanted"),
    [
        ((0, 0, 22), []),  # observed
        ((0, 0, 25), [Reason((0, 0, 22), "tail")]),
        ((25, 0, 22), []),  # other heads do not forbid one more
        ((25, 2, 4), [Reason((3, 2, 4), "head")]),
        ((7, 2, 4), [Reason((7, 2, 8), "tail"), Reason((3, 2, 4), "head")]),
        ((25, 2, 25), [Reason((25, 2, 25), "loop")]),
        ((1, 4, 9), []),
        ((7, 6, 7), []),
        ((1, 8, 5), []),  # too few edges to tell
    ],
)
def test_reasons(edge, wanted):
    assert closing.reasons([(*edge, 0.5)], INDEX, closing.closed(INDEX)) == wanted


@pytest.mark.parametrize("method", ["exact", "beam"])
def test_proofs_that_stand_are_the_best_of_all_that_stand(method):
    params, relations = make_params(), closing.closed(INDEX)
    one = Projection(4, Projection(3, Entity(4)))
    options = {"method": method, "observed": INDEX}
    everything = proofs.prove(params, one, range(SIZE), num_proofs=SIZE, **options)
    standing = [[p for p in found if not closing.reasons(p.atoms, INDEX, relations)] for found in everything]
    kept, ruled_out = closing.prove(params, one, range(SIZE), num_proofs=2, **options)
    assert kept == [found[:2] for found in standing]
    assert [len(found) for found in kept] == [int(y != 3) for y in range(SIZE)]  # by relation 2 entity 3 alone has 4
    for found, out, stands in zip(everything, ruled_out, standing):
        assert (out is None) == (found[0] == next(iter(stands), None))
        if out:
            assert out[0] == found[0]
            assert out[1] == closing.reasons(found[0].atoms, INDEX, relations)
    assert sum(out is not None for out in ruled_out) > SIZE // 2


def test_explanations_leave_them_out_and_say_why():
    names = [f"e{number}" for number in range(SIZE)]
    vocabulary = graph.Vocabulary(names, ["r", "s", "t", "u", "v"])
    one = query.parse("t(s^-1(e4))", vocabulary)
    options = {"vocabulary": vocabulary, "observed": INDEX, "method": "exact", "num_answers": 3}
    closed = explain.explain(make_params(), one, **options)
    free = explain.explain(make_params(), one, **options, closed=False)
    assert [answer["truth"] for answer in closed["answers"]] == [answer["truth"] for answer in free["answers"]]
    assert all(answer["ruled_out"] is None for answer in free["answers"])
    [first, *_] = [answer for answer in closed["answers"] if answer["ruled_out"]]
    assert first["ruled_out"]["truth"] > first["proofs"][0]["truth"]
    assert {"head": "e3", "relation": "s", "tail": "e4", "kind": "head"} in first["ruled_out"]["by"]
    words = explain.to_words(closed)
    assert "its truest proof is ruled out by observed edges" in words
    assert "but e3 -- s -> e4 is observed, and s has one head everywhere" in words


def test_atoms_under_a_denial_are_not_ruled_out():
    one = query.parse("#4(#1) & !#2(#5)")
    _, ruled_out = closing.prove(make_params(), one, [7], observed=INDEX)
    assert ruled_out == [None]
    assert proof_search.Atom(5, 2, 7, 0.5) not in ruled_out
