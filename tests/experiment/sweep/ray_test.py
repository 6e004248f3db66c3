"""Tasks of a Ray cluster on this machine; by name with -m slow, where Ray is installed."""

import json
import signal
import sys

import pytest

from tests.experiment import binary
from tests.experiment.sweep import sweeping
from tests.experiment.sweep.driver_test import is_alive, rows_of, start, wait_for
from tests.experiment.sweep.sweeping import NAMES, QUICK

RAY = "--backend=ray"


def ray_or_skip():
    """Skips where Ray is not installed; imports nothing before."""
    pytest.importorskip("ray", reason="ray is not installed: pip install 'remeasured[ray]'")


def run(*args):
    """Returns (exit status, what is said on stdout, stderr) of a driver in its own process."""
    status, out, err = binary.run("experiment.sweep", *args)
    return status, json.loads(out) if out else None, err


@pytest.mark.slow
def test_tasks_give_the_table_of_local_processes(here, tmp_path):
    ray_or_skip()
    assert here(QUICK, f"--workdir={tmp_path / 'local'}")[0] == 0
    status, line, err = run(QUICK, f"--workdir={tmp_path / 'w'}", RAY, "--num_workers=2")
    assert (status, line["done"]) == (0, 4), err
    assert sweeping.timeless(tmp_path / "w") == sweeping.timeless(tmp_path / "local")
    assert ": running" in err


@pytest.mark.slow
def test_what_breaks_is_tried_again_and_a_mistake_is_not(tmp_path):
    ray_or_skip()
    sweep = "return [{'ends': 'once_crash'}, {'ends': 'mistake'}, {'ends': 'once_kill'}]"
    config = sweeping.config_file(tmp_path, sweep)
    status, _, err = run(config, f"--workdir={tmp_path / 'w'}", RAY, "--num_workers=2")
    assert status == 1, err
    assert [row["state"] for row in sweeping.table(tmp_path / "w")] == ["done", "failed", "done"]
    names = ("ends=once_crash", "ends=mistake", "ends=once_kill")
    assert [len(sweeping.tries(tmp_path / "w", name)) for name in names] == [2, 1, 2]


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_stopped_driver_ends_its_tasks_and_the_next_goes_on(tmp_path, signum):
    ray_or_skip()
    root = tmp_path / "w"
    args = [QUICK, f"--workdir={root}", RAY, "--num_workers=2", "--config.num_steps=100", "--config.sleep_s=0.1"]
    driver = start(*args)
    wait_for(lambda: rows_of(root, NAMES[0]) and rows_of(root, NAMES[1]), driver)
    driver.send_signal(signum)
    assert driver.wait(60) == binary.SIGNALLED[signum]
    pids = [sweeping.tries(root, name)[0][0] for name in NAMES[:2]]
    wait_for(lambda: not any(map(is_alive, pids)))
    assert rows_of(root, NAMES[0]) < 100
    if signum != signal.SIGKILL:
        assert "the same command resumes" in driver.communicate()[1]
    status, line, err = run(*args)
    assert (status, line["done"]) == (0, 4), err
    for name in NAMES:
        rows = [json.loads(row)["step"] for row in (root / "points" / name / "metrics.jsonl").read_text().splitlines()]
        assert rows == list(range(1, 101))


@pytest.mark.slow
def test_unknown_options_and_clusters_are_one_line(here, tmp_path):
    ray_or_skip()
    for option, word in (("--ray.speed=3", "speed"), ("--ray.address=127.0.0.1:1", "127.0.0.1:1")):
        status, _, err = run(QUICK, f"--workdir={tmp_path / 'w'}", RAY, option)
        assert status == 2, err
        (error,) = [line for line in err.splitlines() if line.startswith("error: ")]
        assert word in error


def test_without_ray_the_way_to_it_is_said(here, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    status, _, err = here(QUICK, f"--workdir={tmp_path / 'w'}", RAY)
    assert status == 2
    assert "pip install 'remeasured[ray]'" in err
