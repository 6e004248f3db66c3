"""The pieces that runs are made of, each resumed by its workdir: search, removal scores, selection, retraining."""

import functools
import hashlib

import jax
import jax.numpy as jnp
import numpy as np

from darts_perturb import data, perturb, retraining, search, selection, topology
from darts_perturb import edges as edges_
from darts_perturb import genotype as genotypes
from darts_perturb.runs.retrained import retrained
from experiment import mesh, unison

# Fields of the config that are traced here, or decide on the host: runs that differ in no others share their calls.
TRACED = (
    "seeds",
    *(f"search.{name}" for name in (*search.Settings._fields, "learning_rate", "final_learning_rate", "epsilon")),
    *(f"projection.{name}" for name in ("learning_rate", "criterion", "order")),
    *(f"retrain.{name}" for name in ("learning_rate", "final_learning_rate")),
)
FIXED = "fixed"  # a search whose alpha never moves
SEARCHES = (*search.METHODS, FIXED)
WAYS = ("magnitude", "perturbation", "one_shot")
NETWORKS = ("supernet", "own")

# of the process, not of a run: runs with the same settings have the same programs
_init = jax.jit(search.init, static_argnames=("space", "channels", "layers", "num_classes"))
_steps = jax.jit(search.steps, static_argnames=("space", "augment", "dtype", "method"))
_watch = jax.jit(search.watch, static_argnames="space")
_SCORE = ("space", "batch_size", "official", "augment", "dtype", "method")
_removal = jax.jit(selection.removal, static_argnames=_SCORE)
_topology_scores = jax.jit(topology.removal, static_argnames=_SCORE)


@functools.partial(jax.jit, static_argnames=("space", "dtype", "method"))
def _masked(params, masks, x, y, key, **static):
    return perturb.masked(params, masks, x, y, key=key, **static)


@functools.cache
def _augmentation(shift, flip, fill):
    """Returns `data.augment` with its settings, one object for the same ones: it is static in the programs above."""
    return functools.partial(data.augment, shift=shift, flip=flip, fill=fill)


class Jobs:
    """The pieces of one run. All share a few compiled programs, whatever the seed and the cell.

    The search, the fine-tuning and the retraining of cells as decided supernets are one program: `steps_per_call`
    half-steps of a plan. So are the removal scores of an edge of the trained supernet and those of a projection.
    """

    def __init__(self, config, space, dataset, workdir):
        self.config, self.space, self.dataset, self.workdir = config, space, dataset, workdir
        self.dtype = jnp.dtype(config.dtype)
        self.mesh = _mesh(config.batch_size, config.eval_batch_size)
        self.dataset = unison.call(data.on_devices, dataset, mesh=self.mesh)  # once for all that have the same images
        weight_rows, alpha_rows = search.halves(len(dataset.y_train))
        self.images = search.Images(self.dataset.x_train, self.dataset.y_train, weight_rows, alpha_rows)
        unit = 2 if "second_order" in config.searches else 1  # whose two half-steps are one step
        epoch_steps = len(weight_rows) // config.batch_size
        self.epoch_steps, self.call_steps = _calls(epoch_steps, config.steps_per_call, unit)
        self.settings = search.Settings(**{name: config.search[name] for name in search.Settings._fields})
        sizes = {"channels": config.channels, "layers": config.layers, "num_classes": dataset.num_classes}
        self.init = functools.partial(_init, space=space, **sizes)
        self.augment = _augmentation(config.shift, config.flip, dataset.black)
        score = {"space": space, "batch_size": config.eval_batch_size}
        if config.projection.official:
            score |= {
                "dtype": self.dtype,
                "method": config.projection.method,
                "official": True,
                "augment": self.augment,
            }
            self.removal = functools.partial(unison.call, _removal, **score)
            self.topology_scores = functools.partial(unison.call, _topology_scores, **score)
        else:
            self.removal = functools.partial(selection.removal, **score, masked_fn=self._masked)
            self.topology_scores = functools.partial(topology.removal, **score, masked_fn=self._masked)

    def _masked(self, params, masks, x, y, *, key, **_):
        """Returns what `perturb.masked` does, batch by batch: one small program for scores of every kind."""
        static = {"space": self.space, "dtype": self.dtype, "method": self.config.projection.method}
        chunk = 1 if perturb.maps(static["method"]) else min(perturb.CHUNK, len(masks))
        whole = [np.arange(start, start + chunk) % len(masks) for start in range(0, len(masks), chunk)]
        parts = []
        for number in range(len(y)):
            batch = x[number : number + 1], y[number : number + 1]
            if self.mesh is not None:
                batch = mesh.put(batch, self.mesh, None, mesh.DATA)
                params, masks = mesh.put((params, masks), self.mesh)
            batch_key = jax.random.fold_in(key, number)
            every = [unison.call(_masked, params, masks[rows], *batch, batch_key, **static) for rows in whole]
            found = list(map(mesh.gather, every))
            parts.append([jnp.concatenate(each)[: len(masks)] for each in zip(*found)])
        return tuple(jnp.concatenate(each, axis=1) for each in zip(*parts))

    def search(self, name, seed, also=None):
        """Returns the state after a search; all searches of a seed start from the same weights and alpha.

        Args:
            name: of SEARCHES.
            seed: of the search.
            also: state -> {name: number}, logged beside the rest at the end of every epoch.
        """
        config = self.config.search
        init_key, plan_key, step_key = jax.random.split(jax.random.key(seed), 3)
        num_steps = config.epochs * self.epoch_steps
        recipe = {"learning_rate": config.learning_rate, "final_learning_rate": config.final_learning_rate}
        if name.startswith("sdarts"):
            recipe["epsilon"] = tuple(config.epsilon)
        plan = self._plan(plan_key, num_steps, name != FIXED, **recipe)

        def step(state, start):
            method = "first_order" if name == FIXED else name
            state, info = self._call(step_key, state, plan, start, method=method)
            weights = np.asarray(edges_.flat(search.op_weights(state.alpha, state.choice)))
            shown = {f"weight_{row}_{place}": value for (row, place), value in np.ndenumerate(weights)}
            if also is not None and (start + self.call_steps) % (len(plan.for_alpha) // config.epochs) == 0:
                shown |= also(state)
            return state, {**info, **_watch(state.alpha, state.choice, space=self.space), **shown}

        return self._loop(
            f"search_{name}_{seed}",
            self.init(init_key),
            step,
            num_steps=len(plan.for_alpha),
            steps_per_call=self.call_steps,
        )

    def _loop(self, name, state, step, **settings):
        """Returns what `Workdir.loop` does, of a state that every device of the mesh has, also when it is read back."""
        if self.mesh is not None:
            state = mesh.put(state, self.mesh)

        def met(state, start):
            unison.meet()  # some decisions take more calls than others
            return step(state, start)

        return self.workdir.loop(name, state, met, **settings)

    def _plan(self, key, num_steps, bilevel, **recipe):
        """Returns num_steps steps of the weights over half of the images, each after a step of alpha where bilevel."""
        options = {"batch_size": self.config.batch_size, "num_steps": num_steps, "epoch_steps": self.epoch_steps}
        rows = self.images.weight_rows, self.images.alpha_rows
        if bilevel:
            return self._spread(search.bilevel_plan(key, *rows, **options, **recipe))
        return self._spread(search.weight_plan(key, rows[0], **options, **recipe))

    def _spread(self, plan):
        """Returns a plan whose batches lie on all devices of the mesh."""
        # of numpy, so that runs together see that it is one: a branch on different ones would compute both sides
        plan = plan._replace(for_alpha=np.asarray(plan.for_alpha))
        return plan if self.mesh is None else plan._replace(index=mesh.put(plan.index, self.mesh, None, mesh.DATA))

    def _call(self, key, state, plan, start, method="first_order"):
        """Returns (state, info) after one compiled call: the half-steps of a plan from number `start` on."""
        part = jax.tree.map(lambda leaf: leaf[start : start + self.call_steps], plan)
        return unison.call(
            _steps,
            key,
            state,
            self.images.x,
            self.images.y,
            part,
            self.settings,
            start,
            space=self.space,
            augment=self.augment,
            dtype=self.dtype,
            method=method,
        )

    def strengths(self, name, seed, state):
        """Returns the `perturb.Scores` of a searched supernet, every removal on every edge, and logs them."""
        key = jax.random.fold_in(jax.random.key(seed), 3)
        listed = edges_.listed(self.space)

        def compute():
            # one key: noise and augmentation are those of one baseline, the whole supernet's, on every edge
            parts = [self.removal(key, state, jnp.asarray([row]), self.images) for row in range(len(listed))]
            whole = {name: jnp.concatenate([getattr(part, name) for part in parts]) for name in parts[0]._fields[:4]}
            return whole | {name: getattr(parts[0], name) for name in parts[0]._fields[4:]}

        stage = f"strengths_{name}_{seed}"
        scores = perturb.Scores(**self.workdir.stage(stage, compute))
        weights = np.asarray(edges_.flat(search.op_weights(state.alpha, state.choice)))
        cases = [(row, edge, place, op) for row, edge in enumerate(listed) for place, op in enumerate(edge.ops)]
        for number, (row, edge, place, op) in enumerate(cases):
            self.workdir.log(
                stage,
                number,
                row=row,
                kind=edge.kind,
                source=edge.source,
                target=edge.target,
                op=op,
                weight=float(weights[row, place]),
                accuracy_drop=float(scores.baseline_accuracy - scores.accuracy[row, place]),
                accuracy_se=float(scores.accuracy_se[row, place]),
                loss_rise=float(scores.loss[row, place] - scores.baseline_loss),
                loss_se=float(scores.loss_se[row, place]),
            )
        return scores

    def select(self, way, name, seed, state, scores):
        """Returns the genotype that a way of selection finds in a searched supernet.

        Args:
            way: of WAYS.
            name: of the search.
            seed: of the search.
            state: `search.State` after it.
            scores: of `strengths`.
        """
        if way == "magnitude":
            choice = selection.magnitude(state.alpha, self.space)
            return genotypes.from_choice(self.space, choice, selection.magnitude_edges(state.alpha, self.space))
        config = self.config.projection
        keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), 1), 4)
        calls = config.tune_epochs * self.tune_calls(name) if way == "perturbation" else 0
        options = {"space": self.space, "criterion": config.criterion, "tune_calls": calls}
        options["tune_fn"] = functools.partial(self._tune, name != FIXED)

        def decided(stage, step_fn, key, start, num_steps, **own):
            def step(state, _):
                return step_fn(key, state, self.images, **options, **own)

            return self._loop(f"{stage}_{name}_{seed}", start, step, num_steps=num_steps)

        order = selection.gap_order(scores, self.space, config.criterion) if config.order == "gap" else config.order
        has_topology = len(self.space.kinds) > 1
        num_steps = selection.num_steps(self.space, calls, tune_last=has_topology)
        start = selection.init(keys[0], state, self.space, order)
        projected = decided(way, selection.step, keys[1], start, num_steps, score_fn=self.removal).search
        if not has_topology:
            return genotypes.from_choice(self.space, projected.choice)
        start, num_steps = topology.init(keys[2], projected, self.space), topology.num_steps(self.space, calls)
        own = {"score_fn": self.topology_scores, "method": config.topology}
        pruned = decided(f"{way}_topology", topology.step, keys[3], start, num_steps, **own).search
        return genotypes.from_choice(self.space, projected.choice, selection.kept_edges(pruned.choice))

    def tune_calls(self, name):
        """Returns how many calls of `_tune` an epoch of fine-tuning takes, of the supernet of a search."""
        return self.epoch_steps * (1 if name == FIXED else 2) // self.call_steps

    def _tune(self, train_alpha, key, state, _, call):
        """Returns the `search.State` after one call of the fine-tuning, and its means: see `selection.step`."""
        config = self.config.projection
        plan_key, step_key = jax.random.split(key)
        rates = {"learning_rate": config.learning_rate, "final_learning_rate": config.learning_rate}
        plan = self._plan(plan_key, config.tune_epochs * self.epoch_steps, train_alpha, **rates)
        state, info = self._call(step_key, state, plan, int(call) * self.call_steps)
        return state, {name: info[name].mean() for name in ("loss", "accuracy")}

    def retrain(self, genotype, seeds):
        """Returns the test accuracy of a cell trained from new weights, [seeds]; the epoch is that of the best
        validation accuracy. All cells of one seed see the same batches, so they are compared in pairs."""
        train = self._retrain_own if self.config.retrain.network == "own" else self._retrain_decided
        return np.asarray([train(genotype, seed) for seed in range(seeds)])

    def _retrain_own(self, genotype, seed):
        stage = f"retrain_{code(genotype)}_{seed}"
        return retrained(self.workdir, stage, genotype, self.dataset, self.config, seed)["test_accuracy"]

    def _retrain_decided(self, genotype, seed):
        """Returns the test accuracy of a cell trained as a supernet whose edges are all decided."""
        config, epoch_steps = self.config.retrain, 2 * self.epoch_steps
        init_key, plan_key, step_key = jax.random.split(jax.random.fold_in(jax.random.key(seed), 2), 3)
        state = retraining.init(self.init(init_key), genotype)
        plan = search.weight_plan(
            plan_key,
            jnp.arange(len(self.images.y)),
            batch_size=self.config.batch_size,
            num_steps=config.epochs * epoch_steps,
            learning_rate=config.learning_rate,
            final_learning_rate=config.final_learning_rate,
        )
        plan = self._spread(plan)

        def step(state, epoch):
            trained = state.search
            for start in range(epoch * epoch_steps, (epoch + 1) * epoch_steps, self.call_steps):
                trained, info = self._call(step_key, trained, plan, start)
            accuracy = self.accuracy(trained.params, trained, self.dataset.x_valid, self.dataset.y_valid)
            state = retraining.keep_best(state._replace(search=trained), accuracy, epoch + 1)
            return state, {"loss": info["loss"][-1], "valid_accuracy": accuracy}

        stage = f"retrain_{code(genotype)}_{seed}"
        state = self._loop(stage, state, step, num_steps=config.epochs)
        return self.accuracy(state.best_params, state.search, self.dataset.x_test, self.dataset.y_test)

    def accuracy(self, params, state, x, y):
        """Returns the share of images whose label is found; every image counts once, in batches of one size."""
        return self.outcomes(params, state, x, y)[1].mean(dtype=np.float32)

    def outcomes(self, params, state, x, y):
        """Returns the loss of every image, in nats, and whether its label is found, 1 or 0; see `accuracy`."""
        masks = edges_.flat(search.op_weights(state.alpha, state.choice))[None]
        size, key, parts = self.config.eval_batch_size, jax.random.key(0), []
        for start in range(0, len(y), size):
            # the last batch reaches back, so that it is as large as the others
            first = min(start, len(y) - size)
            batch = x[None, first : first + size], y[None, first : first + size]
            parts.append(
                [np.asarray(each)[0, start - first :] for each in self._masked(params, masks, *batch, key=key)]
            )
        return tuple(np.concatenate(each) for each in zip(*parts))


def code(genotype):
    """Returns a short name of a genotype for files and stages."""
    if isinstance(genotype, genotypes.DartsGenotype):
        return hashlib.sha256(genotypes.format(genotype).encode()).hexdigest()[:10]
    choice = genotypes.to_choice(genotype)
    return ("" if max(choice) < 10 else "-").join(map(str, choice))


def _calls(epoch_steps, steps_per_call, unit=1):
    """Returns (steps an epoch, half-steps a call): an epoch in whole calls of about steps_per_call half-steps.

    A call is a multiple of `unit`, and the epoch is rounded to whole calls.
    """
    calls = -(-epoch_steps // steps_per_call)
    size = max(unit, unit * round(epoch_steps / calls / unit))
    return calls * size, size


def _mesh(*sizes):
    """Returns the mesh of the most devices that divide every batch size, None where that is one."""
    count = mesh.most(lambda n: all(size % n == 0 for size in sizes))
    return None if count == 1 else mesh.over(mesh.DATA, count)
