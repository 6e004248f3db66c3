"""What a claim is, and how its figure is read from a run's summary."""

import math
from collections.abc import Callable
from typing import NamedTuple

from reproduce.verdict import Accepted, Measured

EVERY_REAL_SCALE = ("laptop", "workstation", "gpu")
PAPER_SCALE = ("gpu",)


class Claim(NamedTuple):
    """One claim of one paper.

    Attributes:
        name: identifier, also the anchor in the report.
        system: package whose run measures it.
        run: name of the config in configs/SYSTEM/.
        title: a few words.
        statement: the claim, and what of it is measured.
        source: where the paper says it.
        published: the paper's figure or words.
        measure: figures of summary.json -> Measured.
        accepted: Accepted.
        plots: names in figures/ of the run.
        texts: names of text files of the run.
        note: what to know when reading the figure.
        decided_at: scales at which the run can decide the claim.
    """

    name: str
    system: str
    run: str
    title: str
    statement: str
    source: str
    published: str
    measure: Callable
    accepted: Accepted
    plots: tuple = ()
    texts: tuple = ()
    note: str = ""
    decided_at: tuple = EVERY_REAL_SCALE


def at(*path):
    """Returns a function from a run's figures to the Measured that stands under a path of keys.

    The entry is {"value", "seeds", and "se" or "sd"}. A spread of None, as one seed has, is an unknown error; without a
    spread, or as a plain number, the figure is exact.
    """

    def measure(figures):
        entry = figures
        for key in path:
            entry = entry[key]
        if not isinstance(entry, dict):
            entry = {"value": entry}
        value = math.nan if entry["value"] is None else float(entry["value"])
        seeds = int(entry.get("seeds", 1))
        if "se" in entry or "sd" in entry:
            error = entry["se"] if "se" in entry else _over_root(entry["sd"], seeds)
            return Measured(value, math.inf if error is None else float(error), seeds)
        return Measured(value)

    return measure


def _over_root(spread, seeds):
    return None if spread is None else spread / math.sqrt(seeds)


def mean_of(paths):
    """Returns a function from figures to the mean of the Measured under several paths, of the same seeds.

    Figures of one seed vary together, so the standard error of their mean is at most the mean of theirs, which is what
    it is given.
    """

    def measure(figures):
        parts = [at(*path)(figures) for path in paths]
        value, error = (sum(part[place] for part in parts) / len(parts) for place in (0, 1))
        return Measured(value, error, parts[0].num_seeds)

    return measure
