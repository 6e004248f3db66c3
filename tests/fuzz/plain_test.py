"""The harness itself: a defect of each kind is one, and plain pickles come back as they were."""

import pickle
import time

import numpy as np
import pytest

from cqd import safe_files
from experiment.errors import UserError
from tests.fuzz import grammars, outcome, pieces
from tests.fuzz.targets_test import under


def _raise(error):
    raise error


@pytest.mark.parametrize("error", [ValueError("x.tsv:3: bad"), UserError("x.tsv:3: bad"), OSError("x.tsv:3: bad")])
def test_a_refusal_that_names_its_place_is_none(error):
    assert outcome.refusal(lambda: _raise(error), r":\d+: ") == (None, "x.tsv:3: bad")


@pytest.mark.parametrize("error", [ValueError("bad"), ValueError(""), OSError(2, "No such file", "x")])
def test_other_words_are_a_defect(error):
    with pytest.raises(outcome.Defect):
        outcome.refusal(lambda: _raise(error), r":3: .* bad$")


def test_other_errors_pass():
    with pytest.raises(TypeError):
        outcome.refusal(lambda: _raise(TypeError("x")), "x")


def test_too_long_is_a_defect(monkeypatch):
    monkeypatch.setattr(outcome, "CPU_S", 0.1)

    def spin():
        end = time.process_time() + 5
        while time.process_time() < end:
            pass

    with pytest.raises(outcome.Defect, match="of CPU"), outcome.bounded():
        spin()


def test_too_much_memory_is_a_defect(monkeypatch):
    monkeypatch.setattr(outcome, "MEMORY_MB", 50)
    np.ones(2**25)  # what was used and given back before does not count
    with outcome.bounded():
        np.ones(2**20)
    with pytest.raises(outcome.Defect, match="MB more memory"), outcome.bounded():
        np.ones(2**24)


def test_a_logged_traceback_is_a_defect():
    import logging

    def log():
        try:
            raise KeyError
        except KeyError:
            logging.getLogger("rdflib.term").warning("x", exc_info=True)

    with pytest.raises(outcome.Defect, match="a traceback was logged"), outcome.bounded():
        log()


def test_pieces_come_back():
    files = {"a": b"1\n2", "b": b"", "c": b"\x1e"}
    assert pieces.split(pieces.join(files), "abc") == files
    assert pieces.split(pieces.join(files), "ac") == {"a": b"1\n2", "c": b"\x1e"}


def test_plain_pickles_come_back(tmp_path):
    path = tmp_path / "x.pkl"

    @under(grammars.PLAIN, 200)
    def check(data):
        for protocol in (0, 2, 5):
            path.write_bytes(pickle.dumps({"a": data}, protocol))
            assert safe_files.pickled(path) == {"a": data}

    check()
