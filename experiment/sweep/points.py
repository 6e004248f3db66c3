"""The points of a sweep: the overrides that a config file's sweep() gives, checked, typed and named."""

import contextlib
import hashlib
import json
import pathlib
import re
from typing import NamedTuple

from ml_collections import ConfigDict

from experiment import app
from experiment import config as config_files
from experiment.errors import UserError

_LONGEST = 100  # characters of a name
_DIGEST = 8
AS_IT_STANDS = "as_it_stands"  # the point without overrides; every other name has a =


class Point(NamedTuple):
    """One run of a sweep.

    Attributes:
        name: of its directory, made of its overrides alone.
        overrides: {field: value}, typed as the config is.
        config: the whole config, as plain JSON types.
        flags: of the system's binary, the workdir among them.
        workdir: pathlib.Path.
    """

    name: str
    overrides: dict
    config: dict
    flags: tuple
    workdir: pathlib.Path


class Sweep(NamedTuple):
    """A config file's sweep.

    Attributes:
        system: package whose main runs it.
        runs: {name: module} of the system.
        config: the config without any point's overrides, as plain JSON types.
        points: tuple of Point, in the order of sweep().
    """

    system: str
    runs: dict
    config: dict
    points: tuple

    @property
    def fields(self):
        """The swept fields, in the order in which they occur."""
        return tuple(dict.fromkeys(field for point in self.points for field in point.overrides))

    def check_workdirs(self):
        """Raises UserError for a point whose directory holds something else than its run."""
        from experiment import workdir as workdirs

        for point in self.points:
            if point.workdir.exists():
                with _naming(f"point {point.name}"):
                    workdirs.read_summary(point.workdir, point.config)


def read(system, runs, path, arg, base, root, flags=()):
    """Returns the Sweep of a config file.

    Args:
        system: package whose main runs the config.
        runs: {name: module} of the system.
        path: of the config file, as --config has it before the colon.
        arg: behind the colon, or None.
        base: --config.FIELD=VALUE words, for every point.
        root: directory of the sweep; a point's workdir is ROOT/points/NAME.
        flags: of the system's binary, for every point.

    Raises:
        UserError: no sweep() that returns a list of overrides; a point with a field or value that the config refuses,
            that equals another, or that sets a field of `base`.
    """
    location = config_files.find(path)
    raw = config_files.call(location, "sweep")
    if not isinstance(raw, (list, tuple)) or not all(isinstance(point, dict) for point in raw):
        raise UserError(f"{location}: sweep() must return a list of {{field: value}}, one a point")
    if not raw:
        raise UserError(f"{location}: sweep() returns no point; [{{}}] is one, the config as it stands")
    raw = [{field: _of_python(value) for field, value in overrides.items()} for overrides in raw]
    words = [f"--config={location}{':' + arg if arg is not None else ''}", *base, *flags]

    def config_of(own):
        return app.checked_flags(system, runs, str(location), [system, *words, *own, f"--workdir={root}"]).config

    whole = config_of(())
    points, seen = [], {}
    for number, overrides in enumerate(raw, start=1):
        with _naming(f"point {number} of sweep() in {location}"):
            _check_base(base, overrides)
            own = [f"--config.{field}={_text(field, value)}" for field, value in overrides.items()]
            config = config_of(own)
            typed = {field: _value(config, field) for field in overrides}
            _check_kept(overrides, typed)
            name = name_of(typed)
            if name in seen:
                raise UserError(f"{name} is point {seen[name]} already")
            seen[name] = number
            workdir = pathlib.Path(root) / "points" / name
            points.append(Point(name, typed, _plain(config), (*words, *own, f"--workdir={workdir}"), workdir))
    return Sweep(system, runs, _plain(whole), tuple(points))


def name_of(overrides):
    """Returns the directory name of a point: its fields in alphabetical order, with their values.

    Two sets of overrides never share a name: where a value does not fit in letters, digits and `._+-`, or the name is
    long, it ends in a digest of them.

    Args:
        overrides: {field: int, float, bool, str or tuple}.

    >>> name_of({"power": 0.5, "network.width": 64})
    'network.width=64,power=0.5'
    >>> name_of({"search.epsilon": (0.03, 0.1)})
    'search.epsilon=0.03_0.1'
    >>> name_of({"activation": "swish:10"})
    'activation=swish-10~f33d9056'
    """
    words = [(field, *_readable(overrides[field])) for field in sorted(overrides)]
    name = ",".join(f"{field}={word}" for field, word, _ in words) or AS_IT_STANDS
    if len(name) <= _LONGEST and all(exact for *_, exact in words):
        return name
    text = json.dumps({field: repr(value) for field, value in overrides.items()}, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGEST]
    return f"{name[: _LONGEST - _DIGEST - 1]}~{digest}"


def _readable(value):
    """Returns (a word for a file name, whether no other value of its type has it)."""
    if isinstance(value, tuple) and not any(isinstance(item, (str, tuple)) for item in value):
        return "_".join(map(repr, value)), True
    text = value if isinstance(value, str) else repr(value)
    word = re.sub(r"[^A-Za-z0-9._+-]+", "-", text).strip("-") if isinstance(value, (str, tuple)) else text
    return word, word == text


def _text(field, value):
    """Returns a value as a flag takes it."""
    if isinstance(value, dict) or value is None or not isinstance(value, (int, float, bool, str, tuple)):
        hint = "; write its fields as GROUP.FIELD" if isinstance(value, dict) else ""
        raise UserError(f"config.{field}: a {type(value).__name__} cannot be an override{hint}")
    return value if isinstance(value, str) else repr(value)


def _of_python(value):
    """Returns a value, a number of NumPy's as Python's own, also in a tuple."""
    if isinstance(value, tuple):
        return tuple(map(_of_python, value))
    return value.item() if getattr(value, "ndim", None) == 0 else value


def _value(config, field):
    for name in field.split("."):
        config = config[name]
    return config


def _check_kept(overrides, typed):
    """Raises UserError for a value that came out of the flags as another."""
    for field, value in overrides.items():
        if isinstance(typed[field], ConfigDict) or typed[field] != value:
            raise UserError(f"config.{field}={value!r}: is read as {typed[field]!r}; give it the type of the field")


def _check_base(base, overrides):
    """Raises UserError where a point and the command set the same field, for one of them would be without effect."""
    for word in base:
        field = re.match(r"--?(?:no)?config\.([^=]*)", word).group(1)
        for own in overrides:
            if f"{own}.".startswith(f"{field}.") or f"{field}.".startswith(f"{own}."):
                raise UserError(f"{word}: the point sets config.{own} itself; leave the flag out, or edit sweep()")


def _plain(config):
    return json.loads(config.to_json_best_effort())


@contextlib.contextmanager
def _naming(words):
    """Puts the words for a point before a UserError of the block."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{words}: {error}") from error
