"""Runs the notebooks and stores what they show: python colab/rebuild.py [NAME ...], all of them where none is named.

Needs nbclient and ipykernel (`pip install -e '.[test]'`). Counts, timings and versions are left out of the files, so
that a notebook changes where its text, its code or its results do.
"""

import base64
import io
import pathlib
import sys
import tempfile

import nbclient
import nbformat
from PIL import Image

FOLDER = pathlib.Path(__file__).parent
NAMES = ("ntk_asgd", "cqd", "darts_perturb", "report")
COLOURS = 48  # of a stored picture: a third of the bytes, and the eye sees no difference
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def executed(notebook, *, cwd, kernel="python3", timeout=600):
    """Returns a notebook with the outputs of a new run, and nothing in it that changes from run to run.

    Args:
        notebook: as `nbformat.read` gives it.
        cwd: directory that its kernel works in.
        kernel: name of a Jupyter kernel.
        timeout: seconds a cell.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell has failed.
    """
    client = nbclient.NotebookClient(
        notebook,
        kernel_name=kernel,
        timeout=timeout,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(cwd)}},
    )
    client.execute()
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({})
        if cell.cell_type == "code":
            cell.execution_count = None
            for output in cell.outputs:
                if "execution_count" in output:
                    output.execution_count = None
                if "image/png" in output.get("data", ()):
                    output.data["image/png"] = smaller(output.data["image/png"])
    return notebook


def smaller(png):
    """Returns a PNG in base64 with a palette of few colours."""
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB").quantize(COLOURS)
    buffer = io.BytesIO()
    picture.save(buffer, format="png", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def main(names):
    """Runs the named notebooks and writes them back."""
    for name in names or NAMES:
        path = FOLDER / f"{name}.ipynb"
        with tempfile.TemporaryDirectory() as cwd:
            nbformat.write(executed(nbformat.read(path, as_version=4), cwd=cwd), path)
        print(f"{path.name}: {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
