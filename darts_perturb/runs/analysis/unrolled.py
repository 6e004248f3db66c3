"""Layers and edges exchanged or left out at test time, in a plain net, a residual net and a supernet (table 1)."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from darts_perturb import data as images
from darts_perturb import edges as edges_
from darts_perturb import search
from darts_perturb.analysis import carried, edge_swaps, unrolled
from darts_perturb.runs import jobs as jobs_
from darts_perturb.runs import summary
from darts_perturb.runs.analysis import supernets, unrolled_plots

INPUTS = supernets.INPUTS
SUPERNET = "supernet"
BY_BATCH = {"": False, "_batch_statistics": True}  # ending of a figure's name, and how it was normalised
_MEASURES = ("cosine", "distance")


def load(config):
    """Returns (space, dataset) after checking every field of the config.

    Raises:
        ValueError: an impossible field, or images that are not as they should be.
        OSError: files that cannot be read.
    """
    space = supernets.space_of(config)
    supernets.check(config)
    if len(config.searches) != 1:
        raise ValueError(f"config.searches={config.searches}: one supernet is looked at; name one search")
    for kind in unrolled.KINDS:
        for field, least in {"channels": 2, "layers": 2}.items():
            if config[kind][field] < least:
                raise ValueError(f"config.{kind}.{field}={config[kind][field]}: need at least {least}")
    for field, least in {"train.epochs": 1, "train.batch_size": 2, "num_exchanges": 1}.items():
        value = functools.reduce(lambda node, name: node[name], field.split("."), config)
        if value < least:
            raise ValueError(f"config.{field}={value}: need at least {least}")
    for field in ("learning_rate", "final_learning_rate", "momentum", "weight_decay"):
        if not 0 <= config.train[field] < math.inf:
            raise ValueError(f"config.train.{field}={config.train[field]}: need a finite number, not below 0")
    for kind in space.kinds:
        if not edge_swaps.pairs(space, kind):
            raise ValueError(f"config.space={space.name}: no two edges of a {kind} cell have the same operations")
    dataset = supernets.dataset_of(config)
    images.check_batch("config.train.batch_size", config.train.batch_size, len(dataset.y_train))
    if not 0 < config.num_images <= len(dataset.y_test):
        raise ValueError(f"config.num_images={config.num_images}: need 1 to {len(dataset.y_test)}, the test images")
    return space, dataset


def run(config, data, workdir):
    """Returns the figures of the run; see the config for what they are."""
    space, dataset = data
    jobs = jobs_.Jobs(config, space, dataset, workdir)
    nets = {kind: Net(config, kind, jobs, workdir) for kind in unrolled.KINDS}
    look = jax.jit(functools.partial(carried.cells, space=space))
    found = {name: [] for name in (*nets, SUPERNET)}
    for seed in config.seeds:
        for kind, net in nets.items():
            state = net.trained(seed)
            found[kind].append(workdir.stage(f"measured_{kind}_{seed}", functools.partial(net.measured, state, seed)))
        state = jobs.search(config.searches[0], seed)
        measure = functools.partial(_measured_supernet, config, jobs, look, state, seed)
        found[SUPERNET].append(workdir.stage(f"measured_{SUPERNET}_{seed}", measure))
    for name, by_seed in found.items():
        _log(workdir, name, config.seeds, by_seed)
    rows = workdir.rows()
    workdir.save_figure("unrolled", unrolled_plots.plot(rows), unrolled_plots.points(rows))
    by_net = {name: figures(by_seed) for name, by_seed in found.items()}
    exchanged = {name: np.array([each["exchanged"].mean() for each in by_seed]) for name, by_seed in found.items()}
    return {
        "space": space.name,
        "nets": by_net,
        "residual_minus_plain": summary.spread(exchanged["residual"] - exchanged["plain"]),
        "supernet_minus_plain": summary.spread(exchanged[SUPERNET] - exchanged["plain"]),
    }


class Net:
    """A plain or residual net of a run: one program that trains it, and one that tests it in any order."""

    def __init__(self, config, kind, jobs, workdir):
        self.config, self.kind, self.data, self.workdir = config, kind, jobs.dataset, workdir
        self.layers = config[kind].layers
        self.plain_order = np.broadcast_to(np.arange(self.layers, dtype=np.int32), (unrolled.NUM_STAGES, self.layers))
        options = {"momentum": config.train.momentum, "weight_decay": config.train.weight_decay}
        augmentation = {"shift": config.shift, "flip": config.flip, "fill": self.data.black}
        self.steps = jax.jit(functools.partial(unrolled.steps, **options, **augmentation))
        self.apply = jax.jit(unrolled.apply, static_argnames="by_batch")

    def trained(self, seed):
        """Returns the `unrolled.State` after training."""
        recipe = self.config.train
        init_key, plan_key, step_key = jax.random.split(jax.random.fold_in(jax.random.key(seed), 4), 3)
        sizes = {"channels": self.config[self.kind].channels, "layers": self.layers}
        state = unrolled.init(init_key, kind=self.kind, num_classes=self.data.num_classes, **sizes)
        epoch_steps = len(self.data.y_train) // recipe.batch_size
        plan = search.weight_plan(
            plan_key,
            jnp.arange(len(self.data.y_train)),
            batch_size=recipe.batch_size,
            num_steps=recipe.epochs * epoch_steps,
            learning_rate=recipe.learning_rate,
            final_learning_rate=recipe.final_learning_rate,
        )

        def step(state, start):
            part = jax.tree.map(lambda leaf: leaf[start : start + epoch_steps], plan)
            return self.steps(step_key, state, self.data.x_train, self.data.y_train, part, start)

        num_steps = len(plan.learning_rate)
        return self.workdir.loop(f"{self.kind}_{seed}", state, step, num_steps=num_steps, steps_per_call=epoch_steps)

    def measured(self, state, seed):
        """Returns what is measured of a trained net, {name: numbers}."""
        rng = np.random.default_rng(seed)
        drawn = unrolled.exchanges(rng, [self.layers] * unrolled.NUM_STAGES, self.config.num_exchanges)
        orders = [np.stack([unrolled.exchanged(self.layers, pair) for pair in pairs]) for pairs in drawn]
        every = np.ones_like(self.plain_order, bool)
        masks = []
        for place in range(every.size):
            masks.append(every.copy())
            masks[-1].ravel()[place] = False
        found = {}
        for ending, by_batch in BY_BATCH.items():
            accuracy = functools.partial(self._accuracy, state, by_batch)
            found[f"intact{ending}"] = accuracy(self.plain_order, every)
            found[f"exchanged{ending}"] = np.array([accuracy(order, every) for order in orders])
            found[f"left_out{ending}"] = np.array([accuracy(self.plain_order, keep) for keep in masks])
        x = self.data.x_test[: self.config.num_images]
        _, given, _ = self.apply(state.params, state.stats, x, self.plain_order, every)
        return found | _agreements([np.asarray(stage) for stage in given])

    def _accuracy(self, state, by_batch, order, keep):
        def hits(x, y):
            logits, *_ = self.apply(state.params, state.stats, x, order, keep, by_batch=by_batch)
            return np.asarray(logits.argmax(axis=1) == y)

        return _share(hits, self.data.x_test, self.data.y_test, self.config.eval_batch_size)


def _share(hits_fn, x, y, size):
    """Returns the share of images whose label is found, in batches of one size; every image counts once."""
    found = []
    for start in range(0, len(y), size):
        # the last batch reaches back, so that it is as large as the others
        first = min(start, len(y) - size)
        found.append(hits_fn(x[first : first + size], y[first : first + size])[start - first :])
    return float(np.concatenate(found).mean())


def _agreements(groups):
    """Returns {cosine, distance: of every output of every group} to the map that the rest of its group estimates."""
    pairs = [unrolled.agreement(group) for group in groups]
    return {name: np.concatenate(values) for name, values in zip(_MEASURES, zip(*pairs))}


def _measured_supernet(config, jobs, look, state, seed):
    """Returns what is measured of a supernet, {name: numbers}; its normalisation is by the batch always."""
    space, test = jobs.space, (jobs.dataset.x_test, jobs.dataset.y_test)

    def accuracy(state):
        return float(jobs.accuracy(state.params, state, *test))

    count, kinds = len(space.edges), sorted(space.kinds)
    drawn = unrolled.exchanges(
        np.random.default_rng(seed), [edge_swaps.pairs(space, kind) for kind in kinds], config.num_exchanges
    )
    orders = [{kind: unrolled.exchanged(count, pair) for kind, pair in zip(kinds, pairs)} for pairs in drawn]
    dropped = [
        state._replace(choice=edges_.like(state.choice, edges_.flat(state.choice).at[row].set(search.DROPPED)))
        for row in range(count * len(kinds))
    ]
    found = {
        "intact": accuracy(state),
        "exchanged": np.array([accuracy(edge_swaps.exchanged(state, space, order)) for order in orders]),
        "left_out": np.array([accuracy(each) for each in dropped]),
    }
    weights = search.op_weights(state.alpha, state.choice)
    _, cells = jax.device_get(look(state.params, weights, test[0][: config.num_images]))
    return found | _agreements([cell.edges for cell in cells])


def _log(workdir, net, seeds, by_seed):
    """Logs a row for every accuracy, and for every layer's or edge's agreement."""
    for seed, found in zip(seeds, by_seed):
        number = 0
        for name, values in found.items():
            for place, value in enumerate(np.ravel(values)):
                workdir.log(
                    f"{net}_measured_{seed}", number, net=net, seed=seed, what=name, place=place, value=float(value)
                )
                number += 1


def figures(by_seed):
    """Returns the figures of one net, each with its spread over seeds.

    Args:
        by_seed: what was measured, of every seed.
    """
    found = {}
    for name in by_seed[0]:
        found[name] = summary.spread([np.mean(each[name]) for each in by_seed])
        if np.ndim(by_seed[0][name]) and len(by_seed[0][name]) > 1:
            found[name]["sd_within_a_seed"] = np.mean([np.std(each[name], ddof=1) for each in by_seed])
    for ending in ("", *BY_BATCH):
        if f"intact{ending}" in found:
            lost = [each[f"intact{ending}"] - np.mean(each[f"exchanged{ending}"]) for each in by_seed]
            found[f"lost_by_exchange{ending}"] = summary.spread(lost)
    return found
