"""Explanations in labels: which edge is observed, which predicted, which proof is true."""

import functools
import json

import jax
import numpy as np
import pytest

from cqd import explain, graph, query, training

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
