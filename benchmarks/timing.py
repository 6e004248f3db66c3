"""Timings that may be compared: the candidates take turns, so that a noisy machine is noisy for all of them.

A file of results is {"where", "size", "peers", "rows", ...}. A row is one case, made by `row` of the times of ours and
of what stands beside it, or by `figure` of one number and what was asked for. `benchmarks.comparison` reads both.
"""

import importlib.metadata
import json
import logging
import os
import pathlib
import platform
import statistics
import time
from typing import NamedTuple

_LOG = logging.getLogger(__name__)
LIBRARY = "library"  # another one
BOUND = "bound"  # the bare arithmetic or memory traffic of the task
OWN = "own"  # another way that this project has


class Beside(NamedTuple):
    """What stands beside ours.

    Attributes:
        kind: LIBRARY, BOUND or OWN.
        target: the ratio asked for, its time over ours; None where nothing is asked.
        version: of the library.
    """

    kind: str
    target: float | None = None
    version: str = ""


def alternate(candidates, repeats=7, steps=None):
    """Returns {name: {"median_s", "low_s", "high_s", "first_s", "median_cpu_s"}} of functions called in turn.

    The first call of each, compilation included, is timed apart. Results are waited for. Processor time, which other
    work on the machine disturbs less, is that of this process; a dict with "cpu_s" and "wall_s" is the account of
    another process and stands for both.

    Args:
        candidates: {name: function of no arguments}.
        repeats: counted calls of each.
        steps: {name: how many steps a call takes}: all but first_s is a step's.
    """
    taken = {name: [] for name in candidates}
    for _ in range(repeats + 1):
        for name, fn in candidates.items():
            taken[name].append(_spent(fn))
    return {name: _summary(values, (steps or {}).get(name, 1)) for name, values in taken.items()}


def _summary(values, steps):
    wall, cpu = zip(*values[1:])
    return {
        "median_s": statistics.median(wall) / steps,
        "low_s": min(wall) / steps,
        "high_s": max(wall) / steps,
        "first_s": values[0][0],
        "median_cpu_s": statistics.median(cpu) / steps,
    }


def _spent(fn):
    import jax  # here, for the command that only reads results needs none

    wall, cpu = time.perf_counter(), time.process_time()
    answer = jax.block_until_ready(fn())
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    if isinstance(answer, dict) and "cpu_s" in answer:
        wall, cpu = answer["wall_s"], answer["cpu_s"]
    return wall, cpu


def ratio(times, name, peer):
    """Returns {"value", "low", "high", "cpu"}: how many times as long `peer` takes as `name`, and the spread.

    The spread is the quickest call of one by the slowest of the other; cpu the ratio of processor times, None where
    they were not taken.
    """
    ours, theirs = times[name], times[peer]
    cpu = [one.get("median_cpu_s") for one in (ours, theirs)]
    return {
        "value": theirs["median_s"] / ours["median_s"],
        "low": theirs["low_s"] / ours["high_s"] if "high_s" in ours else None,
        "high": theirs["high_s"] / ours["low_s"] if "high_s" in theirs else None,
        "cpu": cpu[1] / cpu[0] if all(cpu) else None,
    }


def row(system, case, times, ours, beside, **described):
    """Returns the row of a case.

    Args:
        system: the package.
        case: in words, with sizes.
        times: of `alternate`.
        ours: name of this project's candidate.
        beside: {name: Beside} of the candidates that ours is held to.
        **described: whatever else belongs to it.
    """
    named = {name: one._asdict() for name, one in beside.items() if name in times}
    return {"system": system, "case": case, "ours": ours, "times": times, "beside": named, **described}


def figure(system, case, value, unit, at_most=None, **described):
    """Returns the row of one number, of which less is better."""
    return {"system": system, "case": case, "value": value, "unit": unit, "at_most": at_most, **described}


def say(rows):
    """Logs the ratios of rows."""
    for one in rows:
        if "value" in one:
            _LOG.info("%s: %.3g %s", one["case"], one["value"], one["unit"])
        for peer in one.get("beside", ()):
            found = ratio(one["times"], one["ours"], peer)
            _LOG.info("%s: %s takes %.2f times as long as %s", one["case"], peer, found["value"], one["ours"])


def write(path, rows, **described):
    """Writes rows and where they were measured to a JSON file, whole or not at all."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"where": where(), **described, "rows": rows}
    unfinished = path.with_suffix(".part")
    unfinished.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    unfinished.replace(path)


def where(*packages):
    """Returns the device, its threads, and the versions of Python, jax, numpy, scipy and of other packages named."""
    import jax

    versions = {name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "numpy", "scipy", *packages)}
    device = jax.devices()[0]
    return {
        "device": device.device_kind,
        "count": jax.device_count(),
        "cpus": os.cpu_count(),
        "threads": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        **versions,
    }
