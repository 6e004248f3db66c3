"""One genotype trained from new weights in its own network and tested once, resumed by its workdir."""

import math

import jax
from jax import lax

from darts_perturb import data, retraining
from experiment import mesh as meshes

PARTS = ("train", "valid", "test")
DTYPES = ("float32", "bfloat16")
_AUXILIARY_SIDE = 32  # of the images that an auxiliary classifier can look at

# compiled once for a genotype, whatever the seed
_init = jax.jit(
    retraining.init_network,
    static_argnames=("genotype", "channels", "layers", "num_classes", "auxiliary"),
)
_plan = jax.jit(retraining.plan, static_argnames=("num_images", "batch_size", "epochs"))
_steps = jax.jit(
    retraining.steps,
    static_argnames=("genotype", "layers", "nesterov", "shift", "flip", "cutout", "fill", "dtype"),
)
_evaluate = jax.jit(retraining.evaluate, static_argnames=("genotype", "layers", "batch_size", "dtype"))
_keep_best = jax.jit(retraining.keep_best)


def check(config, dataset, space=None):
    """Checks that the genotypes of a space can be retrained as a config asks.

    Args:
        config: of a run, with the fields that `retrained` reads.
        dataset: `data.Dataset`.
        space: name of the space of the genotypes; config.space where left out.

    Raises:
        ValueError: an impossible field; one line that names it.
    """
    space = space or config.space
    recipe, is_darts = config.retrain, space != "nas_bench_201"
    at_least = {"channels": 2, "layers": 3 if is_darts else 1, "epochs": 1, "batch_size": 2, "cutout": 0}
    for field, least in at_least.items():
        if recipe[field] < least:
            cells = "; a network of a DARTS genotype has at least 3 cells" if least == 3 else ""
            raise ValueError(f"config.retrain.{field}={recipe[field]}: need at least {least}{cells}")
    for field in ("learning_rate", "final_learning_rate", "momentum", "weight_decay", "clip", "auxiliary", "drop_path"):
        if not 0 <= recipe[field] < math.inf:
            raise ValueError(f"config.retrain.{field}={recipe[field]}: need a finite number, not below 0")
    for field in ("momentum", "drop_path"):
        if recipe[field] >= 1:
            raise ValueError(f"config.retrain.{field}={recipe[field]}: need a number below 1")
    for field, least in {"shift": 0, "eval_batch_size": 1, "steps_per_call": 1}.items():
        if config[field] < least:
            raise ValueError(f"config.{field}={config[field]}: need at least {least}")
    if config.dtype not in DTYPES:
        raise ValueError(f"config.dtype={config.dtype!r}: known are {', '.join(DTYPES)}")
    if recipe.batch_size > len(dataset.y_train):
        raise ValueError(
            f"config.retrain.batch_size={recipe.batch_size} is larger than the {len(dataset.y_train)} training images"
        )
    for field in ("auxiliary", "drop_path"):
        if recipe[field] and not is_darts:
            raise ValueError(f"config.retrain.{field}={recipe[field]}: a network of {space} has none; set it to 0")
    height, width = dataset.x_train.shape[1:3]
    if recipe.auxiliary and (height, width) != (_AUXILIARY_SIDE,) * 2:
        raise ValueError(
            f"config.retrain.auxiliary={recipe.auxiliary}: the auxiliary classifier is made for images of 32x32, "
            f"these are {height}x{width}; set it to 0"
        )


def retrained(workdir, name, genotype, dataset, config, seed):
    """Returns how well the network of a genotype does, {test_accuracy, valid_accuracy, best_epoch}.

    The epoch is chosen on the validation images, and the test images are looked at once, with its weights. The same
    seed draws the same batches and augmentation for every genotype, so genotypes are compared in pairs. A row is logged
    for every call of the compiled steps: {epoch, loss, accuracy, learning_rate}, and valid_accuracy where it ends an
    epoch.

    Args:
        workdir: `experiment.workdir.Workdir`.
        name: of the stage, unique in the run.
        genotype: `genotype.Genotype` or `genotype.DartsGenotype`.
        dataset: `data.Dataset`; with its arrays on the device where they shall not be sent for every seed.
        config: with retrain.{channels, layers, epochs, batch_size, learning_rate, final_learning_rate, momentum,
            nesterov, weight_decay, clip, auxiliary, drop_path, cutout}, shift, flip, dtype, eval_batch_size and
            steps_per_call. A clip of 0 is none, so are an auxiliary and a drop_path of 0.
        seed: of weights, batches and augmentation.
    """
    recipe = config.retrain
    mesh = _mesh(recipe.batch_size)
    dataset = data.on_devices(dataset, mesh)
    parts = {part: (getattr(dataset, f"x_{part}"), getattr(dataset, f"y_{part}")) for part in PARTS}
    init_key, plan_key, step_key = jax.random.split(jax.random.key(seed), 3)
    state = _init(
        init_key,
        genotype,
        channels=recipe.channels,
        layers=recipe.layers,
        num_classes=dataset.num_classes,
        auxiliary=recipe.auxiliary > 0,
    )
    plan = _plan(
        plan_key,
        len(dataset.y_train),
        batch_size=recipe.batch_size,
        epochs=recipe.epochs,
        learning_rate=recipe.learning_rate,
        final_learning_rate=recipe.final_learning_rate,
        drop_path=recipe.drop_path or None,
    )
    state = meshes.put(state, mesh)
    plan = meshes.put(plan, mesh)._replace(index=meshes.put(plan.index, mesh, None, meshes.DATA))
    numbers = retraining.Recipe(recipe.momentum, recipe.weight_decay, recipe.clip or math.inf, recipe.auxiliary)
    network = {"genotype": genotype, "layers": recipe.layers, "dtype": config.dtype}
    augmentation = {"shift": config.shift, "flip": config.flip, "cutout": recipe.cutout, "fill": tuple(dataset.black)}
    epoch_steps = len(dataset.y_train) // recipe.batch_size
    size = steps_in_call(epoch_steps, config.steps_per_call)

    def accuracy(part, params, stats):
        found = _evaluate(params, stats, *parts[part], batch_size=config.eval_batch_size, **network)
        return int(found) / len(parts[part][1])

    def step(state, start):
        part = jax.tree.map(lambda leaf: lax.dynamic_slice_in_dim(leaf, start, size), plan)
        options = {"nesterov": recipe.nesterov, **augmentation, **network}
        state, info = _steps(step_key, state, *parts["train"], part, numbers, start, **options)
        end = start + size
        info = {"epoch": end / epoch_steps, "learning_rate": part.learning_rate, **info}
        if end % epoch_steps == 0:
            found = accuracy("valid", state.params, state.stats)
            state = _keep_best(state, found, end // epoch_steps)
            info["valid_accuracy"] = found
        return state, info

    state = workdir.loop(name, state, step, num_steps=recipe.epochs * epoch_steps, steps_per_call=size)

    def test():
        best = state.best_params, state.best_stats
        shares = {f"{part}_accuracy": accuracy(part, *best) for part in ("test", "valid")}
        return {**shares, "best_epoch": state.best_epoch}

    return {field: value.item() for field, value in workdir.stage(f"{name}_test", test).items()}


def steps_in_call(epoch_steps, wanted):
    """Returns the number of steps nearest to the wanted one, as a ratio, that divides an epoch.

    >>> [steps_in_call(468, 50), steps_in_call(22, 100), steps_in_call(467, 50)]
    [52, 22, 467]
    """
    divisors = [size for size in range(1, epoch_steps + 1) if epoch_steps % size == 0]
    return min(divisors, key=lambda size: abs(math.log(size / wanted)))


def _mesh(batch_size):
    """Returns the mesh of as many devices as can share a batch evenly."""
    return meshes.over(meshes.DATA, meshes.most(lambda n: batch_size % n == 0))
