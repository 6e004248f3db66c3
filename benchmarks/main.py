"""All speed comparisons in one command: environments, measurements, one table and one page.

    python -m benchmarks.main --workdir=out/benchmarks [--only=NAME,...] [--environments=DIR] [--peers=no]
        [--torch_python=PYTHON] [--pykeen_python=PYTHON] [--neural_tangents_python=PYTHON] [--data=FOLDER]
        [--size=small] [--repeats=N] [--fresh]

    python -m benchmarks.main --page

Each benchmark is a process of its own, one after another, which writes WORKDIR/results/NAME.json when it has finished;
the same command goes on with those that have not, or that had fewer peers. A peer whose environment cannot be made is
left out with a line, and a benchmark that fails costs only its own rows. WORKDIR/logs has what they said. table.csv,
table.json and benchmarks.md are made of all that is there. The last line on stdout is a summary in JSON. With --page
docs/benchmarks.md is made of benchmarks/results again; to publish a run, copy its results there first, those of
`python -m benchmarks.accelerator --out=FILE` on another device as accelerator_NAME.json.
"""

import argparse
import json
import logging
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from typing import NamedTuple

from benchmarks import comparison, environments, options, page

ROOT = pathlib.Path(__file__).parents[1]
DOCS = ROOT / "docs" / "benchmarks.md"
_LOG = logging.getLogger("benchmarks.main")


class Benchmark(NamedTuple):
    """A measurement.

    Attributes:
        module: its program.
        libraries: the peers that it asks in interpreters of their own.
        minutes: that it takes on two idle cores, about.
        threads: that it may use; None for all.
        takes_data: whether it reads --data.
    """

    module: str
    libraries: tuple = ()
    minutes: float = 1.0
    threads: int | None = None
    takes_data: bool = False


BENCHMARKS = {
    "ntk_kernels": Benchmark("benchmarks.ntk_asgd.kernels", ("neural-tangents", "torch"), 4),
    "ntk_one_pass": Benchmark("benchmarks.ntk_asgd.one_pass", ("torch",), 1),
    "cqd_answering": Benchmark("benchmarks.cqd.answering", (), 4, takes_data=True),
    "cqd_training": Benchmark("benchmarks.cqd.training", ("torch", "pykeen"), 2),
    "darts_supernet": Benchmark("benchmarks.darts_perturb.supernet", ("torch",), 8, threads=1),
    "scikit_learn": Benchmark("benchmarks.scikit_learn", (), 0.5),
    "accelerator": Benchmark("benchmarks.accelerator", (), 4),
}


def main(argv=None, benchmarks=None, peers=None):
    """Runs what is asked for and ends the process: 0, 1 where a benchmark failed, 2 on a mistake in the command.

    Args:
        argv: as sys.argv[1:].
        benchmarks: {name: Benchmark}, BENCHMARKS without.
        peers: {name: environments.Peer}, environments.PEERS without.
    """
    benchmarks = BENCHMARKS if benchmarks is None else benchmarks
    parser = _parser(benchmarks)
    asked_for = parser.parse_args(argv)
    options.say()
    if asked_for.page:
        DOCS.write_text(page.markdown(results(options.RESULTS)), encoding="utf-8")
        sys.exit(0)
    if not asked_for.workdir:
        parser.error("--workdir=DIR is needed, where the results go")
    names = asked_for.only.split(",") if asked_for.only else list(benchmarks)
    unknown = sorted(set(names) - set(benchmarks))
    if unknown:
        parser.error(f"--only={','.join(unknown)}: choose among {', '.join(benchmarks)}")
    for library, python in options.pythons(asked_for, options.LIBRARIES).items():
        if python and not shutil.which(python):
            parser.error(f"--{options.python_option(library)}={python}: no such program; give a Python interpreter")
    workdir = pathlib.Path(asked_for.workdir)
    for part in ("results", "logs"):
        try:
            (workdir / part).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            parser.error(f"--workdir={workdir}: {error.strerror}; give a directory that can be written")
    signal.signal(signal.SIGTERM, _stop)
    stopped, failed = 0, []
    try:
        pythons = _pythons(asked_for, [benchmarks[name] for name in names], workdir, peers)
        failed = [name for name in names if not _measure(name, benchmarks[name], pythons, asked_for, workdir)]
    except KeyboardInterrupt as interrupt:
        stopped = interrupt.args[0] if interrupt.args else signal.SIGINT
    found = page.write(workdir, results(workdir / "results"))
    short = comparison.behind(found)
    made = {"rows": len(found), "behind": len(short), "failed": failed, "page": str(workdir / "benchmarks.md")}
    print(json.dumps(made), flush=True)
    if stopped:
        _LOG.info("stopped by %s; the same command goes on", signal.Signals(stopped).name)
    sys.exit(128 + stopped if stopped else int(bool(failed)))


def results(folder):
    """Returns {name: content} of the whole files of results in a folder."""
    contents = {path.stem: comparison.read(path) for path in sorted(folder.glob("*.json"))}
    return {name: content for name, content in contents.items() if content is not None}


def _parser(benchmarks):
    parser = argparse.ArgumentParser(prog="benchmarks.main", description=__doc__.partition("\n")[0])
    parser.add_argument("--workdir", default="", help="where results, logs, environments, table and page go")
    parser.add_argument("--only", default="", help=f"benchmarks to run, of {','.join(benchmarks)}; all without")
    parser.add_argument("--environments", default="", help="where the peers' environments lie; WORKDIR/environments")
    parser.add_argument("--peers", choices=("yes", "no"), default="yes", help="no: leave out what needs an environment")
    for library in options.LIBRARIES:
        parser.add_argument("--" + options.python_option(library), default="", help=f"an interpreter with {library}")
    parser.add_argument("--data", default="", help="a folder with the triples and queries of FB15k-237")
    parser.add_argument("--size", choices=options.SIZES, default="full", help="small checks that all works")
    parser.add_argument("--repeats", type=int, help="counted calls of each candidate, each benchmark's own without")
    parser.add_argument("--fresh", action="store_true", help="measure what has been measured again")
    parser.add_argument("--page", action="store_true", help="only make docs/benchmarks.md of benchmarks/results")
    return parser


def _pythons(asked_for, benchmarks, workdir, peers):
    """Returns {library: interpreter} of the peers that the benchmarks ask, without those that cannot be had."""
    given = options.pythons(asked_for, options.LIBRARIES)
    found = {name: python for name, python in given.items() if python}
    folder = pathlib.Path(asked_for.environments or workdir / "environments").absolute()
    for name in dict.fromkeys(library for one in benchmarks for library in one.libraries):
        if name not in found and asked_for.peers == "yes":
            found[name] = environments.interpreter(name, folder, peers)
    return {name: python for name, python in found.items() if python}


def _measure(name, benchmark, pythons, asked_for, workdir):
    """Returns whether the results of a benchmark are there, after running it where they were not."""
    out, log = (workdir / part / f"{name}.{end}" for part, end in (("results", "json"), ("logs", "log")))
    here = [library for library in benchmark.libraries if library in pythons]
    before = comparison.read(out)
    is_whole = before is not None and not before.get("unfinished") and before["size"] == asked_for.size
    has_data = [options.DATA] if benchmark.takes_data and asked_for.data else []
    if is_whole and {*here, *has_data} <= set(before["peers"]) and not asked_for.fresh:
        _LOG.info("%s: measured before, in %s", name, out)
        return True
    command = [sys.executable, "-m", benchmark.module, f"--out={out.absolute()}", f"--size={asked_for.size}"]
    command += [f"--{options.python_option(library)}={pythons[library]}" for library in here]
    command += [f"--repeats={asked_for.repeats}"] if asked_for.repeats else []
    command += [f"--data={pathlib.Path(asked_for.data).absolute()}"] if has_data else []
    beside = f" beside {', '.join(here)}" if here else ""
    _LOG.info("%s%s: about %g minutes at full size", name, beside, benchmark.minutes)
    start = time.monotonic()
    with open(log, "w", encoding="utf-8") as file:
        streams = {"stdout": file, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
        status = _run(command, benchmark.threads, **streams)
    if status or comparison.read(out) is None:
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
        said = next((line for line in reversed(lines) if line.strip()), "no word")
        _LOG.warning("%s failed with status %d: %s; %s has it all", name, status, said, log)
        return False
    _LOG.info("%s: done in %.0f s", name, time.monotonic() - start)
    return True


def _run(command, threads, **streams):
    """Returns the exit status of a command; ends it, should this process be stopped."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(cores)[:threads])  # a child has its parent's
    try:
        process = subprocess.Popen(command, cwd=ROOT, **streams)
    finally:
        os.sched_setaffinity(0, cores)
    try:
        return process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


def _stop(number, _):
    raise KeyboardInterrupt(number)


if __name__ == "__main__":
    main()
