"""The run that answers questions, and `cqd-ask`: files, resumption, a given predictor, stdin, every user mistake."""

import functools
import io
import json
import subprocess
import sys

import jax
import numpy as np
import pytest
from ml_collections import FrozenConfigDict

from configs.cqd import ask as config_file
from cqd import graph, loading, main, predictor, trained
from cqd.runs import ask, console
from experiment import app, errors
from experiment.signals import Signals
from experiment.workdir import Workdir
from tests.experiment import binary, inside

QUESTION = "SELECT ?x WHERE { ?x :borders :China, :India }"


def config(**fields):
    result = config_file.get_config("smoke")
    result.update(fields)
    return FrozenConfigDict(result)


execute = functools.partial(inside.execute, ask)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A predictor trained in the workdir, and the default questions."""
    path = tmp_path_factory.mktemp("whole")
    return path, execute(path, config())


def test_figures_and_files(whole):
    path, figures = whole
    assert figures["graph"] == {"entities": 822, "relations": 9}
    assert figures["model"] == "complex"
    [question] = figures["questions"]
    assert len(question["answers"]) == 2
    assert all(one["status"] == "known" for one in question["answers"])
    [found] = json.loads((path / ask.JSON).read_text(encoding="utf-8"))
    assert [one["answer"] for one in found["answers"]] == [one["answer"] for one in question["answers"]]
    assert (path / ask.TEXT).read_text(encoding="utf-8").startswith(found["question"])
    assert (path / "figures" / "proofs.png").read_bytes().startswith(b"\x89PNG")
    lines = (path / "figures" / "proofs.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "answer,status,probability,proof,head,relation,tail,truth,source,negated"
    assert len(lines) > 4
    assert any(line.endswith(",predicted,True") for line in lines)


def test_the_workdir_of_a_run_without_a_predictor_is_one_to_ask(whole, tmp_path):
    found = trained.load(whole[0])
    everything = loading.load("").parts["all"]
    np.testing.assert_array_equal(found.parts["train"], everything)
    again = config(predictor=str(whole[0]), queries=config().embedded.queries)
    assert execute(tmp_path, again) == whole[1]


def test_the_same_twice(whole, tmp_path):
    assert execute(tmp_path, config()) == whole[1]
    for name in (ask.TEXT, ask.JSON, "metrics.jsonl", "figures/proofs.csv", "figures/proofs.png", trained.FILE):
        assert (tmp_path / name).read_bytes() == (whole[0] / name).read_bytes()


@pytest.mark.parametrize("name", ["write_file", "save_figure", "track"])
def test_resumed_is_uninterrupted(whole, tmp_path, monkeypatch, name):
    def breaking(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Workdir, name, breaking)
    with pytest.raises(KeyboardInterrupt):
        execute(tmp_path, config())
    monkeypatch.undo()
    assert execute(tmp_path, config()) == whole[1]
    for file in ("metrics.jsonl", ask.JSON):
        assert (tmp_path / file).read_text() == (whole[0] / file).read_text()


def test_several_questions_have_a_figure_each(whole, tmp_path):
    figures = execute(
        tmp_path,
        config(predictor=str(whole[0]), query=QUESTION, queries=("capital(China)", "Chad & Benin & region(Chad)")),
    )
    assert [one["question"] for one in figures["questions"]][1:] == ["capital(China)", "Chad & Benin & region(Chad)"]
    assert figures["questions"][2]["answers"] == []
    names = sorted(path.name for path in (tmp_path / "figures").glob("*.png"))
    assert names == ["proofs.png", "proofs_2.png", "proofs_3.png"]
    text = (tmp_path / ask.TEXT).read_text(encoding="utf-8")
    assert "follow from observed edges (4): Bhutan, Myanmar, Nepal, Pakistan" in text


def test_a_graph_of_ones_own(tmp_path):
    rng = np.random.default_rng(0)
    lines = sorted({f"n{a}\tlikes\tn{b}\n" for a, b in rng.integers(12, size=(60, 2))})
    (tmp_path / "mine.tsv").write_text("".join(lines))
    settings = config(graph=str(tmp_path / "mine.tsv"), query="SELECT ?x { ?x :likes :n1 }")
    [question] = execute(tmp_path / "out", settings)["questions"]
    assert question["observed"] == sum(line.endswith("\tn1\n") for line in lines)
    with pytest.raises(ValueError, match=r"config\.query is missing: a question is due, such as SELECT"):
        ask.load(config(graph=str(tmp_path / "mine.tsv")))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"query": ""}, r"config\.query: empty: a question is due"),
        ({"query": "borders(Chnia)"}, r"config\.query: unknown entity 'Chnia' \(nearest: 'China'"),
        ({"queries": ("borders(China)", "x(y)")}, r"config\.queries #2: unknown entity 'y'"),
        ({"queries": (3,)}, r"config\.queries: 3 among texts"),
        (
            {"query": "SELECT ?x { ?x :borders ?y } GROUP BY ?x"},
            r"config\.query: SPARQL line 1, column 30: GROUP BY is",
        ),
        ({"num_answers": 0}, r"config\.num_answers=0: at least 1 is due"),
        ({"method": "magic"}, r"config\.method='magic': choose one of"),
        ({"certificate": True}, r"config\.certificate=True: is of a beam's answers"),
        ({"observed": "some"}, r"config\.observed='some': choose one of all, known"),
        ({"method": "continuous", "model": "cp"}, r"config\.method='continuous': CP gives an entity two vectors"),
        ({"predictor": "absent"}, r"config\.predictor: absent: no such file; give the workdir of a finished run"),
        ({"predictor": ""}, r"config\.predictor: "),
        ({"epochs": 3}, r"config\.epochs=3 is not a multiple"),
        ({"graph": "absent.tsv", "query": "x(y)"}, r"absent\.tsv"),
    ],
)
def test_mistakes_are_one_clear_error_before_anything_is_trained(fields, message):
    with pytest.raises((ValueError, OSError), match=message):
        ask.load(config(**fields))


def test_a_predictor_and_a_graph_are_one_too_many(whole):
    with pytest.raises(ValueError, match=r"config\.graph=x\.tsv: a predictor has its own"):
        ask.load(config(predictor=str(whole[0]), graph="x.tsv"))
    with pytest.raises(ValueError, match=r"config\.query is missing"):
        ask.load(config(predictor=str(whole[0])))


def test_a_predictor_that_the_method_cannot_use(tmp_path):
    vocabulary = graph.Vocabulary(("a", "b"), ("r",))
    params = predictor.init(jax.random.key(0), num_entities=2, num_relations=2, rank=2, model="cp")
    parts = dict.fromkeys(loading.PARTS, np.array([(0, 0, 1)], np.int32))
    (tmp_path / trained.FILE).write_bytes(trained.to_bytes(trained.Trained(params, vocabulary, parts)))
    with pytest.raises(ValueError, match=r"config\.method='continuous': CP gives an entity two vectors"):
        ask.load(config(predictor=str(tmp_path), query="r(a)", method="continuous"))


def test_a_workdir_inside_the_predictors_is_refused(whole):
    settings = config(predictor=str(whole[0]), query="borders(China)")
    with pytest.raises(errors.UserError, match=r"inside: lies inside config\.predictor=.*; choose a directory outside"):
        execute(whole[0] / "inside", settings)


def asked(whole, *words, stdin=None, monkeypatch=None):
    """Returns what `cqd-ask` prints, in this process."""
    if stdin is not None:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))

    def run(argv, signals):
        return app.run(system="cqd", runs=main.RUNS, default_config=main.DEFAULT, argv=argv, signals=signals)

    predictor_flag = [] if whole is None else [f"--predictor={whole[0]}"]
    return console.answers(["cqd-ask", *predictor_flag, "--compilation_cache=off", *words], Signals(), run)


def test_questions_and_flags_may_mix(whole):
    text = asked(whole, QUESTION, "--num_known=1", "borders(China)", "--num_answers", "1")
    first, second = text.split("\n\n")
    assert first.startswith(f"{QUESTION}\n  follow from observed edges (4): Bhutan, Myanmar, Nepal, Pakistan\n")
    assert "    Myanmar  " not in first
    assert second.startswith("borders(China)\n  follow from observed edges (16): Afghanistan")


def test_json_and_options_reach_the_engine(whole):
    words = [
        "--json",
        "--method=beam",
        "--tnorm=min",
        "--beam_size=3",
        "--known=",
        "--normalize=softmax",
        "--certificate",
    ]
    [found] = json.loads(asked(whole, "capital(borders(China))", *words, "--observed=known", "--num_proofs=2"))
    assert (found["method"], found["tnorm"], found["normalize"], found["certain"]) == ("beam", "min", "softmax", False)
    assert "best_by_exact" in found


def test_questions_from_stdin_one_a_line(whole, monkeypatch):
    stdin = "# two questions\n\ncapital(China)\n  SELECT ?x { ?x :capital :Bern }  \n#3(#2)\n"
    text = asked(whole, stdin=stdin, monkeypatch=monkeypatch)
    assert [part.splitlines()[0] for part in text.split("\n\n")] == [
        "capital(China)",
        "SELECT ?x { ?x :capital :Bern }",
        "#3(#2)",
    ]


def test_with_a_workdir_it_is_the_run(whole, tmp_path):
    text = asked(whole, QUESTION, "borders(China)", f"--workdir={tmp_path}")
    assert text == (tmp_path / ask.TEXT).read_text(encoding="utf-8").rstrip()
    assert text == asked(whole, QUESTION, "borders(China)", f"--workdir={tmp_path}")
    assert len(json.loads(asked(whole, QUESTION, "borders(China)", f"--workdir={tmp_path}", "--json"))) == 2
    assert json.loads((tmp_path / "summary.json").read_text())["run"] == "ask"
    with pytest.raises(errors.UserError, match=r"holds a run of another config \(--"):
        asked(whole, "borders(India)", f"--workdir={tmp_path}")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["borders(Chnia)"], r"^the question: unknown entity 'Chnia'"),
        (["borders(China)", "borders(Chnia)"], r"^question 2: unknown entity 'Chnia'"),
        (["borders(China)", "--num_answers=0"], r"^--num_answers=0: at least 1 is due"),
        (["borders(China)", "--num_answers=few"], r"^argument --num_answers: invalid int value: 'few'; cqd-ask --help"),
        (["borders(China)", "--methd=exact"], r"^unrecognized arguments: --methd=exact; cqd-ask --help"),
        (["borders(China)", "--certificate"], r"^--certificate=True: is of a beam's answers"),
    ],
)
def test_mistakes_name_the_flag_or_the_question(whole, words, message):
    with pytest.raises(errors.UserError, match=message):
        asked(whole, *words)


def test_what_is_missing_is_named(whole, monkeypatch):
    with pytest.raises(errors.UserError, match=r"^--predictor is missing: the workdir of a run such as"):
        asked(None, "borders(China)")
    with pytest.raises(errors.UserError, match=r"^--predictor: nowhere: no such file; give the workdir"):
        asked(None, "borders(China)", "--predictor=nowhere")
    with pytest.raises(errors.UserError, match="a question is missing: stdin is empty"):
        asked(whole, stdin="\n# nothing\n", monkeypatch=monkeypatch)


def test_help_has_an_example_and_every_option():
    text = asked(None, "--help")
    assert "cqd-ask --predictor=out/mine 'SELECT ?x WHERE { ?x :borders :China, :India }'" in text
    assert set(console._HELP) - {"predictor"} == set(ask.ask.Options._fields)
    assert all(f"--{name}" in text for name in console._HELP)


@pytest.mark.parametrize("words", [[QUESTION], ["--json", "borders(Chnia)"], ["--help"]])
def test_as_a_process_answers_alone_are_on_stdout(whole, words):
    """Runs what the console script `cqd-ask` runs."""
    program = "import sys; sys.argv[0] = 'cqd-ask'; from cqd.main import ask; ask()"
    done = subprocess.run(
        [sys.executable, "-c", program, f"--predictor={whole[0]}", *words],
        cwd=binary.ROOT,
        env=binary.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if words[-1] == "borders(Chnia)":
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("error: the question: unknown entity 'Chnia' (nearest: 'China'")
        assert done.stderr.count("\n") == 1
    else:
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("usage: cqd-ask" if words == ["--help"] else QUESTION)
