"""The live table, on a terminal as it is and on narrow ones."""

import pathlib
import re
import subprocess
import sys

from experiment.sweep import display, points
from experiment.sweep.driver import Job
from tests.experiment import binary
from tests.experiment.sweep import sweeping


def test_a_terminal_shows_a_table(tmp_path):
    """The table is drawn anew in place, with a percentage, and every point ends as done."""
    config = sweeping.config_file(tmp_path, "return [{'rate': 0.5}, {'rate': 1.5}]")
    flags = "--num_workers=2 --config.num_steps=8 --config.sleep_s=0.2 --compilation_cache=off"
    command = f"{sys.executable} -m experiment.sweep {config} --workdir={tmp_path / 'w'} {flags}"
    done = subprocess.run(
        ["script", "--quiet", "--return", "--command", f"stty rows 40 cols 120; {command}", "/dev/null"],
        env=binary.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "\x1b[4F\x1b[J" in done.stdout
    assert "running" in done.stdout
    assert "count " in done.stdout
    assert "%" in done.stdout
    last = done.stdout.rpartition("\x1b[J")[2]
    assert len(re.findall(r"=\d\.?\d* +done +\d+ s +1", last)) == 2
    assert "2 done" in last


def test_a_table_fits_a_narrow_terminal():
    def job(name, state="waiting", reason=""):
        made = Job([points.Point(name, {}, {}, (), pathlib.Path("nowhere"))], [], pathlib.Path("nowhere"))
        made.end(state, reason)
        return made

    jobs = [job(f"seed={seed},word={'a' * 70}{seed}") for seed in range(12)] + [job("x", "failed", "broke " * 40)]
    lines = display.table(jobs, 8, 60)
    assert len(lines) == 8
    assert max(map(len, lines)) <= 60
    assert [line for line in lines if line.startswith("x ") and " failed " in line and "broke" in line]
    assert [line for line in lines if line.startswith("seed=0") and "aa0  waiting" in line]
    assert "a" * 70 in "".join(display.table(jobs, 20, 400))
