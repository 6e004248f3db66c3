"""What the analyses of a trained supernet share: their inputs, checked, and the images that its weights never saw."""

import math
from typing import NamedTuple

from darts_perturb import data as images
from darts_perturb import perturb
from darts_perturb import space as spaces
from darts_perturb.analysis import skip_domination
from darts_perturb.runs import datasets
from darts_perturb.runs import jobs as jobs_

INPUTS = ("data_path", "space_file")
_DTYPES = ("float32", "bfloat16")
_MAX_SEED = 2**31


class Data(NamedTuple):
    """What load() returns."""

    space: spaces.Space
    dataset: images.Dataset
    conv: str  # the convolution that skip connections are compared with


def load(config):
    """Returns Data after checking the fields that train a supernet.

    Raises:
        ValueError: an impossible field, a space without skip connections or convolutions, or bad images.
        OSError: files that cannot be read.
    """
    space = space_of(config)
    check(config)
    try:
        conv = skip_domination.convolution(space, config.conv)
    except ValueError as error:
        raise ValueError(f"config.{'conv' if config.conv else 'space'}: {error}") from None
    return Data(space, dataset_of(config), conv)


def space_of(config):
    """Returns the search space that a config names.

    Raises:
        ValueError: no such space.
        OSError: a file that cannot be read.
    """
    if config.space_file:
        return spaces.load(config.space_file)
    try:
        return spaces.get(config.space)
    except ValueError as error:
        raise ValueError(f"config.space: {error}") from None


def check(config):
    """Checks the fields that train a supernet.

    Raises:
        ValueError: an impossible one; the line names it.
    """
    check_seeds(config)
    at_least = {"channels": 2, "layers": 1, "shift": 0, "batch_size": 1, "eval_batch_size": 2, "steps_per_call": 1}
    for field, least in at_least.items():
        if config[field] < least:
            raise ValueError(f"config.{field}={config[field]}: need at least {least}")
    if config.search.epochs < 1:
        raise ValueError(f"config.search.epochs={config.search.epochs}: need at least 1")
    for name, value in config.search.items():
        values = value if isinstance(value, tuple) else (value,)
        if not all(0 <= each < math.inf for each in values):
            raise ValueError(f"config.search.{name}={value}: need a finite number, not below 0")
    if config.search.clip == 0 or len(config.search.epsilon) != 2:
        name = "epsilon" if config.search.clip else "clip"
        raise ValueError(f"config.search.{name}={config.search[name]}: need a clip above 0 and two numbers of epsilon")
    known = {"dtype": (config.dtype, _DTYPES), "projection.method": (config.projection.method, perturb.METHODS)}
    for field, (value, names) in known.items():
        if value not in names:
            raise ValueError(f"config.{field}={value!r}: known are {', '.join(names)}")
    searches = config.searches
    if not searches or len(set(searches)) < len(searches) or not set(searches) <= set(jobs_.SEARCHES):
        raise ValueError(f"config.searches={searches}: known are {', '.join(jobs_.SEARCHES)}, each once")


def check_seeds(config):
    """Checks config.seeds.

    Raises:
        ValueError: none, one twice, or one that seeds nothing.
    """
    if not all(isinstance(seed, int) and 0 <= seed < _MAX_SEED for seed in config.seeds):
        raise ValueError(f"config.seeds={config.seeds}: need whole numbers from 0 to {_MAX_SEED - 1}")
    if not config.seeds or len(set(config.seeds)) < len(config.seeds):
        raise ValueError(f"config.seeds={config.seeds}: need one or more different whole numbers")


def dataset_of(config):
    """Returns the `data.Dataset` of a config, checked to hold its batches.

    Raises:
        ValueError: an impossible field, or too few images.
        OSError: images that cannot be read.
    """
    dataset = datasets.load(config)
    half = len(dataset.y_train) // 2
    images.check_batch("config.batch_size", config.batch_size, half)
    images.check_batch("config.eval_batch_size", config.eval_batch_size, min(half, len(dataset.y_test)))
    return dataset


def held_out(jobs):
    """Returns (images, labels) of the half that trains alpha: the weights of the supernet never saw them."""
    rows = jobs.images.alpha_rows
    return jobs.images.x[rows], jobs.images.y[rows]


def held_out_accuracy(jobs, state):
    """Returns the share of the held-out images whose label a supernet in search finds."""
    return float(jobs.accuracy(state.params, state, *held_out(jobs)))
