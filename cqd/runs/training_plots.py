"""The figure of a training: loss, and validation MRR where it was watched, over the epochs."""

from experiment import figures


def plot_training(rows):
    """Returns the loss of every seed over the epochs, and beside it the validation MRR if any row has it."""
    watched = any("valid_mrr" in row for row in rows)
    figure, _ = figures.new(ncols=1 + watched)
    names = {"loss": "training loss", "valid_mrr": "filtered MRR of validation triples"}
    for axis, name in zip(figure.axes, names):
        for seed in dict.fromkeys(row["seed"] for row in rows):
            points = [(row["step"], row[name]) for row in rows if row["seed"] == seed and name in row]
            axis.plot(*zip(*points), label=f"seed {seed}", linewidth=1.2)
        axis.set_xlabel("epoch")
        axis.set_ylabel(names[name])
    figure.axes[0].legend(fontsize=8, frameon=False)
    return figure
