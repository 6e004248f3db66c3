"""Runs and drivers of a sweep killed at random moments for a long time; by name with -m slow.

SOAK_S: seconds, by default 1,200. SOAK_SEED: of the moments, by default a new one, which is printed.
"""

import collections
import contextlib
import os
import pathlib
import random
import signal
import time

import pytest

from tests.experiment import binary
from tests.experiment.sweep import sweeping
from tests.experiment.sweep.sweeping import TOY

STEPS = ["--config.num_steps=200", "--config.sleep_s=0.2", "--num_workers=2", "--max_retries=1000000"]
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
LONGEST_PEACE_S = 12.0  # as long as a run takes, so that it is met at every moment of its life
ROUND_S = 240.0  # after which a sweep is left to finish, and the next one begins


def children(pid):
    """Returns the pids of a process's children."""
    try:
        return [int(word) for word in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def disturb(rng, driver, counts):
    """Sends a random signal to the driver or to one of its runs."""
    runs = children(driver.pid)
    is_run = bool(runs) and rng.random() < 0.7
    signum = rng.choice(SIGNALS)
    counts["run" if is_run else "driver", signum.name] += 1
    with contextlib.suppress(ProcessLookupError):
        os.kill(rng.choice(runs) if is_run else driver.pid, signum)


def one_round(rng, root, end, counts):
    """Drives a sweep to its end, disturbed until then or for ROUND_S."""
    calm = min(end, time.monotonic() + ROUND_S)
    while True:
        driver = binary.start("experiment.sweep", TOY, f"--workdir={root}", *STEPS)
        while driver.poll() is None and time.monotonic() < calm:
            until = time.monotonic() + rng.uniform(0.0, LONGEST_PEACE_S)
            while driver.poll() is None and time.monotonic() < until:
                time.sleep(0.02)
            if driver.poll() is None and time.monotonic() < calm:
                disturb(rng, driver, counts)
        out, err = driver.communicate()
        assert driver.returncode in (0, 130, 143, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT), (out, err)
        assert "failed" not in err, err
        if driver.returncode == 0:
            return


@pytest.mark.slow
def test_a_sweep_that_is_killed_all_the_time_ends_as_an_undisturbed_one(tmp_path):
    seed = int(os.environ.get("SOAK_SEED", random.randrange(2**31)))
    duration_s = float(os.environ.get("SOAK_S", "1200"))
    print(f"SOAK_SEED={seed} SOAK_S={duration_s}")
    rng, counts, rounds = random.Random(seed), collections.Counter(), 0
    status, _, err = binary.run("experiment.sweep", TOY, f"--workdir={tmp_path / 'whole'}", *STEPS)
    assert status == 0, err
    whole = sweeping.timeless(tmp_path / "whole")
    assert len(whole) == 4
    end = time.monotonic() + duration_s
    while time.monotonic() < end:
        rounds += 1
        root = tmp_path / f"disturbed_{rounds}"
        one_round(rng, root, end, counts)
        print(f"round {rounds}: {dict(counts)}", flush=True)
        assert sweeping.timeless(root) == whole
        for row in whole:
            own, theirs = (base / "points" / row["point"] for base in (root, tmp_path / "whole"))
            assert binary.figures(own) == binary.figures(theirs), f"SOAK_SEED={seed}"
    assert sum(counts.values()) > duration_s / (4 * LONGEST_PEACE_S)
