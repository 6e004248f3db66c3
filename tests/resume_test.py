"""Each system's run, stopped twice at random moments (TERM, then KILL), ends as if it had never been stopped."""

import random
import signal
import time

import pytest

from tests.experiment import binary

RUNS = {
    "ntk_asgd": ("averaging", "bound", "digits", "eigen_decay", "eps_gap", "layers", "misspecified", "rates"),
    "cqd": ("ask", "calibration", "countries", "query_models", "refinement", "train"),
    "darts_perturb": ("optimal_alpha", "pilot", "s1_s4", "textures", "retrain"),
}


def _rows(workdir):
    path = workdir / "metrics.jsonl"
    return path.read_text().count("\n") if path.exists() else 0


def _stop(command, workdir, *, at_row, delay_s, signum):
    """Returns the exit status of a process that is sent a signal a little after its metrics reach a row."""
    process = binary.start(*command, f"--workdir={workdir}")
    while process.poll() is None and _rows(workdir) < at_row:
        time.sleep(0.005)
    time.sleep(delay_s)
    process.send_signal(signum)
    _, err = process.communicate(timeout=300)
    return process.returncode, err


@pytest.mark.parametrize(("system", "run"), [(system, run) for system, runs in RUNS.items() for run in runs])
def test_a_run_stopped_twice_ends_as_an_uninterrupted_one(tmp_path, system, run):
    command = [f"{system}.main", f"--config=configs/{system}/{run}.py:smoke"]
    status, _, err = binary.run(*command, f"--workdir={tmp_path / 'whole'}")
    assert status == 0, err
    whole = binary.figures(tmp_path / "whole")
    moments = sorted((random.randint(1, _rows(tmp_path / "whole")), random.uniform(0.0, 0.4)) for _ in range(2))
    stopped = tmp_path / "stopped"
    statuses = []
    for (at_row, delay_s), signum in zip(moments, (signal.SIGTERM, signal.SIGKILL), strict=True):
        status, err = _stop(command, stopped, at_row=at_row, delay_s=delay_s, signum=signum)
        assert status in (binary.SIGNALLED[signum], 0), f"{moments}: {err}"
        statuses.append(status)
    status, _, err = binary.run(*command, f"--workdir={stopped}")
    assert status == 0, f"{moments}, {statuses}: {err}"
    assert binary.figures(stopped) == whole, f"{moments}, {statuses}"


@pytest.mark.parametrize("system", RUNS)
def test_a_system_without_arguments_says_what_is_missing(system):
    status, out, err = binary.run(f"{system}.main")
    assert (status, out) == (2, "")
    assert "--workdir" in err
