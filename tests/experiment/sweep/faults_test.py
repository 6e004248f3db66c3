"""A disk that fills up, directories that cannot be written, clocks that jump, drivers that race."""

import ast
import functools
import json
import os
import signal
import subprocess
import sys

import pytest

from tests.experiment import binary
from tests.experiment.sweep import sweeping
from tests.experiment.sweep.driver_test import rows_of, start, wait_for
from tests.experiment.sweep.sweeping import NAMES, QUICK

LONG = ["--config.num_steps=200", "--config.sleep_s=0.002"]  # logs and metrics of more than a block
ONE = "return [{'seed': 1}]"
JUMPING = """
import random, time
real, random_source = time.time, random.Random(0)
time.time = lambda: real() + random_source.choice((-86400.0, 0.0, 86400.0))
"""


def errors(err):
    """Returns the lines of a user's mistakes."""
    return [line for line in err.splitlines() if line.startswith("error: ")]


def shell(command):
    """Returns (exit status, stderr) of a bash command."""
    done = subprocess.run(
        ["bash", "-c", command], env=binary.environment(), capture_output=True, text=True, check=False, timeout=300
    )
    return done.returncode, done.stderr


def check_done(root):
    """Checks the only point of ONE: that it is done, and every step of it once."""
    (row,) = sweeping.table(root)
    assert (row["point"], row["state"], float(row["risk.value"])) == ("seed=1", "done", 5.0)
    steps = map(json.loads, (root / "points" / "seed=1" / "metrics.jsonl").read_text().splitlines())
    assert [row["step"] for row in steps] == list(range(1, 201))


@pytest.mark.parametrize("blocks", [0, 1])
def test_a_disk_that_fills_up_is_said_and_the_sweep_resumes(here, tmp_path, blocks):
    """No file may grow past so many KiB: that of the sweep's config, of a point's log and metrics."""
    root = tmp_path / "w"
    config = sweeping.config_file(tmp_path, ONE)
    flags = f"{config} --workdir={root} {' '.join(LONG)} --compilation_cache=off --max_retries=0"
    status, err = shell(f"ulimit -f {blocks}; exec {sys.executable} -m experiment.sweep {flags}")
    assert status == (2 if blocks == 0 else 1), err
    assert "Traceback" not in err
    assert len(errors(err)) == (1 if blocks == 0 else 0)
    if blocks == 0:
        assert f"{root}" in errors(err)[0]
        assert "free space" in errors(err)[0]
    else:
        assert err.count("[sweep] failed: ") == 1
    status, _, err = here(config, f"--workdir={root}", *LONG)
    assert status == 0, err
    check_done(root)


def test_a_full_file_system_is_said_and_the_sweep_resumes(here, tmp_path):
    config = sweeping.config_file(tmp_path, ONE)
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no file system can be mounted here; the test above limits the size of files instead")
    try:
        status, _, err = here(config, f"--workdir={disk / 'w'}", *LONG, "--max_retries=0")
        assert status in (1, 2)
        assert "Traceback" not in err
        assert "No space left on device" in err
        subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
        status, _, err = here(config, f"--workdir={disk / 'w'}", *LONG)
        assert status == 0, err
        check_done(disk / "w")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.skipif(os.geteuid() == 0 and sys.platform != "linux", reason="root may write anywhere")
def test_a_directory_that_cannot_be_written_is_named(here, tmp_path):
    where = "/proc/sweep" if os.geteuid() == 0 else str(tmp_path)
    if os.geteuid() != 0:
        tmp_path.chmod(0o500)
    status, line, err = here(QUICK, f"--workdir={where}")
    assert (status, line) == (2, None)
    (error,) = errors(err)
    assert f"--workdir={where}" in error


def test_a_file_in_the_place_of_a_directory_is_named_and_nothing_is_lost(here, tmp_path):
    root = tmp_path / "w"
    root.write_text("mine")
    status, _, err = here(QUICK, f"--workdir={root}")
    assert (status, len(errors(err))) == (2, 1)
    assert root.read_text() == "mine"
    root.unlink()
    root.mkdir()
    (root / "points").write_text("mine")
    status, _, err = here(QUICK, f"--workdir={root}")
    assert (status, len(errors(err))) == (2, 1)
    assert str(root / "points") in errors(err)[0]
    assert "Traceback" not in err
    (root / "points").unlink()
    assert here(QUICK, f"--workdir={root}")[0] == 0


def test_a_table_that_cannot_be_written_stops_the_sweep_and_keeps_the_runs(here, tmp_path):
    root = tmp_path / "w"
    (root / "results.csv" / "mine").mkdir(parents=True)
    status, _, err = here(QUICK, f"--workdir={root}", "--num_workers=1")
    assert (status, len(errors(err))) == (2, 1)
    assert "results.csv" in errors(err)[0]
    (root / "results.csv" / "mine").rmdir()
    (root / "results.csv").rmdir()
    status, line, err = here(QUICK, f"--workdir={root}")
    assert (status, line["done"]) == (0, 4), err
    assert len(sweeping.tries(root, NAMES[0])) == 1


def test_no_clock_that_can_be_set_is_read():
    """What a run or a sweep does hangs on time.monotonic and its like alone."""
    for path in (binary.ROOT / "experiment").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                name = f"{node.value.id}.{node.attr}"
                assert name not in ("time.time", "time.localtime", "datetime.now", "datetime.utcnow"), f"{path}: {name}"


@pytest.mark.slow
def test_a_clock_that_jumps_changes_nothing(tmp_path, monkeypatch):
    """A day forth and back at random in every process, with a stop and a kill on the way."""
    (tmp_path / "toy").mkdir()
    text = (binary.ROOT / "tests" / "experiment" / "toy" / "config.py").read_text()
    sweep = "def sweep():\n    return [{'seed': 3}]\n"
    (tmp_path / "toy" / "config.py").write_text(text[: text.index("def sweep")] + sweep)
    flags = [f"--config={tmp_path / 'toy' / 'config.py'}", "--config.sleep_s=0.3"]
    status, _, err = binary.run("toy.main", *flags, "--config.seed=3", f"--workdir={tmp_path / 'whole'}")
    assert status == 0, err
    (tmp_path / "sitecustomize.py").write_text(JUMPING)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ['PYTHONPATH']}")
    root = tmp_path / "w"
    for signum, row in ((signal.SIGTERM, 1), (signal.SIGKILL, 3), (None, 0)):
        command = [sys.executable, "-m", "experiment.sweep", *flags, f"--workdir={root}"]
        driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if signum is not None:
            wait_for(functools.partial(_has_rows, root, row), driver)
            driver.send_signal(signum)
        _, err = driver.communicate()
        assert driver.returncode == (0 if signum is None else binary.SIGNALLED[signum]), err
    assert binary.figures(root / "points" / "seed=3") == binary.figures(tmp_path / "whole")
    (row,) = sweeping.table(root)
    assert 0 < float(row["wall_time_s"]) < 600


def _has_rows(root, count):
    return rows_of(root, "seed=3") >= count


def test_of_two_drivers_that_start_at_once_one_is_refused(tmp_path):
    root = tmp_path / "w"
    config = sweeping.config_file(tmp_path, ONE)
    drivers = [start(config, f"--workdir={root}", "--config.sleep_s=0.5", "--config.num_steps=8") for _ in range(2)]
    said = [driver.communicate(timeout=120) for driver in drivers]
    statuses = [driver.returncode for driver in drivers]
    assert sorted(statuses) == [0, 2], said
    refused = said[statuses.index(2)]
    assert refused[0] == ""
    assert len(errors(refused[1])) == 1
    assert "another process is running in it" in refused[1]
    assert len(sweeping.tries(root, "seed=1")) == 1
    assert [row["state"] for row in sweeping.table(root)] == ["done"]


def test_the_clock_of_these_tests_jumps(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(JUMPING)
    program = "import time; times = [time.time() for _ in range(20)]; print(max(times) - min(times))"
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    out = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True)
    assert float(out.stdout) > 86000
