"""Holds the floors: reproduce over the three systems over experiment, and main over runs over algorithms inside."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
SYSTEMS = ("ntk_asgd", "cqd", "darts_perturb")
FLOORS = ("experiment", *SYSTEMS, "reproduce", "configs")
MATHS = {
    "ntk_asgd": {"jax", "numpy", "scipy"},
    "cqd": {"jax", "numpy", "scipy", "optax", "flax"},
    "darts_perturb": {"jax", "numpy", "scipy", "optax", "flax"},
}
LAZY = {  # imported inside the functions that need them, and by nothing else
    "experiment": {"orbax", "tqdm", "tensorboardX", "matplotlib", "cycler", "scipy", "submitit", "ray", "pyarrow"},
    "ntk_asgd": {"matplotlib", "sklearn"},
    "cqd": {"matplotlib", "rdflib", "pyoxigraph", "sklearn"},
    "darts_perturb": {"matplotlib", "sklearn", "skimage"},
    "reproduce": {"scipy"},
}
SOURCES = sorted(path for floor in FLOORS for path in (ROOT / floor).rglob("*.py"))


def imports(path):
    """Yields (imported dotted name, whether at the top of the module)."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = set(ast.walk(ast.Module([node for node in tree.body if not _is_definition(node)], [])))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            yield name, node in top


def _is_definition(node):
    return isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))


def allowed(path):
    """Returns (floors and packages a file may import at its top, packages it may import inside functions)."""
    parts = path.relative_to(ROOT).parts
    floor = parts[0]
    if floor == "configs":
        return {"configs", "ml_collections"}, set()
    if floor == "experiment":
        return {"experiment", "jax", "numpy", "absl", "ml_collections"}, LAZY[floor]
    if floor == "reproduce":
        return {"reproduce", "experiment", "absl", *SYSTEMS}, LAZY[floor]
    if parts[1] in ("runs", "main.py"):
        return {floor, "experiment", "absl", *MATHS[floor]}, LAZY[floor]
    if floor == "cqd" and parts[1] == "data":
        return {"cqd"}, {"countryinfo"}  # the script that made the embedded graph; no run needs it
    return {floor, *MATHS[floor]}, LAZY[floor]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path):
    at_top, inside = allowed(path)
    for name, is_top in imports(path):
        package = name.split(".")[0]
        if package in sys.stdlib_module_names:
            continue
        assert package in (at_top if is_top else at_top | inside), f"{path} imports {name}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_runs_are_imported_by_main_alone(path):
    parts = path.relative_to(ROOT).parts
    if parts[0] not in SYSTEMS or parts[1] in ("main.py", "runs"):
        return
    for name, _ in imports(path):
        assert not name.startswith((f"{parts[0]}.runs", f"{parts[0]}.main")), f"{path} imports {name}"


def test_configs_import_nothing_but_common():
    for path in (ROOT / "configs").rglob("*.py"):
        for name, _ in imports(path):
            assert name.split(".")[0] in {"ml_collections", "itertools", "math"} or name.startswith("configs.common"), (
                path
            )


def test_importing_everything_runs_nothing():
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in SOURCES
        if path.name != "make_countries.py"
    ]
    heavy = sorted(set().union(*LAZY.values()) - {"scipy"})
    program = f"""
import importlib, sys
for module in {modules!r}:
    importlib.import_module(module)
from jax._src import xla_bridge
assert not xla_bridge.backends_are_initialized(), "an import computed something"
loaded = [name for name in {heavy!r} if name in sys.modules]
assert not loaded, f"imported at the top: {{loaded}}"
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
