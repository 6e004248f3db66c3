"""The lead of skip connections over convolutions, and the accuracy of the supernet, as it trains (figure 3)."""

import numpy as np

from darts_perturb import edges as edges_
from darts_perturb import search
from darts_perturb.analysis import skip_domination
from darts_perturb.runs import jobs as jobs_
from darts_perturb.runs import summary
from darts_perturb.runs.analysis import skip_domination_plots, supernets

INPUTS = supernets.INPUTS
VECTORIZED = jobs_.TRACED
MIN_EPOCHS = 3  # of a rank correlation over them


def load(config):
    """Returns `supernets.Data` after checking every field of the config.

    Raises:
        ValueError: an impossible field, or images that are not as they should be.
        OSError: files that cannot be read.
    """
    if config.search.epochs < MIN_EPOCHS:
        raise ValueError(f"config.search.epochs={config.search.epochs}: need at least {MIN_EPOCHS} to correlate over")
    if jobs_.FIXED in config.searches:
        raise ValueError(f"config.searches={config.searches}: alpha that never moves has no course to follow")
    return supernets.load(config)


def run(config, data, workdir):
    """Returns the figures of the run; see the config for what they are."""
    jobs = jobs_.Jobs(config, data.space, data.dataset, workdir)

    def watched(state):
        weights = edges_.flat(search.op_weights(state.alpha, state.choice))
        lead = float(skip_domination.lead(weights, data.space, data.conv))
        return {"lead": lead, "held_out_accuracy": supernets.held_out_accuracy(jobs, state)}

    for seed in config.seeds:
        for name in config.searches:
            jobs.search(name, seed, watched)
    points = skip_domination_plots.courses(workdir.rows())
    workdir.save_figure("skip_domination", skip_domination_plots.plot(points, data.space, data.conv), points)
    return {
        "space": data.space.name,
        "conv": data.conv,
        "searches": {name: figures([row for row in points if row["search"] == name]) for name in config.searches},
    }


def figures(points):
    """Returns the figures of one search, each with its spread over seeds.

    Args:
        points: of `skip_domination_plots.courses`.
    """
    courses = []
    for seed in dict.fromkeys(row["seed"] for row in points):
        own = [row for row in points if row["seed"] == seed]
        courses.append(np.array([[row["epoch"], row["lead"], row["held_out_accuracy"]] for row in own]).T)
    rank, given = skip_domination.rank_correlation, skip_domination.partial_rank_correlation
    return {
        "rank_correlation": summary.spread([rank(lead, accuracy) for _, lead, accuracy in courses]),
        "rank_correlation_given_epoch": summary.spread(
            [given(lead, accuracy, epoch) for epoch, lead, accuracy in courses]
        ),
        "rank_correlation_with_epoch": summary.spread([rank(lead, epoch) for epoch, lead, _ in courses]),
        "lead_at_end": summary.spread([lead[-1] for _, lead, _ in courses]),
        "accuracy_at_end": summary.spread([accuracy[-1] for *_, accuracy in courses]),
    }
