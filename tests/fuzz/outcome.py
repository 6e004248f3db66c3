"""What a target may do with an input: give a right result, or refuse it in one line, soon and in little memory."""

import contextlib
import logging
import re
import signal
import time

from experiment.errors import UserError, one_line

LONGEST = 1000  # characters of a message, those of a path not counted
CPU_S = 20.0  # of a busy machine; the slowest seed takes 4 of an idle one
MEMORY_MB = 600


class Defect(AssertionError):
    """An input was read wrongly, refused in other words than due, or took too long."""


class _Hang(BaseException):
    """Passes every `except Exception`."""


def refusal(fn, names, path=""):
    """Returns (fn(), None), or (None, the line that a user would read) where it refuses.

    Args:
        fn: no arguments; any error but ValueError, UserError and OSError passes.
        names: regular expression that the line must have: what is wrong, or where.
        path: of a file or folder, which does not count among the characters of the line.

    Raises:
        Defect: the line is empty, long or does not name its place.
    """
    try:
        return fn(), None
    except (ValueError, UserError, OSError) as error:
        line = one_line(error)
        short = line.replace(str(path), "PATH") if path else line
        if not re.search(names, short, re.DOTALL):
            raise Defect(f"{type(error).__name__} does not say {names!r}: {short[:300]!r}") from error
        if len(short) > LONGEST:
            raise Defect(f"a line of {len(short)} characters: {short[:300]!r}") from error
        return None, line


def due(holds, words):
    """Raises Defect unless something holds."""
    if not holds:
        raise Defect(words)


@contextlib.contextmanager
def bounded():
    """Raises Defect where the block takes too long or too much memory, or logs a traceback."""

    def stop(*_):
        raise _Hang

    seen = _Tracebacks()
    logging.getLogger().addHandler(seen)
    before, peak = time.process_time(), _fresh_peak_mb()
    earlier = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, CPU_S)
    try:
        yield
    except _Hang as error:
        raise Defect(f"more than {CPU_S:g} s of CPU") from error
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, earlier)
        logging.getLogger().removeHandler(seen)
    seconds = time.process_time() - before
    grown = _peak_mb() - peak
    due(seconds <= CPU_S, f"{seconds:.1f} s of CPU")
    due(grown <= MEMORY_MB, f"{grown:.0f} MB more memory")
    due(not seen.found, f"a traceback was logged: {seen.found[:1]}")


def _fresh_peak_mb():
    """Returns the resident memory, which is the peak from here on; getrusage's is that of the process's whole life."""
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")
    return _peak_mb()


def _peak_mb():
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM:"))


class _Tracebacks(logging.Handler):
    def __init__(self):
        super().__init__()
        self.found = []

    def emit(self, record):
        if record.exc_info:
            self.found.append(record.getMessage())
