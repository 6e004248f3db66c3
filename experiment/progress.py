"""Progress on stderr: a bar on a terminal, a line every ten seconds otherwise."""

import sys
import time


class Progress:
    """Shows how far a stage is.

    Args:
        name: the stage.
        total: steps in all, or None where unknown.
        initial: steps done by an earlier process.
        every_s: seconds between lines where stderr is not a terminal.
    """

    def __init__(self, name, *, total=None, initial=0, every_s=10.0):
        self._name, self._total, self._done, self._every_s = name, total, initial, every_s
        self._start = self._last = time.monotonic()
        self._bar = None
        if sys.stderr.isatty():
            import tqdm

            self._bar = tqdm.tqdm(total=total, initial=initial, desc=name, file=sys.stderr, leave=True)
        else:
            self._line(f"from step {initial}" if initial else "started")

    def update(self, num_steps=1, info=None):
        """Advances by num_steps; info is a dict of numbers to show."""
        self._done += num_steps
        words = " ".join(f"{key}={value:.4g}" for key, value in (info or {}).items())
        if self._bar is not None:
            self._bar.set_postfix_str(words, refresh=False)
            self._bar.update(num_steps)
        elif time.monotonic() - self._last >= self._every_s:
            self._last = time.monotonic()
            self._line(f"{self._done}/{self._total if self._total is not None else '?'} {words}".rstrip())

    def close(self):
        """Ends the bar, or writes the last line."""
        if self._bar is not None:
            self._bar.close()
        else:
            self._line(f"done in {time.monotonic() - self._start:.1f} s")

    def _line(self, words):
        print(f"[{self._name}] {words}", file=sys.stderr, flush=True)
