"""What the tests of sweeps share."""

import csv
import pathlib

from tests.experiment import binary

QUICK = f"--config={binary.ROOT / 'tests' / 'experiment' / 'quick' / 'config.py'}"
TOY = f"--config={binary.ROOT / 'tests' / 'experiment' / 'toy' / 'config.py'}"
NAMES = [f"inner.width={width},rate={rate}" for width in (8, 16) for rate in (0.5, 1.0)]  # of QUICK


def table(root):
    """Returns the rows of results.csv as dicts of text."""
    with open(pathlib.Path(root) / "results.csv", newline="") as file:
        return list(csv.DictReader(file))


def timeless(root):
    """Returns the rows of results.csv without what two runs never share."""
    return [{name: value for name, value in row.items() if name != "wall_time_s"} for row in table(root)]


def tries(root, name):
    """Returns [(pid, step it began at, its GPUs)] of every try of a quick point."""
    path = pathlib.Path(root) / "points" / name / "tries.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(int(pid), int(step), gpus) for pid, step, gpus in (line.split(" ") for line in lines)]


def files(root):
    """Returns {path: content} of every file beneath."""
    return {path: path.read_bytes() for path in pathlib.Path(root).rglob("*") if path.is_file()}


def config_file(folder, sweep, base=binary.ROOT / "tests" / "experiment" / "quick" / "config.py"):
    """Returns --config= of a quick config with another sweep(), whose body is given."""
    text = pathlib.Path(base).read_text()
    (folder / "quick").mkdir(exist_ok=True)
    path = folder / "quick" / "config.py"
    path.write_text(text[: text.index("def sweep")] + f"def sweep():\n    {sweep}\n")
    return f"--config={path}"
