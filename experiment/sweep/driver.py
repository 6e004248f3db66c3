"""Starts the points of a sweep on a backend, tries again what broke, and leaves nothing behind when it is stopped."""

import contextlib
import fcntl
import hashlib
import json
import signal
import time

from absl import logging

from experiment.errors import UserError, one_line
from experiment.sweep import attempt
from experiment.sweep.points import Point

_TICK_S = 0.1
WAITING, HELD, RUNNING, DONE, FAILED, STOPPED = "waiting", "held elsewhere", "running", "done", "failed", "stopped"


class Job:
    """What one process does: a point, or points that run together.

    Attributes:
        name: of the point, or one made of those of the points.
        points: tuple of Point.
        words: module and flags.
        log: path of what it says.
        state: one of the words above, or the backend's for a job in its queue.
        tries: how often it was started by this driver.
        reason: words for its last end, where that was no good one.
    """

    def __init__(self, points, words, root):
        self.points, self.words = tuple(points), tuple(words)
        if len(points) == 1:
            self.name, folder = points[0].name, points[0].workdir
        else:
            digest = hashlib.sha256("\n".join(point.name for point in points).encode()).hexdigest()[:8]
            self.name = f"{points[0].name}+{len(points) - 1}~{digest}"
            folder = root / "together" / self.name
        self.log = folder / "log.txt"
        self.state, self.tries, self.reason = WAITING, 0, ""
        self._handle, self._start, self._taken_s = None, None, 0.0
        self._logged = 0  # bytes of the log when the last try began

    def prepare(self):
        """Makes what the run finds in its place: the log, and the config that it must have.

        A run refuses a workdir of another config, so one that starts after the config file was edited ends there.
        """
        with _naming(self.log):
            self.log.parent.mkdir(parents=True, exist_ok=True)
            self.log.touch()
            self._logged = self.log.stat().st_size
            for point in self.points:
                _write_config(point)

    def begin(self, handle):
        """Takes what the backend gave for the started job."""
        self._handle, self._start = handle, time.monotonic()
        self.state, self.tries = handle.state, self.tries + 1

    def poll(self):
        """Returns the exit status of the job, or None while it has none."""
        status = self._handle.poll()
        if status is None:
            self.state = self._handle.state
        return status

    def stop(self, signum):
        """Passes a signal on."""
        self._handle.stop(signum)

    def end(self, state, reason=""):
        """Leaves the backend's hands in a state."""
        self._taken_s = self.elapsed_s()
        self._handle, self._start, self.state, self.reason = None, None, state, reason

    def elapsed_s(self):
        """Returns the seconds since it was started, of the last try where it has ended."""
        return self._taken_s if self._start is None else time.monotonic() - self._start

    def last_words(self):
        """Returns the last thing that the last try said: an error's line where there is one near the end."""
        lines = [line.strip() for line in tail(self.log, begin=self._logged).splitlines() if line.strip()][-20:]
        errors = [line for line in lines if line.startswith("error: ")]
        return (errors or lines or ["nothing said"])[-1].removeprefix("error: ")

    @property
    def is_active(self):
        """Whether the backend has it in hand."""
        return self._handle is not None


class Driver:
    """Runs jobs to their ends.

    Args:
        jobs: list of Job; `split` may put others in the place of one.
        backend: has num_workers, outlives, start, adopt.
        max_retries: how often a job that broke is started again.
        signals: experiment.signals.Signals, installed.
        display: experiment.sweep.display.Display.
        ended: called with a job that is done or failed.
        split: (job) -> jobs of its single points, for what cannot run together.
    """

    def __init__(self, jobs, backend, *, max_retries, signals, display, ended, split):
        self.jobs = list(jobs)
        self._backend, self._max_retries, self._signals = backend, max_retries, signals
        self._display, self._ended, self._split = display, ended, split

    def run(self):
        """Returns when every job is done or failed, or after a signal, when what it ran has saved and left."""
        with self._signals.deferred():
            try:
                self._adopt()
                while self._signals.pending is None and any(self._is_due(job) for job in self.jobs):
                    self._start()
                    self._wait()
                    self._collect()
            finally:
                self._stop()

    def _is_due(self, job):
        return job.is_active or job.state in (WAITING, HELD)

    def _changed(self, job):
        self._display.changed(job)
        if job.state in (DONE, FAILED):
            self._ended(job)

    def _adopt(self):
        for job in self.jobs:
            handle = self._backend.adopt(job.name)
            if handle is not None:
                job.begin(handle)
                self._changed(job)

    def _start(self):
        """Starts jobs while there is room, those that have been tried least often first."""
        room = self._backend.num_workers - sum(job.is_active for job in self.jobs)
        for job in sorted(filter(self._is_idle, self.jobs), key=lambda job: job.tries):
            if room <= 0 or self._signals.pending is not None:
                return
            if all(map(is_finished, job.points)):
                job.end(DONE)
            elif any(map(_is_held, job.points)):
                if job.state == HELD:
                    continue
                job.state = HELD
            else:
                job.prepare()
                job.begin(self._backend.start(job.name, job.words, job.log))
                room -= 1
            self._changed(job)

    def _is_idle(self, job):
        return not job.is_active and job.state in (WAITING, HELD)

    def _wait(self):
        end = time.monotonic() + self._backend.poll_s
        while time.monotonic() < end and self._signals.pending is None:
            self._display.tick(self.jobs)
            time.sleep(_TICK_S)

    def _collect(self):
        for job in [job for job in self.jobs if job.is_active]:
            before, status = job.state, job.poll()
            if status is not None:
                self._conclude(job, status)
            elif job.state != before:
                self._changed(job)

    def _conclude(self, job, status):
        final = status in (attempt.MISTAKE, attempt.NOT_FINITE, attempt.CANCELLED)
        if all(map(is_finished, job.points)):
            job.end(DONE)
        elif self._signals.pending is not None:
            job.end(STOPPED, attempt.end(status))
        elif status == attempt.MISTAKE and any(map(_is_held, job.points)):
            job.tries -= 1
            job.end(HELD)
        elif status in attempt.STOPPED:  # somebody made it leave, and it has saved
            job.tries -= 1
            job.end(WAITING, attempt.end(status))
        elif final and len(job.points) > 1 and status != attempt.CANCELLED:
            place = self.jobs.index(job)
            self.jobs[place : place + 1] = self._split(job)
            job.end(STOPPED, f"{attempt.end(status)}; its points run one by one")
        else:
            gives_up = final or job.tries > self._max_retries
            job.end(FAILED if gives_up else WAITING, f"{attempt.end(status)}: {job.last_words()}")
        self._changed(job)

    def _stop(self):
        """Passes the signal on and waits until every job has saved and left; a second signal does not wait."""
        active = [job for job in self.jobs if job.is_active]
        if active and self._backend.outlives:
            logging.info("[sweep] %d jobs go on without this process; the same command takes them over", len(active))
            return
        if active:
            self._display.say(f"{len(active)} running: they save and leave; a second signal does not wait for them")
        for job in active:
            job.stop(self._signals.pending or signal.SIGTERM)
        while any(job.is_active for job in active):
            self._display.tick(self.jobs)
            time.sleep(_TICK_S)
            self._collect()


def is_finished(point: Point):
    """Returns whether a point has its summary; its config was compared when the sweep began."""
    return (point.workdir / "summary.json").exists()


def tail(path, size=4096, begin=0):
    """Returns the last bytes of a file, of those from `begin` on, as text; "" where there is none."""
    try:
        with open(path, "rb") as file:
            file.seek(0, 2)
            file.seek(max(begin, file.tell() - size))
            return file.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def _is_held(point):
    """Returns whether a process runs in a point's workdir: one of a driver that died, or somebody else's."""
    try:
        with open(point.workdir / ".lock", "rb+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except BlockingIOError:
        return True
    return False


def _write_config(point):
    """Writes a point's config in one piece, unless a run of it has been there."""
    point.workdir.mkdir(parents=True, exist_ok=True)
    path = point.workdir / "config.json"
    if not path.exists():
        temporary = path.with_name(".config.json.part")
        temporary.write_text(json.dumps(point.config, indent=2) + "\n", encoding="utf-8")
        temporary.replace(path)


@contextlib.contextmanager
def _naming(path):
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: {one_line(error)}; free space or permissions there, or choose another") from error
