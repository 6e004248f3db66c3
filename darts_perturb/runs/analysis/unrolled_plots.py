"""Pictures of exchanged layers and edges, from the rows of metrics.jsonl alone."""

import numpy as np

from darts_perturb.runs.plots import names
from experiment import figures

_NETS = {"plain": "plain net", "residual": "residual net", "supernet": "supernet"}
_ACCURACIES = {"intact": "intact", "left_out": "one left out", "exchanged": "two exchanged"}


def points(rows):
    """Returns {net, seed, what, place, value} of everything measured."""
    fields = ("net", "seed", "what", "place", "value")
    return [{name: row[name] for name in fields} for row in rows if "_measured_" in row["stage"]]


def plot(rows):
    """Returns the accuracy of every net intact, with a layer left out and with two exchanged; and how layers agree.

    Args:
        rows: of metrics.jsonl.

    References:
        arXiv:2108.04392, table 1.
    """
    rows = points(rows)
    figure, (accuracy, cosine, distance) = figures.new(1, 3, width=3.3, height=3.3)
    nets = [net for net in _NETS if any(row["net"] == net for row in rows)]
    for number, (what, label) in enumerate(_ACCURACIES.items()):
        _dots(accuracy, rows, nets, what, 0.27 * (number - 1), figures.COLOURS[number], label)
    accuracy.set_ylabel("test accuracy (share)")
    accuracy.set_ylim(0.0, 1.02)
    labels = {"cosine": "cosine to the mean of the others", "distance": "distance to it, over its norm"}
    for axis, (what, label) in zip((cosine, distance), labels.items()):
        _dots(axis, rows, nets, what, 0.0, figures.COLOURS[4], "")
        axis.set_ylabel(label)
        axis.set_ylim(bottom=min(0.0, axis.get_ylim()[0]))
        axis.set_title("a dot a layer, or an edge", fontsize=8.5)
    for axis in figure.axes:
        axis.set_xticks(range(len(nets)), [_NETS[net].replace(" ", "\n") for net in nets])
    handles, texts = accuracy.get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    count = names.of_seeds(len({row["seed"] for row in rows}))
    words = "bars: means; dots: every exchange, or layer left out, of every seed"
    figure.suptitle(f"layers and edges at test time, {count}; {words}", fontsize=9)
    return figure


def _dots(axis, rows, nets, what, aside, colour, label):
    """Draws all values of every net beside one another, and a bar at their mean."""
    for number, net in enumerate(nets):
        values = np.array([row["value"] for row in rows if row["net"] == net and row["what"] == what])
        spots = number + aside + np.linspace(-0.09, 0.09, len(values))
        axis.plot(spots, values, "o", color=colour, markersize=2.5, alpha=0.4)
        style = {"linewidth": 2.2, "color": colour, "label": label if number == 0 and label else None}
        axis.plot([number + aside - 0.12, number + aside + 0.12], [values.mean()] * 2, **style)
