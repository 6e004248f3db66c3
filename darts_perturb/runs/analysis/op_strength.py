"""Every operation of every edge made discrete and fine-tuned, against alpha and removal scores (figures 1 and 2)."""

import jax
import numpy as np

from darts_perturb import edges as edges_
from darts_perturb import search
from darts_perturb.analysis import op_strength
from darts_perturb.runs import jobs as jobs_
from darts_perturb.runs import summary
from darts_perturb.runs.analysis import op_strength_plots, supernets

INPUTS = supernets.INPUTS
VECTORIZED = jobs_.TRACED
STRENGTHS = ("accuracy", "loss")  # held-out accuracy after fine-tuning, and the loss turned round


def load(config):
    """Returns `supernets.Data` after checking every field of the config.

    Raises:
        ValueError: an impossible field, or images that are not as they should be.
        OSError: files that cannot be read.
    """
    if config.projection.tune_epochs < 2:
        raise ValueError(f"config.projection.tune_epochs={config.projection.tune_epochs}: need at least 2, to settle")
    if not 0 <= config.projection.learning_rate < np.inf:
        raise ValueError(f"config.projection.learning_rate={config.projection.learning_rate}: need a finite number")
    return supernets.load(config)


def run(config, data, workdir):
    """Returns the figures of the run; see the config for what they are."""
    jobs = Discretiser(config, data.space, data.dataset, workdir)
    tables = {}
    for name in config.searches:
        for seed in config.seeds:
            state = jobs.search(name, seed)
            scores = jobs.strengths(name, seed, state)
            weights = np.asarray(edges_.flat(search.op_weights(state.alpha, state.choice)))
            measured = jobs.discrete(name, seed, state)
            tables[name, seed] = {
                "alpha": weights,
                "removal_accuracy": np.asarray(scores.baseline_accuracy - scores.accuracy),
                "removal_loss": np.asarray(scores.loss - scores.baseline_loss),
                "accuracy": measured["accuracy"],
                "loss": -measured["loss"],
            }
    points = op_strength_plots.points(workdir.rows(), data.space)
    workdir.save_figure("op_strength", op_strength_plots.plot(points, data.space), points)
    settled = op_strength_plots.settling(workdir.rows())
    workdir.save_figure("fine_tuning", op_strength_plots.plot_settling(settled, data.space), settled)
    return {
        "space": data.space.name,
        "conv": data.conv,
        "searches": {
            name: figures([tables[name, seed] for seed in config.seeds], data, alpha=name != jobs_.FIXED)
            for name in config.searches
        },
        "last_epoch_of_fine_tuning": {
            name: {what: summary.spread(each) for what, each in op_strength_plots.last_changes(settled, name).items()}
            for name in config.searches
        },
    }


class Discretiser(jobs_.Jobs):
    """The pieces of a run, with one more: every operation of every edge made discrete."""

    def discrete(self, name, seed, state):
        """Returns {accuracy, loss: [rows, ops]} on held-out images of a supernet fine-tuned with one edge discrete.

        Args:
            name: of the search.
            seed: of the search.
            state: `search.State` after it.
        """
        num_rows, num_ops = len(edges_.listed(self.space)), self.space.weights_shape[1]
        epochs, calls = self.config.projection.tune_epochs, self.tune_calls(name)

        def key_of(row):
            # the operations of an edge see the same batches: they are compared in pairs
            return jax.random.split(jax.random.fold_in(jax.random.key(seed), 5), num_rows)[row]

        def step(tables, number):
            row, place = divmod(number, num_ops)
            tuned = op_strength.discretised(state, row, place)
            courses = [self._outcomes(tuned)]
            for epoch in range(epochs):
                for call in range(epoch * calls, (epoch + 1) * calls):
                    tuned, _ = self._tune(name != jobs_.FIXED, key_of(row), tuned, None, call)
                courses.append(self._outcomes(tuned))
            by_epoch = {f"{what}_{epoch}": found[what] for epoch, found in enumerate(courses) for what in STRENGTHS}
            tables = {what: np.array(table) for what, table in tables.items()}
            for what, table in tables.items():
                table[row, place] = courses[-1][what]
            return tables, {"row": row, "choice": place, **by_epoch}

        empty = {what: np.zeros((num_rows, num_ops), np.float32) for what in STRENGTHS}
        return self.workdir.loop(f"discrete_{name}_{seed}", empty, step, num_steps=num_rows * num_ops)

    def _outcomes(self, state):
        """Returns {accuracy, loss} of a supernet on held-out images, means."""
        loss, hits = self.outcomes(state.params, state, *supernets.held_out(self))
        return {"accuracy": float(hits.mean()), "loss": float(loss.mean())}


def figures(tables, data, *, alpha):
    """Returns the figures of one search, each with its spread over seeds.

    Args:
        tables: of every seed {measure or strength: [rows, ops]}.
        data: `supernets.Data`.
        alpha: whether alpha moved, so that it is a measure.
    """
    measures = (["alpha"] if alpha else []) + ["removal_accuracy", "removal_loss"]
    found = {}
    for strength in STRENGTHS:
        by_measure = {}
        for measure in measures:
            pairs = [(table[measure], table[strength]) for table in tables]
            by_edge = np.concatenate([op_strength.correlations(*pair) for pair in pairs])
            by_measure[measure] = {
                "rank_correlation": summary.spread([op_strength.correlations(*pair).mean() for pair in pairs]),
                "rank_correlation_over_edges": _over_edges(by_edge, len(tables)),
                "same_best": summary.spread([op_strength.same_best(*pair).mean() for pair in pairs]),
                "given_up": summary.spread([op_strength.given_up(*pair).mean() for pair in pairs]),
            }
        if alpha:
            lead = [
                op_strength.correlations(table["removal_loss"], table[strength]).mean()
                - op_strength.correlations(table["alpha"], table[strength]).mean()
                for table in tables
            ]
            by_measure["removal_less_alpha"] = summary.spread(lead)
        found[f"by_{strength}"] = by_measure
    wins = [name for name in (*measures, *STRENGTHS) if name != "removal_accuracy"]
    counts = {
        name: np.array([op_strength.skip_wins(table[name], data.space, data.conv).sum() for table in tables])
        for name in wins
    }
    found["skip_beats_conv"] = {name: summary.spread(of_seeds) for name, of_seeds in counts.items()}
    if "alpha" in counts:  # of the same edges, in pairs
        found["skip_beats_conv"]["alpha_less_accuracy"] = summary.spread(counts["alpha"] - counts["accuracy"])
    found["edges_with_both"] = len(op_strength.skip_wins(tables[0]["accuracy"], data.space, data.conv))
    return found


def _over_edges(values, seeds):
    """Returns the spread over the edges of all seeds; the interval takes them to be independent, which they are not."""
    found = summary.spread(values)
    return {**found, "seeds": seeds, "edges": len(values)}
