"""How a try ends, and the words for it."""

import json
import os
import signal

from experiment.sweep import attempt, points
from experiment.sweep.driver import Job
from tests.experiment import binary


def test_ends_are_said_in_words():
    assert attempt.end(-signal.SIGKILL) == "ended by SIGKILL, as where memory runs out"
    assert attempt.end(-signal.SIGTERM) == "ended by SIGTERM"
    assert attempt.end(143) == "stopped by SIGTERM"
    assert attempt.end(attempt.CRASHED) == "crashed"
    assert attempt.end(attempt.CANCELLED) == "cancelled"
    assert attempt.end(5) == "exit status 5"


def test_the_words_for_an_end_are_those_of_that_try(tmp_path):
    """Not those of an earlier one, and of a traceback the error, not the advice that JAX puts behind it."""
    job = Job([points.Point("p", {}, {"seed": 1}, (), tmp_path / "p")], ["main"], tmp_path)
    job.prepare()
    assert json.loads((tmp_path / "p" / "config.json").read_text()) == {"seed": 1}
    job.log.write_text("error: the first\n")
    assert job.last_words() == "the first"
    job.prepare()
    assert job.last_words() == "nothing said"
    (tmp_path / "broken.py").write_text("import jax\njax.jit(lambda: jax.numpy.ones(2) @ jax.numpy.ones(3))()\n")
    environment = {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(binary.ROOT)])}
    assert attempt.start(["broken"], job.log, environment=environment).wait() == attempt.CRASHED
    assert "For simplicity, JAX has removed" in job.log.read_text()
    assert job.last_words().startswith("TypeError: dot_general requires")
