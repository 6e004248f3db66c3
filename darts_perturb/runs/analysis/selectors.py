"""Selection of cells from one supernet by every criterion, each with what it cost."""

import functools
import time

import jax
import jax.numpy as jnp
import numpy as np

from darts_perturb import edges as edges_
from darts_perturb import search, selection
from darts_perturb.criteria import shapley, zero_cost
from darts_perturb.runs import jobs as jobs_

MAGNITUDE = "magnitude"
# name: (criterion, whether the supernet is fine-tuned in between, whether candidates meet batches of their own)
PERTURBATIONS = {
    "perturbation_accuracy": ("accuracy", True, False),
    "perturbation_loss": ("loss", True, False),
    "one_shot_accuracy": ("accuracy", False, False),
    "one_shot_loss": ("loss", False, False),
    "official_accuracy": ("accuracy", True, True),
    "official_one_shot": ("accuracy", False, True),
}
SHAPLEY = {"shapley_accuracy": "accuracy", "shapley_loss": "loss"}
OF_SUPERNET = (MAGNITUDE, *PERTURBATIONS, *SHAPLEY)
ZERO_COST = tuple(f"{proxy}_{order}" for proxy in zero_cost.PROXIES for order in zero_cost.ORDERS)
COSTS = ("cpu_s", "forward_images", "backward_images")


class Selectors(jobs_.Jobs):
    """The criteria of one run; they share the compiled programs of `jobs.Jobs`."""

    def __init__(self, config, space, dataset, workdir):
        super().__init__(config, space, dataset, workdir)
        self.may = selection.allowed(space)
        options = {"space": space, "batch_size": config.eval_batch_size, "official": True}
        self.official = functools.partial(selection.removal, **options, masked_fn=self._masked_apart)
        self.passed = dict.fromkeys(COSTS[1:], 0)
        self.shuffled = jax.jit(self._shuffled)
        self.proxies = jax.jit(functools.partial(zero_cost.removal, space=space))

    def _masked_apart(self, params, masks, x, y, *, key, **_):
        """Returns what `perturb.masked` does where it is official: every mask on batches and augmentation of its own.

        In calls of the program that serves all other scores.
        """
        found = []
        for number, mask_key in enumerate(jax.random.split(key, len(masks))):
            noise_key = jax.random.fold_in(mask_key, 0)
            batches = self.shuffled(mask_key, x, y)
            found.append(self._masked(params, masks[number : number + 1], *batches, key=noise_key))
        return tuple(jnp.concatenate(each) for each in zip(*found))

    def _shuffled(self, key, x, y):
        """Returns images [k, b, H, W, C] and labels [k, b] in other batches, augmented."""
        order_key, augment_key = jax.random.split(key)
        order = jax.random.permutation(order_key, y.size)
        x, y = (leaf.reshape(y.size, *leaf.shape[2:])[order].reshape(leaf.shape) for leaf in (x, y))
        return jax.vmap(self.augment)(jax.random.split(augment_key, len(y)), x), y

    def untrained(self, seed):
        """Returns the `search.State` that every search of a seed starts from."""
        return self.init(jax.random.split(jax.random.key(seed), 3)[0])

    def chosen(self, name, search_name, seed, state):
        """Returns {choice: int32 [edges], cpu_s, forward_images, backward_images} of a criterion on a supernet.

        CPU seconds are of this process and of the selection alone, without the training of the supernet; the first
        seed's have compilation in them.

        Args:
            name: of OF_SUPERNET or ZERO_COST.
            search_name: of the supernet; of a zero-cost criterion it is only in the stage's name.
            seed: of the search.
            state: `search.State` of the supernet, trained or new.
        """
        self.passed = dict.fromkeys(COSTS[1:], 0)

        def compute():
            before = time.process_time()
            choice = np.asarray(self._choice(name, search_name, seed, state))
            return {"choice": choice, "cpu_s": time.process_time() - before, **self.passed}

        stage = f"chosen_{name}_{search_name}_{seed}"
        return self.workdir.stage(stage, compute)

    def _choice(self, name, search_name, seed, state):
        if name == MAGNITUDE:
            return selection.magnitude(state.alpha, self.space)
        if name in PERTURBATIONS:
            return self._perturbation(name, search_name, seed, state)
        if name in SHAPLEY:
            return self._shapley(SHAPLEY[name], seed, state)
        return self._zero_cost(*name.split("_"), seed, state)

    def _perturbation(self, name, search_name, seed, state):
        criterion, tuned, official = PERTURBATIONS[name]
        bilevel = search_name != jobs_.FIXED
        order_key, step_key = jax.random.split(jax.random.fold_in(jax.random.key(seed), 1))
        epochs = self.config.projection.tune_epochs if tuned else 0
        calls = epochs * self.epoch_steps * (2 if bilevel else 1) // self.call_steps
        score_fn = self.official if official else self.removal
        options = {"space": self.space, "criterion": criterion, "score_fn": score_fn, "tune_calls": calls}
        options["tune_fn"] = functools.partial(self._tune, bilevel)
        # the same edges in the same order whatever the criterion
        start = selection.init(order_key, state, self.space, self.config.projection.order)
        num_steps = selection.num_steps(self.space, calls)

        def step(state, _):
            return selection.step(step_key, state, self.images, **options)

        found = self._loop(f"{name}_{search_name}_{seed}", start, step, num_steps=num_steps)
        held_out = selection.held_out(self.images, self.config.eval_batch_size).size
        num_edges, num_ops = self.may.shape
        masks = num_ops + 1 if official else num_ops + (not self._has_none())
        self._count(forward=num_edges * masks * held_out)
        trained = (num_edges - 1) * calls * self.call_steps * self.config.batch_size
        self._count(forward=trained, backward=trained)
        return found.search.choice

    def _has_none(self):
        return bool(edges_.holding(self.space, "none").any())

    def _shapley(self, criterion, seed, state):
        config = self.config.shapley
        players, value_fn = self.game(criterion, state, config.batches)
        orders = shapley.orders(np.random.default_rng(seed), len(players), config.walks)
        truncation = config.truncation if config.truncation > 0 else None
        found = shapley.estimate(value_fn, orders, truncation=truncation)
        return shapley.strongest(found.value, players, self.may)

    def game(self, criterion, state, batches=None):
        """Returns (players, value_fn) of a supernet, as `shapley` takes them: its accuracy, or its loss below 0.

        Every coalition sees the same held-out images and noise.

        Args:
            criterion: "accuracy" or "loss".
            state: `search.State`.
            batches: of held-out images; all if left out.
        """
        rows = selection.held_out(self.images, self.config.eval_batch_size)[:batches]
        x, y = self.images.x[rows], self.images.y[rows]
        weights = np.asarray(edges_.flat(search.op_weights(state.alpha, state.choice)))
        players, key = shapley.players(~edges_.holding(self.space, "none")), jax.random.key(0)

        def value_fn(kept):
            self._count(forward=rows.size)
            mask = jnp.asarray(shapley.weights_of(weights, players, kept))[None]
            loss, correct = self._masked(state.params, mask, x, y, key=key)
            return float(correct.mean()) if criterion == "accuracy" else -float(loss.mean())

        return players, value_fn

    def _zero_cost(self, proxy, order, seed, state):
        config = self.config.zero_cost
        rows = self.images.weight_rows[: config.batch_size]
        x, y = self.images.x[rows], self.images.y[rows]

        def removal(weights, row):
            passed = self.may.shape[1] * config.batch_size
            self._count(forward=passed, backward=passed)
            return self.proxies(state.params, jnp.asarray(weights), row, x, y, zero_cost.PROXIES.index(proxy))

        groups = zero_cost.groups(order, self.space, np.random.default_rng(seed))
        return zero_cost.select(removal, groups, self.may)[0]

    def _count(self, forward=0, backward=0):
        self.passed["forward_images"] += forward
        self.passed["backward_images"] += backward
