"""One style for every figure, and each picture saved beside the points it shows."""

import csv
import io

COLOURS = ("#1b6ca8", "#d1495b", "#2e933c", "#edae49", "#6a4c93", "#555555", "#00798c", "#a0522d")


def new(nrows=1, ncols=1, *, width=4.6, height=3.4):
    """Returns (figure, axes): axes is one Axes, or an array [nrows, ncols] squeezed.

    Args:
        width: inches a panel.
        height: inches a panel.
    """
    from cycler import cycler
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * ncols, height * nrows), layout="constrained")
    axes = figure.subplots(nrows, ncols)
    for axis in figure.axes:
        axis.set_prop_cycle(cycler(color=COLOURS))
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(visible=True, alpha=0.25, linewidth=0.6)
        axis.set_axisbelow(True)
    return figure, axes


def png(figure):
    """Returns the figure as PNG bytes; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
    return buffer.getvalue()


def table(rows):
    """Returns rows (flat dicts) as CSV text, with every key that occurs as a column."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()
