import signal

import pytest

from experiment.signals import Interrupted, Signals


def test_a_signal_is_raised_at_once():
    with Signals().installed(), pytest.raises(Interrupted) as stop:
        signal.raise_signal(signal.SIGTERM)
    assert stop.value.signum == signal.SIGTERM


@pytest.mark.parametrize(("signums", "reached"), [((signal.SIGINT,), True), ((signal.SIGTERM, signal.SIGTERM), False)])
def test_a_signal_waits_inside_deferred_and_a_second_one_does_not(signums, reached):
    signals, log = Signals(), []

    def block():
        with signals.deferred():
            for signum in signums:
                signal.raise_signal(signum)
            log.append("the end of the block")

    with signals.installed(), pytest.raises(Interrupted):
        block()
    assert bool(log) == reached


def test_a_signal_whose_exception_python_loses_is_raised_at_the_next_check(capsys):
    class Destructor:
        def __del__(self):
            signal.raise_signal(signal.SIGTERM)

    signals = Signals()
    with signals.installed():
        thing = Destructor()
        del thing  # the exception of a destructor is printed and lost
        with pytest.raises(Interrupted):
            signals.check()
    Signals().check()
    assert capsys.readouterr().err == ""


def test_the_handlers_of_before_are_put_back():
    before = signal.getsignal(signal.SIGTERM)
    with Signals().installed():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before
