"""The selected cells, drawn."""

from darts_perturb import drawing
from darts_perturb import genotype as genotypes
from darts_perturb.runs.plots import names

MOST_SEEDS = 3
_LAYER, _NODE = 0.44, 0.3  # inches across and down


def shown(rows):
    """Returns the rows of the cells that are drawn: all selections of the first seeds, random cells left out."""
    rows = [row for row in rows if row["selection"] != names.RANDOM]
    seeds = list(dict.fromkeys(row["seed"] for row in rows))[:MOST_SEEDS]
    return [row for row in rows if row["seed"] in seeds]


def plot_cells(rows, space):
    """Returns the drawn cells, a row a selection and a column a seed; a row a seed where a genotype has two cells.

    Args:
        rows: {selection, seed, genotype, test_accuracy, table_cifar10 where known} of `shown`.
        space: `space.Space`.
    """
    from matplotlib.figure import Figure

    grid = [
        [(row, cell) for row in line for cell in drawing.cells_of(_parsed(row, space))] for line in _lines(rows, space)
    ]
    columns = max(map(len, grid))
    sizes = [[drawing.size(_parsed(row, space), cell) for row, cell in line] for line in grid]
    across = max(size[0] for line in sizes for size in line)
    heights = [_NODE * max(size[1] for size in line) + 0.5 for line in sizes]
    width = max(_LAYER * across * columns, 3.6)
    figure = Figure(figsize=(width, sum(heights)), layout="constrained")
    axes = figure.subplots(len(grid), columns, height_ratios=heights, squeeze=False)
    for line, line_axes in zip(grid, axes):
        for axis in line_axes:
            axis.set_axis_off()
        for (row, cell), axis in zip(line, line_axes):
            drawing.draw(_parsed(row, space), axis, _title(row, cell), cell=cell, fontsize=7)
    return figure


def _parsed(row, space):
    return genotypes.parse(row["genotype"], space)


def _lines(rows, space):
    """Returns the rows of every line of the grid."""
    if len(space.kinds) > 1:
        order = list(names.grouped(rows, "selection"))
        return [[row] for row in sorted(rows, key=lambda row: order.index(row["selection"]))]
    return list(names.grouped(rows, "selection").values())


def _title(row, cell):
    """Returns how a cell was selected and what is known of it."""
    facts = [f"seed {row['seed']}"]
    if len(row["test_accuracy"]):
        facts.append(f"test {100 * sum(row['test_accuracy']) / len(row['test_accuracy']):.1f}%")
    if row.get("table_cifar10") is not None:
        facts.append(f"CIFAR-10 table {row['table_cifar10']:.2f}%")
    kind = f"\n{drawing.TITLES[cell]}: " if cell else "\n"
    return names.of_selection(row["selection"]) + kind + ", ".join(facts)
