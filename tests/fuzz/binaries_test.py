"""The binaries on what fuzzing gives them: exit status 0 with answers, or one line on stderr and another status."""

import contextlib
import io
import json
import sys

import jax
import numpy as np
import pytest
from hypothesis import strategies as st

from cqd import main, predictor, trained
from experiment import app
from tests.fuzz import grammars, texts
from tests.fuzz.targets_test import under


@pytest.fixture(scope="module")
def given_predictor(tmp_path_factory):
    """The file of a predictor of the targets' small graph."""
    path = tmp_path_factory.mktemp("fuzz") / "predictor.npz"
    params = predictor.init(jax.random.key(0), num_entities=len(texts.ENTITIES), num_relations=4, rank=2, scale=1.0)
    triples = np.array(texts.TRIPLES, np.int32)
    parts = {"train": triples, "valid": triples[:0], "test": triples[:0]}
    path.write_bytes(trained.to_bytes(trained.Trained(params, texts.vocabulary(), parts)))
    return path


def ended(run, stdin=b""):
    """Returns (exit status, stdout, stderr) of a binary run in this process."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        try:
            status = run()
        except SystemExit as error:
            status = error.code
    return status, out.getvalue(), err.getvalue()


def check(status, out, err, expected=(0, 2)):
    """Holds the end of a binary against the contract."""
    assert status in expected, err
    assert "Traceback" not in err
    if status:
        assert out == ""
        assert len([line for line in err.splitlines() if line.startswith("error: ")]) == 1, err


ASKED = grammars.changed(grammars.TREES | grammars.QUESTIONS, grammars.QUESTION_WORDS)


def test_questions_on_the_command_line(given_predictor):
    @under(ASKED, 12)
    def ask(data):
        words = ["cqd-ask", f"--predictor={given_predictor}", "--json", "--", texts.as_argument(data)]
        status, out, err = ended(lambda: main.ask(words))
        check(status, out, err)
        if status == 0:
            assert isinstance(json.loads(out), list)

    ask()


FLAGS = (
    "beam_size",
    "num_answers",
    "num_known",
    "num_proofs",
    "min_truth",
    "method",
    "tnorm",
    "known",
    "nothing",
    "json",
)
VALUES = ("", "0", "-1", "1e9", "nan", "x", "9" * 30, "True", "\udcff", "certain")


def test_flags(given_predictor):
    @under(st.tuples(st.sampled_from(FLAGS), st.sampled_from(VALUES)), 25)
    def ask(data):
        words = ["cqd-ask", f"--predictor={given_predictor}", f"--{data[0]}={data[1]}", "p(a)"]
        check(*ended(lambda: main.ask(words)), expected=(0, 1, 2))

    ask()


@pytest.mark.parametrize(
    ("words", "stdin", "expected"),
    [
        (["p(\udcff)"], b"", "question: query 'p(\\udcff)': not UTF-8 text at column 3"),
        (["SELECT ?x { ?x :p :a } # \udcff"], b"", "not UTF-8 text at column 26"),
        ([], b"p(a)\n\xff\n", "stdin: not UTF-8 text"),
        (["p(" * 40 + "a" + ")" * 40], b"", "nested too deeply"),
    ],
)
def test_what_is_no_question(given_predictor, words, stdin, expected):
    status, out, err = ended(lambda: main.ask(["cqd-ask", f"--predictor={given_predictor}", *words]), stdin)
    check(status, out, err, expected=(2,))
    assert expected in err


@pytest.mark.parametrize("zeros", [np.ones, jax.numpy.ones])
def test_more_memory_than_there_is(zeros):
    status, out, err = ended(lambda: app.guarded(lambda _: zeros((2**30, 2**16)).sum()))
    check(status, out, err, expected=(1,))
    assert "out of memory" in err
    assert "make the sizes smaller" in err
