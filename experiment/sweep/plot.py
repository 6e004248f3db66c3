"""A plot for any sweep: figures of the runs against the fields that the points override."""

import difflib
import math
import textwrap

import numpy as np

from experiment import figures
from experiment.errors import UserError
from experiment.sweep.results import DONE, FIELD

_PANELS = 4
_SERIES = 8  # lines that a panel can hold
_NAMED = 24  # points side by side that it can name
_TICKS = 12  # and numbers along an axis
_BESIDE = ("sd", "se", "std", "seeds", "low", "high", "lower", "upper", "p_value", "count")  # of a value, not figures
_SPREADS = ("sd", "se", "std")
_LOG_RATIO = 8.0  # of the largest over the smallest, from which an axis is logarithmic
_OWN = ("point", "state", "wall_time_s", "device", "runs_together")


def plot_sweep(rows, metrics=()):
    """Returns (figure, plotted points as flat rows), or None where nothing can be plotted.

    The figures are those named, or the first few that differ between points. The horizontal axis is the numeric field
    with the most values, the other fields give the lines; where that leaves lines of single points, the points stand
    side by side.

    Args:
        rows: of experiment.sweep.results.
        metrics: columns, with or without `.value`.

    Raises:
        UserError: a metric that no finished point has.
    """
    done = [row for row in rows if row["state"] == DONE]
    names = [_find(done, name) for name in metrics] if done else []
    names = names or _pick(done)
    if not names:
        return None
    points = _points(done, *_axes(done))
    columns = min(len(names), 2)
    lines = -(-len(names) // columns)
    figure, axes = figures.new(lines, columns, width=4.8)
    plotted = []
    for axis, name in zip(np.ravel(axes), names):
        plotted += _panel(axis, name, points)
    for axis in np.ravel(axes)[len(names) :]:
        axis.set_visible(False)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if any(labels):
        figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=8, title=points[0]["lines"])
    return figure, plotted


def _find(rows, name):
    for column in (name, f"{name}.value"):
        if any(_is_number(row.get(column)) for row in rows):
            return column
    known = [column for column in dict.fromkeys(c for row in rows for c in row) if _is_figure(column, rows)]
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or known[:3]
    raise UserError(f"--metric={name}: no finished point has that number; there are {', '.join(close) or 'none'}")


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_figure(column, rows):
    own = column in _OWN or column.startswith(FIELD) or column.rpartition(".")[2] in _BESIDE
    return not own and any(_is_number(row.get(column)) for row in rows)


def _pick(rows):
    """Returns the figures that differ most often between points, one of each group in turn."""
    groups = {}
    for column in dict.fromkeys(column for row in rows for column in row):
        levels = len({row[column] for row in rows if _is_number(row.get(column))})
        if _is_figure(column, rows) and (levels > 1 or len(rows) == 1):
            groups.setdefault(column.partition(".")[0], []).append((-levels, column))
    turns = [
        (turn, place, column)
        for place, group in enumerate(groups.values())
        for turn, (_, column) in enumerate(sorted(group, key=lambda item: item[0]))
    ]
    return [column for _, _, column in sorted(sorted(turns)[:_PANELS], key=lambda item: (item[1], item[0]))]


def _axes(rows):
    """Returns (fields of the horizontal axis, fields of the lines); without the first, points stand side by side."""
    fields = [column for column in rows[0] if column.startswith(FIELD)]
    levels = {field: list(dict.fromkeys(row[field] for row in rows)) for field in fields}
    varying = [field for field in fields if len(levels[field]) > 1]
    numeric = [field for field in varying if all(map(_is_number, levels[field]))]
    if not numeric:
        return (), ()
    axis = max(numeric, key=lambda field: len(levels[field]))
    tied = [field for field in varying if len({(row[axis], row[field]) for row in rows}) == len(levels[axis])]
    others = tuple(field for field in varying if field not in tied)
    lines = {tuple(row[field] for field in others) for row in rows}
    if len(lines) > _SERIES or len(lines) == len(rows) > 1:
        return (), ()
    return (axis, *(field for field in tied if field != axis)), others


def _points(rows, axis, lines):
    """Returns the rows with what places them: `x`, `x_label`, `line`, `lines`; of points side by side also `name`."""
    fields = [column for column in rows[0] if column.startswith(FIELD)]
    varying = [field for field in fields if len({row[field] for row in rows}) > 1]
    placed = []
    for row in rows:
        place = {
            "x": row[axis[0]] if axis else row["point"],
            "x_label": _words(axis) if axis else _words(varying) or "point",
            "line": _values(row, lines),
            "lines": _words(lines),
        }
        placed.append(row | place | ({} if axis else {"name": _values(row, varying) or row["point"]}))
    return sorted(placed, key=lambda row: row["x"]) if axis else placed


def _words(fields):
    return ", ".join(field.removeprefix(FIELD) for field in fields)


def _values(row, fields):
    return ", ".join(f"{row[field]:g}" if _is_number(row[field]) else str(row[field]) for field in fields)


def _panel(axis, name, points):
    """Draws one figure and returns its plotted points."""
    stem = name.removesuffix(".value")
    spread = next((f"{stem}.{kind}" for kind in _SPREADS if any(f"{stem}.{kind}" in row for row in points)), None)
    points = [row for row in points if _is_number(row.get(name))]
    by_point = "name" in points[0]
    for line in dict.fromkeys(row["line"] for row in points):
        own = [row for row in points if row["line"] == line]
        errors = [row.get(spread) or 0.0 for row in own] if spread else None
        x = range(len(own)) if by_point else [row["x"] for row in own]
        y = [row[name] for row in own]
        axis.errorbar(x, y, errors, fmt="o" if by_point else "o-", ms=4, lw=1.2, capsize=2, label=line or None)
    _scale(axis, points, name, by_point)
    is_crowded = by_point and len(points) > _NAMED
    axis.set_xlabel("point of sweep.csv" if is_crowded else _broken(points[0]["x_label"], 60, ", "), fontsize=9)
    axis.set_ylabel(_broken(stem), fontsize=8)
    seeds = {row.get(f"{stem}.seeds") for row in points} - {None}
    counted = f" over {min(seeds)}{f' to {max(seeds)}' if len(seeds) > 1 else ''} seeds" if seeds else ""
    if spread:
        axis.set_title(f"bars: {spread.rpartition('.')[2]}{counted}", fontsize=8)
    return [
        {"figure": stem, "x": row["x"], "line": row["line"], "value": row[name]}
        | ({"spread": row.get(spread)} if spread else {})
        for row in points
    ]


def _scale(axis, points, name, by_point):
    y = [row[name] for row in points]
    if min(y) > 0 and max(y) / min(y) >= _LOG_RATIO:
        axis.set_yscale("log")
    if by_point and len(points) <= _NAMED:
        names = [textwrap.shorten(row["name"], 32, placeholder="..") for row in points]
        axis.set_xticks(range(len(points)), names, rotation=60, ha="right", fontsize=7)
    if by_point:
        return
    x = sorted({row["x"] for row in points})
    is_log = x[0] > 0 and x[-1] / x[0] >= _LOG_RATIO
    if is_log:
        axis.set_xscale("log")
    gaps = np.diff(np.log(x) if is_log else x)
    if len(x) > 1 and gaps.min() * _TICKS >= gaps.sum():  # the points' own numbers have room
        axis.set_xticks(x, [f"{value:g}" for value in x])
        axis.set_xticks([], minor=True)


def _broken(words, width=36, mark="."):
    """Returns words with marks between them in lines short enough for an axis."""
    lines = [""]
    for word in words.split(mark):
        joined = f"{lines[-1]}{mark}{word}" if lines[-1] else word
        lines = [*lines[:-1], joined] if len(joined) <= width else [*lines, word]
    return "\n".join(line for line in lines if line)
