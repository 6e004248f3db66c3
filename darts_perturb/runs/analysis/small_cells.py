"""Cells of NAS-Bench-201 trained at a small size by one compiled program, many in one resumable loop."""

import functools
import math
import time

import jax
import jax.numpy as jnp
import numpy as np

from darts_perturb import cell_training, data
from darts_perturb.networks import one_program

DATASETS = ("textures", "scattered", "digits")  # scattered: `data.scattered_textures`
_LEAST = {"size": 4, "num_train": 1, "num_test": 1, "channels": 1, "layers": 1, "epochs": 1, "batch_size": 2}
# no epoch is chosen on validation images, but a data set has some
_NUM_VALID = 1


def images(setting, data_seed, field):
    """Returns the `data.Dataset` of a setting after checking its fields.

    Args:
        setting: with dataset, size, num_train and num_test of a class (digits has its own), reduction, channels,
            layers, epochs, batch_size and learning_rate.
        data_seed: of the images.
        field: what to call the setting in an error.

    Raises:
        ValueError: an impossible field, named.
    """
    for name, least in _LEAST.items():
        if setting[name] < least:
            raise ValueError(f"{field}.{name}={setting[name]}: need at least {least}")
    if setting.dataset not in DATASETS:
        raise ValueError(f"{field}.dataset={setting.dataset!r}: known are {', '.join(DATASETS)}")
    if setting.reduction not in one_program.REDUCTIONS:
        raise ValueError(f"{field}.reduction={setting.reduction!r}: known are {', '.join(one_program.REDUCTIONS)}")
    if not 0 < setting.learning_rate < math.inf:
        raise ValueError(f"{field}.learning_rate={setting.learning_rate}: need a finite number above 0")
    if setting.dataset == "digits":
        found = data.digits(data_seed)
    elif setting.size % 4:
        raise ValueError(f"{field}.size={setting.size}: need a multiple of 4")
    else:
        sizes = {"size": setting.size, "num_train": setting.num_train, "num_test": setting.num_test}
        try:
            source = data.textures if setting.dataset == "textures" else data.scattered_textures
            found = source(data_seed, num_valid=_NUM_VALID, **sizes)
        except ValueError as error:
            raise ValueError(f"{field}.{error}") from None
    data.check_batch(f"{field}.batch_size", setting.batch_size, len(found.y_train))
    return found


def trained(workdir, name, setting, dataset, choices, seeds, eval_batch_size):
    """Returns what cells come to: {accuracy, loss, cpu_s: [cells, seeds]}.

    A row is logged for every training: {cell, seed, accuracy, loss, cpu_s}, loss being the mean of the last epoch. CPU
    seconds are those of this process, without compilation.

    Args:
        workdir: `experiment.workdir.Workdir`.
        name: of the loop, unique in the run.
        setting: see `images`.
        dataset: `data.Dataset`.
        choices: int32 [cells, edges].
        seeds: of weights and batches, the same for every cell.
        eval_batch_size: images at once of a test, whose statistics of normalisation they share.
    """
    num_seeds = len(seeds)
    compiled = _compiled(setting, dataset, min(eval_batch_size, len(dataset.y_test)))
    start = {field: np.zeros((len(choices), num_seeds), np.float32) for field in ("accuracy", "loss", "cpu_s")}

    def step(state, number):
        cell, place = divmod(number, num_seeds)
        before = time.process_time()
        info = jax.device_get(compiled(seeds[place], choices[cell]))
        info["cpu_s"] = np.float32(time.process_time() - before)
        state = {field: _with(np.asarray(state[field]), (cell, place), info[field]) for field in state}
        return state, {"cell": np.int32(cell), "seed": np.int32(seeds[place]), **info}

    found = workdir.loop(name, start, step, num_steps=start["loss"].size)
    return {field: np.asarray(value) for field, value in found.items()}


def _with(array, place, value):
    array = array.copy()
    array[place] = value
    return array


def _compiled(setting, dataset, eval_batch_size):
    """Returns a function of (seed, choice) that trains and tests one cell."""
    sizes = {name: setting[name] for name in ("channels", "layers", "batch_size", "epochs", "reduction")}
    train = functools.partial(
        cell_training.trained_accuracy, num_classes=dataset.num_classes, eval_batch_size=eval_batch_size, **sizes
    )
    arrays = tuple(map(jnp.asarray, (dataset.x_train, dataset.y_train, dataset.x_test, dataset.y_test)))
    recipe = cell_training.Recipe()
    example = np.int32(0), np.zeros(len(one_program.SPACE.edges), np.int32)
    rate = np.float32(setting.learning_rate)
    program = jax.jit(train).lower(*example, arrays, rate, recipe).compile()
    return lambda seed, choice: program(np.int32(seed), np.asarray(choice, np.int32), arrays, rate, recipe)
