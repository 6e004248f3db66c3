"""The one contract of the binaries: flags, exit statuses, what stdout and stderr carry.

    python -m SYSTEM.main --config=configs/SYSTEM/RUN.py[:ARGS] --workdir=DIR [--config.field=value ...]

The last line on stdout is the summary as JSON; all else goes to stderr. Exit status 0: finished; 2: the user's mistake,
one line; 1: a number that is not finite, one line, or a defect, with its traceback; 143 or 130: saved on a signal.
"""

import contextlib
import importlib
import importlib.metadata
import json
import logging as stdlib_logging
import os
import platform
import signal
import sys
import traceback

from absl import flags, logging
from ml_collections import ConfigDict, FrozenConfigDict, config_flags

from experiment import config as config_files
from experiment import errors, hosts, profiling
from experiment.errors import UserError
from experiment.signals import Interrupted, Signals

CACHE_OFF = "off"
_DISTRIBUTED = ("coordinator", "num_processes", "process_id")
_FLAGS = ("workdir", "compilation_cache", "tensorboard", "mesh", "profile", "distributed", *_DISTRIBUTED)
_PACKAGES = (
    "remeasured",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "numpy",
    "scipy",
    "ml_collections",
)


def main(*, system, runs, default_config, argv=None):
    """Runs a system's binary and ends the process with its exit status.

    Args:
        system: the package's name.
        runs: {name: module}, chosen by config.run; a module has `load(config)` and `run(config, data, workdir)`.
        default_config: where --config is not given.
        argv: as sys.argv.
    """
    words = sys.argv if argv is None else argv
    if config_files.is_asked_for(words, "distributed"):
        hosts.keep_stdout()

    def body(signals):
        summary = run(system=system, runs=runs, default_config=default_config, argv=words, signals=signals)
        return None if summary is None or not hosts.is_first() else json.dumps(summary, allow_nan=False)

    sys.exit(guarded(body, debug=config_files.is_asked_for(words, "debug")))


def guarded(body, debug=False):
    """Returns the exit status of a binary and prints the text that body(signals) returns as its only stdout.

    Ends on purpose show as one line on stderr: the user's mistake 2, a number that is not finite 1, a signal 128 + its
    number, more memory than there is 1.
    """
    signals = Signals()
    say_plainly()
    try:
        with contextlib.redirect_stdout(sys.stderr), signals.installed():
            text = body(signals)
    except (UserError, errors.NonFiniteError) as error:
        if debug:
            traceback.print_exc()
        status = 2 if isinstance(error, UserError) else 1
        hosts.end(status, errors.one_line(error))
        print(f"error: {errors.one_line(error)}", file=sys.stderr)
        return status
    except Interrupted:
        return _stopped(signals)
    except Exception as error:
        if signals.pending is None:  # else library code has turned Interrupted into an error of its own
            hosts.end_unplanned(error)
            if errors.is_out_of_memory(error) and not debug:
                print(f"error: out of memory ({errors.one_line(error)}); make the sizes smaller", file=sys.stderr)
                return 1
            raise
        return _stopped(signals)
    if text is not None:
        if hasattr(sys.stdout, "reconfigure"):  # a notebook's cannot, and need not
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            print(text, flush=True)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has left: nothing to flush
    return 0


def _stopped(signals):
    signum = signals.pending or signals.arrived
    print(f"stopped by {signal.Signals(signum).name}; the same command resumes", file=sys.stderr)
    if signals.pending is None:  # the second signal, before the processes of this run agreed on the first
        hosts.end(128 + signum)
    return 128 + signum


def run(*, system, runs, default_config, argv, signals):
    """Returns the summary of the run that argv asks for, or None where it asks for help.

    Args:
        system: as for `main`, like runs and default_config.
        argv: as sys.argv.
        signals: experiment.signals.Signals, installed.

    Raises:
        UserError: a mistake in argv, the config, its input files or the workdir.
        NonFiniteError: a loss or score that is not finite.
    """
    options = checked_flags(system, runs, default_config, argv)
    if options is None:
        return None

    def alone(module, configs, datas, workdirs):
        return [module.run(configs[0], datas[0], workdirs[0])]

    return run_all(system=system, runs=runs, every=[options], run_fn=alone, signals=signals)[0]


def checked_flags(system, runs, default_config, argv):
    """Returns `parse_flags`, of which the run and every field are known to be the system's own.

    Raises:
        UserError: as `parse_flags`, and for a run that the system has not or fields that differ from its own config's.
    """
    options = parse_flags(system, runs, default_config, argv)
    if options is None:
        return None
    name = options.config.get("run")
    if name not in runs:
        raise UserError(f"config.run={name!r}: {system} has the runs {', '.join(sorted(runs))}")
    own = config_files.reference(system, name)
    if own is not None:
        config_files.check_fields(ConfigDict(options.config), own)
    return options


def run_all(*, system, runs, every, run_fn, signals):
    """Returns the summaries of runs that one call computes; those of finished workdirs are read back.

    Args:
        system: as for `main`, like runs.
        every: `checked_flags` of each, all of the same run.
        run_fn: (module, configs, datas, workdirs) -> the figures of each.
        signals: experiment.signals.Signals, installed.
    """
    with signals.deferred():  # an exception raised while an extension module starts up would break its import
        start_jax(every[0].compilation_cache)
        _take_devices(every[0], signals)
        importlib.import_module("experiment.workdir")
        module = importlib.import_module(runs[every[0].config.run])
    with contextlib.ExitStack() as stack:
        opened = [_open(module, options, signals, stack) for options in every]
        summaries = [summary for summary, *_ in opened]
        places = [place for place, summary in enumerate(summaries) if summary is None]
        if places:
            _, datas, workdirs = zip(*(opened[place] for place in places))
            figures = run_fn(module, [every[place].config for place in places], datas, workdirs)
            together = {"runs_together": len(places)} if len(places) > 1 else {}  # who share the wall time
            for place, workdir, own in zip(places, workdirs, figures, strict=True):
                summary = {"system": system, "run": every[place].config.run, "figures": own}
                summaries[place] = workdir.finish(summary | _provenance(workdir, every[place].config) | together)
    return summaries


def _open(module, options, signals, stack):
    """Returns (the summary, None, None) of a finished run, else (None, its data, its workdir opened on the stack)."""
    from experiment import workdir as workdirs

    config = _plain(options.config)
    if hosts.tell(config) != config:
        raise UserError("--distributed: the first process has another config; give every process the same")
    summary = hosts.tell(workdirs.read_summary(options.workdir, config) if hosts.is_first() else None)
    if summary is None:
        with errors.user_errors():
            data = module.load(options.config)
        inputs = [options.config[field] for field in getattr(module, "INPUTS", ()) if options.config[field]]
        made = {"signals": signals, "inputs": inputs, "tensorboard": options.tensorboard}
        made["profile"] = profiling.parse(options.profile)
        workdir = stack.enter_context(workdirs.Workdir(options.workdir, config, **made))
        if workdir.summary is None:
            return None, data, workdir
        summary = workdir.summary
    logging.info("%s is finished; this is its summary", options.workdir)
    return summary, None, None


def _plain(config):
    return json.loads(config.to_json_best_effort())


def start_jax(compilation_cache):
    """Turns on the persistent compilation cache."""
    import jax

    if compilation_cache not in ("", CACHE_OFF):
        jax.config.update("jax_compilation_cache_dir", os.path.expanduser(compilation_cache))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _take_devices(options, signals):
    """Joins the job of several processes, when asked, and lays the mesh over all devices."""
    if options.distributed:
        hosts.join(options.coordinator, options.num_processes, options.process_id, signals.check)
    if hosts.are_many():
        signals.await_agreement()
    if not hosts.is_first():
        logging.set_verbosity(logging.ERROR)  # the first process has said it
    from experiment import mesh

    mesh.choose(options.mesh)


def say_plainly():
    """Sends absl's log to stderr as bare words, without what orbax says of its own workings."""
    handler = stdlib_logging.StreamHandler(sys.stderr)
    handler.addFilter(lambda record: "orbax" not in record.pathname)
    logger = logging.get_absl_logger()
    logger.handlers, logger.propagate = [handler], False
    logging.set_verbosity(logging.INFO)


def default_cache():
    """Returns the compilation cache's place: under the user's cache directory."""
    root = os.environ.get("XDG_CACHE_HOME") or os.path.join("~", ".cache")
    return os.path.join(root, "remeasured", "xla")


def _provenance(workdir, config):
    from experiment import mesh

    config = _plain(config)
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    seeds = config.get("seeds", config.get("seed"))
    return {
        "seeds": seeds if isinstance(seeds, list) else [seeds],
        **({"num_seeds": config["num_seeds"]} if "num_seeds" in config else {}),
        "device": {**mesh.describe_devices(), "cpus": os.cpu_count(), "host": platform.machine()},
        "wall_time_s": round(workdir.elapsed_s(), 3),
        **({"throughput": workdir.throughput()} if workdir.throughput() else {}),
        "versions": versions,
    }


def parse_flags(system, runs, default_config, argv=None):
    """Returns the parsed flags, the config frozen, or None where --help was asked for.

    Raises:
        UserError: an unknown flag or field, a value of the wrong type, a config that is missing or raises.
    """
    argv = list(sys.argv if argv is None else argv)
    values = flags.FlagValues()
    flags.DEFINE_string("workdir", None, "Directory of this run; the same one again resumes.", flag_values=values)
    flags.DEFINE_string(
        "compilation_cache",
        default_cache(),
        f"Directory of JAX's persistent compilation cache, or {CACHE_OFF!r}.",
        flag_values=values,
    )
    flags.DEFINE_bool("tensorboard", False, "Copy metrics to WORKDIR/tensorboard.", flag_values=values)
    _define_devices(values)
    flags.DEFINE_string(
        "profile",
        "",
        f"Trace to WORKDIR/profile: START:STOP in seconds of the run, or {profiling.AUTO!r}, a few calls of a loop.",
        flag_values=values,
    )
    flags.DEFINE_bool("debug", False, "Show the traceback of an error.", flag_values=values)
    if any(word in ("--help", "-h", "-help") for word in argv[1:]):
        print(
            f"{system}: --config=configs/{system}/RUN.py[:runlocal] --workdir=DIR [--config.FIELD=VALUE ...]\n"
            f"runs: {', '.join(sorted(runs))}; default --config={default_config}\n{values.get_help()}"
        )
        return None
    argv, path, arg = config_files.take_flag(argv, default_config)
    location = config_files.find(path)
    config_files.check_overrides(argv, config_files.load(location, arg))
    argv.insert(1, f"--config={location}{':' + arg if arg is not None else ''}")
    config_flags.DEFINE_config_file("config", None, "", lock_config=True, flag_values=values, sys_argv=argv)
    try:
        rest = values(argv)
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(errors.one_line(error)) from error
    if len(rest) > 1:
        raise UserError(f"unexpected argument {rest[1]!r}; flags start with --")
    if not values.workdir:
        raise UserError("--workdir=DIR is missing: the directory this run writes to")
    config_files.check_plain(values.config)
    profiling.parse(values.profile)
    parsed = {name: getattr(values, name) for name in _FLAGS}
    parsed["workdir"] = os.path.expanduser(parsed["workdir"])
    given = [name for name in _DISTRIBUTED if parsed[name] not in (None, "")]
    if given and not values.distributed:
        raise UserError(f"--{given[0]} describes a job of several processes; add --distributed")
    return ConfigDict({**parsed, "config": FrozenConfigDict(values.config)})


def _define_devices(values):
    """Defines the flags that say which devices compute."""
    flags.DEFINE_string(
        "mesh",
        "",
        "Devices along the axes, such as data:4,model:2; all along the one in use if empty.",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "distributed",
        False,
        "Be one process of a job: of SLURM, Open MPI, Kubernetes or a TPU pod, or as the next three flags say.",
        flag_values=values,
    )
    flags.DEFINE_string("coordinator", "", "HOST:PORT of the first process.", flag_values=values)
    flags.DEFINE_integer("num_processes", None, "Processes of the job.", lower_bound=1, flag_values=values)
    flags.DEFINE_integer("process_id", None, "Of this process, from 0.", lower_bound=0, flag_values=values)
