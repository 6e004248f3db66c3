"""Runs a binary as a user does, in a process of its own."""

import json
import os
import pathlib
import signal
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]


def environment():
    """Returns an environment in which the checkout's packages and the toy system are found."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "experiment")])}


def start(module, *args, cwd=ROOT, cache=None):
    """Returns the started process, with stdout and stderr as pipes."""
    cache_flag = [] if cache is None else [f"--compilation_cache={cache}"]
    return subprocess.Popen(
        [sys.executable, "-m", module, *map(str, args), *cache_flag],
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(module, *args, **kwargs):
    """Returns (exit status, stdout, stderr)."""
    process = start(module, *args, **kwargs)
    out, err = process.communicate(timeout=600)
    return process.returncode, out, err


TIMES = ("cpu_s", "wall_s", "cpu_hours_of_table")  # fields of figures and rows that two runs never share


def figures(workdir):
    """Returns what must not depend on interruptions: the summary's figures and the metrics rows, but for times."""
    summary = json.loads((pathlib.Path(workdir) / "summary.json").read_text())
    rows = map(json.loads, (pathlib.Path(workdir) / "metrics.jsonl").read_text().splitlines())
    return _timeless(summary["figures"]), [_timeless(row) for row in rows]


def _timeless(tree):
    if not isinstance(tree, dict):
        return tree
    return {key: _timeless(value) for key, value in tree.items() if key not in TIMES}


SIGNALLED = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGKILL: -signal.SIGKILL}
