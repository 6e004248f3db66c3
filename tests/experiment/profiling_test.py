"""--profile and the throughput of loops, on the toy as a user runs it."""

import json

import pytest

from experiment import profiling
from experiment.errors import UserError
from experiment.workdir import Workdir
from tests.experiment import binary

WALK = ["toy.main", "--config=tests/experiment/toy/config.py"]


def test_a_window_is_read_or_refused_in_one_line():
    assert profiling.parse("") is None
    assert profiling.parse("auto") == "auto"
    assert profiling.parse("2.5:4") == (2.5, 4.0)
    for text in ("3", "4:4", "5:4", "0:61", "a:b", "-1:2", "always"):
        with pytest.raises(UserError, match=f"--profile={text}: "):
            profiling.parse(text)


def _traces(workdir):
    return list((workdir / "profile").rglob("*.trace.json.gz"))


def test_a_few_calls_are_traced_and_the_figures_stay(tmp_path):
    status, _, err = binary.run(*WALK, f"--workdir={tmp_path / 'plain'}")
    assert status == 0, err
    status, _, err = binary.run(*WALK, "--profile=auto", f"--workdir={tmp_path / 'traced'}")
    assert status == 0, err
    (trace,) = _traces(tmp_path / "traced")
    (line,) = [line for line in err.splitlines() if line.startswith("profile of")]
    assert str(trace) in line
    assert sum(file.stat().st_size for file in (tmp_path / "traced" / "profile").rglob("*.*")) < 20e6
    assert binary.figures(tmp_path / "traced") == binary.figures(tmp_path / "plain")
    status, _, err = binary.run(*WALK, "--profile=auto", f"--workdir={tmp_path / 'traced'}")
    assert status == 0, err
    assert _traces(tmp_path / "traced") == [trace]


class _Calls(profiling.Trace):
    """Notes what starts and ends instead of tracing."""

    def __init__(self, window):
        super().__init__(window, ".")
        self.seen = []

    def _start(self):
        self.seen.append("start")
        self._since = 0.0

    def _stop(self):
        if self._since is not None and not self._is_done:
            self.seen.append("stop")
            self._is_done = True


def test_the_window_follows_the_first_call_and_ends_with_its_loop():
    calls = [(1, False), (2, False), (3, False), (4, False), (5, True)]
    for told, expected in (
        (calls, ["start", None, None, "stop", None]),
        ([(1, True), (1, False), (2, True), (1, False)], [None, "start", "stop", None]),
        ([(1, False), (1, False)], ["start", "stop"]),
    ):
        with _Calls(profiling.AUTO) as trace:
            for (number, is_last), word in zip(told, expected, strict=True):
                before = len(trace.seen)
                trace.called(number, is_last)
                assert trace.seen[before:] == ([word] if word else []), (told, number)
    with _Calls(None) as trace:
        trace.called(1, False)
        assert not trace.seen


def test_throughput_is_of_the_calls_after_the_first_that_did_something(tmp_path, monkeypatch):
    clock = iter([0, 100, 200, 202, 300, 301, 400, 500])  # seconds before and after every call
    monkeypatch.setattr("time.perf_counter", lambda: float(next(clock)))

    def step_fn(state, step):
        return (state if step == 6 else state + 1), {"loss": 0.0}

    with Workdir(tmp_path / "w", {}) as workdir:
        workdir.loop("walk", 0, step_fn, num_steps=8, steps_per_call=2)
        assert workdir.throughput() == {"walk": {"steps_per_s": 2 / 1.5, "num_steps": 4}}
    with Workdir(tmp_path / "w", {}) as workdir:
        workdir.loop("walk", 0, None, num_steps=8, steps_per_call=2)
        assert workdir.throughput() == {"walk": {"steps_per_s": 2 / 1.5, "num_steps": 4}}


def test_throughput_is_in_the_summary(tmp_path):
    status, out, err = binary.run(*WALK, f"--workdir={tmp_path / 'w'}")
    assert status == 0, err
    (found,) = json.loads(out)["throughput"].values()
    assert found["num_steps"] == 40
    assert found["steps_per_s"] > 0
