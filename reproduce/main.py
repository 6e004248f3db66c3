"""Re-measures every claim and writes one report.

    python -m reproduce.main --workdir=out [--scale=smoke|laptop|paper] [--only=ntk_asgd,cqd]

Runs each config that a claim names in its own workdir under WORKDIR/runs and writes WORKDIR/report.html and
WORKDIR/report.json. The same command again resumes. `laptop` takes minutes on two cores, `smoke` checks the plumbing
in less, `paper` is the scale of the papers and wants a GPU.
"""

import importlib
import pathlib
import sys
import time
from typing import NamedTuple

from absl import flags, logging

from experiment import app, config
from experiment.errors import NonFiniteError, UserError
from reproduce import claims, report, verdict

SCALES = {"smoke": ":smoke", "laptop": ":runlocal", "paper": ""}


class Result(NamedTuple):
    """A claim with what was measured, the verdict, and the command that measures it again."""

    claim: claims.Claim
    measured: verdict.Measured | None
    verdict: str
    command: str


def main(argv=None):
    """Runs the binary and ends the process with its exit status."""
    words = list(sys.argv if argv is None else argv)
    debug = config.is_asked_for(words, "debug")
    sys.exit(app.guarded(lambda signals: reproduce(_parse(words), signals), debug=debug))


def _parse(argv):
    """Returns the flags, or None where help was asked for and printed."""
    values = flags.FlagValues()
    flags.DEFINE_string("workdir", None, "Directory of the report and of the runs behind it.", flag_values=values)
    flags.DEFINE_enum("scale", "laptop", list(SCALES), "Size of the runs.", flag_values=values)
    flags.DEFINE_list(
        "only", list(report.TITLES), "Systems to run; the report then holds these alone.", flag_values=values
    )
    flags.DEFINE_string("compilation_cache", app.default_cache(), "As for the systems.", flag_values=values)
    flags.DEFINE_bool("debug", False, "Show the traceback of an error.", flag_values=values)
    if any(word in ("--help", "-h", "-help") for word in argv[1:]):
        print(f"{__doc__}\n{values.get_help()}")
        return None
    try:
        rest = values(argv)
    except flags.Error as error:
        raise UserError(str(error)) from error
    if len(rest) > 1:
        raise UserError(f"unexpected argument {rest[1]!r}; flags start with --")
    if not values.workdir:
        raise UserError("--workdir=DIR is missing: the directory the report goes to")
    unknown = set(values.only) - set(report.TITLES)
    if unknown or not values.only:
        missing = repr(min(unknown)) if unknown else "given"
        raise UserError(f"--only={','.join(values.only)}: no system {missing}; there are {', '.join(report.TITLES)}")
    return values


def reproduce(options, signals):
    """Returns the table of verdicts, after every run has finished and the report is written."""
    if options is None:
        return None
    start = time.monotonic()
    root = pathlib.Path(options.workdir)
    chosen = [claim for claim in claims.CLAIMS if claim.system in options.only]
    runs = list(dict.fromkeys((claim.system, claim.run) for claim in chosen))
    summaries, stopped = {}, []
    for index, (system, run) in enumerate(runs, start=1):
        workdir = root / "runs" / options.scale / system / run
        logging.info("(%d/%d) %s: %s", index, len(runs), report.TITLES[system], run)
        binary = importlib.import_module(f"{system}.main")
        size = config_of(system, run, options.scale)
        argv = [system, f"--config={size}", f"--workdir={workdir}", f"--compilation_cache={options.compilation_cache}"]
        try:
            summaries[f"{system}/{run}"] = app.run(
                system=system, runs=binary.RUNS, default_config=size, argv=argv, signals=signals
            )
        except NonFiniteError as error:
            logging.error("%s %s stopped: %s", system, run, error)
            stopped.append(f"{system} {run}: {error}")
    results = [_result(claim, summaries, options.scale) for claim in chosen]
    _write(root / "report.json", report.as_json(results, summaries, options.scale))
    _write(root / "report.html", report.as_html(results, summaries, options.scale, root / "runs" / options.scale))
    where = f"report: {root / 'report.html'} ({time.monotonic() - start:.0f} s)"
    table = f"{report.table(results)}\n{where}"
    if stopped:
        logging.info("%s", table)
        raise NonFiniteError("; ".join(stopped))
    return table


def config_of(system, run, scale):
    """Returns the --config of a run at a scale."""
    return f"configs/{system}/{run}.py{SCALES[scale]}"


def _result(claim, summaries, scale):
    summary = summaries.get(f"{claim.system}/{claim.run}")
    measured = None if summary is None else claim.measure(summary["figures"])
    decided = verdict.decide(measured, claim.accepted, scale_decides=scale in claim.decided_at)
    command = f"python -m {claim.system}.main --config={config_of(claim.system, claim.run, scale)} --workdir=DIR"
    return Result(claim, measured, decided, command)


def _write(path, text):
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written: {error.strerror}; free space or choose another --workdir"
        ) from error


if __name__ == "__main__":
    main()
