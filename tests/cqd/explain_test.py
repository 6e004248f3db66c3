"""Explanations in labels: which edge is observed, which predicted, which proof is true."""

import functools
import json

import jax
import numpy as np
import pytest

from cqd import answer_list, answering, drawing, explain, graph, predictor, query, rooting, symbolic, training
from cqd.pattern import Atom, Is, Variable
from cqd.query import Entity

NAMES = ("Andorra", "Benin", "Chad", "Delhi", "Euro")
VOCABULARY = graph.Vocabulary(NAMES, ("borders", "capital"))
FULL = np.array([(0, 0, 1), (1, 0, 0), (1, 2, 3), (2, 0, 0), (0, 0, 2), (4, 2, 4)], np.int32)
SIZES = {"num_entities": 5, "num_relations": 4}
full_index = graph.build_index(FULL, **SIZES)
known_index = graph.build_index(FULL[[0, 1, 2, 5]], **SIZES)


@pytest.fixture(scope="module")
def params():
    """A predictor that has learnt the full graph, so that the best proofs are its edges."""
    run = functools.partial(jax.jit, static_argnames=("num_epochs", "batch_size"))(training.epochs)
    state, _ = run(
        training.init(jax.random.key(0), **SIZES, rank=8),
        jax.random.key(1),
        0,
        graph.with_inverses(FULL),
        num_epochs=150,
        batch_size=4,
        learning_rate=0.1,
        regularization=1e-4,
    )
    return state.params


def explained(params, text, **options):
    question = query.parse(text, VOCABULARY)
    known, full = options.pop("known", known_index), options.pop("full", full_index)
    return explain.explain(params, question, vocabulary=VOCABULARY, known=known, full=full, **options)


def test_a_known_chain(params):
    item = explained(params, "capital(borders(Andorra))")
    assert item["known"] == ["Delhi"]
    assert item["to_find"] == []
    best = item["answers"][0]
    assert (best["answer"], best["status"], best["proof_is_true"]) == ("Delhi", "known", True)
    assert [(a["head"], a["relation"], a["tail"], a["source"]) for a in best["atoms"]] == [
        ("Andorra", "borders", "Benin", "observed"),
        ("Benin", "capital", "Delhi", "observed"),
    ]
    assert len(item["answers"]) == 5


def test_a_missing_edge_read_backwards(params):
    item = explained(params, "borders^-1(Andorra)", num_answers=1)
    assert item["to_find"] == [{"answer": "Chad", "rank": 1.0}]
    assert [answer["answer"] for answer in item["answers"]] == ["Benin", "Chad"]
    atom = item["answers"][1]["atoms"][0]
    assert (atom["head"], atom["relation"], atom["tail"], atom["source"]) == ("Chad", "borders", "Andorra", "predicted")
    assert item["answers"][1]["status"] == "right"


def test_only_the_strongest_branch_of_an_or_is_shown(params):
    item = explained(params, "borders(Andorra) | capital(Benin)", num_answers=1)
    sources = {answer["answer"]: answer["atoms"] for answer in item["answers"]}
    assert all(len(atoms) == 1 for atoms in sources.values())


def test_a_false_proof_is_told_from_a_true_one(params):
    fewer = graph.build_index(FULL[2:], **SIZES)
    item = explained(params, "capital(borders(Andorra))", known=fewer, full=fewer, num_answers=1)
    by_name = {answer["answer"]: answer for answer in item["answers"]}
    assert not by_name["Delhi"]["proof_is_true"]
    assert by_name["Delhi"]["status"] == "not in the graph"
    proofs = explain.prove(params, [query.parse("capital(borders(Andorra))", VOCABULARY)], [3])
    assert explain.is_true(proofs[0], full_index)
    assert not explain.is_true(proofs[0], fewer)


def test_words_and_json(params):
    item = explained(params, "borders^-1(Andorra)", num_answers=1)
    assert json.loads(json.dumps(item)) == item
    lines = explain.to_words(item).splitlines()
    assert lines[0] == "borders^-1(Andorra)"
    assert lines[1] == "  follows from observed edges: Benin"
    assert lines[2] == "  needs a missing edge: Chad (rank 1)"
    assert lines[3].startswith("  Benin: known, truth 0.")
    assert lines[-1].startswith("      Chad -- borders -> Andorra: predicted, truth 0.")


def test_many_proofs_of_mixed_structures_keep_their_order(params):
    texts = ["borders(Andorra)", "capital(borders(Andorra))", "borders(Chad)"] * 3
    queries = [query.parse(text, VOCABULARY) for text in texts]
    answers = [1, 3, 0] * 3
    proofs = explain.prove(params, queries, answers, batch_size=2)
    assert [proof.query for proof in proofs] == queries
    assert [proof.answer for proof in proofs] == answers
    assert [proof.triples.tolist() for proof in proofs[:3]] == [[[0, 0, 1]], [[0, 0, 1], [1, 2, 3]], [[2, 0, 0]]]


def test_a_users_own_question_has_no_held_out_truth(params):
    item = explained(params, "capital(borders(Andorra))", full=None, num_answers=2)
    assert "to_find" not in item
    assert [answer["status"] for answer in item["answers"]] == ["known", "predicted", "predicted"]
    assert not any("proof_is_true" in answer or "is_true" in answer["proofs"][0] for answer in item["answers"])
    assert "needs a missing edge" not in explain.to_words(item)
    assert json.loads(json.dumps(item)) == item


@pytest.mark.parametrize("text", ["capital(borders(Andorra))", "borders(Andorra) & !capital^-1(Euro)"])
@pytest.mark.parametrize(
    "options", [answering.BEST, {"method": "exact", "tnorm": "product"}, {"normalize": "softmax"}, {}]
)
def test_truths_are_those_of_answer_and_proofs_multiply_to_theirs(params, text, options):
    item = explained(params, text, known=options.get("known"), observed=known_index, **_without_known(options))
    scores = answering.answer(params, query.parse(text, VOCABULARY), observed=known_index, **options)
    for answer in item["answers"]:
        assert np.isclose(answer["truth"], scores[NAMES.index(answer["answer"])])
        truths = [proof["truth"] for proof in answer["proofs"]]
        assert truths == sorted(truths, reverse=True)
        assert np.isclose(truths[0], answer["truth"], rtol=1e-4)
        assert answer["atoms"] == answer["proofs"][0]["atoms"]
        for proof in answer["proofs"]:
            parts = [atom["truth"] for atom in proof["atoms"]] + [1 - denial["truth"] for denial in proof["denials"]]
            assert np.isclose(np.prod(parts), proof["truth"], rtol=1e-4)
            assert proof["from_observed"] == (
                all(atom["source"] == "observed" for atom in proof["atoms"])
                and not any(denied(denial) for denial in proof["denials"])
            )


def _without_known(options):
    return {name: value for name, value in options.items() if name != "known"}


def denied(denial):
    """Returns whether what is denied follows from observed edges."""
    [found] = symbolic.answers(known_index, [query.parse(denial["not"], VOCABULARY)])
    return NAMES.index(denial["of"]) in found


def test_variables_of_a_tree_are_named_by_their_conditions(params):
    item = explained(params, "capital(borders(Andorra)) & capital(borders(Andorra))", num_answers=1)
    assert item["answers"][0]["assignment"] == {"borders(Andorra)": "Benin", "borders(Andorra) (2)": "Benin"}


def test_a_denied_part_shows_what_speaks_for_it(params):
    item = explained(params, "borders(Andorra) & !borders^-1(Andorra)", num_answers=5, num_proofs=1)
    [benin] = [answer for answer in item["answers"] if answer["answer"] == "Benin"]
    [denial] = benin["proofs"][0]["denials"]
    assert (denial["not"], denial["of"]) == ("borders^-1(Andorra)", "Benin")
    assert [(a["head"], a["tail"], a["source"], a["negated"]) for a in denial["atoms"]] == [
        ("Benin", "Andorra", "observed", True)
    ]
    words = explain.to_words(item)
    assert "      not borders^-1(Andorra) for Benin: truth 1 - 0.9" in words
    assert "        Benin -- borders -> Andorra: observed" in words
    assert not benin["proof_is_true"]


X, Y = Variable("x"), Variable("y")
RING = (Atom(X, 0, Y), Atom(Y, 0, X), Atom(Y, 2, Entity(3)))


def test_a_ring_with_named_variables(params):
    ring = rooting.compile(RING, "x")
    item = explain.explain(params, ring, vocabulary=VOCABULARY, known=known_index, full=full_index, num_answers=1)
    assert item["question"].count("?y") >= 1
    assert item["known"] == ["Andorra"]
    best = item["answers"][0]
    assert (best["answer"], best["status"], best["proof_is_true"]) == ("Andorra", "known", True)
    assert best["assignment"] == {"?x": "Andorra", "?y": "Benin"}
    assert {(a["head"], a["relation"], a["tail"]) for a in best["atoms"]} == {
        ("Andorra", "borders", "Benin"),
        ("Benin", "borders", "Andorra"),
        ("Benin", "capital", "Delhi"),
    }
    assert "      ?x = Andorra, ?y = Benin" in explain.to_words(item)
    fewer = explain.explain(params, ring, vocabulary=VOCABULARY, known=known_index, num_answers=1)
    assert [answer["answer"] for answer in fewer["answers"]] == [answer["answer"] for answer in item["answers"]]


def test_pairs(params):
    pairs = rooting.compile(RING, ("x", "y"))
    item = explain.explain(params, pairs, vocabulary=VOCABULARY, known=known_index, full=full_index, question="who?")
    assert item["known"] == [["Andorra", "Benin"]]
    best = item["answers"][0]
    assert (best["answer"], best["status"]) == (["Andorra", "Benin"], "known")
    lines = explain.to_words(item).splitlines()
    assert lines[:2] == ["who?", "  follows from observed edges: (Andorra, Benin)"]
    assert lines[3].startswith("  Andorra, Benin: known, truth 0.")
    bound = rooting.compile((*RING, Is(X, Entity(0))), "y")  # ?x is an entity: nothing to enumerate
    item = explain.explain(params, bound, vocabulary=VOCABULARY, known=known_index, full=full_index)
    assert item["answers"][0]["answer"] == "Benin"
    assert item["answers"][0]["assignment"]["?y"] == "Benin"


def test_pairs_that_need_a_missing_edge(params):
    fewer = graph.build_index(FULL[1:], **SIZES)
    pairs = rooting.compile(RING, ("x", "y"))
    item = explain.explain(params, pairs, vocabulary=VOCABULARY, known=fewer, full=full_index)
    assert item["to_find"] == [{"answer": ["Andorra", "Benin"], "rank": None}]
    assert item["answers"][0]["status"] == "right"
    assert "  needs a missing edge: (Andorra, Benin)" in explain.to_words(item)


def test_pairs_beyond_those_listed_are_known_too(params, monkeypatch):
    monkeypatch.setattr(answer_list, "MAX_PAIRS", 1)
    pairs = rooting.compile((Atom(X, 0, Y),), ("x", "y"))
    item = explain.explain(
        params, pairs, vocabulary=VOCABULARY, known=known_index, full=full_index, num_known=9, num_answers=3
    )
    status = {tuple(answer["answer"]): answer["status"] for answer in item["answers"]}
    assert len(item["known"]) == 1
    assert status.pop(("Chad", "Andorra")) == "right"
    assert {pair for pair, word in status.items() if word == "known"} == {("Andorra", "Benin"), ("Benin", "Andorra")}


def test_an_empty_result_says_so(params):
    item = explained(params, "Andorra & Benin")
    assert item["answers"] == []
    assert item["notes"] == ["no entity answers the question with a truth above 0"]
    assert "  note: no entity answers" in explain.to_words(item)
    drawing.draw(item)


def test_branches_that_only_together_make_an_answer_true():
    """Every atom has truth .5: Lukasiewicz S(.5, .5) = 1 and T(1, .5) = .5, but T(.5, .5) = 0."""
    params = predictor.complex_params(np.zeros((5, 2), np.float32), np.zeros((4, 2), np.float32))
    item = explained(params, "capital(borders(Andorra) | borders(Benin))", tnorm="lukasiewicz", num_answers=1)
    assert [(answer["truth"], answer["proofs"]) for answer in item["answers"]] == [(0.5, [])] * 2
    assert "no single proof: branches of an `or` add up" in explain.to_words(item)
    drawing.draw(item)


def test_continuous_answers_say_whose_proofs_they_have(params):
    text = "capital(borders(Andorra))"
    item = explained(params, text, method="continuous", num_answers=1)
    assert (item["method"], item["proved_by"]) == ("continuous", "exact")
    assert "proofs by the exact method" in explain.to_words(item)
    exact = explained(params, text, method="exact", num_answers=5)
    proofs = {answer["answer"]: answer["proofs"] for answer in exact["answers"]}
    assert all(answer["proofs"] == proofs[answer["answer"]] for answer in item["answers"])


def test_long_lists_are_cut_in_words_alone(params):
    item = explained(params, "capital(borders(Andorra))") | {"known": [f"e{i}" for i in range(30)]}
    line = explain.to_words(item).splitlines()[1]
    assert line.endswith("e11, and 18 more")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_answers": 0}, "num_answers=0: at least 1"),
        ({"num_proofs": 0}, "num_proofs=0: at least 1"),
        ({"num_known": -1}, "num_known=-1: at least 0"),
        ({"known": None}, "observed=None: the Index"),
        ({"text": "borders(#7)"}, "entity #7: ids run from 0 to 4"),
        ({"official": True}, "raw scores are no truths"),
        ({"full": graph.build_index(FULL[:2], num_entities=9, num_relations=4)}, "full: 9 entities and 4 relations"),
    ],
)
def test_bad_input(params, options, message):
    with pytest.raises(ValueError, match=message):
        _explained_without_looking_up(params, **{"text": "#0(#0)", "known": known_index, "full": full_index} | options)


def _explained_without_looking_up(params, text, **options):
    return explain.explain(params, query.parse(text), vocabulary=VOCABULARY, **options)


def test_a_predictor_of_another_vocabulary():
    params = predictor.complex_params(np.zeros((6, 2)), np.zeros((4, 2)))
    with pytest.raises(ValueError, match="the predictor: 6 entities and 4 relations, the vocabulary has 5 and 4"):
        explained(params, "borders(Andorra)")
