"""Image classification data from a path, in the layouts in which it is published: npz, CIFAR-10, CIFAR-100, SVHN.

Host code. Nothing is downloaded, and nothing in a file is executed: pickles go through an allow-list.
"""

import functools
import pathlib
import pickle
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from absl import logging

_SIDE, _CHANNELS = 32, 3  # of CIFAR and SVHN
_PIXELS = _SIDE * _SIDE * _CHANNELS
_NPZ_ARRAYS = ("x_train", "y_train", "x_test", "y_test")
_WHOLE_NUMBERS = {f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)}


class Images(NamedTuple):
    """Training and test images, uint8 [n, H, W, C], with labels int32 [n] from 0 to num_classes - 1.

    Images of an .npz file read as real numbers are float32.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    num_classes: int


class _Layout(NamedTuple):
    """How a data set is published."""

    folder: str  # the name of its folder, "" where it comes without one
    train: tuple  # its training files
    test: str
    num_classes: int
    sizes: tuple  # its numbers of training and test images
    read: Callable  # file, num_classes -> (x, y)


def load(path, *, real=False):
    """Returns the images at a path.

    Args:
        path: one of
            - an .npz file with x_train, x_test (whole numbers 0 to 255 [n, H, W], [n, H, W, 1] or [n, H, W, 3]) and
              y_train, y_test (whole numbers from 0 without gaps [n]);
            - a folder of CIFAR-10 (data_batch_1.bin .. data_batch_5.bin and test_batch.bin, or the same without .bin
              as Python pickles) or of CIFAR-100 (train.bin and test.bin, or train and test; fine labels);
            - a folder of SVHN (train_32x32.mat and test_32x32.mat);
            - a folder that holds one of these folders under its published name.
        real: whether the images of an .npz file may be any finite numbers.

    Returns:
        `Images`. A data set that has not as many images as published is named in a warning, and used.

    Raises:
        ValueError: no known layout or more than one, or a file that is malformed; names the file.
        OSError: a file that cannot be read.
    """
    path = pathlib.Path(path)
    if not path.is_dir():
        if path.exists() and path.suffix != ".npz":
            raise ValueError(f"{path}: not an .npz file; give one, or the folder of an unpacked data set")
        return _load_npz(path, real)
    found = [(folder, layout) for layout in _LAYOUTS for folder in _folders(path, layout)]
    if len(found) != 1:
        known = ", ".join(layout.train[0] for layout in _LAYOUTS)
        holds = f"has more than one data set: {', '.join(str(folder) for folder, _ in found)}" if found else "no images"
        raise ValueError(f"{path}: {holds}; give the folder of one data set, the one with the file {known}")
    folder, layout = found[0]
    parts = [layout.read(folder / name, layout.num_classes) for name in layout.train]
    x_train, y_train = map(np.concatenate, zip(*parts))
    x_test, y_test = layout.read(folder / layout.test, layout.num_classes)
    if (len(x_train), len(x_test)) != layout.sizes:
        logging.warning(
            "%s: %d training and %d test images; %d and %d are published",
            folder,
            len(x_train),
            len(x_test),
            *layout.sizes,
        )
    return Images(x_train, y_train, x_test, y_test, layout.num_classes)


def _folders(path, layout):
    """Returns the folders of a layout, at a path and right below it."""
    candidates = [path, path / layout.folder] if layout.folder else [path]
    return [folder for folder in candidates if (folder / layout.train[0]).is_file()]


def _load_npz(path, real):
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [name for name in _NPZ_ARRAYS if name not in file.files]
            if missing:
                raise ValueError(f"no array {missing[0]!r}; it has {', '.join(file.files) or 'none'}")
            arrays = {name: file[name] for name in _NPZ_ARRAYS}
        num_classes = len(_classes(arrays["y_train"]))
        x_train, y_train = _checked("train", arrays["x_train"], arrays["y_train"], num_classes, real)
        x_test, y_test = _checked("test", arrays["x_test"], arrays["y_test"], num_classes, real)
        if x_train.shape[1:] != x_test.shape[1:]:
            raise ValueError(f"x_train and x_test differ: {x_train.shape[1:]} and {x_test.shape[1:]}")
    except OSError as error:
        raise OSError(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # np.load has many ways to fail on what is not an npz of plain arrays
        raise ValueError(f"{path}: {error}") from error
    return Images(x_train, y_train, x_test, y_test, num_classes)


def _classes(y_train):
    classes = np.unique(y_train)
    if len(classes) < 2 or not np.array_equal(classes, np.arange(len(classes))):
        raise ValueError(f"y_train must hold every label from 0 to K - 1, K > 1; it holds {classes[:10].tolist()}")
    return classes


def _checked(part, x, y, num_classes, real):
    """Returns images [n, H, W, C] and labels int32 [n] of one part, after a check of shapes, types and range."""
    x = x[..., None] if x.ndim == 3 else x
    if x.ndim != 4 or x.shape[3] not in (1, _CHANNELS) or 0 in x.shape:
        raise ValueError(f"x_{part} has shape {x.shape}; need [n, H, W] or [n, H, W, 1 or 3]")
    labels = _checked_labels(f"y_{part}", y, len(x), num_classes)
    if real:
        single = _single(x) if x.dtype.kind in "uif" else None
        if single is None or not np.isfinite(single).all():
            raise ValueError(f"x_{part} must be finite numbers in single precision, its type is {x.dtype}")
        return single, labels
    if x.dtype.kind not in "ui" or x.min() < 0 or x.max() > 255:
        raise ValueError(f"x_{part} must be whole numbers from 0 to 255, as uint8; its type is {x.dtype}")
    return x.astype(np.uint8), labels


def _single(x):
    with np.errstate(over="ignore"):  # what is too large is infinite then
        return x.astype(np.float32)


def _checked_labels(name, y, count, num_classes):
    if y.shape != (count,) or y.dtype.kind not in "ui":
        raise ValueError(f"{name} must be {count} whole numbers, it is {y.dtype} of shape {y.shape}")
    outside = (y < 0) | (y >= num_classes)
    if outside.any():
        raise ValueError(f"{name}[{outside.argmax()}] is {y[outside][0]}, outside 0 to {num_classes - 1}")
    return y.astype(np.int32)


def _read_binary(num_labels, file, num_classes):
    """Returns the images of a CIFAR binary file: records of label bytes, the last one used, and the three planes."""
    content, record = np.fromfile(file, np.uint8), num_labels + _PIXELS
    if not content.size or content.size % record:
        raise ValueError(f"{file}: {content.size} bytes are no whole number of records of {record}; the file is cut")
    content = content.reshape(-1, record)
    return _labelled(file, _planes(content[:, num_labels:]), content[:, num_labels - 1], num_classes)


def _read_pickle(field, file, num_classes):
    """Returns the images of a CIFAR pickle: {b"data": uint8 [n, 3072], field: n labels}."""
    try:
        with open(file, "rb") as stream:
            content = {_text(key): value for key, value in _Unpickler(stream, encoding="bytes").load().items()}
            x, y = np.asarray(content["data"]), np.asarray(content[field])
    except OSError:
        raise
    except Exception as error:  # a pickle has many ways to be malformed
        raise ValueError(f"{file}: no pickle of CIFAR, a dict with data and {field}: {error}") from error
    if x.dtype != np.uint8 or x.ndim != 2 or x.shape[1] != _PIXELS or not len(x):
        raise ValueError(f"{file}: data is {x.dtype} of shape {x.shape}; need uint8 [n, {_PIXELS}]")
    return _labelled(file, _planes(x), y, num_classes)


def _read_mat(file, num_classes):
    """Returns the images of an SVHN file: X uint8 [32, 32, 3, n] and y [n, 1], where 10 stands for the digit 0."""
    from scipy import io

    try:
        content = io.loadmat(file, appendmat=False, variable_names=("X", "y"))
    except OSError:
        raise
    except Exception as error:  # loadmat has many ways to fail on what is not a MATLAB file
        raise ValueError(f"{file}: no MATLAB file: {error}") from error
    x, y = (np.asarray(content.get(name, 0)) for name in ("X", "y"))
    if x.dtype != np.uint8 or x.ndim != 4 or x.shape[:3] != (_SIDE, _SIDE, _CHANNELS):
        raise ValueError(f"{file}: X is {x.dtype} of shape {x.shape}; need uint8 [{_SIDE}, {_SIDE}, {_CHANNELS}, n]")
    if y.shape != (x.shape[3], 1) or y.dtype.kind not in "ui" or y.min() < 1:
        raise ValueError(f"{file}: y is {y.dtype} of shape {y.shape}; need labels 1 to 10 [{x.shape[3]}, 1]")
    return _labelled(file, np.moveaxis(x, 3, 0), np.where(y[:, 0] == 10, 0, y[:, 0]), num_classes)


def _planes(flat):
    """Returns images [n, 32, 32, 3] of rows that hold the red, the green and the blue plane [n, 3072]."""
    return np.ascontiguousarray(flat.reshape(-1, _CHANNELS, _SIDE, _SIDE).transpose(0, 2, 3, 1))


def _labelled(file, x, y, num_classes):
    """Returns images and their labels, checked, naming the file in the error."""
    try:
        return x, _checked_labels("label", y, len(x), num_classes)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


def _text(key):
    return key.decode("ascii", "replace") if isinstance(key, bytes) else str(key)


class _Unpickler(pickle._Unpickler):
    """Reads containers, numbers, strings and numpy arrays of whole numbers; no global of a file is looked up.

    It is the one in Python: that in C takes gigabytes for a place far out in its memo.
    """

    def load_bytearray8(self):
        """Reads a bytearray; pickle's own first takes the memory that the file announces."""
        self.append(bytearray(self.read(int.from_bytes(self.read(8), "little"))))

    dispatch = pickle._Unpickler.dispatch | {pickle.BYTEARRAY8[0]: load_bytearray8}

    def find_class(self, module, name):
        stand_in = _STAND_INS.get((module.replace("numpy.core.", "numpy._core."), name))
        if stand_in is None:
            raise pickle.UnpicklingError(f"refuses the global {module}.{name}")
        return stand_in


class _Type:
    """Stands in for numpy.dtype: a code such as "u1", and the byte order from its state."""

    def __init__(self, code, *_):
        self.code, self.order = _text(code), "|"
        if self.code not in _WHOLE_NUMBERS:
            raise pickle.UnpicklingError(f"refuses arrays of type {self.code}")

    def __setstate__(self, state):
        self.order = _text(state[1])


class _Array:
    """Stands in for numpy.ndarray: built from its bytes, as numpy's own __setstate__ trusts its state."""

    def __setstate__(self, state):
        _, shape, kind, is_fortran, content = state
        self.values = _from_buffer(content, kind, shape, "F" if is_fortran else "C")

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype)


def _from_buffer(content, kind, shape, order):
    values = np.frombuffer(bytes(content), np.dtype({"|": ""}.get(kind.order, kind.order) + kind.code))
    return values.reshape(shape, order=_text(order))


def _encode(text, encoding):
    """Stands in for _codecs.encode, by which Python 3 writes bytes in old protocols."""
    if _text(encoding) != "latin1":
        raise pickle.UnpicklingError(f"refuses the encoding {_text(encoding)}")
    return text.encode("latin1") if isinstance(text, str) else bytes(text)


_STAND_INS = {
    ("numpy._core.multiarray", "_reconstruct"): lambda *_: _Array(),
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _encode,
}
_BATCHES = tuple(f"data_batch_{k}" for k in range(1, 6))
_BINARY_BATCHES = tuple(f"{name}.bin" for name in _BATCHES)
_CIFAR, _SVHN = (50_000, 10_000), (73_257, 26_032)
_LAYOUTS = (
    _Layout("cifar-10-batches-bin", _BINARY_BATCHES, "test_batch.bin", 10, _CIFAR, functools.partial(_read_binary, 1)),
    _Layout("cifar-10-batches-py", _BATCHES, "test_batch", 10, _CIFAR, functools.partial(_read_pickle, "labels")),
    _Layout("cifar-100-binary", ("train.bin",), "test.bin", 100, _CIFAR, functools.partial(_read_binary, 2)),
    _Layout("cifar-100-python", ("train",), "test", 100, _CIFAR, functools.partial(_read_pickle, "fine_labels")),
    _Layout("", ("train_32x32.mat",), "test_32x32.mat", 10, _SVHN, _read_mat),
)
