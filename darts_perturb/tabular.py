"""What NAS-Bench-201 has measured: the test accuracy of all 15,625 cells, from a file the user names.

The table answers at once what retraining would take days to: how good a selected cell is, and its rank among all.

References:
    NAS-Bench-201: Dong & Yang 2020, arXiv:2001.00326. NATS-Bench: Dong et al. 2021, arXiv:2009.00437.
"""

import importlib
import itertools
import pathlib
from typing import NamedTuple

import numpy as np

from darts_perturb import genotype as genotypes
from darts_perturb import space as spaces

SPACE = spaces.NAS_BENCH_201
NUM_CELLS = len(SPACE.ops) ** len(SPACE.edges)
DATASETS = ("cifar10", "cifar100", "ImageNet16-120")


class Table(NamedTuple):
    """Test accuracies in percent, float64 [15625, data sets]; rows as itertools.product(ops, repeat=6) orders cells."""

    accuracy: np.ndarray
    datasets: tuple[str, ...] = DATASETS


def load(path):
    """Returns the `Table` in a file.

    Args:
        path: an .npz file with `acc`, numbers 0 to 100 [15625, 3], the test accuracies of CIFAR-10, CIFAR-100 and
            ImageNet16-120 in the order of `Table`; or NATS-tss-v1_0-3ffb9.pickle.pbz2 or the folder
            NATS-tss-v1_0-3ffb9-simple of NATS-Bench, read by its own package (pip install remeasured[nats_bench]): the
            mean over its trials after 200 epochs. That package unpickles the file, so take it from its authors.

    Raises:
        ValueError: another kind of file, a wrong number of cells, or accuracies that are none; names the file.
        OSError: no such file, or one that cannot be read.
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise OSError(
            f"{path}: no such file; give the table's .npz or the files of NATS-Bench, or leave the path empty"
        )
    if path.is_dir() or path.suffix == ".pbz2":
        accuracy = _from_nats_bench(path)
    elif path.suffix == ".npz":
        accuracy = _from_npz(path)
    else:
        raise ValueError(f"{path}: neither an .npz file nor a file or folder of NATS-Bench")
    return Table(_checked(path, accuracy))


def _from_npz(path):
    try:
        with np.load(path, allow_pickle=False) as file:
            if "acc" not in file.files:
                raise ValueError(f"no array 'acc'; it has {', '.join(file.files) or 'none'}")
            accuracy = file["acc"]
        if not isinstance(accuracy, np.ndarray):
            raise ValueError("'acc' is no array")
        return accuracy
    except OSError as error:
        raise OSError(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # np.load has many ways to fail on what is not an npz of plain arrays
        raise ValueError(f"{path}: {error}") from error


def _from_nats_bench(path):
    """Returns the accuracies that NATS-Bench's package reads, in the order of `Table`."""
    try:
        package = importlib.import_module("nats_bench")
    except ImportError:
        raise ValueError(
            f"{path}: needs the package of NATS-Bench; pip install nats_bench, or give an .npz file"
        ) from None
    try:
        # a folder is read cell by cell, a file at once
        api = package.create(str(path), "tss", fast_mode=path.is_dir(), verbose=False)
        rows = [_query(api, cell) for cell in cells()]
    except OSError:
        raise
    except Exception as error:  # whatever a package over pickles may raise
        raise ValueError(f"{path}: NATS-Bench's package cannot read it: {type(error).__name__}: {error}") from error
    return np.array(rows)


def _query(api, genotype):
    text = genotypes.format(genotype)
    index = api.query_index_by_arch(text)
    if index < 0:
        raise ValueError(f"it does not know {text}")
    # the package's defaults are 12 epochs and one trial at random
    found = [api.get_more_info(index, name, hp="200", is_random=False) for name in DATASETS]
    return [info["test-accuracy"] for info in found]


def _checked(path, accuracy):
    wanted = (NUM_CELLS, len(DATASETS))
    if accuracy.shape != wanted or accuracy.dtype.kind not in "uif":
        raise ValueError(f"{path}: accuracies are {accuracy.dtype} of shape {accuracy.shape}; need numbers {wanted}")
    accuracy = accuracy.astype(np.float64)
    wrong = np.argwhere(~((accuracy >= 0) & (accuracy <= 100)))
    if len(wrong):
        row, column = wrong[0]
        raise ValueError(
            f"{path}: row {row} ({DATASETS[column]}) is {accuracy[row, column]}; accuracies are numbers from 0 to 100"
        )
    if accuracy.max() <= 1:
        raise ValueError(f"{path}: no accuracy is over 1; they are read as percent")
    return accuracy


def cells():
    """Yields the `genotype.Genotype` of every row of a table."""
    for ops in itertools.product(SPACE.ops, repeat=len(SPACE.edges)):
        yield genotypes.Genotype(SPACE.name, ops)


def row(genotype):
    """Returns the row of a cell.

    >>> row(genotypes.parse("|none~0|+|none~0|none~1|+|none~0|none~1|skip_connect~2|"))
    1

    Raises:
        ValueError: the genotype is of another space.
    """
    if genotype.space != SPACE.name:
        raise ValueError(f"genotype of {genotype.space}: only cells of {SPACE.name} are in the table")
    return int(np.ravel_multi_index(genotypes.to_choice(genotype), (len(SPACE.ops),) * len(SPACE.edges)))


def of(table, genotype):
    """Returns {data set: {"accuracy", "rank", "best"}} of a cell.

    The rank is 1 for the best of all 15,625 strings; cells of one accuracy share the middle of their ranks, so equal
    networks under different names do not change it. `best` is the highest accuracy of the data set.

    Args:
        table: `Table`.
        genotype: `genotype.Genotype`.

    Raises:
        ValueError: the genotype is of another space.
    """
    index, answers = row(genotype), {}
    for name, column in zip(table.datasets, table.accuracy.T):
        better, equal = np.sum(column > column[index]), np.sum(column == column[index])
        answers[name] = {
            "accuracy": float(column[index]),
            "rank": float(better + (equal + 1) / 2),
            "best": float(column.max()),
        }
    return answers
