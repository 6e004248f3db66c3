"""Progress on stderr: a bar on a terminal, a line every ten seconds otherwise."""

import sys
import threading
import time

_SHOWN = 6  # values that fit a line


class Progress:
    """Shows how far a stage is, also while it computes without saying so; a context manager.

    Args:
        name: the stage.
        total: steps in all, or None where unknown.
        initial: steps done by an earlier process.
        every_s: seconds between lines where stderr is not a terminal.
        silent: whether nothing is shown.
    """

    def __init__(self, name, *, total=None, initial=0, every_s=10.0, silent=False):
        self._name, self._total, self._done, self._every_s = name, total, initial, every_s
        self._words = ""
        self._silent = silent
        self._bar = None
        self._ended = threading.Event()

    def __enter__(self):
        self._start = time.monotonic()
        if self._silent:
            return self
        if sys.stderr.isatty():
            import tqdm

            self._bar = tqdm.tqdm(total=self._total, initial=self._done, desc=self._name, file=sys.stderr)
        else:
            self._say(f"from step {self._done}" if self._done else "started")
        threading.Thread(target=self._repeat, daemon=True).start()
        return self

    def __exit__(self, kind, *_):
        self._ended.set()
        if self._bar is not None:
            self._bar.close()
        elif kind is None and not self._silent:
            self._say(f"done in {time.monotonic() - self._start:.1f} s")

    def update(self, num_steps=1, info=None):
        """Advances by num_steps; info is a dict of numbers, the first of which are shown."""
        self._done += num_steps
        self._words = " ".join(f"{key}={value:.4g}" for key, value in [*(info or {}).items()][:_SHOWN])
        if self._bar is not None:
            self._bar.set_postfix_str(self._words, refresh=False)
            self._bar.update(num_steps)

    def _repeat(self):
        while not self._ended.wait(self._every_s):
            if self._bar is not None:
                self._bar.refresh()
            else:
                steps = f"{self._done}/{self._total} " if self._total is not None else ""
                self._say(f"{steps}{time.monotonic() - self._start:.0f} s {self._words}".rstrip())

    def _say(self, words):
        print(f"[{self._name}] {words}", file=sys.stderr, flush=True)
