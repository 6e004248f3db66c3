"""Runs of several processes: the figures of one process, after every way to end, and errors that end all of them."""

import json
import math
import pathlib
import signal
import time

import pytest

from tests.experiment import binary, team

WALK = ["toy.main", "--config=tests/experiment/toy/config.py"]
SOON_S = 200  # on a busy machine; what is not noticed at all takes 300 or more


def _wait_for_rows(workdir, count, processes):
    path = pathlib.Path(workdir) / "metrics.jsonl"
    while all(each.poll() is None for each in processes) and (
        not path.exists() or path.read_text().count("\n") < count
    ):
        time.sleep(0.02)


def _stopped(workdir, command, signum, whom, rows):
    """Returns what the processes of a run say, one of which gets a signal after so many rows."""
    processes = team.start(*command, f"--workdir={workdir}")
    _wait_for_rows(workdir, rows, processes)
    processes[whom].send_signal(signum)
    return team.finish(processes)


def test_a_signal_to_one_process_and_the_death_of_another_change_nothing(tmp_path):
    slow = [*WALK, "--config.sleep_s=0.2"]
    status, _, err = team.alone(*WALK, "--config.sleep_s=0.2", f"--workdir={tmp_path / 'one'}")
    assert status == 0, err
    workdir = tmp_path / "many"
    for status, out, err in _stopped(workdir, slow, signal.SIGTERM, 1, 1):
        assert (status, out) == (143, ""), err
        assert "stopped by SIGTERM" in err
    since = time.monotonic()
    (status, out, err), (killed, _, _) = _stopped(workdir, slow, signal.SIGKILL, 1, 3)
    assert killed == -signal.SIGKILL
    assert (status, out) == (1, ""), err
    assert "error: lost another process of this job" in err
    assert time.monotonic() - since < SOON_S
    results = team.run(*slow, f"--workdir={workdir}")
    assert [status for status, _, _ in results] == [0, 0], results
    (_, first, _), (_, second, words) = results
    assert json.loads(first)["device"]["processes"] == 2
    assert second == ""
    assert "[walk]" not in words  # progress is the first's
    assert binary.figures(workdir) == binary.figures(tmp_path / "one")


def test_a_process_that_waits_for_another_says_so_and_ends_on_a_signal(tmp_path):
    [process] = team.start(*WALK, f"--workdir={tmp_path}", only=1)
    assert "waiting for the other processes" in process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    assert team.finish([process], timeout=SOON_S) == [(143, "", "stopped by SIGTERM; the same command resumes\n")]


def test_an_error_of_one_process_is_a_line_of_all(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "words.txt").write_text("here")
    config = f"--config={binary.ROOT / WALK[1].removeprefix('--config=')}"
    command = [WALK[0], config, "--config.input=words.txt", f"--workdir={tmp_path / 'w'}"]
    since = time.monotonic()
    (status, out, err), (other, _, words) = team.run(*command, cwds=[tmp_path / "a", tmp_path / "b"])
    assert (status, other, out) == (2, 2, "")
    assert "error: process 1: words.txt: No such file" in err
    assert "error: words.txt: No such file" in words
    assert "Traceback" not in err + words
    assert time.monotonic() - since < SOON_S


def test_a_number_that_is_not_finite_ends_all_that_a_cluster_started(tmp_path):
    results = team.run(*WALK, "--config.nan_at=25", f"--workdir={tmp_path / 'w'}", by_slurm=True)
    for status, out, err in results:
        assert (status, out) == (1, ""), err
        assert "walk: mean is not finite at step 25" in err
        assert "Traceback" not in err


ONE_SEARCH = ("--config.searches=('first_order',)", "--config.seeds=(0,)")
RUNS = {"cqd": ("train",), "ntk_asgd": ("averaging",), "darts_perturb": ("digits", *ONE_SEARCH)}


def test_two_processes_find_the_figures_of_one_with_as_many_devices(tmp_path):
    command = ["cqd.main", "--config=configs/cqd/train.py:smoke"]
    status, _, err = team.alone(*command, f"--workdir={tmp_path / 'one'}", devices=4)
    assert status == 0, err
    results = team.run(*command, f"--workdir={tmp_path / 'many'}")
    assert [status for status, _, _ in results] == [0, 0], results
    team.assert_near(tmp_path / "many", tmp_path / "one", rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("system", RUNS)
def test_a_run_of_two_processes_killed_in_the_middle_ends_as_an_undisturbed_one(tmp_path, system):
    run, *overrides = RUNS[system]
    command = [f"{system}.main", f"--config=configs/{system}/{run}.py:smoke", *overrides]
    status, _, err = team.alone(*command, f"--workdir={tmp_path / 'one'}", devices=4)
    assert status == 0, err
    whole = team.run(*command, f"--workdir={tmp_path / 'whole'}")
    assert [status for status, _, _ in whole] == [0, 0], whole
    stages = team.BEFORE_DECISIONS if system == "darts_perturb" else None
    team.assert_near(tmp_path / "whole", tmp_path / "one", rtol=1e-3, stages=stages)
    rows = (tmp_path / "whole" / "metrics.jsonl").read_text().count("\n")
    for whom, share in ((1, 3), (0, 1.5)):  # a third of the rows, then two thirds
        statuses = [
            status for status, _, _ in _stopped(tmp_path / "w", command, signal.SIGKILL, whom, math.ceil(rows / share))
        ]
        assert statuses[whom] == -signal.SIGKILL
        assert statuses[1 - whom] not in (0, -signal.SIGKILL), statuses
    results = team.run(*command, f"--workdir={tmp_path / 'w'}")
    assert [status for status, _, _ in results] == [0, 0], results
    assert binary.figures(tmp_path / "w") == binary.figures(tmp_path / "whole")
