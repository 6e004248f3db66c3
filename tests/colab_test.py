"""The notebooks run from top to bottom, and what is stored of them is clean, small and up to date.

They run through nbclient, by the function that stores their outputs: nbmake wants a flag of its own on pytest's command
line, and it looks at nothing but whether a cell fails, where size and words of the outputs matter here too.
"""

import importlib.util
import json
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig

import nbformat
import pytest

ROOT = pathlib.Path(__file__).parents[1]
FOLDER = ROOT / "colab"
LARGEST = 200_000  # bytes of outputs, as JSON
NOISE = re.compile(
    r"(?<![\w.])/(?:[a-z]+/|tmp)|Traceback|WARNING|[A-Z]\w*(?:Error|Warning)\b|site-packages|^error:", re.M
)
_SPEC = importlib.util.spec_from_file_location("rebuild", FOLDER / "rebuild.py")
rebuild = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(rebuild)

# Where an install cell would run pip, this says what it asks for.
DRIVER = """
import importlib.metadata, subprocess, sys, types

def run(argv, **options):
    print(" ".join(argv[1:]))
    return types.SimpleNamespace(returncode=int(sys.argv[2]), stderr="no such wheel")

subprocess.run = run
sys.modules["numpy"] = types.SimpleNamespace(__version__="2.0.2", __spec__=None)
try:
    exec(sys.argv[1])
except importlib.metadata.PackageNotFoundError:  # pip has not installed jax
    print("path:", sys.path[0])
"""


def read(name):
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def install_cell(notebook):
    return next(cell for cell in notebook.cells if cell.cell_type == "code")


def outputs(notebook):
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def words(notebook):
    """Returns the text of all outputs."""
    texts = []
    for output in outputs(notebook):
        texts += [output.get("text", ""), *(v for kind, v in output.get("data", {}).items() if kind != "image/png")]
    return "\n".join(texts)


def kinds(notebook):
    """Returns the kinds of output of every cell."""
    return [
        [(each.output_type, each.get("name"), sorted(each.get("data", ()))) for each in cell.outputs]
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def check_outputs(notebook):
    assert outputs(notebook)
    assert len(json.dumps(outputs(notebook))) <= LARGEST
    assert not [each for each in outputs(notebook) if each.output_type == "error" or each.get("name") == "stderr"]
    assert not NOISE.search(words(notebook))


@pytest.fixture
def jupyter(tmp_path, monkeypatch):
    """Keeps the kernels' own files out of the user's home; returns an empty directory to work in."""
    from matplotlib import font_manager, get_cachedir  # made here: a kernel that makes the list of fonts says so

    assert font_manager.fontManager.ttflist
    monkeypatch.setenv("MPLCONFIGDIR", get_cachedir())
    for name in ("IPYTHONDIR", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    work = tmp_path / "work"
    work.mkdir()
    return work


def test_every_notebook_is_named():
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == sorted(rebuild.NAMES)


@pytest.mark.parametrize("name", rebuild.NAMES)
def test_stored_notebook_is_clean(name):
    notebook = read(name)
    nbformat.validate(notebook)
    assert notebook.metadata == rebuild.METADATA
    ids = [cell["id"] for cell in json.loads((FOLDER / f"{name}.ipynb").read_text())["cells"]]  # nbformat mends them
    assert len(set(ids)) == len(ids)
    assert all(cell.metadata == {} for cell in notebook.cells)
    assert {cell.execution_count for cell in notebook.cells if cell.cell_type == "code"} == {None}
    check_outputs(notebook)


def test_one_install_cell_for_all():
    cells = {install_cell(read(name)).source for name in rebuild.NAMES}
    assert len(cells) == 1


@pytest.mark.parametrize("name", rebuild.NAMES)
def test_notebook_runs_and_shows_what_is_stored(name, jupyter):
    stored = read(name)
    made = rebuild.executed(nbformat.from_dict(stored), cwd=jupyter)
    check_outputs(made)
    assert kinds(made) == kinds(stored), f"python colab/rebuild.py {name} stores what it shows now"


def run_install(cwd, *, wheel="", status=0):
    """Returns what the install cell prints where nothing is installed, pip only pretended."""
    source = install_cell(read("cqd")).source.replace('WHEEL = ""', f"WHEEL = {wheel!r}")
    command = [sys.executable, "-I", "-S", "-c", DRIVER, source, str(status)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("folder", [ROOT, FOLDER], ids=["root", "colab"])
def test_install_from_a_clone(folder):
    done = run_install(folder)
    words = done.stdout.splitlines()
    assert words[0].split()[:3] == ["-m", "pip", "install"]
    assert words[0].endswith(f"--editable {ROOT} numpy==2.0.2")
    assert words[1] == f"path: {ROOT}"  # else the running kernel would not see it


def test_install_from_a_wheel(tmp_path):
    assert "ROOT/x.whl numpy==2.0.2" in run_install(FOLDER, wheel="ROOT/x.whl").stdout
    (tmp_path / "remeasured-0.1.0-py3-none-any.whl").touch()
    assert "remeasured-0.1.0-py3-none-any.whl numpy==2.0.2" in run_install(tmp_path).stdout


def test_install_says_what_is_missing(tmp_path):
    nothing = run_install(tmp_path)
    assert nothing.stdout == ""
    assert nothing.stderr.splitlines()[-1].startswith("RuntimeError: nothing to install: set WHEEL")
    refused = run_install(tmp_path, wheel="x.whl", status=1)
    assert refused.stderr.splitlines()[-2:] == ["RuntimeError: pip could not install x.whl:", "no such wheel"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Returns the project's wheel, built from a copy of the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    skipped = shutil.ignore_patterns(".git", "build", "out", "*.egg-info", "__pycache__", "tests")
    shutil.copytree(ROOT, folder / "sources", ignore=skipped)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(folder / "sources")]
    subprocess.run(command, check=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """Returns the Python of a new environment that has all this one has but the project."""
    folder = tmp_path_factory.mktemp("fresh")
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    others = folder / "others"
    others.mkdir()
    for path in pathlib.Path(sysconfig.get_paths()["purelib"]).iterdir():
        if not re.search(r"remeasured|\.pth$|^pip\b|^pip-", path.name):
            (others / path.name).symlink_to(path)
    (site,) = (folder / "venv").glob("lib/python*/site-packages")
    (site / "others.pth").write_text(f"{others}\n")
    return folder / "venv" / "bin" / "python"


@pytest.mark.slow
@pytest.mark.parametrize("name", rebuild.NAMES)
def test_notebook_runs_from_a_wheel(name, wheel, fresh, jupyter, monkeypatch):
    subprocess.run([fresh, "-m", "pip", "uninstall", "-q", "-y", "remeasured"], check=True)
    (jupyter / wheel.name).symlink_to(wheel)
    kernel = jupyter / "kernels" / "fresh"
    kernel.mkdir(parents=True)
    words = {"argv": [str(fresh), "-m", "ipykernel_launcher", "-f", "{connection_file}"], "display_name": "fresh"}
    (kernel / "kernel.json").write_text(json.dumps(words))
    monkeypatch.setenv("JUPYTER_PATH", str(jupyter))
    notebook = read(name)
    place = "import importlib.metadata, configs, cqd, experiment, ntk_asgd\n"
    place += "print([module.__file__ for module in (configs, cqd, experiment, ntk_asgd)])"
    notebook.cells.append(nbformat.v4.new_code_cell(place))
    again = install_cell(notebook).source.replace("subprocess.run(", "unknown(")  # a second time it installs nothing
    notebook.cells.append(nbformat.v4.new_code_cell(again))
    made = rebuild.executed(notebook, cwd=jupyter, kernel="fresh")
    files = made.cells[-2].outputs[0].text
    assert files.count(str(fresh.parents[1])) == 4
    assert str(ROOT) not in files
    assert made.cells[-1].outputs[0].text.startswith("ready")
