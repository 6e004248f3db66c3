"""Runs as Ray tasks, on the cluster at --ray.address or on one that is started on this machine."""

import contextlib
import os
import pathlib
import re
import signal
import socket
import sys
import time

from experiment.errors import UserError, one_line
from experiment.sweep import attempt

_PASSED_ON = ("JAX_", "XLA_", "OMP_", "PYTHON", "XDG_CACHE_HOME")  # of the environment, which a cluster does not share
_REACHED_IN_S = 10.0
_LOOK_EVERY_S = 0.1


class Ray:
    """Starts a task a run; Ray gives it CPUs and GPUs as they become free.

    Args:
        options: {name: value}: address, else what a task takes, such as num_cpus, num_gpus, memory, resources.
        num_workers: tasks at a time, or None: as many as the cluster has room for.

    Raises:
        UserError: Ray is not installed, an option is unknown, or there is no cluster at the address.
    """

    outlives = False
    poll_s = 0.25

    def __init__(self, options, num_workers=None):
        try:
            import ray
        except ImportError:
            raise UserError("--backend=ray needs Ray: pip install 'remeasured[ray]'") from None
        self._ray = ray
        options = dict(options)
        address = options.pop("address", None)
        _check_reachable(address)
        cluster = {"num_cpus": num_workers, "include_dashboard": False} if address is None else {"address": address}
        takes = {"num_cpus": 1} | options
        handlers = {signum: signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGINT)}
        try:
            self._task = ray.remote(max_retries=0, **takes)(_try)
            with contextlib.redirect_stdout(sys.stderr):
                ray.init(**cluster, log_to_driver=False, logging_level="ERROR")
        except (ValueError, TypeError, AssertionError, ConnectionError, RuntimeError) as error:
            raise UserError(f"--backend=ray: {one_line(error)}") from error
        finally:
            for signum, handler in handlers.items():  # ray.init puts its own in their place
                signal.signal(signum, handler)
        self.num_workers = num_workers or float("inf")

    def adopt(self, name):
        """Returns None: no task outlives its driver."""

    def start(self, name, words, log):
        """Returns the submitted task."""
        passed = {name: value for name, value in os.environ.items() if name.startswith(_PASSED_ON)}
        task = self._task.options(name=name).remote(words, str(log), os.getcwd(), passed)
        return Task(self._ray, task, pathlib.Path(log))

    def close(self):
        """Leaves the cluster; one of this driver's own ends."""
        self._ray.shutdown()


class Task:
    """A run that Ray has in hand."""

    def __init__(self, ray, task, log):
        self._ray, self._task, self._log = ray, task, log
        self._size = log.stat().st_size if log.exists() else 0

    @property
    def state(self):
        """A task that runs has written to its log."""
        return "running" if self._log.exists() and self._log.stat().st_size > self._size else "queued"

    def poll(self):
        """Returns the exit status of the run, or None while the task is queued or runs."""
        ready, _ = self._ray.wait([self._task], timeout=0)
        if not ready:
            return None
        try:
            return self._ray.get(self._task)
        except self._ray.exceptions.TaskCancelledError:
            return 128 + signal.SIGTERM
        except self._ray.exceptions.RayError:
            return attempt.LOST

    def stop(self, signum):
        """Asks it to save and leave."""
        self._ray.cancel(self._task, force=False)


def _try(words, log, cwd, environment):
    """Returns the exit status of one try; a cancelled task has its run save and leave."""
    os.environ.pop("OMP_NUM_THREADS", None)  # Ray's own, which changes the last digits of what a run computes
    process = attempt.start(words, log, environment=environment, cwd=cwd)
    try:
        while process.poll() is None:  # ray.cancel interrupts no call that blocks
            time.sleep(_LOOK_EVERY_S)
        return process.returncode
    except KeyboardInterrupt:
        process.send_signal(signal.SIGTERM)
        return process.wait()


def _check_reachable(address):
    """Raises UserError where nobody listens at HOST:PORT, for which Ray itself looks for many minutes."""
    match = re.fullmatch(r"([^:/]+):(\d+)", address or "")
    if match:
        try:
            socket.create_connection((match.group(1), int(match.group(2))), timeout=_REACHED_IN_S).close()
        except OSError as error:
            raise UserError(f"--ray.address={address}: no cluster there ({one_line(error)})") from error
