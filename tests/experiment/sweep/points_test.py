"""Points: named by their overrides, checked before the first starts."""

import importlib
import pathlib
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiment.sweep import points
from tests.configs.configs_test import CONFIGS, SIZES
from tests.experiment import binary
from tests.experiment.sweep.sweeping import NAMES, QUICK, config_file

NUMBERS = st.one_of(st.integers(), st.floats(allow_nan=False), st.booleans())
VALUES = st.one_of(
    st.integers(),
    st.floats(allow_nan=False),
    st.booleans(),
    st.text(max_size=150),
    st.lists(NUMBERS, max_size=4).map(tuple),
    st.lists(st.text(max_size=5), max_size=3).map(tuple),
)
FIELDS = st.sampled_from(["seed", "eta", "network.width", "network.activation", "regularization"])
OVERRIDES = st.dictionaries(FIELDS, VALUES, max_size=5)


def same_types(one, other):
    """Whether two values may stand in one field of a config."""
    return type(one) is type(other)


@settings(deadline=None)
@given(OVERRIDES)
def test_a_name_is_safe_and_hangs_on_nothing_but_the_overrides(overrides):
    name = points.name_of(overrides)
    assert re.fullmatch(r"[A-Za-z0-9._+,=~-]+", name)
    assert len(name) <= 100
    assert not name.startswith((".", "-"))
    assert points.name_of(dict(reversed(overrides.items()))) == name


@settings(deadline=None)
@given(OVERRIDES, OVERRIDES)
def test_two_points_never_share_a_name(one, other):
    if all(same_types(one[field], other[field]) for field in one.keys() & other.keys()):
        assert (points.name_of(one) == points.name_of(other)) == (repr_of(one) == repr_of(other))


@settings(deadline=None)
@given(FIELDS, st.lists(st.text(alphabet="ab-_ .:", max_size=4), min_size=2, max_size=2, unique=True))
def test_strings_that_look_alike_in_a_file_name_differ(field, texts):
    one, other = ({field: text} for text in texts)
    assert points.name_of(one) != points.name_of(other)


@settings(deadline=None)
@given(st.lists(st.lists(NUMBERS, max_size=3).map(tuple), min_size=2, max_size=2, unique_by=repr))
def test_tuples_of_numbers_differ(values):
    one, other = ({"shape": value} for value in values)
    assert points.name_of(one) != points.name_of(other)


def repr_of(overrides):
    return sorted((field, repr(value)) for field, value in overrides.items())


def test_names_are_readable():
    assert points.name_of({"eta": 0.1, "network.width": 64}) == "eta=0.1,network.width=64"
    assert points.name_of({"shape": (4, 1)}) == "shape=4_1"
    assert points.name_of({"flag": True, "rate": 1e-05}) == "flag=True,rate=1e-05"
    assert points.name_of({"setting": "exact certain"}).startswith("setting=exact-certain~")
    assert points.name_of({"path": "x" * 300}).startswith("path=xxx")
    assert points.name_of({}) == "as_it_stands"


def read(config, *base, system="quick", root="root"):
    main = importlib.import_module(f"{system}.main")
    path, _, arg = config.removeprefix("--config=").partition(":")
    return points.read(system, main.RUNS, path, arg or None, base, root)


def test_points_carry_typed_overrides_and_the_flags_of_the_binary():
    sweep = read(QUICK, "--config.seed=7", root="/r")
    assert [point.name for point in sweep.points] == NAMES
    assert sweep.fields == ("inner.width", "rate")
    last = sweep.points[-1]
    assert last.overrides == {"inner.width": 16, "rate": 1.0}
    assert isinstance(last.overrides["rate"], float)
    assert last.config["inner"]["width"] == 16
    assert last.config["seed"] == 7
    assert last.workdir == pathlib.Path("/r/points") / NAMES[-1]
    assert set(last.flags) >= {"--config.seed=7", "--config.inner.width=16", f"--workdir={last.workdir}"}


def test_tuples_strings_and_numbers_survive_the_flags(tmp_path):
    overrides = {"shape": (3, 2, 1), "word": 'it\'s "b" = c,d', "rate": 1 / 3, "seed": 5, "input": "some file"}
    sweep = read(config_file(tmp_path, f"return [{overrides!r}, {{}}]"))
    assert sweep.points[0].overrides == overrides
    assert sweep.points[0].config["shape"] == [3, 2, 1]
    assert sweep.points[1].name == "as_it_stands"


def test_numbers_of_numpy_are_numbers(tmp_path):
    config = config_file(
        tmp_path,
        "import numpy as np; return [{'rate': r, 'seed': s} for r, s in zip(np.logspace(-2, 0, 3), np.arange(3))]",
    )
    first, *_ = read(config).points
    assert first.name == "rate=0.01,seed=0"
    assert [type(value) for value in first.overrides.values()] == [float, int]


@pytest.mark.parametrize(
    ("sweep", "words"),
    [
        ("return [{'seed': 1}, {'sed': 2}]", "point 2 of sweep.*config.sed: unknown field; did you mean seed"),
        ("return [{'inner.widht': 1}]", "point 1 .*config.inner.widht: unknown field; did you mean width"),
        ("return [{'seed': 0.5}]", "point 1 .*config.seed"),
        ("return [{'seed': 1}, {'seed': 2}, {'seed': 1}]", "point 3 .*seed=1 is point 1 already"),
        ("return [{'rate': 1}, {'rate': 1.0}]", "point 2 .*rate=1.0 is point 1 already"),
        ("return [{'inner': {'width': 3}}]", "point 1 .*config.inner: a dict .*GROUP.FIELD"),
        ("return [{'inner': 3}]", "point 1 .*config.inner"),
        ("return [{'word': None}]", "point 1 .*config.word: a NoneType"),
        ("return [{'shape': [1, 2]}]", "point 1 .*config.shape: a list"),
        ("return [{'word': 3}]", "point 1 .*config.word=3: is read as '3'"),
        ("return [{'seed': -1}]", "point 1 .*config.seed=-1: a seed is a whole number"),
        ("return [{'run': 'jog'}]", "point 1 .*config.run='jog'"),
        ("return []", "returns no point"),
        ("return ({'seed': seed} for seed in (1, 2))", "must return a list"),
        ("return {'seed': 1}", "must return a list"),
        ("return [1 / 0]", r"config.py:\d+: ZeroDivisionError"),
    ],
)
def test_a_bad_point_is_named_before_anything_starts(here, tmp_path, sweep, words):
    status, line, err = here(config_file(tmp_path, sweep), f"--workdir={tmp_path / 'w'}")
    assert (status, line) == (2, None)
    (error,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert re.search(words, error), error
    assert "Traceback" not in err
    assert not (tmp_path / "w").exists()


def test_a_config_without_a_sweep_says_so(here, tmp_path):
    path = tmp_path / "quick"
    path.mkdir()
    (path / "config.py").write_text("from tests.experiment.quick.config import get_config\n")
    status, _, err = here(f"--config={path / 'config.py'}", f"--workdir={tmp_path / 'w'}")
    assert status == 2
    assert "sweep" in err


@pytest.mark.parametrize(
    ("base", "field"),
    [("--config.rate=3", "rate"), ("--config.inner.width=3", "inner.width"), ("--config.inner=3", "inner")],
)
def test_a_field_is_set_by_the_command_or_by_sweep_but_not_by_both(here, tmp_path, base, field):
    status, _, err = here(QUICK, base, f"--workdir={tmp_path / 'w'}")
    assert status == 2
    assert base in err
    assert field in err


@pytest.mark.parametrize("path", CONFIGS, ids=str)
def test_every_sweep_of_the_project_is_made_of_valid_points(path):
    system = path.parts[1]
    for size in SIZES:
        sweep = read(f"--config={binary.ROOT / path}:{size}", system=system)
        assert len({point.name for point in sweep.points}) == len(sweep.points)
        assert len({str(point.config) for point in sweep.points}) == len(sweep.points)
