"""SIGTERM and SIGINT: they end a run at the next moment at which what is worth saving is saved.

Imports nothing heavy, so that the handlers stand before jax is loaded. An exception raised from a handler is lost where
Python happens to be in a callback that cannot raise (a garbage collector's, a destructor), so a signal also stays
pending until `check` is called, which a workdir does at every stage, step and row.

One of several processes may not leave a computation that the others are in: there a signal waits in `arrived` until all
processes have agreed to end, and only then becomes pending.
"""

import contextlib
import signal
import sys
import threading


class Interrupted(BaseException):
    """SIGTERM or SIGINT arrived and what had to be saved is saved."""

    def __init__(self, signum):
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


def _quiet_about_interrupted(hook):
    """Returns a sys.unraisablehook that prints no traceback of an Interrupted, which `check` will raise again."""
    return lambda unraisable: None if isinstance(unraisable.exc_value, Interrupted) else hook(unraisable)


class Signals:
    """SIGTERM and SIGINT: raised at once as Interrupted, or kept for the next good moment inside `deferred`.

    A second signal does not wait. Outside the main thread, where Python delivers no signals, nothing is installed.
    """

    def __init__(self):
        self.pending = None
        self.arrived = None
        self._awaits_agreement = False
        self._deferring = 0  # blocks: several threads of a process may be in one each

    def await_agreement(self):
        """Keeps the next signal in `arrived` from now on; whoever finds the processes agreed makes it pending."""
        self._awaits_agreement = True

    def _handle(self, signum, _frame):
        if self._awaits_agreement and self.arrived is None:
            self.arrived = signum
            return
        if self._awaits_agreement and self.pending is None:
            raise Interrupted(signum)
        waits = self._deferring and self.pending is None
        self.pending = signum
        if not waits:
            raise Interrupted(signum)

    @contextlib.contextmanager
    def installed(self):
        """Handles the two signals inside the block and puts the old handlers back after it."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        old = {signum: signal.signal(signum, self._handle) for signum in (signal.SIGTERM, signal.SIGINT)}
        old_hook, sys.unraisablehook = sys.unraisablehook, _quiet_about_interrupted(sys.unraisablehook)
        try:
            yield self
        finally:
            sys.unraisablehook = old_hook
            for signum, handler in old.items():
                signal.signal(signum, handler)

    @contextlib.contextmanager
    def deferred(self):
        """Keeps a signal until the block ends or calls `check`."""
        self._deferring += 1
        try:
            yield
        finally:
            self._deferring -= 1
        self.check()

    def check(self):
        """Raises Interrupted if a signal is pending."""
        if self.pending is not None:
            raise Interrupted(self.pending)
