"""The table of a sweep: one row a point, with its overrides and every scalar figure of its summary."""

import io
import json
import math
import time

from experiment import figures
from experiment.errors import UserError
from experiment.sweep.points import Point

FIELD = "config."  # before the columns of the overrides
DONE, FAILED, UNFINISHED = STATES = ("done", "failed", "unfinished")
_SHARE = 0.05  # of the driver's time for tables, each of which costs more the longer it is


class Table:
    """Writes the rows of a sweep; every summary is read once.

    Args:
        sweep: experiment.sweep.points.Sweep.
        workdir: experiment.workdir.Workdir of the sweep.

    Attributes:
        failed: set of the names of the points that failed.
    """

    def __init__(self, sweep, workdir):
        self._sweep, self._workdir = sweep, workdir
        self._done, self._versions = {}, {}
        self._due = -math.inf
        self.failed = set()

    def note(self, job):
        """Takes a job that is done or failed; writes the table, unless that would take a good part of the time."""
        self.failed.update(point.name for point in job.points if not (point.workdir / "summary.json").exists())
        start = time.monotonic()
        if start >= self._due:
            self.write()
            self._due = time.monotonic() + (time.monotonic() - start) / _SHARE

    def write(self):
        """Writes results.csv, and results.parquet where pyarrow is installed; returns the rows."""
        rows = self.rows()
        self._workdir.write_file("results.csv", as_csv(rows))
        parquet = as_parquet(rows)
        if parquet is not None:
            self._workdir.write_file("results.parquet", parquet)
        return rows

    def rows(self):
        """Returns one row a point, in the order of sweep()."""
        rows = []
        for point in self._sweep.points:
            if point.name not in self._done and (point.workdir / "summary.json").exists():
                self._read(point)
            state = DONE if point.name in self._done else FAILED if point.name in self.failed else UNFINISHED
            fields = {f"{FIELD}{field}": value_of(point, field) for field in self._sweep.fields}
            rows.append({"point": point.name, "state": state, **fields, **self._done.get(point.name, {})})
        return rows

    def _read(self, point):
        summary = json.loads((point.workdir / "summary.json").read_text(encoding="utf-8"))
        self._done[point.name] = _figures(summary)
        for package, version in summary.get("versions", {}).items():
            self._versions.setdefault(package, set()).add(version)

    def mixed_versions(self):
        """Returns {package: its versions, sorted} of what the finished points did not all run with one version of."""
        return {name: sorted(versions) for name, versions in self._versions.items() if len(versions) > 1}


def check_place(root):
    """Raises UserError where the tables would take the place of files that no sweep wrote."""
    if not (root / "config.json").exists():
        for name in ("results.csv", "results.parquet"):
            if (root / name).exists():
                raise UserError(f"--workdir={root}: has {name} but no config.json; choose another directory")


def value_of(point: Point, field):
    """Returns a point's value of a field that it or another point overrides; a tuple as text."""
    value = point.config
    for name in field.split("."):
        value = value[name]
    value = point.overrides.get(field, tuple(value) if isinstance(value, list) else value)
    return repr(value) if isinstance(value, tuple) else value


def flat(tree, prefix=""):
    """Returns {dotted name: scalar} of nested dicts, without lists and what is missing.

    >>> flat({"risk": {"value": 0.5, "sd": None}, "path": [1, 2], "worst": "inf"})
    {'risk.value': 0.5, 'worst': inf}
    """
    found = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{name}.")
        elif value in ("inf", "-inf"):
            found[f"{prefix}{name}"] = float(value)
        elif value is not None and not isinstance(value, list):
            found[f"{prefix}{name}"] = value
    return found


def columns(rows):
    """Returns every column that occurs, those of all rows' beginnings first and the run's own at the end."""
    last = ("wall_time_s", "device")
    names = dict.fromkeys(name for row in rows for name in row)
    return [name for name in names if name not in last] + [name for name in last if name in names]


def as_csv(rows):
    """Returns the rows as CSV text; what a row has not is empty."""
    names = columns(rows)
    return figures.table([{name: row.get(name) for name in names} for row in rows])


def as_parquet(rows):
    """Returns the rows as a Parquet file's bytes, or None where pyarrow is not installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        return None
    arrays = {}
    for name in columns(rows):
        values = [row.get(name) for row in rows]
        kinds = {type(value) for value in values if value is not None}
        is_long = kinds == {int} and any(value is not None and abs(value) >= 2**63 for value in values)
        if kinds == {int, float} or is_long:
            values = [None if value is None else float(value) for value in values]
        elif len(kinds) > 1:
            values = [None if value is None else str(value) for value in values]
        arrays[name] = pyarrow.array(values)
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(arrays), buffer)
    return buffer.getvalue()


def _figures(summary):
    device = summary["device"]
    return flat(summary["figures"]) | {
        "wall_time_s": summary["wall_time_s"],
        "device": f"{device['count']} x {device['kind']}",
    }
