"""The table of a sweep: one row a point, with its overrides and every scalar figure of its summary."""

import io
import json

from experiment import figures
from experiment.sweep.points import Point

FIELD = "config."  # before the columns of the overrides
DONE, FAILED, UNFINISHED = STATES = ("done", "failed", "unfinished")


class Table:
    """Writes the rows of a sweep; every summary is read once.

    Args:
        sweep: experiment.sweep.points.Sweep.
        workdir: experiment.workdir.Workdir of the sweep.

    Attributes:
        failed: names of the points that failed.
    """

    def __init__(self, sweep, workdir):
        self._sweep, self._workdir = sweep, workdir
        self._done = {}
        self.failed = []

    def note(self, job):
        """Takes a job that is done or failed, and writes the table."""
        unfinished = [point.name for point in job.points if not (point.workdir / "summary.json").exists()]
        self.failed += unfinished
        self.write()

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
                self._done[point.name] = _figures(point)
            state = DONE if point.name in self._done else FAILED if point.name in self.failed else UNFINISHED
            fields = {f"{FIELD}{field}": value_of(point, field) for field in self._sweep.fields}
            rows.append({"point": point.name, "state": state, **fields, **self._done.get(point.name, {})})
        return rows


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
        if kinds == {int, float}:
            values = [None if value is None else float(value) for value in values]
        elif len(kinds) > 1:
            values = [None if value is None else str(value) for value in values]
        arrays[name] = pyarrow.array(values)
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(arrays), buffer)
    return buffer.getvalue()


def _figures(point):
    summary = json.loads((point.workdir / "summary.json").read_text(encoding="utf-8"))
    device = summary["device"]
    return flat(summary["figures"]) | {
        "wall_time_s": summary["wall_time_s"],
        "device": f"{device['count']} x {device['kind']}",
    }
