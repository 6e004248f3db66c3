"""The command that fuzzes by coverage, for a few seconds."""

import importlib.util
import subprocess
import sys

import pytest

from tests.experiment import binary

needs_atheris = pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="needs atheris: pip install atheris"
)


def fuzz(folder, *words):
    """Returns the finished process of the command, run in a folder."""
    command = [sys.executable, "-m", "tests.fuzz.main", *words]
    return subprocess.run(command, cwd=folder, env=binary.environment(), capture_output=True, text=True, check=False)


@needs_atheris
def test_a_target_is_fuzzed_from_its_seeds(tmp_path):
    done = fuzz(tmp_path, "tree", str(tmp_path / "corpus"), "-runs=3000")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Done 3000 runs" in done.stderr
    assert len(list((tmp_path / "corpus").iterdir())) > 20


@needs_atheris
def test_a_defect_ends_the_search_with_its_input(tmp_path):
    """A module of the same name as the targets' hides them, and holds one that fails."""
    (tmp_path / "broken.py").write_text(
        "import sys\n"
        "from tests.fuzz import main, targets\n"
        "def fail(data):\n"
        "    assert b'!!' not in data\n"
        "targets.TARGETS['tree'] = targets.Target(fail, lambda: [b'a'])\n"
        "main.main(['broken', 'tree', 'corpus', '-max_total_time=30'])\n"
    )
    command = [sys.executable, "broken.py"]
    done = subprocess.run(command, cwd=tmp_path, env=binary.environment(), capture_output=True, text=True, check=False)
    assert done.returncode != 0
    (found,) = tmp_path.glob("crash-*")
    assert b"!!" in found.read_bytes()


def test_without_atheris_the_command_says_so(tmp_path):
    (tmp_path / "atheris.py").write_text("raise ImportError")
    code = f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\n"
    code += "from tests.fuzz import main\nsys.exit(main.main(['', 'tree']))"
    done = subprocess.run([sys.executable, "-c", code], cwd=binary.ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "atheris is not installed: pip install atheris\n"
