"""The table of all ratios and the page that says where this project is behind, made of files of results."""

import csv
import json

from benchmarks import causes, comparison, timing

_INTRODUCTION = """# Speed beside others

    python -m benchmarks.main --workdir=out/benchmarks

measures all of this page on your machine: it makes the peers' environments, runs one benchmark after another, and
writes `table.csv`, `table.json` and this page, `benchmarks.md`, into the workdir. Start it again after an interruption
and it goes on where it was. `--only=NAME,...` runs some, `--peers=no` leaves out the libraries that need an environment
of their own, `--torch_python=PYTHON`, `--pykeen_python=PYTHON` and `--neural_tangents_python=PYTHON` take yours,
`--data=FOLDER` adds the queries of FB15k-237. On Linux pip's PyTorch brings CUDA, some GB; a CPU build that your pip is
told of, as by PIP_FIND_LINKS, serves as well. On a machine with a GPU `python -m benchmarks.accelerator` alone measures
how much of it is used. The page below is made of `benchmarks/results` by `python -m benchmarks.main --page`.

A ratio is the other's time over ours: above 1 ours is faster. Candidates take turns in one run, results are waited for,
compile time is apart; the ratio is that of medians, in brackets the quickest call of one by the slowest of the other.
Every peer has to compute the same first; a supernet, drawn at random on either side, to have as many parameters.
PyTorch runs as its public codes do, without torch.compile. Where something was asked for, the ratio should reach it;
"bare" rows stand beside the matrix products or the memory traffic of the same task alone, a bound that is rarely
reached. Of a memory or a compile time the ratio is what was asked for over what was measured.
"""
_SMALL = "**Sizes that mean nothing: `--size=small` only checks that all works.**\n"
_NOTHING = "Nowhere, in what was measured.\n"


def comparisons(contents):
    """Returns all Comparisons of {name: content}, by system."""
    found = [one for name in sorted(contents) for one in comparison.comparisons(contents[name], name)]
    return comparison.in_order(found)


def write(folder, contents):
    """Writes table.csv, table.json and benchmarks.md; returns the Comparisons.

    Args:
        folder: pathlib.Path.
        contents: {name: content} of results.
    """
    found = comparisons(contents)
    rows = [one._asdict() for one in found]
    (folder / "table.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    with open(folder / "table.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, comparison.Comparison._fields)
        writer.writeheader()
        writer.writerows(rows)
    (folder / "benchmarks.md").write_text(markdown(contents), encoding="utf-8")
    return found


def markdown(contents):
    """Returns the page."""
    found = comparisons(contents)
    is_small = any(content["size"] == "small" for content in contents.values())
    parts = [_INTRODUCTION, *([_SMALL] if is_small else []), "## Where this project is behind\n", _behind(found)]
    for system in comparison.SYSTEMS:
        own = [one for one in found if one.system == system]
        if own:
            head = ("case", "ours", "beside", "ratio", "processor time", "asked for")
            rows = [(one.case, _ours(one), _peer(one), _ratio(one), _number(one.cpu_ratio), _asked(one)) for one in own]
            parts += [f"## {system}\n", _table(head, rows)]
    measured = [_device(content) for content in contents.values() if "device" in content]
    parts += ["## Use of the device\n", *measured] if measured else []
    parts += ["## Machines and versions\n", _machines(contents)]
    return "\n".join(parts)


def _behind(found):
    """Returns what falls short, what its spread leaves open, and what is slower than the bare work."""
    short = comparison.behind(found)
    head = ("system", "case", "ours", "beside", "ratio", "asked for", "why")
    rows = [
        (one.system, one.case, _ours(one), _peer(one), _ratio(one), _asked(one), causes.cause(one)) for one in short
    ]
    text = _table(head, rows) if rows else _NOTHING
    bare = [one for one in found if one.kind == timing.BOUND and one.ratio < 1 and one not in short]
    text += _listed("Ahead in the median, but not in every call:", comparison.uncertain(found))
    text += _listed("Slower than the bare work alone, as far as was allowed for or where nothing was asked:", bare)
    return text


def _listed(words, some):
    if not some:
        return ""
    head = ("system", "case", "ours", "beside", "ratio", "asked for")
    in_order = sorted(some, key=lambda one: one.ratio)
    rows = [(one.system, one.case, _ours(one), _peer(one), _ratio(one), _asked(one)) for one in in_order]
    return f"\n{words}\n\n{_table(head, rows)}"


def _ours(one):
    value = _seconds(one.value) if one.unit == "s" and one.ours else f"{one.value:.3g} {one.unit}"
    return f"{one.ours}, {value}" if one.ours else value


def _peer(one):
    if one.kind == comparison.ASKED:
        return ""
    return f"bare: {one.peer}" if one.kind == timing.BOUND else f"{one.peer} ({one.peer_version})"


def _ratio(one):
    if one.low is None or one.high is None:
        return _number(one.ratio)
    return f"{_number(one.ratio)} ({_number(one.low)} to {_number(one.high)})"


def _asked(one):
    if one.target is None:
        return ""
    if one.kind == comparison.ASKED:
        return f"at most {one.ratio * one.value:.3g} {one.unit}"
    return _number(one.target)


def _device(content):
    device = content["device"]
    rates = ", ".join(f"{rate / 1e12:.3g} TFLOP/s in {name}" for name, rate in device["matrix_flops_per_s"].items())
    bandwidth = f"{device['bytes_per_s'] / 1e9:.4g} GB/s by a triad"
    text = f"{content['where']['device']}: {rates} by products of matrices, {bandwidth}.\n\n"
    head = ("system", "case", "a second", "TFLOP/s", "of the matrix rate", "GB/s", "of the bandwidth", "first call")
    rows = [
        (
            row["system"],
            row["case"],
            f"{row['per_s']['median']:,.4g} {row['unit']} ({row['per_s']['low']:,.4g} to {row['per_s']['high']:,.4g})",
            f"{row['flops_per_s'] / 1e12:.3g}",
            f"{row['of_matrix_rate']:.2g} ({row['precision']})",
            f"{row['bytes_per_s'] / 1e9:.3g}",
            f"{row['of_bandwidth']:.2g}",
            _seconds(row["first_s"]),
        )
        for row in content["rows"]
    ]
    return text + _table(head, rows)


def _machines(contents):
    head = ("results", "device", "threads", "load at the end", "Python", "jax", "jaxlib", "numpy", "scipy")
    rows = []
    for name, content in sorted(contents.items()):
        where = content["where"]
        load = f"{where['load']:.1f}" if "load" in where else ""
        versions = [where[package] for package in ("python", "jax", "jaxlib", "numpy", "scipy")]
        rows.append((name, where["device"], str(where["threads"]), load, *versions))
    return _table(head, rows)


def _number(value):
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 99.5 else f"{value:.3g}"


def _seconds(value):
    for unit, size in (("s", 1), ("ms", 1e-3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value * 1e6:.3g} us"


def _table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)
