"""From text to answers: both languages, what is shown and why, the exact optimum, what each mistake says."""

import functools
import json
import sys

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cqd import answering, ask, ask_words, graph, predictor, query, rooting, symbolic, trained, training

NAMES = ("Andorra", "Benin", "Chad", "Delhi", "Euro", "Fiji", "Ghana")
VOCABULARY = graph.Vocabulary(NAMES, ("borders", "capital", "owes"))
TRAIN = np.array([(0, 0, 1), (1, 0, 0), (1, 2, 3), (2, 0, 0), (6, 0, 0), (6, 2, 4), (2, 2, 4)], np.int32)
TEST = np.array([(0, 0, 2), (0, 2, 3)], np.int32)
SIZES = {"num_entities": len(NAMES), "num_relations": 6}


@functools.cache
def example():
    """A predictor that has learnt the training edges; nothing is known of Fiji and of owes."""
    run = functools.partial(jax.jit, static_argnames=("num_epochs", "batch_size"))(training.epochs)
    start = training.init(jax.random.key(0), **SIZES, rank=8)
    triples = graph.with_inverses(TRAIN)
    options = {"num_epochs": 150, "batch_size": 4, "learning_rate": 0.1, "regularization": 1e-3}
    state, _ = run(start, jax.random.key(1), 0, triples, **options)
    parts = {"train": TRAIN, "valid": np.zeros((0, 3), np.int32), "test": TEST}
    return trained.Trained(state.params, VOCABULARY, parts)


def asked(text, **options):
    return ask.ask(example(), text, ask.Options(**options))


def answers(found, *status):
    return [one["answer"] for one in found["answers"] if one["status"] in (status or ("known",))]


@pytest.mark.parametrize(
    "text",
    [
        "SELECT ?x { ?x :borders :Chad }",
        "select ?x where { ?x :borders :Chad }",
        "# who?\n  # and why\nSELECT DISTINCT ?x WHERE { ?x :borders :Chad }",
        "PREFIX a: <urn:label:> SELECT $x { $x a:borders a:Chad }",
        "prefix : <urn:label:>SELECT ?x { ?x :borders :Chad }",
        "BASE <urn:label:> SELECT ?x { ?x <borders> <Chad> }",
        "\n\tSELECT*{ ?x :borders :Chad }",
        "ASK { ?x :borders :Chad }",
        "DESCRIBE ?x { ?x :borders :Chad }",
        "{ ?x :borders :Chad }",
        "SELECT (COUNT(?x) AS ?n) WHERE { ?x :borders :Chad }",
        "SELECT(?x AS ?y) { ?x :borders :Chad }",
    ],
)
def test_sparql_is_told_by_how_it_begins(text):
    assert ask._SPARQL.match(text)


@pytest.mark.parametrize(
    "text",
    [
        "borders(Chad)",
        "#0(#2)",
        "Select(Chad)",
        "select^-1(Chad)",
        "select(who? {x})",
        "select member of(Chad)",
        "ask(x) & describe(y)",
        "Base camp(x)",
        "prefix(x)",
        '"SELECT ?x {"(Chad)',
        "(borders(Chad))",
        "!borders(Chad)",
    ],
)
def test_trees_are_told_by_how_they_begin(text):
    assert not ask._SPARQL.match(text)


@settings(max_examples=60, deadline=None)
@given(st.recursive(st.sampled_from(["Chad", "#2", "Delhi"]), lambda t: st.builds("borders({})".format, t)))
def test_every_tree_is_read_as_its_parser_reads_it(text):
    tree = query.parse(text, VOCABULARY)
    if ask.asserts(tree):
        assert ask.read(text, VOCABULARY) == tree


def test_both_languages_give_the_same_answers():
    by_tree, by_sparql = (
        asked(text)
        for text in (
            "borders^-1(Andorra) & !capital^-1(Euro)",
            "SELECT ?x { ?x :borders :Andorra MINUS { ?x :capital :Euro } }",
        )
    )
    assert answers(by_tree) == answers(by_sparql) == ["Benin"]
    for one, other in zip(by_tree["answers"], by_sparql["answers"], strict=True):
        assert (one["answer"], one["probability"]) == (other["answer"], pytest.approx(other["probability"]))
    assert by_sparql["tree"] == "borders^-1(Andorra) & !capital^-1(Euro)"
    assert json.loads(json.dumps(by_sparql)) == by_sparql


def test_truths_are_those_of_the_engine_by_its_best_setting():
    found = asked("borders(borders(Chad)) | capital(Ghana)", num_answers=7, num_known=7, min_truth=0.0, closed=False)
    tree = query.parse("borders(borders(Chad)) | capital(Ghana)", VOCABULARY)
    truths = answering.answer(example().params, tree, observed=example().full(), **answering.BEST)
    shown = {one["answer"]: one["probability"] for one in found["answers"]}
    assert shown == {NAMES[i]: pytest.approx(float(truths[i])) for i in range(len(NAMES)) if truths[i] > 0}
    by_status = [
        [one["probability"] for one in found["answers"] if (one["status"] == "known") == k] for k in (True, False)
    ]
    assert all(part == sorted(part, reverse=True) for part in by_status)
    assert found["known"] == [NAMES[i] for i in symbolic.answers(example().full(), [tree])[0]]


def test_observed_edges_are_all_of_the_file_or_those_of_train_and_valid():
    everything, known = asked("borders(Andorra)"), asked("borders(Andorra)", observed="known")
    assert everything["known"] == ["Benin", "Chad"]
    assert known["known"] == ["Benin"]
    assert [one["answer"] for one in known["to_find"]] == ["Chad"]
    assert "to_find" not in everything
    assert {one["status"] for one in everything["answers"]} <= {"known", "predicted"}
    assert {one["status"] for one in known["answers"]} <= {"known", "right", "not in the graph"}
    assert "need a missing edge (rank by truth): Chad (2)" in ask_words.to_words(known)


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("SELECT ?x { ?x :borders ?y . ?y :borders ?x }", ["Andorra", "Benin", "Chad"]),
        ("SELECT ?x { ?x :borders ?y . ?y :borders ?z . ?z :borders ?x . ?x :capital ?c }", []),
        (
            "SELECT ?x ?c { ?x :borders :Andorra ; :capital ?c }",
            [["Benin", "Delhi"], ["Chad", "Euro"], ["Ghana", "Euro"]],
        ),
        (
            "SELECT ?x ?y { ?x :capital ?c . ?y :capital ?c ; :borders ?x }",
            [["Andorra", "Benin"], ["Benin", "Andorra"]],
        ),
        (
            "SELECT ?x { { ?x :borders :Benin } UNION { ?x :capital :Euro } MINUS { ?x :borders/:capital :Euro } }",
            ["Chad", "Ghana"],
        ),
        ("SELECT ?c { ?x :borders :Andorra ; :capital ?c FILTER NOT EXISTS { :Andorra :borders ?x } }", ["Euro"]),
    ],
)
def test_cycles_pairs_unions_and_negations(text, known):
    found = asked(text, num_known=7)
    assert found["known"] == known
    assert sorted(answers(found), key=str) == sorted(known, key=str)
    for one in found["answers"]:
        assert 0 < one["probability"] <= 1 + 1e-6
        assert one["proofs"]
    words = ask_words.to_words(found)
    assert words.startswith(text)
    assert all(ask_words.name(answer) in words for answer in known)


def test_limit_asks_for_the_best_of_both_kinds():
    text = "SELECT ?x {{ ?x :borders :Andorra }} LIMIT {}"
    assert [len(asked(text.format(m), min_truth=0.0)["answers"]) for m in (1, 2, 4, 5)] == [1, 2, 4, 5]
    two = asked(text.format(2))
    assert answers(two) == [one["answer"] for one in two["answers"]]
    assert "predicted" not in ask_words.to_words(two)


def test_what_observed_edges_rule_out_is_not_predicted(monkeypatch):
    """Where a relation of few heads counts as functional, Chad and Ghana have their capital and Euro its countries."""
    monkeypatch.setattr("cqd.closing.ENOUGH", 3)
    loose, closed = (asked("capital(Chad)", min_truth=0.0, closed=closed) for closed in (False, True))
    assert answers(loose, "predicted")
    assert answers(closed, "predicted") == []
    assert set(answers(loose, "predicted")) <= set(closed["ruled_out"])
    assert closed["nothing"] == "nothing: observed edges rule out what the predictor would say"
    found = asked("borders(Andorra)", min_truth=0.0, num_answers=7)
    assert "Andorra" not in answers(found, "predicted")
    for one in found["answers"]:
        if one["ruled_out"]:
            assert one["probability"] == one["proofs"][0]["truth"] < one["truth"]


def test_nothing_is_said_to_be_nothing():
    found = asked("borders(Andorra) & !borders(Andorra)", min_truth=0.9)
    assert found["answers"] == []
    assert found["nothing"].startswith("nothing: no truth of 0.9 or more; the best guess is")
    assert "follow from observed edges: nothing" in ask_words.to_words(found)
    found = asked("Chad & borders(Andorra)", closed=False)
    assert answers(found) == ["Chad"]
    assert found["nothing"] == "nothing: no other entity has a truth above 0"
    found = asked("Chad & Benin & borders(Andorra)")
    assert found["answers"] == found["known"] == []
    assert "predicted: nothing: no other entity" in ask_words.to_words(found)


def test_what_the_predictor_knows_nothing_of_is_answered_with_a_warning():
    found = asked("borders(Fiji) | owes(Chad)")
    assert found["warnings"] == [
        "Fiji: no edge was trained on, so the predictor knows nothing of it",
        "owes: no edge of it was trained on, so the predictor knows nothing of it",
    ]
    assert "warning: Fiji: no edge" in ask_words.to_words(found)
    assert asked("SELECT ?x { ?x :borders ?y . ?y :borders ?z . ?z :borders ?x MINUS { ?x :capital :Fiji } }")[
        "warnings"
    ]
    for text in ("borders(Andorra)", "SELECT ?c { ?y :capital ?c }", "SELECT ?x { ?x :borders ?y . ?y :borders ?x }"):
        assert asked(text, min_truth=1.0)["warnings"] == []


def test_a_prediction_by_what_the_predictor_knows_nothing_of_has_a_warning():
    found = asked("borders(Andorra)", min_truth=0.0, num_answers=7)
    assert "Fiji" in answers(found, "predicted")
    assert found["warnings"] == ["Fiji: no edge was trained on, so the predictor knows nothing of it"]


def test_a_certificate_is_the_distance_to_the_exact_optimum():
    text = "capital(borders(Andorra) | borders(Chad))"
    beam = {"method": "beam", "certificate": True, "num_answers": 7, "num_known": 7, "min_truth": 0.0}
    narrow, wide = (asked(text, beam_size=k, **beam) for k in (1, 7))
    assert all(one["gap"] == pytest.approx(0, abs=1e-6) for one in wide["answers"])
    assert max(one["gap"] for one in narrow["answers"]) > 0.01
    exact = asked(text, num_answers=7, num_known=7, min_truth=0.0)
    truths = {one["answer"]: one["truth"] for one in exact["answers"]}
    for one in narrow["answers"]:
        assert one["optimum"] == pytest.approx(truths[one["answer"]], abs=1e-6)
        assert one["gap"] == pytest.approx(one["optimum"] - one["truth"], abs=1e-6)
    best = narrow["best_by_exact"]
    assert best[0]["truth"] == pytest.approx(max(truths.values()))
    words = ask_words.to_words(narrow)
    assert "the exact optimum" in words
    assert "best by the exact method:" in words
    with_names = asked("SELECT ?c { ?x :borders :Chad ; :capital ?c }", **beam)
    assert all("gap" in one for one in with_names["answers"])
    with pytest.raises(ValueError, match="certificate=True: is not for cycles or two variables"):
        asked("SELECT ?x { ?x :borders ?y . ?y :borders ?x }", **beam)


@pytest.mark.parametrize("method", ["beam", "continuous"])
@pytest.mark.parametrize("tnorm", ["min", "lukasiewicz"])
def test_every_setting_answers(method, tnorm):
    found = asked("capital(borders(Andorra))", method=method, tnorm=tnorm, known="", normalize="sigmoid", num_proofs=2)
    assert (found["method"], found["tnorm"], found["certain"]) == (method, tnorm, False)
    assert all(len(one["proofs"]) <= 2 for one in found["answers"])
    assert ask_words.to_words(found)


def test_several_proofs_are_told_apart():
    found = asked("capital(borders^-1(Andorra))", num_proofs=2, num_known=3)
    euro = next(one for one in found["answers"] if one["answer"] == "Euro")
    assert [atom["head"] for proof in euro["proofs"] for atom in proof["atoms"]] == ["Chad", "Chad", "Ghana", "Ghana"]
    assert "proof 2" in ask_words.to_words(found)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"empty: a question is due, such as SELECT \?x WHERE"),
        (" \n", "empty: a question is due"),
        ("borders(Chda)", r"unknown entity 'Chda' \(nearest: 'Chad'"),
        ("border(Chad)", r"unknown relation 'border' \(nearest: 'borders'"),
        ("SELECT ?x { ?x :borders :Chda }", r"unknown entity 'Chda' \(nearest: 'Chad'"),
        ("SELECT ?x { ?x :border :Chad }", r"unknown relation 'border' \(nearest: 'borders'"),
        ("borders(Chad", "column 13: .* is due, not the end"),
        ("?x :borders :Chad", "a question in SPARQL begins with SELECT"),
        ("!borders(Chad)", r"'!borders\(Chad\)' asks for nothing"),
        ("borders(Chad) | !borders(Benin)", "asks for nothing"),
        ("Chad", "asks for nothing"),
        (
            "SELECT ?x { ?x :borders ?y OPTIONAL { ?y :capital ?c } }",
            "SPARQL line 1, column 28: OPTIONAL is not supported",
        ),
        ("SELECT ?x { MINUS { ?x :borders :Chad } }", "shares no variable with what stands around it"),
        ("SELECT ?y { ?x :borders :Chad }", r"\?y is selected but does not occur"),
        ("SELECT * { ?x :borders :Chad }", r"SELECT \* is not supported"),
        ("SELECT (COUNT(?x) AS ?n) { ?x :borders :Chad }", r"SELECT with an expression \(AS, COUNT and the like\)"),
        ("{ ?x :borders :Chad }", "SPARQL line 1, column 1: not understood"),
        ("#9(#2)", "relation #9: ids run from 0 to 5"),
    ],
)
def test_a_question_that_cannot_be_read(text, message):
    with pytest.raises(ValueError, match=message):
        asked(text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "magic"}, "method='magic': choose one of beam, continuous, exact"),
        ({"tnorm": "godel"}, "tnorm='godel'"),
        ({"normalize": "none"}, "normalize='none'"),
        ({"known": "maybe"}, "known='maybe': 'certain' is due, or ''"),
        ({"observed": "test"}, "observed='test': choose one of all, known"),
        ({"beam_size": 0}, "beam_size=0"),
        ({"num_answers": 0}, "num_answers=0: at least 1 is due"),
        ({"num_known": -1}, "num_known=-1: at least 0 is due"),
        ({"num_proofs": 0}, "num_proofs=0: at least 1 is due"),
        ({"min_truth": -0.1}, "min_truth=-0.1: a number from 0 to 1"),
        ({"min_truth": float("nan")}, "min_truth=nan"),
        ({"certificate": True}, "certificate=True: is of a beam's answers; give method='beam'"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        asked("borders(Chad)", **options)


def test_a_method_that_a_predictor_cannot_meet():
    params = predictor.init(jax.random.key(0), rank=2, model="cp", **SIZES)
    with pytest.raises(ValueError, match="method='continuous': CP gives an entity two vectors"):
        ask.ask(example()._replace(params=params), "borders(Chad)", ask.Options(method="continuous"))


def test_without_rdflib_trees_are_answered_and_sparql_says_what_to_install(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "rdflib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rdflib", None)
    assert answers(asked("borders(Chad)")) == ["Andorra"]
    with pytest.raises(ValueError, match=r"SPARQL needs rdflib: pip install rdflib"):
        asked("SELECT ?x { ?x :borders :Chad }")


def test_names_of_a_question_leave_out_cut_variables_and_anything():
    compiled = ask.read("SELECT ?x { ?x :borders ?y . ?y :owes ?x . ?z :capital ?x }", VOCABULARY)
    assert isinstance(compiled, rooting.Compiled)
    assert compiled.cuts
    entities, relations = ask.names(compiled.template)
    assert entities == set()
    assert {relation // 2 for relation in relations} == {0, 1, 2}


def test_the_text_of_an_answer():
    """Numbers apart: variables not asked for by name, one edge a line, what is denied as 1 - its truth."""
    found = asked(
        "SELECT ?x { ?x :borders ?y . ?y :borders ?x MINUS { ?x :capital :Delhi } }", num_answers=1, min_truth=1.0
    )
    assert found["answers"][0]["proofs"][0]["others"] == {"?y": "Andorra"}
    lines = ask_words.to_words(found).splitlines()
    del lines[-1]  # what is predicted
    assert [" ".join(line.split()) for line in lines if "not" not in line] == [
        "SELECT ?x { ?x :borders ?y . ?y :borders ?x MINUS { ?x :capital :Delhi } }",
        "follow from observed edges: Chad",
        f"Chad {found['answers'][0]['probability']:.3f}",
        "?y is Andorra",
        "Chad -- borders -> Andorra observed",
        "Andorra -- borders -> Chad observed",
    ]
    [denied] = [" ".join(line.split()) for line in lines if "not" in line]
    truth = found["answers"][0]["proofs"][0]["denials"][0]["truth"]
    assert found["answers"][0]["probability"] == pytest.approx(1 - truth)
    assert denied.startswith("not Chad -- capital -> Delhi 1 - ")
    assert denied.endswith(" predicted")
