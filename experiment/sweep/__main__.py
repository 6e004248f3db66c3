"""Runs every point of a config's sweep(), each in a workdir of its own.

    python -m experiment.sweep --config=configs/SYSTEM/RUN.py[:ARGS] --workdir=DIR [--config.field=value ...]

A point is the run that `python -m SYSTEM.main` makes in DIR/points/NAME, which is named by its overrides; what it says
is in log.txt there. The same command skips finished points and goes on with the others, whatever stopped it; sweep()
may have got more points by then. DIR/results.csv (results.parquet too where pyarrow is installed) has a row a point,
DIR/figures/sweep.png shows --metric=NAME,... The last line on stdout says where. Exit status 1 where a point failed.

--backend=local: processes here, --num_workers at a time, by default one a GPU, or else one a core.
--backend=slurm: jobs through submitit: --slurm.partition=NAME, --slurm.timeout_min=N, gpus_per_node, cpus_per_task,
mem_gb, account and so on. They go on without this process, and the same command takes them over.
--backend=ray: tasks: --ray.num_cpus=N, num_gpus, memory; on the cluster at --ray.address, or one started here.
"""

import json
import sys
import time

from absl import logging

from experiment import app
from experiment import config as config_files
from experiment.sweep import command, points


def main(argv=None):
    """Runs the binary and ends the process with its exit status."""
    words = list(sys.argv if argv is None else argv)
    said = {}

    def body(signals):
        asked = command.parse(words, __doc__)
        if asked is None:
            return None
        said.update(sweep(asked, signals))
        return json.dumps(said)

    status = app.guarded(body, debug=config_files.is_asked_for(words, "debug"))
    sys.exit(status or (1 if said.get("failed") else 0))


def sweep(asked, signals):
    """Returns what is said on stdout, after every point has finished or failed.

    Args:
        asked: experiment.sweep.command.Command.
        signals: experiment.signals.Signals, installed.
    """
    start = time.monotonic()
    found = points.read(asked.system, asked.runs, asked.path, asked.arg, asked.base, asked.root, flags=asked.own_flags)
    with signals.deferred():
        from experiment import workdir as workdirs
        from experiment.sweep import driver, plot, results, together

    found.check_workdirs()
    results.check_place(asked.root)
    left = [point for point in found.points if not driver.is_finished(point)]
    groups = [[point] for point in left]
    if asked.flags.vectorize:
        groups = together.groups(found, left, asked.flags.vectorize_size)
    with workdirs.Workdir(asked.root, {"sweep": found.system, **found.config}, signals=signals) as workdir:
        logging.info("[sweep] %d points, %d of them finished already", len(found.points), len(found.points) - len(left))
        table = results.Table(found, workdir)
        try:
            if groups:
                _run(asked, found, groups, table, signals)
        finally:
            rows = table.write()
        for package, versions in table.mixed_versions().items():
            logging.warning("[sweep] the points ran with several versions of %s: %s", package, ", ".join(versions))
        drawn = plot.plot_sweep(rows, asked.flags.metric)
        if drawn is not None:
            workdir.save_figure("sweep", *drawn)
        counts = {state: sum(row["state"] == state for row in rows) for state in results.STATES}
        return {
            "table": str(asked.root / "results.csv"),
            "points": len(rows),
            **counts,
            "wall_time_s": round(time.monotonic() - start, 3),
            "driver_cpu_s": round(time.process_time(), 3),
        }


def _run(asked, found, groups, table, signals):
    """Runs groups of points, one process each, and says at the end which of them failed."""
    from experiment.sweep import display, driver, together

    def job_of(group):
        return driver.Job(group, together.words(found, group), asked.root)

    backend = _backend(asked)
    with display.Display() as shown:
        runner = driver.Driver(
            list(map(job_of, groups)),
            backend,
            max_retries=asked.flags.max_retries,
            signals=signals,
            display=shown,
            ended=table.note,
            split=lambda job: [job_of([point]) for point in job.points],
        )
        try:
            runner.run()
        finally:
            backend.close()
    for job in runner.jobs:
        if job.state == driver.FAILED:
            logging.error("[sweep] failed: %s (%s; %s)", job.name, job.reason, job.log)


def _backend(asked):
    flags = asked.flags
    if flags.backend == "slurm":
        from experiment.sweep.slurm import Slurm

        return Slurm(asked.root, asked.options, flags.num_workers, flags.max_retries)
    if flags.backend == "ray":
        from experiment.sweep.ray_tasks import Ray

        return Ray(asked.options, flags.num_workers)
    from experiment.sweep.local import Local

    return Local(flags.num_workers)


if __name__ == "__main__":
    main()
