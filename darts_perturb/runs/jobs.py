"""The pieces that runs are made of, each resumed by its workdir: search, removal scores, projection, retraining."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from darts_perturb import genotype as genotypes
from darts_perturb import perturb, retraining, search, selection

KINDS = ("trained", "fixed")  # what happens to alpha during the search


class Jobs:
    """The pieces of one run. All share four compiled programs, whatever the seed and the cell."""

    def __init__(self, config, space, dataset, workdir):
        self.config, self.space, self.dataset, self.workdir = config, space, dataset, workdir
        self.x, self.y = jnp.asarray(dataset.x_train), jnp.asarray(dataset.y_train)
        self.weight_rows, self.alpha_rows = search.halves(len(self.y))
        size = config.eval_batch_size
        rows = self.alpha_rows[: len(self.alpha_rows) // size * size].reshape(-1, size)
        half_epoch = len(self.weight_rows) // config.batch_size
        self.half_epoch = -(-half_epoch // config.steps_per_call) * config.steps_per_call  # in whole calls
        self.held_out = self.x[rows], self.y[rows]
        self.settings = search.Settings(
            alpha_learning_rate=config.search.alpha_learning_rate,
            alpha_weight_decay=config.search.alpha_weight_decay,
        )
        sizes = {"channels": config.channels, "layers": config.layers, "num_classes": dataset.num_classes}
        self.init = jax.jit(functools.partial(search.init, space=space, **sizes), static_argnames="affine")
        self.weight_plan = jax.jit(search.weight_plan, static_argnames=("batch_size", "num_steps"))
        self.bilevel_plan = jax.jit(search.bilevel_plan, static_argnames=("batch_size", "num_steps"))
        self.steps = jax.jit(functools.partial(search.steps, space=space, shift=config.shift, flip=config.flip))
        self.removal = jax.jit(functools.partial(perturb.removal_scores, space=space, method=config.projection.method))
        self.decide = jax.jit(functools.partial(selection.decide, criterion=config.projection.criterion))
        self.losses = jax.jit(functools.partial(search.losses, space=space))

    def plan(self, key, rows, num_steps, rates, *, bilevel):
        """Returns num_steps steps of the weights over some rows, each after a step of alpha where bilevel."""
        options = {
            "batch_size": self.config.batch_size,
            "num_steps": num_steps,
            "learning_rate": rates[0],
            "final_learning_rate": rates[1],
        }
        if bilevel:
            return self.bilevel_plan(key, rows, self.alpha_rows, **options)
        return self.weight_plan(key, rows, **options)

    def call(self, key, state, plan, start):
        """Returns (state, info) after one compiled call: the half-steps of a plan from number `start` on."""
        part = jax.tree.map(lambda leaf: leaf[start : start + self.config.steps_per_call], plan)
        return self.steps(key, state, self.x, self.y, part, self.settings, start)

    def search(self, kind, seed):
        """Returns the state after a search with alpha trained or fixed; both start from the same weights."""
        config = self.config.search
        init_key, plan_key, step_key = jax.random.split(jax.random.key(seed), 3)
        state = self.init(init_key)
        rates = config.learning_rate, config.final_learning_rate
        num_steps = config.epochs * self.half_epoch
        plan = self.plan(plan_key, self.weight_rows, num_steps, rates, bilevel=kind == "trained")

        def step(state, start):
            state, info = self.call(step_key, state, plan, start)
            mean = search.op_weights(state.alpha, state.choice).mean(axis=0)
            return state, {**info, **{f"weight_{op}": mean[index] for index, op in enumerate(self.space.ops)}}

        return self.workdir.loop(
            f"search_{kind}_{seed}",
            state,
            step,
            num_steps=len(plan.for_alpha),
            steps_per_call=self.config.steps_per_call,
        )

    def strengths(self, kind, seed, state):
        """Returns what every removal costs a searched supernet: {accuracy_drop, loss_rise and their _se: [e, o]}."""
        weights = search.op_weights(state.alpha, state.choice)

        def compute():
            parts = [
                self.removal(state.params, weights, *self.held_out, edges=jnp.asarray([edge]))
                for edge in range(len(self.space.edges))
            ]
            return {
                "accuracy_drop": jnp.concatenate([part.baseline_accuracy - part.accuracy for part in parts]),
                "accuracy_se": jnp.concatenate([part.accuracy_se for part in parts]),
                "loss_rise": jnp.concatenate([part.loss - part.baseline_loss for part in parts]),
                "loss_se": jnp.concatenate([part.loss_se for part in parts]),
            }

        table = self.workdir.stage(f"strengths_{kind}_{seed}", compute)
        for edge in range(len(self.space.edges)):
            for index, op in enumerate(self.space.ops):
                values = {name: float(value[edge, index]) for name, value in table.items()}
                row = edge * len(self.space.ops) + index
                weight = float(weights[edge, index])
                self.workdir.log(f"strengths_{kind}_{seed}", row, edge=edge, op=op, weight=weight, **values)
        return table

    def perturbation(self, kind, seed, state):
        """Returns the cell that projection selects, its supernet tuned between two projections."""
        config, num_edges = self.config.projection, len(self.space.edges)
        order_key, plan_key, step_key = jax.random.split(jax.random.fold_in(jax.random.key(seed), 1), 3)
        rates, num_steps = (config.learning_rate,) * 2, config.tune_epochs * self.half_epoch
        plans = [
            self.plan(key, self.weight_rows, num_steps, rates, bilevel=kind == "trained")
            for key in jax.random.split(plan_key, num_edges)
        ]
        calls = len(plans[0].for_alpha) // self.config.steps_per_call

        def step(state, number):
            edge, call = divmod(number, calls + 1)
            if call == 0:
                weights = search.op_weights(state.search.alpha, state.search.choice)
                edges = selection.next_edge(state)
                scores = self.removal(state.search.params, weights, *self.held_out, edges=edges)
                return self.decide(state, scores)
            key = jax.random.fold_in(step_key, edge)
            tuned, info = self.call(key, state.search, plans[edge], (call - 1) * self.config.steps_per_call)
            return state._replace(search=tuned), info

        # the last projection needs no tuning
        num_steps = num_edges * (calls + 1) - calls
        start = selection.init(order_key, state, self.space)
        end = self.workdir.loop(f"projection_{kind}_{seed}", start, step, num_steps=num_steps)
        return genotypes.from_choice(self.space, end.search.choice)

    def retrain(self, genotype):
        """Returns the test accuracy of a cell trained from new weights, [retrain seeds].

        The weights of the best validation epoch are tested, once.
        """
        config, size = self.config.retrain, self.config.steps_per_call
        code, accuracies = "".join(map(str, genotypes.to_choice(genotype))), []
        rates, epoch_steps = (config.learning_rate, config.final_learning_rate), 2 * self.half_epoch
        for seed in range(config.seeds):
            # the same keys for every cell: cells are compared in pairs
            init_key, plan_key, step_key = jax.random.split(jax.random.fold_in(jax.random.key(seed), 2), 3)
            state = retraining.init(self.init(init_key, affine=config.affine), genotype)
            rows = jnp.arange(len(self.y))
            plan = self.plan(plan_key, rows, config.epochs * epoch_steps, rates, bilevel=False)

            def step(state, epoch, step_key=step_key, plan=plan):
                trained = state.search
                for start in range(epoch * epoch_steps, (epoch + 1) * epoch_steps, size):
                    trained, info = self.call(step_key, trained, plan, start)
                accuracy = self.accuracy(trained.params, trained, self.dataset.x_valid, self.dataset.y_valid)
                state = retraining.keep_best(state._replace(search=trained), accuracy, epoch + 1)
                return state, {"loss": info["loss"][-1], "valid_accuracy": accuracy}

            state = self.workdir.loop(f"retrain_{code}_{seed}", state, step, num_steps=config.epochs)
            accuracies.append(self.accuracy(state.best_params, state.search, self.dataset.x_test, self.dataset.y_test))
        return np.asarray(accuracies)

    def accuracy(self, params, state, x, y):
        """Returns the share of images whose label is found; every image counts once, in batches of one size."""
        weights, size, correct = search.op_weights(state.alpha, state.choice), self.config.eval_batch_size, []
        for start in range(0, len(y), size):
            # the last batch reaches back, so that it is as large as the others
            first = min(start, len(y) - size)
            _, found = self.losses(params, weights, x[first : first + size], y[first : first + size])
            correct.append(np.asarray(found)[start - first :])
        return np.concatenate(correct).mean(dtype=np.float32)
