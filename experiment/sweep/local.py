"""Runs on this machine: a bounded number of processes, each with its share of the GPUs."""

import glob
import os
import re

from experiment.sweep import attempt


class Local:
    """Starts a process a job.

    Args:
        num_workers: processes at a time, or None: one a visible GPU, else one a CPU core.

    Attributes:
        outlives: whether jobs go on without the driver.
        poll_s: seconds between looks at the jobs.
        num_workers: processes at a time.
    """

    outlives = False
    poll_s = 0.1

    def __init__(self, num_workers=None):
        self._gpus = visible_gpus(os.environ)
        self.num_workers = num_workers or len(self._gpus) or len(os.sched_getaffinity(0))
        self._places = {}  # {place: process}

    def adopt(self, name):
        """Returns None: no job outlives its driver."""

    def start(self, name, words, log):
        """Returns the started job."""
        place = next(place for place in range(self.num_workers) if not self._busy(place))
        self._places[place] = attempt.start(words, log, environment=share(self._gpus, place, self.num_workers))
        return Process(self._places[place])

    def _busy(self, place):
        return place in self._places and self._places[place].poll() is None

    def close(self):
        """Ends what is left running."""
        for process in self._places.values():
            if process.poll() is None:
                process.kill()
                process.wait()


class Process:
    """A job of its own process."""

    state = "running"

    def __init__(self, process):
        self._process = process

    def poll(self):
        """Returns the exit status, or None while it runs."""
        return self._process.poll()

    def stop(self, signum):
        """Asks it to save and leave."""
        if self._process.poll() is None:
            self._process.send_signal(signum)


def visible_gpus(environ):
    """Returns the names that CUDA_VISIBLE_DEVICES would have for the GPUs of this machine, none where JAX uses none."""
    platforms = environ.get("JAX_PLATFORMS", "")
    if platforms and not re.search("cuda|gpu", platforms):
        return ()
    if "CUDA_VISIBLE_DEVICES" in environ:
        return tuple(filter(None, environ["CUDA_VISIBLE_DEVICES"].split(",")))
    numbers = (re.fullmatch(r"/dev/nvidia(\d+)", path) for path in glob.glob("/dev/nvidia*"))
    return tuple(str(number) for number in sorted(int(match.group(1)) for match in numbers if match))


def share(gpus, place, num_workers):
    """Returns the environment that gives a worker its GPU, and a part of its memory where several share it.

    >>> share(("0", "1"), 1, 2)
    {'CUDA_VISIBLE_DEVICES': '1'}
    >>> share(("0", "1"), 2, 4)
    {'CUDA_VISIBLE_DEVICES': '0', 'XLA_PYTHON_CLIENT_MEM_FRACTION': '0.45'}
    """
    if not gpus:
        return {}
    environment = {"CUDA_VISIBLE_DEVICES": gpus[place % len(gpus)]}
    sharing = -(-num_workers // len(gpus))
    if sharing > 1 and "XLA_PYTHON_CLIENT_MEM_FRACTION" not in os.environ:
        environment["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{0.9 / sharing:.2g}"
    return environment
