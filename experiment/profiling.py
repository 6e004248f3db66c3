"""A trace of a short window of a run, by jax.profiler: what --profile asks for."""

import pathlib
import re
import threading
import time

from absl import logging

from experiment.errors import UserError

AUTO = "auto"
_CALLS = 3  # of a loop that AUTO traces
_MOST_AUTO_S, _MOST_S = 10.0, 60.0  # traces grow by megabytes a second


def parse(text):
    """Returns None for an empty text, AUTO, or the window (start, stop) in seconds.

    Raises:
        UserError: something else, or a window that is empty or too long.
    """
    if text in ("", AUTO):
        return text or None
    found = re.fullmatch(r"(\d+(?:\.\d*)?):(\d+(?:\.\d*)?)", text, re.ASCII)
    if not found:
        raise UserError(f"--profile={text}: write --profile={AUTO}, or --profile=START:STOP in seconds of the run")
    start, stop = map(float, found.groups())
    if not start < stop <= start + _MOST_S:
        raise UserError(f"--profile={text}: STOP must come after START, by {_MOST_S:g} s at most")
    return start, stop


class Trace:
    """At most one trace of what a process computes; a context manager that ends it.

    Args:
        window: as `parse` returns it. AUTO: the second to fourth call of the first loop that makes so many, without the
            compilation that comes with the first, for 10 s at most. (start, stop): seconds from entering on.
        directory: to write to.
    """

    def __init__(self, window, directory):
        self._window, self._directory = window, pathlib.Path(directory)
        self._lock = threading.Lock()
        self._timers = []
        self._since, self._is_done = None, window is None

    def __enter__(self):
        if self._window not in (None, AUTO):
            self._after(self._window[0], self._start)
            self._after(self._window[1], self._stop)
        return self

    def __exit__(self, *_):
        for timer in self._timers:
            timer.cancel()
        self._stop()
        if not self._is_done:
            logging.warning("--profile: the run ended before there was anything to trace; give --profile=START:STOP")

    def called(self, calls, is_last):
        """Tells that a loop has made so many calls in this process, and whether it makes no more."""
        if self._window != AUTO or self._is_done:
            return
        if self._since is not None and (is_last or calls == 1 or calls > _CALLS):
            self._stop()
        elif self._since is None and calls == 1 and not is_last:
            self._start()
            self._after(_MOST_AUTO_S, self._stop)

    def _after(self, seconds, fn):
        timer = threading.Timer(seconds, fn)
        timer.daemon = True
        self._timers.append(timer)
        timer.start()

    def _start(self):
        import jax

        with self._lock:
            if self._is_done or self._since is not None:
                return
            options = jax.profiler.ProfileOptions()
            options.python_tracer_level = 0  # every Python call would be most of the trace
            jax.profiler.start_trace(self._directory, profiler_options=options)
            self._since = time.monotonic()

    def _stop(self):
        import jax

        with self._lock:
            if self._since is None or self._is_done:
                return
            self._is_done = True
            seconds = time.monotonic() - self._since
            try:
                jax.profiler.stop_trace()
            except Exception as error:  # a full disk must not end the run
                logging.warning("--profile: cannot write %s: %s", self._directory, error)
                return
        traces = sorted(self._directory.rglob("*.trace.json.gz"), key=lambda path: path.stat().st_mtime)
        logging.info(
            "profile of %.1f s: open %s at https://ui.perfetto.dev, or run xprof --logdir=%s (pip install xprof)",
            *(seconds, traces[-1] if traces else self._directory, self._directory),
        )
