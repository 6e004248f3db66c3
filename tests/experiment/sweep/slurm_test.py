"""Jobs through submitit: its local executor, and a SLURM whose commands are scripts."""

import json
import os
import pathlib
import signal
import stat
import sys
import time

import pytest

from experiment.errors import UserError
from experiment.sweep import attempt
from experiment.sweep.slurm import Slurm, Task
from tests.experiment import binary
from tests.experiment.sweep import sweeping
from tests.experiment.sweep.driver_test import is_alive, rows_of, wait_for
from tests.experiment.sweep.sweeping import NAMES, QUICK

submitit = pytest.importorskip("submitit", reason="submitit is not installed: pip install 'remeasured[slurm]'")
JOBS = ["--backend=slurm", "--slurm.cluster=local", "--slurm.timeout_min=10"]


def test_jobs_give_the_table_of_local_processes(here, tmp_path):
    config = sweeping.config_file(tmp_path, "return [{'seed': 1}, {'seed': 2}]")
    assert here(config, f"--workdir={tmp_path / 'local'}")[0] == 0
    status, line, err = here(config, f"--workdir={tmp_path / 'w'}", *JOBS)
    assert (status, line["done"]) == (0, 2), err
    assert sweeping.timeless(tmp_path / "w") == sweeping.timeless(tmp_path / "local")
    assert sorted(json.loads((tmp_path / "w" / "slurm" / "jobs.json").read_text())) == ["seed=1", "seed=2"]


def test_what_breaks_is_tried_again_and_a_mistake_is_not(here, tmp_path):
    sweep = "return [{'ends': 'once_crash'}, {'ends': 'mistake'}, {'ends': 'once_kill'}]"
    config = sweeping.config_file(tmp_path, sweep)
    status, _, err = here(config, f"--workdir={tmp_path / 'w'}", *JOBS)
    assert status == 1
    assert [row["state"] for row in sweeping.table(tmp_path / "w")] == ["done", "failed", "done"]
    names = ("ends=once_crash", "ends=mistake", "ends=once_kill")
    assert [len(sweeping.tries(tmp_path / "w", name)) for name in names] == [2, 1, 2]
    assert "no such word" in err


@pytest.mark.parametrize("signum", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_jobs_go_on_without_the_driver_and_are_not_submitted_twice(here, tmp_path, signum):
    root = tmp_path / "w"
    args = [QUICK, f"--workdir={root}", "--config.num_steps=40", "--config.sleep_s=0.1", *JOBS]
    driver = binary.start("experiment.sweep", *args)
    wait_for(lambda: all(rows_of(root, name) for name in NAMES), driver)
    driver.send_signal(signum)
    assert driver.wait() == binary.SIGNALLED[signum]
    assert all(is_alive(sweeping.tries(root, name)[0][0]) for name in NAMES)
    submitted = (root / "slurm" / "jobs.json").read_text()
    assert all(rows_of(root, name) < 40 for name in NAMES)
    status, line, err = here(*args)
    assert (status, line["done"]) == (0, 4), err
    assert "held elsewhere" not in err  # they were taken over
    assert [len(sweeping.tries(root, name)) for name in NAMES] == [1, 1, 1, 1]
    assert (root / "slurm" / "jobs.json").read_text() == submitted
    said = driver.communicate()[1]  # only now: submitit's local jobs hold its pipes open
    assert ("jobs go on" in said) == (signum == signal.SIGTERM)


def test_a_job_that_must_make_room_saves_and_comes_back(tmp_path):
    """The signal that SLURM sends before it takes a node away, through submitit's own handler."""
    root = tmp_path / "w"
    workdir = root / "points" / "p"
    workdir.mkdir(parents=True)
    flags = (QUICK, f"--workdir={workdir}", "--config.num_steps=30", "--config.sleep_s=0.1")
    backend = Slurm(root, {"cluster": "local", "timeout_min": 10})
    job = backend.start("p", ("quick.main", *flags), workdir / "log.txt")
    wait_for(lambda: rows_of(root, "p") >= 3)
    controller = json.loads((root / "slurm" / "jobs.json").read_text())["p"]
    (task,) = pathlib.Path(f"/proc/{controller}/task/{controller}/children").read_text().split()
    os.kill(int(task), signal.SIGUSR2)
    while job.poll() is None:
        time.sleep(0.05)
    assert job.poll() == 0
    (_, first, _), (_, second, _) = sweeping.tries(root, "p")
    assert first == 0
    assert second >= 3
    assert "stopped by SIGTERM; the same command resumes" in (workdir / "log.txt").read_text()
    steps = [json.loads(row)["step"] for row in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 31))


def test_a_task_is_put_back_as_it_was(tmp_path):
    task = Task(("quick.main", QUICK), str(tmp_path / "log.txt"), str(tmp_path))
    again = task.checkpoint().function
    assert (again.words, again.log, again.cwd) == (task.words, task.log, task.cwd)


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A SLURM of scripts: sbatch notes the job and starts nothing; squeue prints a file."""
    folder = tmp_path / "bin"
    folder.mkdir()
    queue, scripts = tmp_path / "queue.txt", tmp_path / "scripts"
    queue.write_text("")
    scripts.mkdir()
    commands = {
        "srun": "exit 0",
        "sbatch": f'n=$(ls {scripts} | wc -l); cp "$1" {scripts}/$n.sh; echo "Submitted batch job 10$n"',
        "squeue": f"cat {queue}",
    }
    for name, body in commands.items():
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("experiment.sweep.slurm._LIST_EVERY_S", 0.0)
    return tmp_path


def script(cluster, number=0):
    return (cluster / "scripts" / f"{number}.sh").read_text()


def test_flags_reach_the_batch_script(cluster, tmp_path):
    options = {
        "partition": "gpu",
        "timeout_min": 90,
        "gpus_per_node": 2,
        "mem_gb": 16,
        "cpus_per_task": 4,
        "account": "us",
    }
    backend = Slurm(tmp_path / "w", options)
    backend.start("width=8", ("quick.main",), tmp_path / "log.txt")
    text = script(cluster)
    for line in ("partition=gpu", "time=90", "gpus-per-node=2", "mem=16GB", "cpus-per-task=4", "account=us", "requeue"):
        assert f"#SBATCH --{line}\n" in text
    assert "-width=8\n" in text  # the job's name
    assert json.loads((tmp_path / "w" / "slurm" / "jobs.json").read_text()) == {"width=8": "100"}


def test_a_job_is_what_the_queue_says(cluster, tmp_path):
    backend = Slurm(tmp_path / "w", {})
    job = backend.start("p", ("quick.main",), tmp_path / "log.txt")
    queue = cluster / "queue.txt"
    queue.write_text("100 PD name\n")
    assert (job.poll(), job.state) == (None, "queued")
    queue.write_text("100 R name\n")
    assert (job.poll(), job.state) == (None, "running")
    queue.write_text("")
    assert job.poll() is None  # once may be too early
    assert job.poll() == attempt.LOST
    result = tmp_path / "w" / "slurm" / "100_0_result.pkl"
    from submitit.core.utils import cloudpickle_dump

    cloudpickle_dump(("success", 143), result)
    queue.write_text("100 PD name\n")
    assert job.poll() is None  # preempted, saved, and put back by SLURM
    queue.write_text("")
    assert job.poll() == 143
    cloudpickle_dump(("success", 2), result)
    queue.write_text("100 CG name\n")
    assert job.poll() == 2
    cloudpickle_dump(("success", 143), result)
    queue.write_text("100 PR name\n")
    assert job.poll() == 143  # preempted, and not put back
    queue.write_text("100 CA name\n")
    assert job.poll() == attempt.CANCELLED
    cloudpickle_dump(("error", "a traceback"), result)
    assert job.poll() == attempt.LOST


def test_a_job_is_found_again_by_its_id_or_its_name(cluster, tmp_path):
    backend = Slurm(tmp_path / "w", {})
    backend.start("p", ("quick.main",), tmp_path / "log.txt")
    (name,) = [line.partition("=")[2] for line in script(cluster).splitlines() if "job-name" in line]
    queue = cluster / "queue.txt"
    assert Slurm(tmp_path / "w", {}).adopt("p") is None  # it is no longer there
    queue.write_text(f"100 CA {name}\n")
    assert Slurm(tmp_path / "w", {}).adopt("p") is None  # it has ended
    queue.write_text("100 R something-else\n")
    assert Slurm(tmp_path / "w", {}).adopt("p").state == "running"
    (tmp_path / "w" / "slurm" / "jobs.json").unlink()  # killed between sbatch and the note of the id
    queue.write_text(f"100 PD {name}\n")
    assert Slurm(tmp_path / "w", {}).adopt("p").state == "queued"
    assert Slurm(tmp_path / "w", {}).adopt("q") is None
    assert Slurm(tmp_path / "other", {}).adopt("p") is None  # another sweep's


def test_a_queue_that_does_not_answer_changes_nothing(cluster, tmp_path):
    backend = Slurm(tmp_path / "w", {})
    job = backend.start("p", ("quick.main",), tmp_path / "log.txt")
    (cluster / "queue.txt").write_text("100 R name\n")
    assert job.poll() is None
    (cluster / "queue.txt").unlink()
    assert [job.poll() for _ in range(3)] == [None, None, None]
    assert job.state == "running"


def test_a_queue_that_does_not_answer_is_not_asked_for_every_job(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr("experiment.sweep.slurm._LIST_EVERY_S", 60.0)
    asked = tmp_path / "asked"
    (cluster / "bin" / "squeue").write_text(f"#!/bin/sh\necho >> {asked}; echo down >&2; exit 1\n")
    backend = Slurm(tmp_path / "w", {})
    with pytest.raises(UserError, match="which jobs are there already"):
        backend.adopt("p")
    jobs = [backend.start(name, ("quick.main",), tmp_path / "log.txt") for name in "pqrs"]
    assert [job.poll() for job in jobs] == [None] * 4
    assert asked.read_text() == "\n"


@pytest.mark.parametrize(
    ("option", "word"),
    [
        ("--slurm.cluster=cloud", "--slurm.cluster=cloud"),
        ("--slurm.speed=3", "speed"),
        ("--slurm.timeout_min=x", "timeout_min"),
        ("--slurm.additional_parameters=3", "--slurm.additional_parameters=3: write {"),
    ],
)
def test_an_unknown_option_is_one_line(here, cluster, tmp_path, option, word):
    status, _, err = here(QUICK, f"--workdir={tmp_path / 'w'}", "--backend=slurm", option)
    assert status == 2
    (error,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert word in error


def test_no_slurm_and_no_submitit_are_said(here, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    status, _, err = here(QUICK, f"--workdir={tmp_path / 'w'}", "--backend=slurm")
    assert status == 2
    assert "srun" in err
    monkeypatch.setitem(sys.modules, "submitit", None)
    status, _, err = here(QUICK, f"--workdir={tmp_path / 'v'}", "--backend=slurm")
    assert status == 2
    assert "pip install 'remeasured[slurm]'" in err


def test_a_refused_submission_is_said(here, cluster, tmp_path):
    (cluster / "bin" / "sbatch").write_text(
        "#!/bin/sh\necho 'sbatch: error: invalid partition specified: x' >&2\nexit 1\n"
    )
    status, _, err = here(QUICK, f"--workdir={tmp_path / 'w'}", "--backend=slurm", "--slurm.partition=x")
    assert status == 2
    assert "cannot submit" in err
    assert "invalid partition" in err
