"""The contract of the binaries, on a toy system run as a user runs it."""

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from experiment.errors import UserError
from experiment.workdir import Workdir
from tests.experiment import binary

TOY = binary.ROOT / "tests" / "experiment" / "toy"
CONFIG = f"--config={TOY / 'config.py'}"


def toy(*args, **kwargs):
    return binary.run("toy.main", CONFIG, *args, **kwargs)


@pytest.fixture
def here(monkeypatch, capsys):
    """Runs the toy in this process: (exit status, stdout, stderr) of its arguments."""
    monkeypatch.syspath_prepend(str(TOY.parent))
    main = importlib.import_module("toy.main").main

    def call(*args):
        with pytest.raises(SystemExit) as stop:
            main(["toy", *map(str, args), "--compilation_cache=off"])
        return stop.value.code, *capsys.readouterr()

    return call


def assert_user_error(result, *words):
    status, out, err = result
    assert status == 2, err
    assert out == ""
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, err
    assert "Traceback" not in err
    for word in words:
        assert word in lines[0]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished workdir and what the process printed."""
    workdir = tmp_path_factory.mktemp("toy") / "w"
    return workdir, toy(f"--workdir={workdir}")


def test_a_run_writes_its_files_and_prints_its_summary_last(finished):
    workdir, (status, out, err) = finished
    assert status == 0, err
    summary = json.loads((workdir / "summary.json").read_text())
    assert json.loads(out) == summary  # and nothing else on stdout
    assert "words of a run" in err
    assert "nor these" in err
    assert json.loads((workdir / "config.json").read_text())["shape"] == [4, 1]
    assert summary["seeds"] == [0]
    assert summary["wall_time_s"] > 0
    assert summary["versions"]["jax"]
    assert summary["device"]["platform"] == "cpu"
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert [(row["stage"], row["step"]) for row in rows] == [("walk", s) for s in (10, 20, 30, 40, 50)] + [("end", 50)]
    assert (workdir / "figures" / "walk.png").read_bytes().startswith(b"\x89PNG")
    assert (workdir / "figures" / "walk.csv").read_text().startswith("stage,step,mean\nwalk,10,")


def test_a_finished_workdir_prints_its_summary_and_stops(finished):
    workdir, (_, out, _) = finished
    before = {path: path.stat().st_mtime_ns for path in workdir.rglob("*") if path.is_file()}
    status, again, _ = toy(f"--workdir={workdir}")
    assert (status, again) == (0, out)
    assert {path: path.stat().st_mtime_ns for path in workdir.rglob("*") if path.is_file()} == before


def test_same_seed_twice_is_equal(finished, tmp_path):
    status, _, err = toy(f"--workdir={tmp_path / 'again'}")
    assert status == 0, err
    assert binary.figures(tmp_path / "again") == binary.figures(finished[0])


def test_another_config_in_a_workdir_is_refused_and_nothing_changes(here, finished):
    workdir, _ = finished
    before = {path: path.read_bytes() for path in workdir.rglob("*") if path.is_file()}
    assert_user_error(here(CONFIG, f"--workdir={workdir}", "--config.seed=1"), "config.seed is 0 there and 1 here")
    assert {path: path.read_bytes() for path in workdir.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--config.num_step=3"], ["--config.num_step", "did you mean num_steps"]),
        (["--config.inner.rat=3"], ["--config.inner.rat", "did you mean rate"]),
        (["--config.num_steps=1e3"], ["config.num_steps", "1e3"]),
        (["--config.inner.rate=fast"], ["config.inner.rate", "fast"]),
        (["--config.num_steps=-1"], ["config.num_steps=-1", "must be positive"]),
        (["--config.run=jog"], ["config.run='jog'", "walk"]),
        (["--config.seed=-1"], ["config.seed=-1", "whole number"]),
        (["--config.seed=99999999999999999999"], ["config.seed=99999999999999999999", "whole number"]),
        (["--config.input=/no/such/file"], ["/no/such/file", "No such file"]),
        (["--speed=3"], ["speed"]),
        (["fast"], ["unexpected argument 'fast'"]),
    ],
)
def test_bad_input_is_one_line_and_status_2_and_writes_nothing(here, tmp_path, args, words):
    assert_user_error(here(CONFIG, f"--workdir={tmp_path / 'w'}", *args), *words)
    assert not (tmp_path / "w").exists()


def test_the_workdir_is_asked_for(here):
    assert_user_error(here(CONFIG), "--workdir")


def test_a_config_that_is_missing_or_raises_is_named(here, tmp_path):
    missing = here("--config=no/such.py", f"--workdir={tmp_path / 'w'}")
    assert_user_error(missing, "no/such.py")
    raising = tmp_path / "raising.py"
    raising.write_text("def get_config():\n    steps = 3\n    return steps / 0\n")
    result = here(f"--config={raising}", f"--workdir={tmp_path / 'w'}")
    assert_user_error(result, f"{raising}:3", "ZeroDivisionError")
    broken = tmp_path / "broken.py"
    broken.write_text("def get_config():\n    return (\n")
    result = here(f"--config={broken}", f"--workdir={tmp_path / 'w'}")
    assert_user_error(result, f"{broken}:2", "SyntaxError")
    text = tmp_path / "config.txt"
    text.write_text("")
    assert_user_error(here(f"--config={text}", f"--workdir={tmp_path / 'w'}"), str(text), ".py")
    leaving = tmp_path / "leaving.py"
    leaving.write_text("def get_config():\n    raise SystemExit(3)\n")
    assert_user_error(here(f"--config={leaving}", f"--workdir={tmp_path / 'w'}"), f"{leaving}:2", "SystemExit")
    result = here(f"{CONFIG}:tall", f"--workdir={tmp_path / 'w'}")
    assert_user_error(result, "config.py", "unknown config argument 'tall'")


@pytest.mark.parametrize(
    ("flags", "shown"),
    [(["--debug"], True), (["--debug=true"], True), (["-debug"], True), (["--debug", "--nodebug"], False)],
)
def test_debug_shows_the_traceback(here, tmp_path, flags, shown):
    status, _, err = here(CONFIG, f"--workdir={tmp_path / 'w'}", "--config.num_steps=-1", *flags)
    assert status == 2
    assert ("Traceback" in err) == shown


def test_help_names_runs_and_flags(here):
    status, _, err = here("--help")
    assert status == 0
    assert "walk" in err
    assert "--workdir" in err


def test_a_nan_stops_the_run_names_the_step_and_keeps_the_checkpoint(here, tmp_path):
    workdir = tmp_path / "w"
    status, out, err = here(CONFIG, f"--workdir={workdir}", "--config.nan_at=33")
    assert status == 1
    assert out == ""
    assert "walk: mean is not finite at step 33" in err
    assert "Traceback" not in err
    assert not (workdir / "summary.json").exists()


def test_a_directory_of_something_else_is_not_touched(here, tmp_path):
    (tmp_path / "metrics.jsonl").write_text("mine\n")
    assert_user_error(here(CONFIG, f"--workdir={tmp_path}"), "no config.json")
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_a_workdir_that_cannot_be_made_is_named(here, tmp_path):
    (tmp_path / "file").write_text("")
    assert_user_error(here(CONFIG, f"--workdir={tmp_path / 'file' / 'w'}"), str(tmp_path / "file"), "not a directory")


@pytest.mark.skipif(os.geteuid() == 0 and sys.platform != "linux", reason="root may write anywhere")
def test_a_read_only_workdir_is_named(here, tmp_path):
    where = "/proc/w" if os.geteuid() == 0 else str(tmp_path)
    if os.geteuid() != 0:
        tmp_path.chmod(0o500)
    assert_user_error(here(CONFIG, f"--workdir={where}"), f"--workdir={where}", "choose another directory")


@pytest.mark.parametrize(("blocks", "file"), [(0, "inputs.json"), (1, "checkpoints"), (4, "metrics.jsonl")])
def test_a_disk_that_fills_up_is_one_line_and_the_run_resumes(finished, tmp_path, blocks, file):
    workdir = tmp_path / "w"
    long = "--config.num_steps=4000" if file == "metrics.jsonl" else ""
    flags = f"{CONFIG} --workdir={workdir} --compilation_cache=off {long}"
    command = f"ulimit -f {blocks}; exec {sys.executable} -m toy.main {flags}"
    full = subprocess.run(
        ["bash", "-c", command], env=binary.environment(), capture_output=True, text=True, check=False
    )
    if file == "checkpoints":  # a thread of tensorstore may add a traceback of its own, in the middle of the line
        assert (full.returncode, full.stdout) == (2, "")
        assert f"{workdir}/checkpoints/start: cannot save a checkpoint (" in full.stderr
    else:
        assert_user_error((full.returncode, full.stdout, full.stderr), str(workdir), file, "free space")
    if file != "metrics.jsonl":
        status, _, err = toy(f"--workdir={workdir}")
        assert status == 0, err
        assert binary.figures(workdir) == binary.figures(finished[0])


def test_two_processes_do_not_share_a_workdir(tmp_path):
    args = [f"--workdir={tmp_path / 'w'}", "--config.sleep_s=1.0"]
    first = binary.start("toy.main", CONFIG, *args)
    while not (tmp_path / "w" / "metrics.jsonl").exists():
        assert first.poll() is None
    assert_user_error(toy(*args), "another process")
    first.kill()
    first.communicate()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_exits_with_its_status_and_the_run_resumes(finished, tmp_path, signum):
    workdir = tmp_path / "w"
    slow = ["toy.main", CONFIG, f"--workdir={workdir}", "--config.sleep_s=0.3"]
    process = binary.start(*slow)
    while not (workdir / "metrics.jsonl").exists() or not (workdir / "metrics.jsonl").read_text():
        assert process.poll() is None
    process.send_signal(signum)
    out, err = process.communicate(timeout=60)
    assert process.returncode == binary.SIGNALLED[signum], err
    assert out == ""
    assert any(path.name != "50" for path in (workdir / "checkpoints" / "walk").iterdir())
    status, _, err = binary.run(*slow)
    assert status == 0, err
    assert "[walk] from step " in err
    assert binary.figures(workdir) == binary.figures(finished[0])


def test_a_kill_between_checkpoints_and_a_torn_line_leave_a_workdir_that_resumes(finished, tmp_path):
    workdir = tmp_path / "w"
    command = ["toy.main", CONFIG, f"--workdir={workdir}", "--config.sleep_s=0.3"]
    process = binary.start(*command)
    while not (workdir / "metrics.jsonl").exists() or '"step": 20' not in (workdir / "metrics.jsonl").read_text():
        assert process.poll() is None
    process.kill()
    process.communicate()
    with (workdir / "metrics.jsonl").open("a") as file:
        file.write('{"stage": "walk", "st')
    status, _, err = binary.run(*command)
    assert status == 0, err
    assert binary.figures(workdir) == binary.figures(finished[0])


def test_a_malformed_metrics_line_is_named(tmp_path):
    workdir = tmp_path / "w"
    assert toy(f"--workdir={workdir}")[0] == 0
    (workdir / "summary.json").unlink()
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    (workdir / "metrics.jsonl").write_text("\n".join([lines[0], "not json", *lines[1:]]) + "\n")
    assert_user_error(toy(f"--workdir={workdir}"), "metrics.jsonl:2")


def test_the_compilation_cache_is_on_under_the_users_cache_directory_and_can_be_moved(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    assert toy(f"--workdir={tmp_path / 'a'}")[0] == 0
    assert toy(f"--workdir={tmp_path / 'b'}", f"--compilation_cache={tmp_path / 'moved'}")[0] == 0
    assert (tmp_path / "home" / "remeasured" / "xla").is_dir()
    assert (tmp_path / "moved").is_dir()
    assert toy(f"--workdir={tmp_path / 'c'}", "--compilation_cache=off")[0] == 0


def test_a_run_that_another_finished_meanwhile_is_not_run_again(finished, tmp_path, monkeypatch):
    """Two processes find an empty workdir; the one that gets there second must not write over the first."""
    config = json.loads((finished[0] / "config.json").read_text())
    with Workdir(tmp_path / "w", config) as workdir:
        assert workdir.summary is None
        workdir.finish({"figures": {"a": 1}})
    with Workdir(tmp_path / "w", config) as workdir:
        assert workdir.summary == {"figures": {"a": 1}}
    with pytest.raises(UserError, match=r"config\.seed is 0 there and 1 here"):
        Workdir(tmp_path / "w", {**config, "seed": 1})


def test_an_input_that_has_changed_is_another_run(tmp_path):
    source = tmp_path / "input.txt"
    source.write_text("one")
    args = [f"--workdir={tmp_path / 'w'}", f"--config.input={source}"]
    assert toy(*args)[0] == 0
    source.write_text("two")
    assert_user_error(toy(*args), str(source), "has changed")
    source.write_text("one")
    assert toy(*args)[0] == 0
    source.unlink()
    assert toy(*args)[0] == 0  # a finished run needs its input no more


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", "[]"),
        ("config.json", "{"),
        ("summary.json", "{}"),
        ("summary.json", "NaN"),
        ("inputs.json", "3"),
    ],
)
def test_a_spoilt_file_of_the_workdir_is_named(here, finished, tmp_path, file, content):
    shutil.copytree(finished[0], tmp_path / "w")
    (tmp_path / "w" / file).write_text(content)
    assert_user_error(here(CONFIG, f"--workdir={tmp_path / 'w'}"), file)


def test_a_signal_at_start_up_is_never_a_traceback(tmp_path):
    for number, after_s in enumerate((0.35, 0.5, 0.65, 0.8, 1.0)):
        process = binary.start("toy.main", CONFIG, f"--workdir={tmp_path / str(number)}", "--config.sleep_s=1.0")
        time.sleep(after_s)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
        assert process.returncode in (143, -signal.SIGTERM), (after_s, process.returncode, err)
        assert out == ""
        assert "Traceback" not in err


def test_a_reader_that_leaves_is_no_error(finished):
    command = f"{sys.executable} -m toy.main {CONFIG} --workdir={finished[0]} | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], env=binary.environment(), capture_output=True, text=True, check=False
    )
    assert done.stdout == "0\n"
    assert "Traceback" not in done.stderr
