"""Pictures of the run, from the rows of metrics.jsonl alone."""

import numpy as np

from darts_perturb import genotype as genotypes
from experiment import figures

SELECTION_NAMES = {
    "magnitude": "magnitude of\ntrained alpha",
    "perturbation": "perturbation,\ntrained alpha",
    "perturbation_fixed": "perturbation,\nfixed alpha",
    "random": "random\ncells",
}


def save(workdir, space):
    """Writes every figure of the run."""
    searches = _stages(workdir.rows(), "search_trained_")
    workdir.save_figure("alpha", plot_alpha(searches, space), searches)
    for kind in ("trained", "fixed"):
        rows = _stages(workdir.rows(), f"strengths_{kind}_")
        workdir.save_figure(f"strengths_{kind}", plot_strengths(rows, space, kind), rows)
    cells = workdir.rows("cells")
    workdir.save_figure("cells", plot_cells(cells), cells)
    workdir.save_figure("accuracy", plot_accuracy(cells), cells)


def _stages(rows, prefix):
    """Returns the rows of the stages PREFIX + seed, with the seed as a field."""
    return [{**row, "seed": int(row["stage"][len(prefix) :])} for row in rows if row["stage"].startswith(prefix)]


def _label(op):
    return op.replace("_connect", "").replace("nor_", "").replace("_", " ")


def plot_alpha(rows, space):
    """Returns the course of the op weights, mean over edges; parameter-free operations dashed.

    Args:
        rows: {seed, step, weight_OP for every operation}.
        space: `space.Space`.
    """
    figure, (left, right) = figures.new(1, 2)
    seeds = sorted({row["seed"] for row in rows})
    steps = [row["step"] for row in rows if row["seed"] == seeds[0]]
    curves = {
        op: np.array([[row[f"weight_{op}"] for row in rows if row["seed"] == seed] for seed in seeds])
        for op in space.ops
    }

    def draw(axis, values, label, **style):
        low, middle, high = np.quantile(values, (0.25, 0.5, 0.75), axis=0)
        (line,) = axis.plot(steps, middle, label=label, **style)
        axis.fill_between(steps, low, high, color=line.get_color(), alpha=0.15, linewidth=0)

    for op, values in curves.items():
        style = {"color": genotypes.COLOURS[op], "linestyle": "--" if op in space.parameter_free else "-"}
        draw(left, values, _label(op), **style)
        if op in space.parameter_free:
            draw(right, values - curves["nor_conv_3x3"], f"{_label(op)} - conv 3x3", **style)
    right.axhline(0.0, color="black", linewidth=0.8)
    left.set(xlabel="half-step of the search", ylabel="op weight, mean over edges")
    right.set(xlabel="half-step of the search", ylabel="difference of mean op weights")
    for axis in (left, right):
        axis.legend(fontsize=7, frameon=False, loc="upper left")
    left.set_title("dashed: nothing to learn", fontsize=8)
    right.set_title(f"median and quartiles over {len(seeds)} seeds", fontsize=8)
    return figure


def plot_strengths(rows, space, kind):
    """Returns one panel an edge: rise of the loss when an operation is removed, against its op weight.

    With fixed alpha all op weights are equal, and the operations stand side by side instead.

    Args:
        rows: {seed, edge, op, weight, loss_rise, loss_se}.
        space: `space.Space`.
        kind: "trained" or "fixed".
    """
    figure, axes = figures.new(2, 3, width=3.0, height=2.6)
    ops = [op for op in space.ops if op != "none"]
    num_seeds = len({row["seed"] for row in rows})
    for edge, axis in enumerate(axes.ravel()[: len(space.edges)]):
        for place, op in enumerate(ops):
            points = [row for row in rows if row["edge"] == edge and row["op"] == op]
            x = [row["weight"] for row in points] if kind == "trained" else np.full(len(points), place)
            y, se = ([row[name] for row in points] for name in ("loss_rise", "loss_se"))
            style = {"color": genotypes.COLOURS[op], "label": _label(op), "markersize": 4, "elinewidth": 0.8}
            axis.errorbar(x, y, yerr=se, fmt="o", alpha=0.75, **style)
        axis.axhline(0.0, color="black", linewidth=0.8)
        source, target = space.edges[edge]
        axis.set_title(f"edge {source} to {target}", fontsize=8)
        axis.tick_params(labelsize=7)
        if kind == "fixed":
            axis.set_xticks(range(len(ops)), [_label(op) for op in ops], fontsize=6.5)
            axis.set_xlim(-0.5, len(ops) - 0.5)
    if kind == "trained":
        axes.ravel()[0].legend(fontsize=6, frameon=False)
        figure.supxlabel("op weight (softmax of alpha)", fontsize=8)
    figure.supylabel("rise of the loss without the operation, nats", fontsize=8)
    figure.suptitle(f"alpha {kind}; {num_seeds} seeds; bars: paired standard error over held-out images", fontsize=8)
    return figure


def plot_cells(rows):
    """Returns the selected cells, one row a selection, one column a seed.

    Args:
        rows: {selection, seed, genotype, test_accuracy}.
    """
    names = [name for name in SELECTION_NAMES if name != "random"]
    seeds = sorted({row["seed"] for row in rows if row["selection"] in names})
    figure, axes = figures.new(len(names), len(seeds), width=2.6, height=1.7)
    axes = np.reshape(axes, (len(names), len(seeds)))
    for row in rows:
        if row["selection"] in names:
            axis = axes[names.index(row["selection"]), seeds.index(row["seed"])]
            title = f"{SELECTION_NAMES[row['selection']]}".replace("\n", " ")
            accuracy = np.mean(row["test_accuracy"])
            genotypes.draw(genotypes.parse(row["genotype"]), axis, f"{title}\nseed {row['seed']}, test {accuracy:.3f}")
    return figure


def plot_accuracy(rows):
    """Returns the test accuracy of retrained cells by how they were selected.

    Args:
        rows: {selection, seed, test_accuracy: one value a retraining}.
    """
    figure, axis = figures.new(width=5.4)
    names = [name for name in SELECTION_NAMES if any(row["selection"] == name for row in rows)]
    for place, name in enumerate(names):
        runs = [row["test_accuracy"] for row in rows if row["selection"] == name]
        means = np.mean(runs, axis=1)
        spread = np.linspace(-0.12, 0.12, len(means)) if len(means) > 1 else np.zeros(1)
        for offset, values in zip(spread, runs):
            axis.plot(np.full(len(values), place + offset), values, ".", color="#999999", markersize=3)
        axis.plot(place + spread, means, "o", color=figures.COLOURS[place], alpha=0.8)
        sd = means.std(ddof=1) if len(means) > 1 else 0.0
        axis.errorbar(place + 0.27, means.mean(), yerr=sd, fmt="D", color=figures.COLOURS[place], capsize=4)
    axis.set_xticks(range(len(names)), [SELECTION_NAMES[name] for name in names], fontsize=8)
    axis.set(ylabel="test accuracy", xlim=(-0.5, len(names) - 0.3))
    axis.set_title("grey: retrainings; circle: mean of a cell; diamond: mean and SD of cells", fontsize=8)
    return figure
