"""The flags of a sweep."""

import ast
import importlib
import importlib.util
import pathlib
import re
from typing import NamedTuple

from absl import flags

from experiment import app
from experiment import config as config_files
from experiment.errors import UserError

_BASE = r"--?(?:no)?config\."
_OPTION = r"--?(slurm|ray)\.(\w+)=(.*)"


class Command(NamedTuple):
    """What a command line asks for.

    Attributes:
        system: package whose main runs the config.
        runs: {name: module} of the system.
        path: of the config file, as given.
        arg: behind its colon, or None.
        base: --config.FIELD=VALUE words, for every point.
        root: pathlib.Path of the sweep's directory.
        options: {name: value} of the backend.
        flags: the others, parsed.
    """

    system: str
    runs: dict
    path: str
    arg: str | None
    base: tuple
    root: pathlib.Path
    options: dict
    flags: flags.FlagValues

    @property
    def own_flags(self):
        """The flags that the binary of every point gets as they are."""
        given = (f"--compilation_cache={self.flags.compilation_cache}",)
        given += ("--tensorboard",) if self.flags.tensorboard else ()
        return given + ((f"--mesh={self.flags.mesh}",) if self.flags.mesh else ())


def parse(argv, words):
    """Returns the Command, or None where help was asked for and printed.

    Args:
        argv: as sys.argv.
        words: that the help begins with.

    Raises:
        UserError: an unknown flag, one that is missing, or one of another backend.
    """
    values = _flags()
    if any(word in ("--help", "-h", "-help") for word in argv[1:]):
        print(f"{words}\n{values.get_help()}")
        return None
    argv, path, arg = config_files.take_flag(list(argv), "")
    base = tuple(word for word in argv[1:] if re.match(_BASE, word))
    options = {"local": {}, "slurm": {}, "ray": {}}
    for match in filter(None, (re.fullmatch(_OPTION, word) for word in argv[1:])):
        options[match.group(1)][match.group(2)] = _value(match.group(3))
    try:
        rest = values([word for word in argv if not re.match(_BASE, word) and not re.fullmatch(_OPTION, word)])
    except flags.Error as error:
        raise UserError(str(error)) from error
    if len(rest) > 1:
        raise UserError(f"unexpected argument {rest[1]!r}; flags start with -- and have their value behind a =")
    if not path:
        raise UserError("--config=configs/SYSTEM/RUN.py is missing: the config whose sweep() is run")
    if not values.workdir:
        raise UserError("--workdir=DIR is missing: the directory of the sweep")
    for name, given in options.items():
        if given and values.backend != name:
            raise UserError(f"--{name}.{min(given)}: has no meaning with --backend={values.backend}")
    if values.vectorize_size and not values.vectorize:
        raise UserError("--vectorize_size: has no meaning without --vectorize")
    root = pathlib.Path(values.workdir).expanduser().absolute()
    return Command(*_system(path, values.system), path, arg, base, root, options[values.backend], values)


def _flags():
    values = flags.FlagValues()
    flags.DEFINE_string("workdir", None, "Directory of the sweep.", flag_values=values)
    flags.DEFINE_enum("backend", "local", ["local", "slurm", "ray"], "Where points run.", flag_values=values)
    flags.DEFINE_integer("num_workers", None, "Points at a time.", lower_bound=1, flag_values=values)
    flags.DEFINE_integer("max_retries", 3, "How often a broken point is started again.", 0, flag_values=values)
    flags.DEFINE_list("metric", [], "Figures to plot; by default the first that differ.", flag_values=values)
    flags.DEFINE_bool("vectorize", False, "Run points of other traced numbers as one program.", flag_values=values)
    flags.DEFINE_integer("vectorize_size", None, "Points a program at most.", lower_bound=1, flag_values=values)
    flags.DEFINE_string("system", None, "Package that runs the config; by default its folder.", flag_values=values)
    flags.DEFINE_string("compilation_cache", app.default_cache(), "As for the systems.", flag_values=values)
    flags.DEFINE_bool("tensorboard", False, "As for the systems.", flag_values=values)
    flags.DEFINE_string("mesh", "", "As for the systems.", flag_values=values)
    flags.DEFINE_bool("debug", False, "Show the traceback of an error.", flag_values=values)
    return values


def _value(text):
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _system(path, given):
    """Returns (the package whose main runs a config file, its runs)."""
    name = given or config_files.find(path).absolute().parent.name
    try:
        found = importlib.util.find_spec(f"{name}.main")
    except (ImportError, ValueError):
        found = None
    runs = getattr(importlib.import_module(f"{name}.main"), "RUNS", None) if found else None
    if runs is None:
        raise UserError(f"--config={path}: no package {name!r} runs it; name the one that does with --system=NAME")
    return name, runs
