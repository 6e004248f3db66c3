"""metrics.jsonl: one JSON object a line, appended and flushed, with an optional TensorBoard copy.

A resumed run repeats the steps after its last checkpoint and so produces rows that are already in the file.
A row is identified by (stage, step): one that is there already is not written again, so the file of a resumed run
equals that of an uninterrupted one and nothing in it is ever rewritten.
"""

import contextlib
import json
import math
import os
import pathlib

import numpy as np

from experiment.errors import UserError


def plain(value):
    """Returns a value made of JSON's own types; a NaN becomes null, an infinity the text "inf" or "-inf".

    Args:
        value: numbers, strings, None, arrays, and nested dicts, lists and tuples of them.

    Raises:
        TypeError: anything else.
    """
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if not isinstance(value, float):
        if not hasattr(value, "__array__"):
            raise TypeError(f"{type(value).__name__} does not belong in metrics or a summary")
        return plain(np.asarray(value).tolist())
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else str(value)


def _parse(path, text):
    """Returns the rows of whole lines."""
    rows = []
    for number, line in enumerate(text.split("\n")[:-1], start=1):
        try:
            row = json.loads(line)
            if not (line.isascii() and isinstance(row["stage"], str) and isinstance(row["step"], int)):
                raise TypeError
        except (ValueError, KeyError, TypeError, RecursionError):
            raise UserError(f"{path}:{number}: not a metrics row; mend or remove that line") from None
        rows.append(row)
    return rows


class Metrics:
    """The metrics file of one workdir, opened for appending.

    A last line without its newline is what a crash left behind: it is cut off, and the run writes it again.

    Args:
        path: of the file.
        tensorboard_dir: of the copy, none where left out.
        rows: before those of the file; with os.devnull as the file, for a process that leaves the writing to another.
    """

    def __init__(self, path, *, tensorboard_dir=None, rows=()):
        self.path = pathlib.Path(path)
        data = self.path.read_bytes() if self.path.exists() else b""
        whole = data[: data.rfind(b"\n") + 1]
        self._rows = [*rows, *_parse(self.path, whole.decode("utf-8", errors="replace"))]
        if len(whole) < len(data):
            os.truncate(self.path, len(whole))
        self._earlier = {(row["stage"], row["step"]) for row in self._rows}
        self._written = set()
        self._file = self.path.open("a", encoding="utf-8")
        self._tensorboard = _tensorboard(tensorboard_dir)

    def write(self, stage, step, **values):
        """Appends one row, unless an earlier process of this run has written it.

        Raises:
            ValueError: this process has written (stage, step) before.
        """
        key = (stage, int(step))
        if key in self._written:
            raise ValueError(f"metrics row {key} written twice")
        self._written.add(key)
        if key in self._earlier:
            return
        row = plain({"stage": stage, "step": int(step), **values})
        try:
            self._file.write(json.dumps(row) + "\n")
            self._file.flush()
        except OSError as error:
            error.filename = str(self.path)
            raise
        self._rows.append(row)
        if self._tensorboard:
            for name, value in row.items():
                if isinstance(value, (int, float)) and name != "step":
                    self._tensorboard.add_scalar(f"{stage}/{name}", value, key[1])
            self._tensorboard.flush()

    def rows(self, stage=None):
        """Returns the rows written so far, of one stage or of all, in the order of the file."""
        return [row for row in self._rows if stage is None or row["stage"] == stage]

    def close(self):
        """Closes the file and the TensorBoard copy."""
        with contextlib.suppress(OSError):  # every row was flushed, or `write` has said why not
            self._file.close()
        if self._tensorboard:
            self._tensorboard.close()


def _tensorboard(directory):
    if directory is None:
        return None
    try:
        import tensorboardX
    except ImportError:
        raise UserError("--tensorboard needs tensorboardX: pip install 'remeasured[tensorboard]'") from None
    return tensorboardX.SummaryWriter(str(directory))
