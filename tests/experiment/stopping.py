"""A workdir that stops its runs, for tests of resuming."""

import signal

from experiment.signals import Interrupted
from experiment.workdir import Workdir


class Stopping(Workdir):
    """A workdir whose loops get a SIGTERM at their first call that ends before the last step."""

    def loop(self, name, state, step_fn, **settings):
        """Runs as `Workdir.loop` does, up to the end of the first call."""

        def stopping_fn(state, step):
            if step == 0:
                self.signals.pending = signal.SIGTERM
            return step_fn(state, step)

        return super().loop(name, state, stopping_fn, **settings)


class StoppingStages(Workdir):
    """A workdir that is interrupted once after every stage that it has not kept yet."""

    def stage(self, name, fn):
        """Runs as `Workdir.stage` does, and raises where the stage was computed."""
        computed = []
        result = super().stage(name, lambda: computed.append(name) or fn())
        if computed:
            raise Interrupted(signal.SIGTERM)
        return result
