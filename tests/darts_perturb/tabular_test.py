import os
import pathlib
import sys
import types

import numpy as np
import pytest
from scipy import stats

from darts_perturb import genotype, space, tabular

OPS = space.NAS_BENCH_201.ops
TEXT = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_1x1~1|none~2|"
PUBLISHED = os.environ.get("NAS_BENCH_201_TABLE", "")  # path of an npz with the published accuracies


def accuracies():
    """Accuracies with many ties, a different one each row for the last data set."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(10, 90, (15625, 2)).astype(float)
    return np.concatenate([coarse, rng.permutation(15625)[:, None] / 200], axis=1)


def write(tmp_path, acc):
    np.savez(tmp_path / "table.npz", acc=acc)
    return tmp_path / "table.npz"


def test_rows_are_in_the_order_of_the_product():
    assert [tabular.row(cell) for cell in tabular.cells()] == list(range(15625))
    assert tabular.row(genotype.parse(TEXT)) == int("301420", 5)


def test_a_cell_has_its_row_and_its_rank(tmp_path):
    acc = accuracies()
    table = tabular.load(write(tmp_path, acc.astype(np.float32)))
    np.testing.assert_allclose(table.accuracy, acc, atol=1e-5)
    ranks = np.stack([stats.rankdata(-table.accuracy[:, k], method="average") for k in range(3)], axis=1)
    for row in (0, 1, 777, 15624):
        cell = genotype.from_choice(space.NAS_BENCH_201, [int(d) for d in np.base_repr(row, 5).zfill(6)])
        found = tabular.of(table, cell)
        assert list(found) == ["cifar10", "cifar100", "ImageNet16-120"]
        np.testing.assert_allclose([entry["accuracy"] for entry in found.values()], table.accuracy[row])
        np.testing.assert_allclose([entry["rank"] for entry in found.values()], ranks[row])
        np.testing.assert_allclose([entry["best"] for entry in found.values()], table.accuracy.max(axis=0))


@pytest.mark.skipif(not PUBLISHED, reason="NAS_BENCH_201_TABLE names no file")
def test_the_published_table_says_what_is_published():
    table = tabular.load(PUBLISHED)
    skip, conv = (genotype.Genotype("nas_bench_201", (op,) * 6) for op in ("skip_connect", "nor_conv_3x3"))
    assert [round(entry["accuracy"], 2) for entry in tabular.of(table, skip).values()] == [54.30, 15.61, 16.32]
    assert [round(entry["accuracy"], 2) for entry in tabular.of(table, conv).values()] == [93.76, 71.11, 41.44]
    np.testing.assert_allclose(table.accuracy.max(axis=0), [94.373, 73.513, 47.311], atol=1e-3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda acc: acc[:-1], r"of shape \(15624, 3\); need numbers \(15625, 3\)"),
        (lambda acc: acc[:, :2], r"of shape \(15625, 2\)"),
        (lambda acc: np.where(np.arange(15625)[:, None] == 70, np.nan, acc), r"row 70 \(cifar10\) is nan"),
        (lambda acc: acc + 50, "accuracies are numbers from 0 to 100"),
        (lambda acc: acc / 100, "read as percent"),
        (lambda acc: acc.astype(str), "need numbers"),
        (lambda acc: acc.astype(object), "allow_pickle=False"),
    ],
)
def test_a_table_that_is_none_is_refused_with_its_name(tmp_path, change, words):
    path = write(tmp_path, change(accuracies()))
    with pytest.raises(ValueError, match=words) as caught:
        tabular.load(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_other_files_are_refused_with_their_names(tmp_path):
    (tmp_path / "table.npz").write_bytes(b"no archive")
    (tmp_path / "table.csv").write_text("1,2,3\n")
    np.savez(tmp_path / "other.npz", accuracy=accuracies())
    for name, words in (("table.npz", "table.npz"), ("table.csv", "neither an .npz"), ("other.npz", "no array 'acc'")):
        with pytest.raises(ValueError, match=words):
            tabular.load(tmp_path / name)
    with pytest.raises(OSError, match=r"absent.npz: no such file; give"):
        tabular.load(tmp_path / "absent.npz")
    (tmp_path / "NATS-tss").mkdir()
    with pytest.raises(ValueError, match="NATS-tss: needs the package of NATS-Bench"):
        tabular.load(tmp_path / "NATS-tss")


class FakeApi:
    """Answers as NATS-Bench's package does, the cells in an order of its own."""

    def __init__(self, path, search_space, fast_mode, verbose):
        assert search_space == "tss"
        assert fast_mode == pathlib.Path(path).is_dir()
        assert not verbose
        texts = [genotype.format(cell) for cell in tabular.cells()]
        order = np.random.default_rng(1).permutation(15625)
        self.index = {texts[row]: place for place, row in enumerate(order)}
        self.acc = accuracies()[order]

    def query_index_by_arch(self, text):
        return self.index.get(text, -1)

    def get_more_info(self, index, dataset, iepoch=None, hp="12", is_random=True):
        assert (iepoch, hp, is_random) == (None, "200", False)
        column = ["cifar10", "cifar100", "ImageNet16-120"].index(dataset)
        return {"train-accuracy": 99.0, "valid-accuracy": 1.0, "test-accuracy": self.acc[index, column]}


@pytest.mark.parametrize("is_folder", [False, True])
def test_files_of_nats_bench_are_read_through_its_package(tmp_path, monkeypatch, is_folder):
    monkeypatch.setitem(sys.modules, "nats_bench", types.SimpleNamespace(create=FakeApi))
    path = tmp_path / ("NATS-tss-v1_0-3ffb9-simple" if is_folder else "NATS-tss-v1_0-3ffb9.pickle.pbz2")
    path.mkdir() if is_folder else path.write_bytes(b"")
    np.testing.assert_array_equal(tabular.load(path).accuracy, accuracies())


def test_what_the_package_cannot_read_is_refused_with_its_name(tmp_path, monkeypatch):
    def create(*_, **__):
        raise KeyError("meta_archs")

    monkeypatch.setitem(sys.modules, "nats_bench", types.SimpleNamespace(create=create))
    with pytest.raises(ValueError, match="cannot read it: KeyError: 'meta_archs'") as caught:
        tabular.load(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}: ")


def test_a_cell_of_another_space_is_in_no_table(tmp_path):
    table = tabular.load(write(tmp_path, accuracies()))
    with pytest.raises(ValueError, match="genotype of darts: only cells of nas_bench_201"):
        tabular.of(table, genotype.DartsGenotype("darts", (), ()))
