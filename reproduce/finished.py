"""Finished runs, by which claims are judged: those just made, or found in directories of earlier ones."""

import json
import pathlib
from typing import NamedTuple

from absl import logging

from experiment.errors import UserError
from reproduce import scales, verdict
from reproduce.claims.claim import Claim

_KEYS = ("figures", "seeds", "device", "wall_time_s", "versions")  # of a summary, beside its system and run


class Finished(NamedTuple):
    """A finished run.

    Attributes:
        run: `scales.Run`.
        scale: of `scales.ARGUMENTS`.
        workdir: its directory.
        summary: its summary.json.
        inputs: {field: path} that it was given.
    """

    run: scales.Run
    scale: str
    workdir: pathlib.Path
    summary: dict
    inputs: dict


class Result(NamedTuple):
    """A claim with what was measured, the verdict, the command that measures it again, and the run behind it."""

    claim: Claim
    measured: verdict.Measured | None
    verdict: str
    command: str
    finished: Finished | None


def result(claim, finished, run):
    """Returns the Result of a claim.

    Args:
        claim: Claim.
        finished: Finished run of the claim, or None.
        run: `scales.Run` of the claim.

    Raises:
        UserError: the run's summary lacks the figure, being of another version.
    """
    if finished is None:
        scale = next(scale for scale in scales.ARGUMENTS if scale in run.scales and scale in claim.decided_at)
        measured, inputs = None, dict.fromkeys(run.needed(scale), "PATH")
    else:
        scale, inputs = finished.scale, finished.inputs
        measured = _measured(claim, finished)
    decided = verdict.decide(measured, claim.accepted, scale_decides=scale in claim.decided_at)
    flags = " ".join(_quoted(flag) for flag in run.flags(scale, inputs))
    return Result(claim, measured, decided, f"python -m {run.system}.main {flags} --workdir=DIR", finished)


def _measured(claim, finished):
    try:
        return claim.measure(finished.summary["figures"])
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{finished.workdir / 'summary.json'}: lacks a figure of the claim {claim.name} ({error}); "
            "it is of another version: run it again in a new directory"
        ) from error


def _quoted(flag):
    return f"'{flag}'" if set(flag) & set(" ()'&|") else flag


def collect(folders, systems):
    """Returns {(system, name): Finished} of the finished runs under some folders, the largest scale of each run.

    Of runs at one scale the first that is found is taken. A run whose config is that of no scale, paths of inputs
    apart, is left out with a line that says so.

    Raises:
        UserError: a folder that is not there, holds no finished run, or holds files that are not a run's.
    """
    known = {(run.system, run.name): run for run in scales.RUNS if run.system in systems}
    order = list(scales.ARGUMENTS)
    found = {}
    for folder in map(pathlib.Path, folders):
        if not folder.is_dir():
            raise UserError(f"--merge={folder}: no such directory")
        paths = sorted(folder.rglob("summary.json"))
        if not paths:
            raise UserError(f"--merge={folder}: no finished run in it; each has a summary.json")
        for path in paths:
            each = _read(path, known)
            if each is None:
                continue
            key = each.run.system, each.run.name
            if key in found and order.index(each.scale) <= order.index(found[key].scale):
                if each.scale == found[key].scale:
                    logging.info("%s: left out, %s is at the same scale", path.parent, found[key].workdir)
                continue
            found[key] = each
    return found


def _read(path, known):
    """Returns the Finished run of a summary.json, None where no claim can be judged by it."""
    try:
        summary, config = (json.loads((path.parent / name).read_text()) for name in (path.name, "config.json"))
        run = known.get((summary["system"], summary["run"]))
        if not isinstance(config, dict):
            raise TypeError("the config is no object")
        if missing := [key for key in _KEYS if key not in summary]:
            raise ValueError(f"it has no {missing[0]!r}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not the summary of a run beside its config.json: {error}") from error
    if run is None:
        return None
    scale = run.scale_of(config)
    if scale is None:
        logging.warning("%s: left out, its config is that of no scale", path.parent)
        return None
    inputs = {name: config[name] for name in run.needed(scale)}
    return Finished(run, scale, path.parent, summary, inputs)
