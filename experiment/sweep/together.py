"""Points that differ in traced numbers alone, run as one program.

    python -m experiment.sweep.together SYSTEM FLAGS [FLAGS ...]

runs the points whose flags are given, each as a JSON list of words, in one process that computes their
`experiment.unison.call`s together. The module of a run that has such calls names the config fields that are traced in
them, so that points which differ in no others run as one program:

    VECTORIZED = ("seed", "eta")

It may also have a function `apart` of a config: what points compute one after the other all the same, or "".
"""

import functools
import importlib
import json
import sys

from absl import logging

from experiment import app, unison
from experiment.errors import UserError

MODULE = "experiment.sweep.together"


def main(argv):
    """Runs the points and ends the process."""
    sys.exit(app.guarded(lambda signals: _run(argv[1], argv[2:], signals)))


def groups(sweep, points, size=None):
    """Returns lists of points that one program runs; of one point where no other differs in traced numbers alone.

    Args:
        sweep: experiment.sweep.points.Sweep.
        points: those to run.
        size: points a program at most.

    Raises:
        UserError: the run has no such calls.
    """
    module = importlib.import_module(sweep.runs[sweep.config["run"]])
    fields = getattr(module, "VECTORIZED", ())
    if not fields:
        raise UserError(
            f"--vectorize: config.run={sweep.config['run']!r} has no points that run together; leave the flag out"
        )
    alike = {}
    for point in points:
        alike.setdefault(json.dumps(_without(point.config, fields), sort_keys=True), []).append(point)
    alone = sum(len(group) == 1 for group in alike.values())
    if alone:
        logging.warning("[sweep] --vectorize: %d of %d points run alone", alone, len(points))
        logging.warning("[sweep] points run as one program where they differ in config.{%s} alone", ", ".join(fields))
    if alone < len(points) and hasattr(module, "apart") and (what := module.apart(sweep.config)):
        logging.warning("[sweep] --vectorize: one after the other still: %s", what)
    size = size or len(points)
    return [group[start : start + size] for group in alike.values() for start in range(0, len(group), size)]


def words(sweep, points):
    """Returns module and flags of the process that runs points."""
    if len(points) == 1:
        return (f"{sweep.system}.main", *points[0].flags)
    return (MODULE, sweep.system, *(json.dumps(point.flags) for point in points))


def _without(config, fields, prefix=""):
    return {
        name: _without(value, fields, f"{prefix}{name}.") if isinstance(value, dict) else value
        for name, value in config.items()
        if f"{prefix}{name}" not in fields
    }


def _run(system, every, signals):
    runs = importlib.import_module(f"{system}.main").RUNS
    options = [app.checked_flags(system, runs, "", [system, *json.loads(flags)]) for flags in every]
    app.run_all(
        system=system,
        runs=runs,
        every=options,
        run_fn=lambda module, *each: unison.run([functools.partial(module.run, *own) for own in zip(*each)], signals),
        signals=signals,
    )


if __name__ == "__main__":
    main(sys.argv)
