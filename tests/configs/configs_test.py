"""Every config builds at every size, holds plain values, and says in its docstring how to run it."""

import ast
import importlib
import pathlib

import pytest
from ml_collections import ConfigDict, config_dict

from configs import common
from experiment import app

ROOT = pathlib.Path(__file__).parents[2]
SYSTEMS = ("ntk_asgd", "cqd", "darts_perturb")
CONFIGS = sorted(
    path.relative_to(ROOT)
    for system in SYSTEMS
    for path in (ROOT / "configs" / system).glob("*.py")
    if path.name != "__init__.py"
)
SIZES = ("", "runlocal", "smoke")


def get_config(path, arg):
    return importlib.import_module(".".join(path.with_suffix("").parts)).get_config(arg)


def check_plain(config, prefix=""):
    for key in config:
        value = config.get_ref(key).get() if isinstance(config, ConfigDict) else config[key]
        if isinstance(value, ConfigDict):
            check_plain(value, f"{prefix}{key}.")
        else:
            assert value is None or type(value) in (int, float, bool, str, tuple), f"{prefix}{key}"


@pytest.mark.parametrize("path", CONFIGS, ids=str)
@pytest.mark.parametrize("size", SIZES)
def test_a_config_builds_and_names_a_run_of_its_system(path, size):
    config = get_config(path, size)
    check_plain(config)
    main = importlib.import_module(f"{path.parts[1]}.main")
    assert config.run in main.RUNS
    argv = ["x", f"--config={path}:{size}", "--workdir=w"]
    options = app.parse_flags(path.parts[1], main.RUNS, "", argv)
    assert options.config.run == config.run


@pytest.mark.parametrize("path", CONFIGS, ids=str)
def test_a_config_says_how_to_run_it(path):
    docstring = ast.get_docstring(ast.parse((ROOT / path).read_text()))
    assert f"python -m {path.parts[1]}.main --config={path}" in " ".join(docstring.split())
    with pytest.raises(ValueError, match="unknown config argument"):
        get_config(path, "no_such_size")


@pytest.mark.parametrize("path", CONFIGS, ids=str)
def test_a_sweep_overrides_fields_that_exist(path):
    module = importlib.import_module(".".join(path.with_suffix("").parts))
    points = module.sweep()
    assert points
    for point in points:
        config = module.get_config()
        config.update_from_flattened_dict(point)


def test_arguments_are_strict_and_typed():
    assert common.parse_arg("", a=1, b=False).to_dict() == {"a": 1, "b": False}
    assert common.parse_arg("b,a=3", a=1, b=False).to_dict() == {"a": 3, "b": True}
    for arg, words in (("c", "unknown config argument 'c'"), ("a=x", "a='x' is not of type int"), ("b=maybe", "bool")):
        with pytest.raises(ValueError, match=words):
            common.parse_arg(arg, a=1, b=False)


def test_a_placeholder_takes_a_value_of_its_type():
    config = ConfigDict({"path": config_dict.placeholder(str)})
    check_plain(config)
    config.path = "x"
    check_plain(config)
