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
from experiment import errors
from experiment.errors import UserError
from experiment.signals import Interrupted, Signals

CACHE_OFF = "off"
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

    def body(signals):
        summary = run(system=system, runs=runs, default_config=default_config, argv=words, signals=signals)
        return None if summary is None else json.dumps(summary, allow_nan=False)

    sys.exit(guarded(body, debug=config_files.is_asked_for(words, "debug")))


def guarded(body, debug=False):
    """Returns the exit status of a binary and prints the text that body(signals) returns as its only stdout.

    Ends on purpose show as one line on stderr: the user's mistake 2, a number that is not finite 1, a signal 128 + its
    number.
    """
    signals = Signals()
    say_plainly()
    try:
        with contextlib.redirect_stdout(sys.stderr), signals.installed():
            text = body(signals)
    except (UserError, errors.NonFiniteError) as error:
        if debug:
            traceback.print_exc()
        print(f"error: {errors.one_line(error)}", file=sys.stderr)
        return 2 if isinstance(error, UserError) else 1
    except Interrupted:
        return _stopped(signals)
    except Exception:
        if signals.pending is None:  # else library code has turned Interrupted into an error of its own
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
    print(f"stopped by {signal.Signals(signals.pending).name}; the same command resumes", file=sys.stderr)
    return 128 + signals.pending


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
    options = parse_flags(system, runs, default_config, argv)
    if options is None:
        return None
    name = options.config.get("run")
    if name not in runs:
        raise UserError(f"config.run={name!r}: {system} has the runs {', '.join(sorted(runs))}")
    own = config_files.reference(system, name)
    if own is not None:
        config_files.check_fields(ConfigDict(options.config), own)
    with signals.deferred():  # an exception raised while an extension module starts up would break its import
        from experiment import workdir as workdirs

        start_jax(options.compilation_cache, options.distributed)
        module = importlib.import_module(runs[name])
    config = json.loads(options.config.to_json_best_effort())
    summary = workdirs.read_summary(options.workdir, config)
    if summary is None:
        with errors.user_errors():
            data = module.load(options.config)
        inputs = [options.config[field] for field in getattr(module, "INPUTS", ()) if options.config[field]]
        made = {"signals": signals, "inputs": inputs, "tensorboard": options.tensorboard}
        with workdirs.Workdir(options.workdir, config, **made) as workdir:
            if workdir.summary is None:
                figures = module.run(options.config, data, workdir)
                summary = {"system": system, "run": name, "figures": figures, **_provenance(workdir, config)}
                return workdir.finish(summary)
            summary = workdir.summary
    logging.info("%s is finished; this is its summary", options.workdir)
    return summary


def start_jax(compilation_cache, distributed=False):
    """Turns on the persistent compilation cache and, when asked, joins the cluster job."""
    import jax

    from experiment import mesh

    if compilation_cache not in ("", CACHE_OFF):
        jax.config.update("jax_compilation_cache_dir", os.path.expanduser(compilation_cache))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    if distributed:
        mesh.initialize_distributed()


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
    flags.DEFINE_bool("distributed", False, "Join a cluster job through jax.distributed.", flag_values=values)
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
    parsed = {name: getattr(values, name) for name in ("workdir", "compilation_cache", "tensorboard", "distributed")}
    parsed["workdir"] = os.path.expanduser(parsed["workdir"])
    return ConfigDict({**parsed, "config": FrozenConfigDict(values.config)})
