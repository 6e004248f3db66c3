"""Pictures of the searches and selections of a run, from the rows of metrics.jsonl alone."""

from darts_perturb.runs.plots import accuracy, alpha, cells, names, projection, strengths


def save(workdir, space):
    """Writes every figure that the run has rows for.

    Args:
        workdir: `experiment.workdir.Workdir`.
        space: `space.Space` that was searched.
    """
    for name, figure, points in pictures(workdir.rows(), space):
        workdir.save_figure(name, figure, points)


def pictures(rows, space):
    """Yields (name, matplotlib Figure, the plotted points as flat dicts) of every figure that there are rows for.

    Args:
        rows: of metrics.jsonl.
        space: `space.Space`.
    """
    trained = [row for row in names.staged(rows, "search") if row["search"] != names.FIXED]
    if trained:
        means = alpha.means(trained, space)
        yield "alpha", alpha.plot_alpha(means, space), means
        first = alpha.first_run(trained)
        yield "alpha_edges", alpha.plot_alpha_edges(first, space), first
    for search, points in names.grouped(names.staged(rows, "strengths"), "search").items():
        yield f"strengths_{search}", strengths.plot_strengths(points, space), points
    for way, name in {"perturbation": "projection", "one_shot": "projection_one_shot"}.items():
        points = projection.joined(rows, way)
        if points:
            yield name, projection.plot_projection(points, space), points
    found = [row for row in rows if row["stage"] == "cells"]
    drawn = cells.shown(found)
    if drawn:
        yield "cells", cells.plot_cells(drawn, space), drawn
    retrained = [row for row in found if len(row["test_accuracy"])]
    if retrained:
        yield "accuracy", accuracy.plot_accuracy(retrained), retrained
    tabulated = [row for row in found if row.get("table_cifar10") is not None]
    if tabulated:
        yield "table", accuracy.plot_table(tabulated), tabulated
