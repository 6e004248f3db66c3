"""The command as a user calls it, over toy benchmarks and a toy peer."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
import zipfile

import pytest

from benchmarks import environments, peers


def start(workdir, *words):
    """Returns the started command."""
    command = [sys.executable, "-m", "tests.benchmarks.toy_main", f"--workdir={workdir}", *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=peers.ROOT, env={**os.environ, "PIP_NO_INDEX": "1"}, **pipes)


def run(workdir, *words):
    """Returns (exit status, the summary, stderr)."""
    process = start(workdir, *words)
    out, err = process.communicate(timeout=120)
    return process.returncode, json.loads(out) if out else None, err


PEER = f"--torch_python={sys.executable}"


def test_a_peer_takes_turns_and_what_is_measured_is_kept(tmp_path):
    assert run(tmp_path, "--only=first", "--peers=no")[0] == 0
    alone = json.loads((tmp_path / "results" / "first.json").read_text())
    status, summary, err = run(tmp_path, "--only=first,broken", PEER)  # one more peer: measured again
    assert status == 1
    assert summary["failed"] == ["broken"]
    assert "broken failed with status 1: a defect, in words" in err
    found = json.loads((tmp_path / "results" / "first.json").read_text())
    assert (alone["peers"], found["peers"]) == ([], ["torch"])
    assert found["where"]["threads"] == 1
    with open(tmp_path / "table.csv", encoding="utf-8") as file:
        nap, length = csv.DictReader(file)
    assert float(nap["ratio"]) > 3  # ten, but for how long a sleep lasts
    assert nap["peer_version"] == "toy 1.5"
    assert float(length["ratio"]) < 1
    assert "length, first" in (tmp_path / "benchmarks.md").read_text()
    status, summary, err = run(tmp_path, "--only=first", PEER)
    assert (status, summary["rows"], summary["behind"]) == (0, 2, 1)
    assert "first: measured before" in err
    assert json.loads((tmp_path / "results" / "first.json").read_text()) == found


def test_a_killed_command_keeps_what_is_finished_and_goes_on(tmp_path):
    process = start(tmp_path, "--only=first,endless", "--peers=no")
    finished, running = tmp_path / "results" / "first.json", tmp_path / "logs" / "endless.log"
    deadline = time.monotonic() + 60
    while not running.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    before = finished.read_text()
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert json.loads(out)["rows"] == 1
    assert "stopped by SIGTERM; the same command goes on" in err
    (tmp_path / "results" / "endless.go").touch()
    status, summary, _ = run(tmp_path, "--only=first,endless", "--peers=no")
    assert (status, summary["rows"]) == (0, 2)
    assert finished.read_text() == before


def test_a_peer_that_does_not_install_is_left_out_with_a_line(tmp_path):
    status, summary, err = run(tmp_path, "--only=first")
    assert (status, summary["rows"], summary["failed"]) == (0, 1, [])
    lines = [line for line in err.splitlines() if "left out" in line]
    assert len(lines) == 1
    assert "torch is left out: exit status 1: ERROR: No matching distribution found for no-such-package" in lines[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--only=secnd"], "--only=secnd: choose among first, broken, endless"),
        (["--size=big"], "argument --size: invalid choice: 'big'"),
        (["--torch_python=/no/python"], "--torch_python=/no/python: no such program; give a Python interpreter"),
    ],
)
def test_a_mistake_is_told_and_nothing_runs(tmp_path, words, said):
    status, summary, err = run(tmp_path / "new", *words)
    assert (status, summary) == (2, None)
    assert said in err
    assert not (tmp_path / "new").exists()


def test_an_environment_is_made_once_and_again_where_it_is_not_whole(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    wheel = tmp_path / "toy_library-1.0-py3-none-any.whl"
    info = "toy_library-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("toy_library.py", "ONE = 1\n")
        file.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: toy-library\nVersion: 1.0\n")
        file.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(f"{info}/RECORD", "")
    known = {"toy": environments.Peer("toys", (str(wheel),), "toy_library")}
    python = environments.interpreter("toy", tmp_path / "venvs", known)
    assert subprocess.run([python, "-c", "import toy_library"], check=False).returncode == 0
    wheel.unlink()
    assert environments.interpreter("toy", tmp_path / "venvs", known) == python  # nothing is installed again
    other = {"toy": known["toy"]._replace(requirements=(f"{wheel}", "more"))}
    assert environments.interpreter("toy", tmp_path / "venvs", other) == ""


def test_a_peer_answers_with_its_own_time_and_tells_what_went_wrong():
    first, ask = peers.start(sys.executable, "tests.benchmarks.toy_peer")
    assert first == {"toy": "1.5"}
    answer = ask(seconds=0.05)
    assert answer["slept"] == 0.05
    assert answer["cpu_s"] < 0.05 <= answer["wall_s"]
    with pytest.raises(ValueError, match=r"KeyError: .no such thing"):
        ask(seconds=0, fails=True)
    assert ask(seconds=0)["slept"] == 0
    with pytest.raises(ValueError, match="ended with status 1"):
        peers.start(sys.executable, "tests.benchmarks.no_such_module")
