"""Targets over what a run is started from and leaves: overrides, config arguments, metrics, summaries."""

import functools
import importlib
import json
import os
import tempfile
from pathlib import Path

from ml_collections import ConfigDict

from experiment import app, metrics, workdir
from experiment import config as config_files
from tests.fuzz import pieces
from tests.fuzz.outcome import due, refusal

SYSTEMS = (
    ("cqd", "configs/cqd/ask.py"),
    ("cqd", "configs/cqd/countries.py"),
    ("ntk_asgd", "configs/ntk_asgd/rates.py"),
    ("darts_perturb", "configs/darts_perturb/digits.py"),
    ("darts_perturb", "configs/darts_perturb/retrain.py"),
)
_FLAGS = r"config|--|flag|unexpected argument|FATAL|unknown|expected"


@functools.cache
def runs(system):
    return importlib.import_module(f"{system}.main").RUNS


def overrides(data):
    """Words of a command line, one a line; the first byte says whose. A field keeps the type of its config."""
    system, path = SYSTEMS[data[0] % len(SYSTEMS)] if data else SYSTEMS[0]
    words = data[1:].decode("utf-8", "surrogateescape").split("\n")
    words = [word for word in words if "\0" not in word and "flagfile" not in word and "help" not in word]
    argv = [system, f"--config={path}", "--workdir=/nowhere", *words]
    found, _ = refusal(lambda: app.checked_flags(system, runs(system), path, argv), _FLAGS)
    if found is None:
        return
    json.dumps(app._plain(found.config))
    same_types(found.config, config_files.reference(system, found.config.run))


def same_types(config, reference):
    """Holds every field against the type that the project's own config gives it."""
    due(set(config) == set(reference), "other fields")
    for name, like in reference.items():
        value = config[name]
        if isinstance(like, ConfigDict):
            same_types(value, like)
        elif like is not None and value is not None:
            due(isinstance(value, type(like)), f"{name}={value!r}, not like {like!r}")
            due(isinstance(value, bool) == isinstance(like, bool), f"{name}={value!r}, not like {like!r}")


def metrics_file(data):
    """A metrics.jsonl gives the rows that are its lines, or is refused by line; nothing whole is lost of it."""
    path = Path(tempfile.gettempdir()) / "fuzzed_metrics.jsonl"
    path.write_bytes(data)
    found, _ = refusal(lambda: metrics.Metrics(path), r"PATH:\d+: ", path)
    if found is None:
        due(path.read_bytes() == data, "a refused file is changed")
        return
    whole = data[: data.rfind(b"\n") + 1]
    due(
        found.rows() == [json.loads(line) for line in whole.decode("utf-8", "replace").split("\n")[:-1]],
        "other rows than lines",
    )
    found.write("fuzz", 10**9, value=1.0)
    found.close()
    due(path.read_bytes().startswith(whole), "a whole line is lost")


WORKDIR = ("config.json", "inputs.json", "summary.json")
CONFIG = {"run": "walk", "steps": 3, "rate": 0.5, "inner": {"deep": True, "names": ["a"]}}


def workdir_files(data):
    """The JSON files of a workdir: a summary that can be printed, an unfinished run, or refused."""
    files = pieces.split(data, WORKDIR)
    if any(os.path.isdir(name) for name in _names(files.get("inputs.json", b""))):
        return  # the folders of this machine are not to be read
    path = pieces.write(Path(tempfile.gettempdir()) / "fuzzed_workdir", files)
    found, _ = refusal(lambda: workdir.read_summary(path, CONFIG), "PATH", path)
    if found is not None:
        json.dumps(found, allow_nan=False)
        due("figures" in found, "no summary")


def _names(content):
    """Returns the keys of a JSON object, none of anything else."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return ()
    return tuple(found) if isinstance(found, dict) else ()


def config_argument(data):
    """What stands behind the colon of --config."""
    _, path = SYSTEMS[data[0] % len(SYSTEMS)] if data else SYSTEMS[0]
    text = data[1:].decode("utf-8", "surrogateescape")
    if "\0" not in text:
        refusal(lambda: config_files.load(config_files.find(path), text), r"PATH:\d+: .*config argument", path)


def config_file(path, source):
    """A config file of a user's, which is run as Python: a config of its run, or refused by line or by field."""
    path.write_bytes(source)
    argv = ["cqd", f"--config={path}", "--workdir=/nowhere"]
    found, _ = refusal(lambda: app.checked_flags("cqd", runs("cqd"), str(path), argv), r"PATH:\d+: |config", path)
    if found is not None:
        json.dumps(app._plain(found.config))
        same_types(found.config, config_files.reference("cqd", found.config.run))
