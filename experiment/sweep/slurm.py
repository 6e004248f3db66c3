"""Runs as SLURM jobs through submitit, which also brings back those that are preempted or out of time.

The jobs go on without the driver: their ids are kept, and the next driver takes them over as it finds them.
"""

import getpass
import hashlib
import json
import math
import os
import pathlib
import signal
import subprocess
import time

from absl import logging

from experiment.errors import UserError, one_line
from experiment.sweep import attempt

TIMEOUT_MIN = 240
_LIST_EVERY_S = 5.0
_ENDED = ("BF", "CA", "CD", "DL", "F", "NF", "OOM", "PR", "TO")  # squeue's codes; others are of jobs to come or at work
_GONE = ("", "")


class Slurm:
    """Submits a job a run.

    Args:
        root: directory of the sweep; the jobs' files are in ROOT/slurm, their ids in ROOT/slurm/jobs.json.
        options: {name: value}, parameters of submitit's SLURM executor; cluster=local runs jobs on this machine.
        num_workers: jobs at a time, or None for no bound.
        max_retries: how often a job may run out of its time.

    Raises:
        UserError: submitit is not installed, there is no SLURM, or an option is unknown.
    """

    outlives = True
    poll_s = 1.0

    def __init__(self, root, options, num_workers=None, max_retries=3):
        try:
            import submitit
        except ImportError:
            raise UserError("--backend=slurm needs submitit: pip install 'remeasured[slurm]'") from None
        self.num_workers = num_workers or math.inf
        self._folder = pathlib.Path(root).absolute() / "slurm"
        self._prefix = hashlib.sha256(str(self._folder).encode()).hexdigest()[:8]
        values = {"timeout_min": TIMEOUT_MIN} | options
        cluster = values.pop("cluster", "slurm")
        self._job_class = {"slurm": submitit.SlurmJob, "local": submitit.LocalJob}.get(cluster)
        if self._job_class is None:
            raise UserError(f"--slurm.cluster={cluster}: slurm or local")
        own = values.get("additional_parameters", {})
        if not isinstance(own, dict):
            raise UserError(f"--slurm.additional_parameters={own}: write {{'NAME': VALUE}}, options of sbatch")
        values["additional_parameters"] = {"requeue": True} | own
        generic = submitit.AutoExecutor._typed_parameters()
        values = {name if name in generic else f"slurm_{name}": value for name, value in values.items()}
        try:
            self._executor = submitit.AutoExecutor(self._folder, cluster, slurm_max_num_timeout=max_retries)
            self._executor.update_parameters(**values)
        except (RuntimeError, NameError, ValueError, TypeError, AssertionError) as error:
            raise UserError(f"--backend=slurm: {one_line(error)}") from error
        self._listed = _Listing(_squeue if cluster == "slurm" else self._own_processes)
        self._ids = {}
        if (self._folder / "jobs.json").exists():
            self._ids = json.loads((self._folder / "jobs.json").read_text(encoding="utf-8"))

    def adopt(self, name):
        """Returns the job of an earlier driver that is still there, else None."""
        there = {number: name for number, (code, name) in self._listed.read().items() if code not in _ENDED}
        if self._listed.at == -math.inf:
            raise UserError("--backend=slurm: squeue does not say which jobs are there already; try again when it does")
        by_name = {listed: number for number, listed in there.items()}
        number = by_name.get(self._job_name(name), self._ids.get(name))
        if number not in there:
            return None
        return Job(self._job_class(self._folder, number), self._listed)

    def start(self, name, words, log):
        """Returns the submitted job."""
        self._executor.update_parameters(name=self._job_name(name))
        try:
            job = self._executor.submit(Task(words, str(log), os.getcwd()))
        except Exception as error:
            way_out = "the same command goes on, with --num_workers=N jobs in the queue at most"
            raise UserError(f"--backend=slurm: cannot submit {name}: {one_line(error)}; {way_out}") from error
        self._ids[name] = job.job_id
        temporary = self._folder / ".jobs.json.part"
        temporary.write_text(json.dumps(self._ids, indent=2) + "\n", encoding="utf-8")
        temporary.replace(self._folder / "jobs.json")
        return Job(job, self._listed)

    def close(self):
        """Leaves the jobs to SLURM."""

    def _job_name(self, name):
        return f"{self._prefix}-{name}"

    def _own_processes(self):
        """Returns the listing of submitit's local executor, whose jobs are processes of their own."""
        listed = {}
        for name, number in self._ids.items():
            try:
                command = pathlib.Path(f"/proc/{number}/cmdline").read_bytes()
            except OSError:
                continue
            if b"submitit" in command and str(self._folder).encode() in command:
                listed[number] = ("R", self._job_name(name))
        return listed


class Task:
    """What a job does: one try, told to save when the job must make room."""

    def __init__(self, words, log, cwd):
        self.words, self.log, self.cwd = words, log, cwd
        self._pid = None

    def __call__(self):
        """Returns the exit status of the try."""
        process = attempt.start(self.words, self.log, cwd=self.cwd)
        self._pid = process.pid
        return process.wait()

    def checkpoint(self):
        """Returns what submitit puts back into the queue, after the run has saved."""
        from submitit.helpers import DelayedSubmission

        if self._pid is not None:
            os.kill(self._pid, signal.SIGTERM)
            # This is called in a signal handler in the middle of process.wait(), which holds a lock and reaps.
            os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOWAIT)
        return DelayedSubmission(Task(self.words, self.log, self.cwd))


class Job:
    """A submitted job."""

    def __init__(self, job, listed):
        self._job, self._listed = job, listed
        self._missing_since = None

    @property
    def state(self):
        """What the queue says: queued or running."""
        return "running" if self._code() in ("R", "CG") else "queued"

    def poll(self):
        """Returns the exit status of the run, or None while the job is queued or runs."""
        status, code = self._result(), self._code()
        if status is not None and status not in attempt.STOPPED:
            return status
        if code == "CA":
            return attempt.CANCELLED
        if code == "CG" and status is not None:
            return status
        if code and code not in _ENDED:
            self._missing_since = None  # preempted, it may have left a result and be in the queue again
            return None
        if self._missing_since is None:
            self._missing_since = self._listed.at
        if status is None and self._missing_since == self._listed.at:  # one listing may come too early
            return None
        return attempt.LOST if status is None else status

    def _code(self):
        return self._listed.read().get(self._job.job_id, _GONE)[0]

    def _result(self):
        if not self._job.paths.result_pickle.exists():
            return None
        try:
            return self._job.result()
        except Exception:
            return attempt.LOST


class _Listing:
    """The jobs in the queue, asked for every few seconds."""

    def __init__(self, ask):
        self._ask = ask
        self._jobs = {}
        self._asked = -math.inf  # when it was last asked for
        self.at = -math.inf  # and when it answered

    def read(self):
        """Returns {job id: (state, job name)}."""
        if time.monotonic() - self._asked >= _LIST_EVERY_S:
            try:
                self._jobs = self._ask()
                self.at = time.monotonic()
            except (OSError, subprocess.SubprocessError) as error:
                logging.warning("the queue cannot be asked: %s", one_line(getattr(error, "stderr", None) or error))
            self._asked = time.monotonic()
        return self._jobs


def _squeue():
    command = ["squeue", "--noheader", "--states=all", f"--user={getpass.getuser()}", "--format=%i %t %j"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.splitlines()
    return {number: (state, name) for number, state, name in (line.split(None, 2) for line in lines)}
