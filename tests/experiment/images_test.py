import os
import pickle
import re

import numpy as np
import pytest
from scipy import io

from experiment import images

RNG = np.random.default_rng(0)
TRAIN, TEST = 10, 4  # images of the little data sets here


def _pixels(count):
    return RNG.integers(0, 256, (count, 32, 32, 3), np.uint8)


def _labels(count, num_classes):
    return np.arange(count) * 7 % num_classes


def _rows(x):
    """Returns images as CIFAR stores them: one plane after another [n, 3072]."""
    return x.transpose(0, 3, 1, 2).reshape(len(x), -1)


def _write_cifar10(folder, protocol=None):
    """Writes CIFAR-10's binary layout, or with a protocol its pickles; returns what was written."""
    folder.mkdir(parents=True)
    parts = []
    for name in [f"data_batch_{k}" for k in range(1, 6)] + ["test_batch"]:
        count = TEST if name == "test_batch" else TRAIN // 5
        x, y = _pixels(count), _labels(count, 10)
        if protocol is None:
            np.concatenate([y[:, None].astype(np.uint8), _rows(x)], axis=1).tofile(folder / f"{name}.bin")
        else:
            content = {b"data": _rows(x), b"labels": y.tolist(), b"batch_label": b"a batch"}
            (folder / name).write_bytes(pickle.dumps(content, protocol))
        parts.append((x, y))
    x_train, y_train = map(np.concatenate, zip(*parts[:-1]))
    return (x_train, y_train, *parts[-1])


def _write_cifar100(folder, protocol=None):
    folder.mkdir(parents=True)
    parts = []
    for name, count in (("train", TRAIN), ("test", TEST)):
        x, y = _pixels(count), _labels(count, 100)
        if protocol is None:
            np.concatenate([np.stack([y // 5, y], 1).astype(np.uint8), _rows(x)], 1).tofile(folder / f"{name}.bin")
        else:
            content = {"data": _rows(x), "fine_labels": y, "coarse_labels": (y // 5).tolist()}
            (folder / name).write_bytes(pickle.dumps(content, protocol))
        parts += [x, y]
    return parts


def _write_svhn(folder):
    folder.mkdir(parents=True)
    parts = []
    for name, count in (("train", TRAIN), ("test", TEST)):
        x, y = _pixels(count), _labels(count, 10)
        written = {"X": np.moveaxis(x, 0, 3), "y": np.where(y == 0, 10, y).astype(np.uint8)[:, None]}
        io.savemat(folder / f"{name}_32x32.mat", written)
        parts += [x, y]
    return parts


def _write_npz(file, **changes):
    arrays = {"x_train": RNG.integers(0, 256, (6, 8, 8), np.uint8), "y_train": np.array([0, 1, 2, 0, 1, 2])}
    arrays |= {"x_test": RNG.integers(0, 256, (3, 8, 8), np.uint8), "y_test": np.array([2, 0, 1])}
    arrays |= changes
    np.savez(file, **{name: value for name, value in arrays.items() if value is not None})
    return arrays


def _assert_same(loaded, written, num_classes):
    for ours, theirs in zip(loaded[:4], written):
        np.testing.assert_array_equal(ours, theirs)
    assert [array.dtype for array in loaded[:4]] == [np.uint8, np.int32, np.uint8, np.int32]
    assert loaded.num_classes == num_classes


@pytest.mark.parametrize(
    ("folder", "write", "num_classes"),
    [
        ("cifar-10-batches-bin", _write_cifar10, 10),
        ("cifar-10-batches-py", lambda folder: _write_cifar10(folder, protocol=2), 10),
        ("cifar-10-batches-py", lambda folder: _write_cifar10(folder, protocol=5), 10),
        ("cifar-100-binary", _write_cifar100, 100),
        ("cifar-100-python", lambda folder: _write_cifar100(folder, protocol=2), 100),
        ("svhn", _write_svhn, 10),
    ],
)
def test_every_published_layout_is_read_from_its_folder_or_its_parent(tmp_path, folder, write, num_classes):
    written = write(tmp_path / folder)
    _assert_same(images.load(tmp_path / folder), written, num_classes)
    if folder != "svhn":  # which is published without a folder
        _assert_same(images.load(str(tmp_path)), written, num_classes)


def test_a_pickle_as_python_2_wrote_it(tmp_path):
    """Protocol 2 with numpy.core, byte strings for text and dtype states, as in the published files."""
    _write_cifar10(tmp_path / "x", protocol=2)
    x = _pixels(2)
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntU\x01btR"
        b"(I1\n(I2\nI3072\ntcnumpy\ndtype\n(U\x02u1I0\nI1\ntR(I3\nU\x01|NNNI-1\nI-1\nI0\ntbI00\n"
        + b"T"
        + (2 * 3072).to_bytes(4, "little")
        + _rows(x).tobytes()
        + b"tb"
    )
    content = b"\x80\x02(U\x04data" + array + b"U\x06labels(I3\nI9\nld."
    (tmp_path / "x" / "test_batch").write_bytes(content)
    loaded = images.load(tmp_path / "x")
    np.testing.assert_array_equal(loaded.x_test, x)
    np.testing.assert_array_equal(loaded.y_test, [3, 9])


def test_planes_are_red_green_blue_by_rows(tmp_path):
    record = np.zeros(3073, np.uint8)
    record[0], record[1 + 1024 + 32 * 5 + 7] = 3, 200  # label 3; green at row 5, column 7
    _write_cifar10(tmp_path / "x")
    record.tofile(tmp_path / "x" / "test_batch.bin")
    loaded = images.load(tmp_path / "x")
    assert loaded.y_test.tolist() == [3]
    assert np.argwhere(loaded.x_test[0]).tolist() == [[5, 7, 1]]


def test_npz_with_and_without_channels(tmp_path):
    written = _write_npz(tmp_path / "a.npz")
    loaded = images.load(tmp_path / "a.npz")
    np.testing.assert_array_equal(loaded.x_train[..., 0], written["x_train"])
    assert loaded.x_test.shape == (3, 8, 8, 1)
    assert loaded.num_classes == 3
    colour = {name: RNG.integers(0, 256, (n, 4, 6, 3)) for name, n in (("x_train", 6), ("x_test", 3))}
    _write_npz(tmp_path / "b.npz", **colour)
    np.testing.assert_array_equal(images.load(tmp_path / "b.npz").x_test, colour["x_test"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"y_test": None}, "no array 'y_test'"),
        ({"x_train": np.zeros((6, 8))}, "x_train has shape (6, 8)"),
        ({"x_train": np.zeros((6, 8, 8, 2), np.uint8)}, "x_train has shape (6, 8, 8, 2)"),
        (
            {"x_train": np.zeros((6, 8, 8))},
            "x_train must be whole numbers from 0 to 255, as uint8; its type is float64",
        ),
        ({"x_test": np.full((3, 8, 8), 256)}, "x_test must be whole numbers from 0 to 255"),
        ({"x_test": np.zeros((3, 8, 4), np.uint8)}, "x_train and x_test differ"),
        ({"y_train": np.array([0, 1, 3, 0, 1, 3])}, "y_train must hold every label from 0 to K - 1"),
        ({"y_train": np.array([0, 1])}, "y_train must be 6 whole numbers"),
        ({"y_test": np.array([0, 3, 1])}, "y_test[1] is 3, outside 0 to 2"),
        ({"x_test": np.array([{}, {}, {}])}, "allow_pickle"),
    ],
)
def test_a_malformed_npz_is_refused_by_name(tmp_path, changes, words):
    _write_npz(tmp_path / "a.npz", **changes)
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        images.load(tmp_path / "a.npz")
    assert str(tmp_path / "a.npz") in str(caught.value)


class _Malicious:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_malicious_pickle_is_refused_and_not_executed(tmp_path, protocol):
    _write_cifar10(tmp_path / "x", protocol=2)
    file = tmp_path / "x" / "data_batch_3"
    file.write_bytes(pickle.dumps({"data": _Malicious(tmp_path / "executed"), "labels": []}, protocol))
    with pytest.raises(ValueError, match=r"data_batch_3: .*refuses the global (posix|nt)\.mkdir"):
        images.load(tmp_path / "x")
    assert not (tmp_path / "executed").exists()
    pickle.loads(file.read_bytes())
    assert (tmp_path / "executed").exists()  # the file does harm where no list is kept


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a pickle",
        pickle.dumps([1, 2]),
        pickle.dumps({"labels": [0]}),
        pickle.dumps({"data": np.zeros((1, 3072)), "labels": [0]}),
        pickle.dumps({"data": np.zeros((1, 3071), np.uint8), "labels": [0]}),
        pickle.dumps({"data": np.array([{}]), "labels": [0]}),
        pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": [0]}),
        pickle.dumps({"data": np.zeros((1, 3072), np.uint8), "labels": [10]}),
        pickle.dumps({"data": np.zeros((1, 3072), np.uint8), "labels": ["0"]}),
        pickle.dumps({"data": np.zeros((9, 3072), np.uint8), "labels": [0] * 9}, 2)[:-3_000],
        b"\x80\x02}U\x04datacnumpy\nndarray\n)\x81s.",  # an array without its state
    ],
)
def test_a_malformed_pickle_is_refused_by_name(tmp_path, content):
    _write_cifar10(tmp_path / "x", protocol=2)
    (tmp_path / "x" / "test_batch").write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(str(tmp_path / "x" / "test_batch"))):
        images.load(tmp_path / "x")


def test_truncated_and_wrongly_labelled_binary_files_are_refused(tmp_path):
    _write_cifar10(tmp_path / "x")
    file = tmp_path / "x" / "data_batch_2.bin"
    whole = file.read_bytes()
    for content, words in (
        (whole[:-1], r"6145 bytes are no whole number of records of 3073"),
        (b"", "0 bytes"),
        (whole[:3073] + b"\x0a" + whole[3074:], r"label\[1\] is 10, outside 0 to 9"),
    ):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=f"data_batch_2.bin: {words}"):
            images.load(tmp_path / "x")
    file.unlink()
    with pytest.raises(OSError, match=r"data_batch_2\.bin"):
        images.load(tmp_path / "x")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"not MATLAB" * 50, "no MATLAB file"),
        ({"X": np.zeros((32, 32, 3, 2), np.uint8)}, "need labels 1 to 10"),
        ({"X": np.zeros((32, 32, 2), np.uint8), "y": np.ones((2, 1), np.uint8)}, "X is uint8 of shape"),
        ({"X": np.zeros((32, 32, 3, 2), np.uint8), "y": np.zeros((2, 1), np.uint8)}, "need labels 1 to 10"),
        ({"X": np.zeros((32, 32, 3, 2), np.uint8), "y": np.full((2, 1), 11, np.uint8)}, "is 11, outside 0 to 9"),
    ],
)
def test_a_malformed_svhn_file_is_refused_by_name(tmp_path, content, words):
    _write_svhn(tmp_path / "x")
    file = tmp_path / "x" / "test_32x32.mat"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        io.savemat(file, content)
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        images.load(tmp_path / "x")
    assert str(file) in str(caught.value)


def test_a_path_without_one_data_set_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no images; give the folder of one data set"):
        images.load(tmp_path)
    _write_cifar10(tmp_path / "cifar-10-batches-bin")
    _write_cifar100(tmp_path / "cifar-100-binary")
    with pytest.raises(ValueError, match="more than one data set"):
        images.load(tmp_path)
    (tmp_path / "cifar.tar.gz").write_bytes(b"")
    with pytest.raises(ValueError, match=r"cifar\.tar\.gz: not an \.npz file"):
        images.load(tmp_path / "cifar.tar.gz")
    with pytest.raises(OSError, match=r"absent\.npz: No such file"):
        images.load(tmp_path / "absent.npz")


def test_other_sizes_than_the_published_ones_are_named(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(images.logging, "warning", lambda words, *values: said.append(words % values))
    _write_cifar10(tmp_path / "x")
    images.load(tmp_path / "x")
    assert said == [f"{tmp_path / 'x'}: 10 training and 4 test images; 50000 and 10000 are published"]


def test_npz_of_real_numbers_is_read_where_asked_for(tmp_path):
    real = {name: RNG.normal(size=(n, 8, 8, 3)) for name, n in (("x_train", 6), ("x_test", 3))}
    _write_npz(tmp_path / "a.npz", **real)
    loaded = images.load(tmp_path / "a.npz", real=True)
    assert loaded.x_train.dtype == np.float32
    np.testing.assert_array_equal(loaded.x_train, real["x_train"].astype(np.float32))
    with pytest.raises(ValueError, match="x_train must be whole numbers"):
        images.load(tmp_path / "a.npz")
    real["x_test"][1, 2, 3, 0] = np.inf
    _write_npz(tmp_path / "a.npz", **real)
    with pytest.raises(ValueError, match="x_test must be finite numbers") as caught:
        images.load(tmp_path / "a.npz", real=True)
    assert str(tmp_path / "a.npz") in str(caught.value)
