import signal

import pytest

from experiment.signals import Interrupted, Signals


def test_a_signal_waits_inside_deferred_and_a_second_one_does_not():
    signals = Signals()
    reached = []

    def block(*signums):
        with signals.deferred():
            for signum in signums:
                signal.raise_signal(signum)
            reached.append(signums)

    with signals.installed():
        with pytest.raises(Interrupted) as stop:
            signal.raise_signal(signal.SIGTERM)
        assert stop.value.signum == signal.SIGTERM
        with pytest.raises(Interrupted):
            block(signal.SIGINT)
        assert reached == [(signal.SIGINT,)]
        with pytest.raises(Interrupted):
            block(signal.SIGTERM, signal.SIGTERM)
        assert reached == [(signal.SIGINT,)]
