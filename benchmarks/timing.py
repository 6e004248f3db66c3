"""Timings that may be compared: the candidates take turns, so that a noisy machine is noisy for all of them."""

import importlib.metadata
import json
import os
import pathlib
import platform
import statistics
import time

import jax


def alternate(candidates, repeats=7):
    """Returns {name: {"median_s", "low_s", "high_s", "first_s"}} of functions called in turn.

    The first call of each, compilation included, is timed apart. Results are waited for.

    Args:
        candidates: {name: function of no arguments}.
        repeats: counted calls of each.
    """
    first = {name: _seconds(fn) for name, fn in candidates.items()}
    times = {name: [] for name in candidates}
    for _ in range(repeats):
        for name, fn in candidates.items():
            times[name].append(_seconds(fn))
    return {
        name: {
            "median_s": statistics.median(values),
            "low_s": min(values),
            "high_s": max(values),
            "first_s": first[name],
        }
        for name, values in times.items()
    }


def ratio(times, name, peer):
    """Returns {"value", "low", "high"}: how many times as long `peer` takes as `name`, and the spread."""
    ours, theirs = times[name], times[peer]
    return {
        "value": theirs["median_s"] / ours["median_s"],
        "low": theirs["low_s"] / ours["high_s"],
        "high": theirs["high_s"] / ours["low_s"],
    }


def write(path, rows, **described):
    """Writes rows and where they were measured to a JSON file."""
    content = {"where": where(), **described, "rows": rows}
    pathlib.Path(path).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def where(*packages):
    """Returns the device, and the versions of Python, jax, numpy, scipy and of other packages named."""
    versions = {name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "numpy", "scipy", *packages)}
    device = jax.devices()[0]
    return {
        "device": device.device_kind,
        "count": jax.device_count(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        **versions,
    }


def _seconds(fn):
    start = time.perf_counter()
    jax.block_until_ready(fn())
    return time.perf_counter() - start
