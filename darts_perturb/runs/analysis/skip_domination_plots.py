"""Pictures of skip domination, from the rows of metrics.jsonl alone."""

import numpy as np

from darts_perturb.runs.plots import names
from experiment import figures


def courses(rows):
    """Returns {search, seed, epoch, lead, held_out_accuracy} of every epoch of every search."""
    found = []
    for (search, seed), own in _by_run(names.staged(rows, "search")).items():
        watched = [row for row in own if "lead" in row]
        for epoch, row in enumerate(watched, start=1):
            values = {name: row[name] for name in ("lead", "held_out_accuracy")}
            found.append({"search": search, "seed": seed, "epoch": epoch, **values})
    return found


def _by_run(rows):
    runs = {}
    for row in rows:
        runs.setdefault((row["search"], row["seed"]), []).append(row)
    return runs


def plot(rows, space, conv):
    """Returns the lead of skip connections against the supernet's accuracy, a dot an epoch, and both by epoch.

    Args:
        rows: of `courses`.
        space: `space.Space`.
        conv: what the skip connections lead over.

    References:
        arXiv:2108.04392, figure 3.
    """
    figure, (against, lead, accuracy) = figures.new(1, 3, width=3.1, height=3.1)
    labels = {"lead": f"{names.of_op('skip_connect')} less {names.of_op(conv)},\nmean op weight"}
    labels["held_out_accuracy"] = "held-out accuracy (share)"
    runs = _by_run(rows)
    searches = list(dict.fromkeys(search for search, _ in runs))
    for number, ((search, seed), own) in enumerate(runs.items()):
        # a colour a seed, or a search where there are several
        place = searches.index(search) if len(searches) > 1 else number
        colour = figures.COLOURS[place % len(figures.COLOURS)]
        epoch, gap, held_out = (np.array([row[name] for row in own]) for name in ("epoch", *labels))
        name = names.SEARCHES[search] if len(searches) > 1 else f"seed {seed}"
        against.plot(held_out, gap, "o-", color=colour, markersize=2.5, linewidth=0.5, alpha=0.8)
        against.plot(held_out[-1], gap[-1], "o", color=colour, markersize=7, markeredgecolor="black")
        lead.plot(epoch, gap, color=colour, linewidth=1.4, label=name)
        accuracy.plot(epoch, held_out, color=colour, linewidth=1.4)
    against.set_xlabel(labels["held_out_accuracy"])
    against.set_ylabel(labels["lead"])
    against.set_title("a dot an epoch; outlined: the last", fontsize=8.5)
    for axis, field in ((lead, "lead"), (accuracy, "held_out_accuracy")):
        axis.set_xlabel("epoch of the search")
        axis.set_ylabel(labels[field])
    for axis in (against, lead):
        axis.axhline(0.0, color="black", linewidth=0.8)
    handles, texts = lead.get_legend_handles_labels()
    shown = dict(zip(texts, handles))
    figure.legend(
        shown.values(), shown, loc="outside lower center", ncols=min(len(shown), 8), fontsize=8, frameon=False
    )
    count = names.of_seeds(len({row["seed"] for row in rows}))
    figure.suptitle(f"{space.name}, {count}: the lead of skip connections and what the supernet finds", fontsize=9)
    return figure
