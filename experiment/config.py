"""Config files: found, loaded, overridden by field, and held against the fields and types they should have.

Every mistake is a UserError that names the field, or the file and line.
"""

import difflib
import importlib.util
import math
import pathlib
import re
import sys
import traceback

from ml_collections import ConfigDict

from experiment.errors import UserError, one_line

_MAX_SEED = 2**31
_LARGEST = {int: 2**53, float: 1e30}  # arithmetic with larger ones overflows somewhere, and no run needs them


def take_flag(argv, default):
    """Returns (argv without --config, path, text behind the colon or None)."""
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


def find(path):
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


def load(location, arg=None):
    """Returns get_config(arg) of a config file.

    Raises:
        UserError: it is not Python, raises, or returns something else; the line is named.
    """
    config = call(location, "get_config", *([] if arg is None else [arg]))
    if not isinstance(config, ConfigDict):
        raise UserError(f"{location}: get_config returns {type(config).__name__}, not a ConfigDict")
    return config


def call(location, function, *args):
    """Returns what a function of a config file returns.

    Raises:
        UserError: the file is not Python or raises; the line is named.
    """
    spec = importlib.util.spec_from_file_location("_config_of_a_run", location)
    if spec is None:
        raise UserError(f"--config={location}: a config is a Python file, with a name that ends in .py")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        return getattr(module, function)(*args)
    except (Exception, SystemExit) as error:
        if isinstance(error, SyntaxError):
            line = error.lineno
        else:
            frames = traceback.extract_tb(error.__traceback__)
            lines = [frame.lineno for frame in frames if pathlib.Path(frame.filename).name == location.name]
            line = lines[-1] if lines else None
        raise UserError(f"{location}:{line or 1}: {type(error).__name__}: {one_line(error)}") from error


def check_overrides(argv, config):
    """Raises UserError for an override of a field that the config does not have."""
    for word in argv[1:]:
        match = re.match(r"--?(?:no)?config\.([^=]*)", word)
        node, path = config, match.group(1).split(".") if match else []
        for depth, name in enumerate(path):
            if not isinstance(node, ConfigDict) or name not in node:
                raise UserError(f"--config.{'.'.join(path[: depth + 1])}: unknown field; {_hint(name, node)}")
            node = node[name]


def check_fields(config, reference, prefix="config"):
    """Raises UserError where a config lacks a field of the reference, has another, or one of another type.

    Args:
        config: ConfigDict.
        reference: ConfigDict; a field that is unset there may have any type, an unset one in config any reference.
    """
    for name in sorted({*config, *reference}):
        field = f"{prefix}.{name}"
        if name not in reference:
            raise UserError(f"{field}: unknown field; {_hint(name, reference)}")
        if name not in config:
            raise UserError(f"{field}: missing; the config of that run in configs/ has it")
        value, like = config[name], reference[name]
        if isinstance(value, ConfigDict) and isinstance(like, ConfigDict):
            check_fields(value, like, field)
        elif not _is_like(value, like):
            raise UserError(f"{field}={value!r}: must be {_kind(like)}, as {like!r} is")


def check_plain(config, prefix="config"):
    """Raises UserError for a value that no config holds, a number too large, or a seed that no generator takes."""
    try:
        items = list(config.items())
    except TypeError:  # they are sorted by name
        raise UserError(f"{prefix}: has a field whose name is no str") from None
    for name, value in items:
        field = f"{prefix}.{name}"
        if isinstance(value, ConfigDict):
            check_plain(value, field)
        elif value is not None and not isinstance(value, (int, float, bool, str, tuple)):
            raise UserError(f"{field}: a {type(value).__name__} does not belong in a config; use a tuple")
        elif name not in ("seed", "seeds"):
            _check_size(field, value)
    for name in ("seed", "seeds") if prefix == "config" else ():
        value = config.get(name, ())
        for seed in value if isinstance(value, tuple) else (value,):
            if not isinstance(seed, int) or not 0 <= seed < _MAX_SEED:
                raise UserError(f"config.{name}={value}: a seed is a whole number from 0 to {_MAX_SEED - 1}")


def _check_size(field, value):
    if isinstance(value, tuple):
        for item in value:
            _check_size(field, item)
    largest = _LARGEST.get(type(value))
    if largest is not None and largest < abs(value) < math.inf:
        raise UserError(f"{field}: a number beyond {largest:.0e}; give a smaller one")


def reference(system, run):
    """Returns the project's own config of a run, or None where it has none of that name."""
    try:
        return load(find(f"configs/{system}/{run}.py"))
    except UserError:
        return None


def _is_like(value, like):
    if value is None or like is None:
        return True
    if isinstance(value, tuple) and isinstance(like, tuple):
        return not like or all(_is_like(item, like[0]) for item in value)
    if type(like) is float:
        return type(value) in (int, float)
    return type(value) is type(like)


def _kind(like):
    if isinstance(like, tuple):
        return "a tuple of " + (type(like[0]).__name__ if like else "values")
    return {"int": "an int", "ConfigDict": "a group of fields"}.get(type(like).__name__, f"a {type(like).__name__}")


def _hint(name, node):
    known = sorted(node) if isinstance(node, ConfigDict) else []
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else f"known here: {', '.join(known) or 'none'}"


def is_asked_for(argv, flag):
    """Returns whether a boolean flag is on, for the moments before flags are parsed."""
    on = False
    for word in argv[1:] if argv is not None else sys.argv[1:]:
        match = re.fullmatch(rf"--?(no)?{flag}(?:=(.*))?", word)
        if match:
            on = match.group(1) is None and (match.group(2) or "true").lower() in ("true", "t", "1", "yes", "y")
    return on
