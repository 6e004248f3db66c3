"""The images of a run, from the fields of its config."""

import functools
import pathlib

import numpy as np

from darts_perturb import data as images
from experiment import images as image_files

DATASETS = ("textures", "digits", "files")
_MAX_SEED = 2**31


def load(config):
    """Returns the `data.Dataset` that a config asks for, the same arrays as before where the same is asked for again.

    Args:
        config: with the fields
            - dataset: textures or digits, which are inside Python wheels, or files;
            - data_path: of files, in a layout of `experiment.images`;
            - data_seed: of the split and the order of the images, and of the subsets;
            - textures: {size, num_train, num_valid, num_test}, see `data.textures`;
            - num_train, num_test: of files, how many images to take of its two parts, at random; 0 for all. Validation
              images are taken from those num_train;
            - valid_fraction: of files, the share of the training images kept for validation.

    Raises:
        ValueError: an impossible field, or images that are not as they should be; names the field or the file.
        OSError: images that cannot be read.
    """
    _check_fields(config)
    if config.dataset == "digits":
        return _digits(config.data_seed)
    if config.dataset == "textures":
        try:
            return _textures(config.data_seed, **config.textures)
        except ValueError as error:
            raise ValueError(f"config.textures: {error}") from None
    path = pathlib.Path(config.data_path)
    files = sorted(path.rglob("*")) if path.is_dir() else [path] if path.exists() else []
    stamp = tuple((str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files)
    try:
        fields = (config[name] for name in ("data_path", "data_seed", "num_train", "num_test", "valid_fraction"))
        return _files(stamp, *fields)
    except ValueError as error:
        # fields and paths are named by those who know them
        named = str(error).startswith("config.") or str(config.data_path) in str(error)
        raise ValueError(str(error) if named else f"{config.data_path}: {error}") from None


# runs of one process, as of a sweep, have the same images most often: they are made once, and once on the device
_digits = functools.lru_cache(maxsize=1)(images.digits)
_textures = functools.lru_cache(maxsize=1)(images.textures)


@functools.lru_cache(maxsize=1)
def _files(_stamp, path, seed, num_train, num_test, valid_fraction):
    """Returns the Dataset of files as they were at a stamp."""
    found = _subset(image_files.load(path, real=True), path, seed, num_train, num_test)
    return images.split(found, seed, valid_fraction=valid_fraction)


def _check_fields(config):
    if config.dataset not in DATASETS:
        raise ValueError(f"config.dataset={config.dataset!r}: known are {', '.join(DATASETS)}")
    if not 0 <= config.data_seed < _MAX_SEED:
        raise ValueError(f"config.data_seed={config.data_seed}: need a whole number from 0 to {_MAX_SEED - 1}")
    if config.dataset == "textures" and (min(config.textures.values()) < 1 or config.textures["size"] % 4):
        raise ValueError(
            f"config.textures={dict(config.textures)}: need numbers above 0 and a size that is a multiple of 4"
        )
    if config.dataset == "files" and not config.data_path:
        raise ValueError("config.data_path is empty; config.dataset=files needs an .npz file or a folder of images")
    if config.data_path and config.dataset != "files":
        raise ValueError(f"config.data_path={config.data_path}: is read only with config.dataset=files")
    if not 0 < config.valid_fraction < 1:
        raise ValueError(f"config.valid_fraction={config.valid_fraction}: need a share between 0 and 1")
    for field in ("num_train", "num_test"):
        if config[field] < 0:
            raise ValueError(f"config.{field}={config[field]}: need a number of images, or 0 for all")
        if config[field] and config.dataset != "files":
            raise ValueError(f"config.{field}={config[field]}: only config.dataset=files takes a part of the images")


def _subset(found, path, seed, num_train, num_test):
    """Returns `experiment.images.Images` with random num_train and num_test of its two parts, all of them for 0."""
    rng = np.random.default_rng(seed)
    for part, wanted in (("train", num_train), ("test", num_test)):
        x, y = getattr(found, f"x_{part}"), getattr(found, f"y_{part}")
        if wanted > len(y):
            raise ValueError(f"config.num_{part}={wanted}: {path} has {len(y)} images in that part")
        if wanted:
            rows = rng.choice(len(y), wanted, replace=False)
            found = found._replace(**{f"x_{part}": x[rows], f"y_{part}": y[rows]})
    return found
