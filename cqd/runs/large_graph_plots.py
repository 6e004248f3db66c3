"""What the phases of a large graph take."""

from experiment import figures

PLOTTED = ("cpu_s", "wall_s", "peak_mb")


def plot_phases(rows):
    """Returns bars: processor and wall seconds of every phase, and beside them its peak memory."""
    figure, (left, right) = figures.new(ncols=2)
    names = [row["phase"] for row in rows]
    places = range(len(names))
    for shift, name in ((-0.2, "cpu_s"), (0.2, "wall_s")):
        left.bar([place + shift for place in places], [row[name] for row in rows], width=0.4, label=name[:-2])
    left.set_yscale("log")
    left.set_ylabel("seconds")
    left.legend(fontsize=8, frameon=False)
    right.bar(places, [row["peak_mb"] / 1e3 for row in rows], width=0.6)
    right.set_ylabel("peak memory of the process, GB")
    for axis in (left, right):
        axis.set_xticks(places, names, rotation=45)
        axis.set_xlabel("phase")
    return figure
