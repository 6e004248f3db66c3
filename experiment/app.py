"""The one contract of the binaries: flags, exit statuses, what stdout and stderr carry.

    python -m SYSTEM.main --config=configs/SYSTEM/RUN.py[:ARGS] --workdir=DIR [--config.field=value ...]

The last line on stdout is the summary as JSON; all else goes to stderr. Exit status 0: finished; 2: the user's mistake,
one line; 1: a number that is not finite, one line, or a defect, with its traceback; 143 or 130: saved on a signal.
"""

import contextlib
import difflib
import importlib
import importlib.metadata
import importlib.util
import json
import logging as stdlib_logging
import os
import pathlib
import platform
import re
import sys
import traceback

from absl import flags, logging
from ml_collections import ConfigDict, FrozenConfigDict, config_flags

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

    sys.exit(guarded(body, debug="--debug" in words))


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
    except Interrupted as interrupt:
        print(f"stopped by {interrupt}; the same command resumes", file=sys.stderr)
        return 128 + interrupt.signum
    if text is not None:
        print(text, flush=True)
    return 0


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
    from experiment import workdir as workdirs

    options = parse_flags(system, runs, default_config, argv)
    if options is None:
        return None
    config = json.loads(options.config.to_json_best_effort())
    name = options.config.get("run")
    if name not in runs:
        raise UserError(f"config.run={name!r}: {system} has the runs {', '.join(sorted(runs))}")
    summary = workdirs.read_summary(options.workdir, config)
    if summary is not None:
        logging.info("%s is finished; this is its summary", options.workdir)
        return summary
    start_jax(options.compilation_cache, options.distributed)
    module = importlib.import_module(runs[name])
    with errors.user_errors():
        data = module.load(options.config)
    with workdirs.Workdir(options.workdir, config, signals=signals, tensorboard=options.tensorboard) as workdir:
        figures = module.run(options.config, data, workdir)
        return workdir.finish({"system": system, "run": name, "figures": figures, **_provenance(workdir, config)})


def start_jax(compilation_cache, distributed=False):
    """Turns on the persistent compilation cache and, when asked, joins the cluster job."""
    import jax

    from experiment import mesh

    if compilation_cache != CACHE_OFF:
        jax.config.update("jax_compilation_cache_dir", str(pathlib.Path(compilation_cache).expanduser()))
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
    argv, path, arg = _take_config(argv, default_config)
    location = find_config(path)
    _check_overrides(argv, _try_config(location, arg))
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
    values.config.lock()
    _check_types(values.config)
    parsed = {name: getattr(values, name) for name in ("workdir", "compilation_cache", "tensorboard", "distributed")}
    return ConfigDict({**parsed, "config": FrozenConfigDict(values.config)})


def _take_config(argv, default):
    """Returns (argv without --config, path, argument or None)."""
    rest, value, words = argv[:1], default, iter(argv[1:])
    for word in words:
        if re.fullmatch(r"--?config", word):
            value = next(words, "")
        elif re.match(r"--?config=", word):
            value = word.partition("=")[2]
        else:
            rest.append(word)
    path, colon, arg = value.partition(":")
    return rest, path, arg if colon else None


def find_config(path):
    """Returns where a config file is: as given, or among the configs installed with the project.

    Raises:
        UserError: in neither place.
    """
    if pathlib.Path(path).is_file():
        return pathlib.Path(path)
    spec = importlib.util.find_spec("configs")
    for root in spec.submodule_search_locations if spec else ():
        place = pathlib.Path(root).parent / path
        if path and place.is_file():
            return place
    raise UserError(f"--config={path}: no such file")


def _try_config(location, arg):
    """Returns the config of a file, or raises UserError, naming the line, where it does not load."""
    spec = importlib.util.spec_from_file_location("_config_on_trial", location)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        config = module.get_config(*([] if arg is None else [arg]))
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if pathlib.Path(frame.filename).name == location.name]
        line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else (lines[-1] if lines else None)
        raise UserError(f"{location}:{line or 1}: {type(error).__name__}: {errors.one_line(error)}") from error
    if not isinstance(config, ConfigDict):
        raise UserError(f"{location}: get_config returns {type(config).__name__}, not a ConfigDict")
    return config


def _check_overrides(argv, config):
    """Raises UserError for an override of a field that the config does not have."""
    for word in argv[1:]:
        match = re.match(r"--?(?:no)?config\.([^=]*)", word)
        node, path = config, match.group(1).split(".") if match else []
        for depth, name in enumerate(path):
            if not isinstance(node, ConfigDict) or name not in node:
                known = sorted(node) if isinstance(node, ConfigDict) else []
                close = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known) or 'none'}"
                raise UserError(f"--config.{'.'.join(path[: depth + 1])}: unknown field; {hint}")
            node = node[name]


def _check_types(config, prefix="config"):
    for key, value in config.items():
        if isinstance(value, ConfigDict):
            _check_types(value, f"{prefix}.{key}")
        elif value is not None and not isinstance(value, (int, float, bool, str, tuple)):
            raise UserError(f"{prefix}.{key}: a {type(value).__name__} does not belong in a config; use a tuple")
