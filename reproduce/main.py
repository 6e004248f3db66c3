"""Re-measures every claim and writes one report.

    python -m reproduce.main --workdir=out [--scale=smoke|laptop|workstation|gpu] [--only=ntk_asgd,cqd]
    python -m reproduce.main --workdir=merged --merge=out,DIR_OF_A_GPU_RUN

Runs each config that a claim names in its own workdir under WORKDIR/runs and writes WORKDIR/report.html and
WORKDIR/report.json. The same command again resumes. `laptop` takes minutes on two cores, `smoke` checks the plumbing
in less, `workstation` takes CPU hours, `gpu` is the scale of the papers. Runs on data of yours are made where
`--input=SYSTEM/RUN:FIELD=PATH` says where it is.

With --merge nothing is run: the finished runs found in those directories, whoever made them, give one report, each
claim judged at the largest scale that is there.
"""

import importlib
import pathlib
import sys
import time

from absl import flags, logging

from experiment import app, config
from experiment.errors import NonFiniteError, UserError
from reproduce import claims, finished, report, scales


def main(argv=None):
    """Runs the binary and ends the process with its exit status."""
    words = list(sys.argv if argv is None else argv)
    debug = config.is_asked_for(words, "debug")
    sys.exit(app.guarded(lambda signals: reproduce(_parse(words), signals), debug=debug))


def _parse(argv):
    """Returns the flags, or None where help was asked for and printed."""
    values = flags.FlagValues()
    flags.DEFINE_string("workdir", None, "Directory of the report and of the runs behind it.", flag_values=values)
    flags.DEFINE_enum("scale", "laptop", list(scales.ARGUMENTS), "Size of the runs.", flag_values=values)
    flags.DEFINE_list(
        "only", list(report.TITLES), "Systems to run; the report then holds these alone.", flag_values=values
    )
    flags.DEFINE_multi_string("input", [], "SYSTEM/RUN:FIELD=PATH, data of a run; again for more.", flag_values=values)
    flags.DEFINE_list("merge", [], "Directories of finished runs to report on; nothing is run.", flag_values=values)
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
    if values["merge"].present and not values.merge:
        raise UserError("--merge=: a directory of finished runs is due; without --merge the runs are made here")
    if values.merge and (values["scale"].present or values.input):
        raise UserError(f"--merge={','.join(values.merge)}: runs nothing, so --scale and --input have no meaning there")
    return values


def reproduce(options, signals):
    """Returns the table of verdicts, after every run has finished and the report is written."""
    if options is None:
        return None
    start = time.monotonic()
    if options.merge:
        done, stopped = finished.collect(options.merge, options.only), []
    else:
        done, stopped = _run(options, signals)
    known = {(run.system, run.name): run for run in scales.RUNS}
    results = [
        finished.result(claim, done.get((claim.system, claim.run)), known[claim.system, claim.run])
        for claim in claims.CLAIMS
        if claim.system in options.only
    ]
    root = pathlib.Path(options.workdir)
    _write(root / "report.json", report.as_json(results))
    _write(root / "report.html", report.as_html(results))
    where = f"report: {root / 'report.html'} ({time.monotonic() - start:.0f} s)"
    table = f"{report.table(results)}\n{where}"
    if stopped:
        logging.info("%s", table)
        raise NonFiniteError("; ".join(stopped))
    return table


def _run(options, signals):
    """Returns ({(system, name): Finished}, [words of the runs that stopped])."""
    inputs = scales.parse_inputs(options.input)
    named = {(claim.system, claim.run) for claim in claims.CLAIMS}
    runs = [run for run in scales.chosen(options.scale, options.only, inputs) if (run.system, run.name) in named]
    _check_paths(inputs)
    done, stopped = {}, []
    for index, run in enumerate(runs, start=1):
        key = run.system, run.name
        workdir = pathlib.Path(options.workdir) / "runs" / options.scale / run.system / run.name
        logging.info("(%d/%d) %s: %s", index, len(runs), report.TITLES[run.system], run.name)
        argv = [
            run.system,
            *run.flags(options.scale, inputs.get(key)),
            f"--workdir={workdir}",
            f"--compilation_cache={options.compilation_cache}",
        ]
        table = importlib.import_module(f"{run.system}.main").RUNS
        made = {"system": run.system, "runs": table, "default_config": run.config(options.scale), "argv": argv}
        try:
            summary = app.run(**made, signals=signals)
            done[key] = finished.Finished(run, options.scale, workdir, summary, inputs.get(key, {}))
        except NonFiniteError as error:
            logging.error("%s %s stopped: %s", *key, error)
            stopped.append(f"{run.system} {run.name}: {error}")
    return done, stopped


def _check_paths(inputs):
    """Raises UserError for an input that is not there: before the first run, not when its own turn comes."""
    for (system, name), fields in inputs.items():
        for field, path in fields.items():
            if not pathlib.Path(path).exists():
                raise UserError(f"--input={system}/{name}:{field}={path}: no such file or directory")


def _write(path, text):
    temporary = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written: {error.strerror}; free space or choose another --workdir"
        ) from error


if __name__ == "__main__":
    main()
