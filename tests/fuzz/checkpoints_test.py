"""Checkpoints with a file cut, emptied, removed or changed: the state that was saved, or one line with the way out."""

import itertools
import shutil

import numpy as np
from hypothesis import strategies as st

from experiment import checkpoint
from tests.fuzz.outcome import bounded, due, refusal
from tests.fuzz.targets_test import under

STATE = {"a": np.arange(600.0), "b": {"c": np.int32(3)}}
CHANGES = st.tuples(
    st.integers(0, 1000), st.sampled_from(["cut", "empty", "remove", "flip", "text"]), st.integers(0, 10**6)
)


def test_a_damaged_checkpoint(tmp_path):
    whole, numbers = tmp_path / "whole", itertools.count()
    checkpoint.Checkpoints(whole).save("fit", 7, STATE, elapsed_s=1.5)
    names = sorted(file.relative_to(whole) for file in whole.rglob("*") if file.is_file())

    @under(CHANGES, 40)
    def check(data):
        number, kind, place = data
        here = tmp_path / f"copy_{next(numbers)}"
        shutil.copytree(whole, here)
        _damage(here / names[number % len(names)], kind, place)
        with bounded():
            found, _ = refusal(lambda: checkpoint.Checkpoints(here).restore("fit", STATE), "PATH", here)
        shutil.rmtree(here)
        if found is not None:
            step, state, notes = found
            due(step == 7, "another step")
            due(np.array_equal(state["a"], STATE["a"]) and state["b"]["c"] == 3, "another state")
            due(isinstance(notes, dict), "notes that are none")

    check()


def _damage(file, kind, place):
    content = bytearray(file.read_bytes())
    if kind == "remove":
        file.unlink()
        return
    if kind == "flip" and content:
        content[place % len(content)] ^= 1 << place % 8
    file.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "text": b"[5]"}.get(kind, content))
