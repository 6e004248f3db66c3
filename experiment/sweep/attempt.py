"""One try of a run, in a process that does not outlive the one that started it.

    python -m experiment.sweep.attempt PARENT MODULE [FLAG ...]

is `python -m MODULE [FLAG ...]`, but gets a SIGTERM when process PARENT ends, however it ends, so that it saves and
leaves; and a defect, which shows as a traceback and exit status 1, ends it with CRASHED, to be told from a number that
is not finite, which trying again does not mend.
"""

import ctypes
import os
import runpy
import signal
import subprocess
import sys
import traceback

from experiment.errors import one_line

FINISHED = 0
NOT_FINITE = 1
MISTAKE = 2
CRASHED = 70
CANCELLED = 71  # by its user, through the backend
LOST = -signal.SIGKILL  # what ends without a word
STOPPED = (128 + signal.SIGTERM, 128 + signal.SIGINT, -signal.SIGTERM, -signal.SIGINT)  # the last two: while it starts
_WORDS = {
    FINISHED: "left no summary",
    NOT_FINITE: "not finite",
    MISTAKE: "refused",
    CRASHED: "crashed",
    CANCELLED: "cancelled",
}
_SET_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of linux/prctl.h


def main(argv):
    """Runs the module and ends the process."""
    parent, module, *flags = argv[1:]
    ctypes.CDLL(None, use_errno=True).prctl(_SET_DEATH_SIGNAL, signal.SIGTERM)
    if os.getppid() != int(parent):
        sys.exit(128 + signal.SIGTERM)  # it ended before the line above
    sys.argv = [module, *flags]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except Exception as error:
        traceback.print_exc()
        print(f"error: {type(error).__name__}: {one_line(error)}", file=sys.stderr)  # JAX's advice follows its own
        sys.exit(CRASHED)


def start(words, log, *, environment=None, cwd=None):
    """Returns the started process of one try.

    Args:
        words: module and flags.
        log: file its stderr is appended to; its summary on stdout is in its workdir too.
        environment: changes to the environment.
        cwd: its working directory.
    """
    command = [sys.executable, "-m", "experiment.sweep.attempt", str(os.getpid()), *words]
    with open(log, "ab") as stderr:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            env={**os.environ, **(environment or {})},
            cwd=cwd,
            process_group=0,  # a Ctrl-C is for the one that started it, which passes it on
        )


def end(status):
    """Returns words for an exit status of a run."""
    if status == LOST:
        return "ended by SIGKILL, as where memory runs out"
    if status < 0:
        return f"ended by {signal.Signals(-status).name}"
    if status in STOPPED:
        return f"stopped by {signal.Signals(status - 128).name}"
    return _WORDS.get(status, f"exit status {status}")


if __name__ == "__main__":
    main(sys.argv)
