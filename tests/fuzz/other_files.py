"""Targets over other files that a user gives: pickles, trained predictors, tables of accuracies, images."""

import tempfile
from collections import defaultdict, deque
from pathlib import Path

import numpy as np

from cqd import predictor, safe_files, trained
from darts_perturb import tabular
from experiment import images
from tests.fuzz import pieces
from tests.fuzz.outcome import due, refusal

PLAIN = {dict, list, tuple, set, frozenset, defaultdict, deque, int, float, str, bytes, bytearray, bool, type(None)}
PREDICTOR = ("model", *(f"table_{name}" for name in ("entity", "relation", "subject")), "entities", "relations")
PREDICTOR += ("train", "valid", "test", "all")
IMAGES = ("x_train", "y_train", "x_test", "y_test")


def place(name):
    """Returns the file that all inputs of this process are written to."""
    return Path(tempfile.gettempdir()) / f"fuzzed_{name}"


def any_pickle(data):
    """A pickle gives plain containers or is refused."""
    path = place("x.pkl")
    path.write_bytes(data)
    found, line = refusal(lambda: safe_files.pickled(path), "PATH", path)
    if line is None:
        waiting, seen = [found], set()
        while waiting:
            one = waiting.pop()
            due(type(one) in PLAIN or one in safe_files.PLAIN.values(), f"{type(one).__name__} out of a pickle")
            if id(one) not in seen and isinstance(one, (dict, list, tuple, set, frozenset, deque)):
                waiting += [*one, *one.values()] if isinstance(one, dict) else one
            seen.add(id(one))


def any_npz(data):
    """Bytes are an .npz file of plain arrays or are refused, by every reader of such files."""
    path = place("x.npz")
    path.write_bytes(data)
    for read in (safe_files.arrays, trained.load, tabular.load, images.load):
        refusal(lambda read=read: read(path), "PATH", path)


def a_predictor(data):
    """A predictor.npz of pieces: tables that fit one another and their labels, or refused."""
    path = place("predictor.npz")
    path.write_bytes(pieces.npz(pieces.split(data, PREDICTOR)))
    found, _ = refusal(lambda: trained.load(path), "PATH", path)
    if found is None:
        return
    tables = found.params._asdict()
    due(type(found.params) in predictor.MODELS.values(), "no model")
    due(all(np.isfinite(np.asarray(table)).all() for table in tables.values()), "a table that is not finite")
    due(all(len(table) for table in tables.values()), "an empty table")
    scores = np.asarray(predictor.scores(found.params, np.array([0]), np.array([0])))
    due(scores.shape == (1, found.vocabulary.num_entities), f"scores of shape {scores.shape}")
    found.known()
    found.full()


def a_table(data):
    """A table of accuracies as an .npy file's bytes, zipped: 15,625 cells or refused."""
    path = place("table.npz")
    path.write_bytes(pieces.npz({"acc": data}))
    found, _ = refusal(lambda: tabular.load(path), "PATH", path)
    if found is not None:
        due(found.accuracy.shape == (tabular.NUM_CELLS, len(tabular.DATASETS)), "another shape")
        due(((found.accuracy >= 0) & (found.accuracy <= 100)).all(), "no percentages")


def some_images(data):
    """Images and labels as pieces: arrays that fit one another, or refused."""
    path = place("images.npz")
    path.write_bytes(pieces.npz(pieces.split(data, IMAGES)))
    for real in (False, True):
        found, _ = refusal(lambda real=real: images.load(path, real=real), "PATH", path)
        if found is not None:
            due(found.x_train.ndim == found.x_test.ndim == 4, "no images")
            due(len(found.x_train) == len(found.y_train), "labels of other images")
            due(found.x_train.dtype == (np.float32 if real else np.uint8), "another type")
            due(np.isfinite(found.x_train).all(), "not finite")
