"""The table of a sweep and its plot."""

import builtins
import csv
import io
import json
import time
import types

import numpy as np
import pytest

from experiment import figures
from experiment.errors import UserError
from experiment.sweep import plot, points, results


def point(tmp_path, overrides, config, summary=None):
    name = points.name_of(overrides)
    workdir = tmp_path / name
    workdir.mkdir()
    if summary is not None:
        provenance = {"wall_time_s": 1.5, "device": {"kind": "cpu", "count": 2, "platform": "cpu"}}
        (workdir / "summary.json").write_text(json.dumps({"figures": summary, **provenance}))
    return points.Point(name, overrides, config, (), workdir)


def table_of(*given):
    written = {}
    workdir = types.SimpleNamespace(write_file=written.__setitem__)
    sweep = points.Sweep("quick", {}, {}, tuple(given))
    return results.Table(sweep, workdir), written


def test_nested_figures_become_columns():
    tree = {"a": {"b": {"value": 1.5, "sd": None, "seeds": 3}, "c": "inf"}, "ok": True, "d": [1, 2], "word": "x,y"}
    assert results.flat(tree) == {
        "a.b.value": 1.5,
        "a.b.seeds": 3,
        "a.c": float("inf"),
        "ok": True,
        "word": "x,y",
    }


def test_rows_have_every_swept_field_and_keep_what_is_missing_empty(tmp_path):
    config = {"rate": 0.5, "shape": [4, 1], "inner": {"width": 8}}
    table, written = table_of(
        point(tmp_path, {"rate": 1.0}, {**config, "rate": 1.0}, {"risk": {"value": 1 / 3, "sd": 0.1}}),
        point(tmp_path, {"shape": (2, 2)}, {**config, "shape": [2, 2]}, {"other": 2}),
        point(tmp_path, {"inner.width": 3}, {**config, "inner": {"width": 3}}),
        point(tmp_path, {"rate": 2.0}, {**config, "rate": 2.0}),
    )
    table.failed.add("rate=2.0")
    table.write()
    rows = list(csv.DictReader(io.StringIO(written["results.csv"])))
    assert [row["state"] for row in rows] == ["done", "done", "unfinished", "failed"]
    assert [row["config.shape"] for row in rows] == ["(4, 1)", "(2, 2)", "(4, 1)", "(4, 1)"]
    assert [row["config.inner.width"] for row in rows] == ["8", "8", "3", "8"]
    assert float(rows[0]["risk.value"]) == 1 / 3
    assert (rows[0]["other"], rows[1]["other"], rows[1]["risk.value"]) == ("", "2", "")
    assert rows[0]["device"] == "2 x cpu"
    assert list(rows[0])[-2:] == ["wall_time_s", "device"]


def test_a_summary_is_read_once_and_a_new_one_is_noticed(tmp_path):
    first = point(tmp_path, {"rate": 1.0}, {"rate": 1.0}, {"risk": 1})
    second = point(tmp_path, {"rate": 2.0}, {"rate": 2.0})
    table, _ = table_of(first, second)
    assert [row["state"] for row in table.rows()] == ["done", "unfinished"]
    (second.workdir / "summary.json").write_text((first.workdir / "summary.json").read_text())
    (first.workdir / "summary.json").unlink()
    assert [row["state"] for row in table.rows()] == ["done", "done"]


def test_a_long_table_takes_a_small_part_of_the_time(tmp_path, monkeypatch):
    """Writing it at every point would cost the square of their number."""
    given = [point(tmp_path, {"rate": float(place)}, {"rate": float(place)}, {"risk": 1}) for place in range(50)]
    table, _ = table_of(*given)
    clock, written = iter(range(10**6)), []
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(table, "write", lambda: written.append(1))
    for each in given:
        table.note(types.SimpleNamespace(points=[each]))
    assert 1 <= len(written) <= 4
    assert not table.failed


def test_several_versions_of_a_package_are_noticed(tmp_path):
    given = [point(tmp_path, {"rate": rate}, {"rate": rate}, {"risk": 1}) for rate in (1.0, 2.0)]
    for each, jax in zip(given, ("0.11.0", "0.10.2")):
        summary = json.loads((each.workdir / "summary.json").read_text()) | {"versions": {"jax": jax, "numpy": "2.4"}}
        (each.workdir / "summary.json").write_text(json.dumps(summary))
    table, _ = table_of(*given)
    assert table.mixed_versions() == {}
    table.write()
    assert table.mixed_versions() == {"jax": ["0.10.2", "0.11.0"]}


def test_parquet_holds_the_same_rows():
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    rows = [
        {"point": "a", "config.rate": 1, "risk": 0.5, "word": "x", "mixed": 1, "size": 7**25, "ok": True},
        {"point": "b", "config.rate": 2, "risk": 3, "extra": float("inf"), "mixed": "many", "size": 1, "device": "cpu"},
    ]
    back = parquet.read_table(io.BytesIO(results.as_parquet(rows))).to_pylist()
    assert [row["risk"] for row in back] == [0.5, 3.0]
    assert [row["config.rate"] for row in back] == [1, 2]
    assert [row["extra"] for row in back] == [None, float("inf")]
    assert [row["size"] for row in back] == [float(7**25), 1.0]
    assert [row["mixed"] for row in back] == ["1", "many"]
    assert [row["ok"] for row in back] == [True, None]
    assert list(back[0])[-1] == "device"


def test_without_pyarrow_there_is_no_parquet(monkeypatch):
    load = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return load(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    assert results.as_parquet([{"point": "a"}]) is None


def rows_of(**columns):
    """Returns finished rows from columns; a double underscore stands for a dot."""
    names = [name.replace("__", ".") for name in columns]
    return [
        {"point": f"p{place}", "state": "done", **dict(zip(names, values)), "wall_time_s": float(place)}
        for place, values in enumerate(zip(*columns.values()))
    ]


def lines_of(figure, panel=0):
    """Returns {label: (x, y)} of the drawn lines with their markers."""
    drawn = {}
    for container in figure.axes[panel].containers:
        line = container.lines[0]
        drawn[container.get_label()] = (list(line.get_xdata()), list(np.asarray(line.get_ydata())))
    return drawn


def test_a_grid_of_two_numbers_is_drawn_as_lines_over_the_longer_one():
    rows = rows_of(
        config__power=(0.5, 0.25, 0.5, 0.25, 0.5, 0.25),
        config__eta=(1.0, 1.0, 0.1, 0.1, 0.5, 0.5),
        risk__value=(1.0, 2.0, 3.0, 4.0, 5.0, 6.0),
        risk__sd=(0.1,) * 6,
        risk__seeds=(3,) * 6,
    )
    figure, plotted = plot.plot_sweep(rows)
    assert lines_of(figure) == {
        "0.5": ([0.1, 0.5, 1.0], [3.0, 5.0, 1.0]),
        "0.25": ([0.1, 0.5, 1.0], [4.0, 6.0, 2.0]),
    }
    assert figure.axes[0].get_xlabel() == "eta"
    assert figure.axes[0].get_xscale() == "log"
    assert figure.axes[0].get_title() == "bars: sd over 3 seeds"
    assert plotted[0] == {"figure": "risk", "x": 0.1, "line": "0.5", "value": 3.0, "spread": 0.1}
    assert len(plotted) == 6
    assert figures.png(figure)


def test_fields_that_move_together_are_one_axis():
    rows = rows_of(config__a=(1, 2, 3), config__b=(10, 20, 30), risk=(1.0, 2.0, 4.0))
    figure, _ = plot.plot_sweep(rows)
    assert figure.axes[0].get_xlabel() == "a, b"
    assert list(lines_of(figure).values()) == [([1, 2, 3], [1.0, 2.0, 4.0])]


@pytest.mark.parametrize(
    "columns",
    [
        {"config__space": ("s1", "s2", "s3")},
        {"config__cutout": (0, 16, 16), "config__drop": (0.2, 0.0, 0.2), "config__aux": (0.4, 0.4, 0.0)},
    ],
)
def test_points_without_an_order_stand_side_by_side(columns):
    figure, plotted = plot.plot_sweep(rows_of(**columns, risk=(1.0, 2.0, 4.0)))
    assert [row["x"] for row in plotted] == ["p0", "p1", "p2"]
    assert figure.axes[0].get_xlabel() == ", ".join(name.removeprefix("config__") for name in columns)


def test_points_side_by_side_are_named_by_their_values_while_there_is_room():
    columns = {"config__space": ("s1", "s2") * 2, "config__order": ("gap",) * 2 + ("random",) * 2}
    axis = plot.plot_sweep(rows_of(**columns, risk=(1.0, 2.0, 4.0, 3.0)))[0].axes[0]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["s1, gap", "s2, gap", "s1, random", "s2, random"]
    assert axis.get_xlabel() == "space, order"
    many = [f"a word of more than thirty letters {place}" for place in range(60)]
    axis = plot.plot_sweep(rows_of(config__word=many, risk=range(60)))[0].axes[0]
    assert len(axis.get_xticklabels()) < 20
    assert axis.get_xlabel() == "point of sweep.csv"


@pytest.mark.parametrize(
    ("values", "ticks"), [((250, 1000, 4000), ["250", "1000", "4000"]), ((0, 1, 2, 3), ["0", "1", "2", "3"])]
)
def test_the_numbers_along_an_axis_are_those_of_the_points(values, ticks):
    axis = plot.plot_sweep(rows_of(config__a=values, risk=values[::-1]))[0].axes[0]
    assert [label.get_text() for label in axis.get_xticklabels()] == ticks
    assert not axis.get_xticklabels(minor=True)


def test_the_figures_that_differ_are_picked_and_others_can_be_asked_for():
    rows = rows_of(
        config__a=(1, 2),
        same=(1.0, 1.0),
        first__x__value=(1.0, 2.0),
        first__x__sd=(0.1, 0.2),
        first__y__value=(1.0, 3.0),
        second__z__value=(5.0, 6.0),
        word=("a", "b"),
        flag=(True, False),
    )
    figure, plotted = plot.plot_sweep(rows)
    assert list(dict.fromkeys(row["figure"] for row in plotted)) == ["first.x", "first.y", "second.z"]
    _, plotted = plot.plot_sweep(rows, ["same", "second.z"])
    assert list(dict.fromkeys(row["figure"] for row in plotted)) == ["same", "second.z"]
    with pytest.raises(UserError, match=r"--metric=secnd.z: .*second.z.value"):
        plot.plot_sweep(rows, ["secnd.z"])
    assert len(figure.axes) == 4


def test_there_may_be_nothing_to_plot():
    assert plot.plot_sweep([{"point": "a", "state": "failed"}]) is None
    assert plot.plot_sweep([{"point": "a", "state": "done", "config.a": 1, "word": "x"}]) is None


def test_a_figure_that_some_points_lack_is_drawn_for_the_others():
    rows = rows_of(config__a=(1, 2, 3), risk=(1.0, None, float("inf")))
    rows[1].pop("risk")
    rows.append({"point": "p3", "state": "done", "config.a": 4, "risk": 2.0})
    figure, plotted = plot.plot_sweep(rows)
    assert [row["x"] for row in plotted] == [1, 4]
    assert figures.png(figure)
