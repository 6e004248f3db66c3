"""One page: the verdicts in a table, then every claim with its plot and the command that measures it."""

import base64
import html
import json
import math
import pathlib

from reproduce import verdict
from reproduce.verdict import FAILS, HOLDS, NOT_DECIDED, NOT_MEASURED

TITLES = {
    "ntk_asgd": "Averaged SGD in the neural tangent kernel regime",
    "cqd": "Complex query answering with neural link predictors",
    "darts_perturb": "Architecture selection in differentiable NAS",
}
PAPERS = {
    "ntk_asgd": ("Nitanda & Suzuki, ICLR 2021", "2006.12297"),
    "cqd": ("Arakelyan, Daza, Minervini & Cochez, ICLR 2021", "2011.03459"),
    "darts_perturb": ("Wang, Cheng, Chen, Tang & Hsieh, ICLR 2021", "2108.04392"),
}
_PROVENANCE = ("seeds", "device", "wall_time_s", "versions")
_CLASSES = {HOLDS: "holds", FAILS: "fails", NOT_DECIDED: "open", NOT_MEASURED: "open"}
_STYLE = """
:root { --ink: #1d2733; --soft: #5c6b7a; --line: #dfe5ea; --holds: #1f7a3d; --fails: #b3261e; --open: #8a6100; }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.9rem; margin-bottom: .2rem; }
h2 { margin-top: 3rem; border-bottom: 2px solid var(--line); }
h3 { margin: 2rem 0 .3rem; font-size: 1.05rem; }
.soft, footer { color: var(--soft); font-size: .9rem; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th { text-align: left; color: var(--soft); font-weight: 600; }
td, th { padding: .45rem .6rem .45rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.number { font-variant-numeric: tabular-nums; white-space: nowrap; }
.verdict { font-weight: 600; }
.holds { color: var(--holds); }
.fails { color: var(--fails); }
.open { color: var(--open); }
figure { margin: 1rem 0; }
img { max-width: 100%; height: auto; }
pre { background: #f5f7f9; padding: .8rem 1rem; font-size: .85rem; line-height: 1.4; white-space: pre-wrap; }
a { color: inherit; }
"""


def number(measured):
    """Returns a figure as a reader writes it, with its standard error where there is one."""
    if measured is None or math.isnan(measured.value):
        return "not measured"
    if math.isinf(measured.standard_error):
        return f"{measured.value:.3g} (one seed)"
    if measured.standard_error:
        return f"{measured.value:.3g} ± {measured.standard_error:.2g}"
    return f"{measured.value:.4g}"


def table(results):
    """Returns the verdicts as lines of text for a terminal."""
    rows = [("claim", "measured", "accepted", "published", "verdict")]
    rows += [
        (r.claim.title, number(r.measured), r.claim.accepted.words(), r.claim.published, _words(r)) for r in results
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    counts = {name: sum(r.verdict == name for r in results) for name in _CLASSES}
    words = ", ".join(f"{n} {name}" for name, n in counts.items() if n or name != NOT_MEASURED)
    return "\n".join([*lines, f"{len(results)} claims: {words}"])


def _words(result):
    return (
        result.verdict
        if result.measured is None
        else verdict.words(result.measured, result.claim.accepted, result.verdict)
    )


def as_json(results):
    """Returns the report as one JSON text: the claims, and what each run was made on."""
    claims = [
        {
            "claim": result.claim.name,
            "system": result.claim.system,
            "statement": result.claim.statement,
            "source": result.claim.source,
            "published": result.claim.published,
            **_measured(result),
            "accepted": list(result.claim.accepted),
            "verdict": result.verdict,
            "scale": result.finished.scale if result.finished else None,
            "command": result.command,
        }
        for result in results
    ]
    runs = {
        f"{each.run.system}/{each.run.name}": {"scale": each.scale, **{key: each.summary[key] for key in _PROVENANCE}}
        for each in _runs(results)
    }
    return json.dumps({"claims": claims, "runs": runs}, indent=2) + "\n"


def _runs(results):
    """Returns the finished runs behind the results, each once."""
    return list({id(result.finished): result.finished for result in results if result.finished}.values())


def _measured(result):
    """Returns the JSON fields of a figure; what is not a number or not known is null."""
    if result.measured is None:
        return {"measured": None, "standard_error": None, "num_seeds": 0, "misses_by": None}
    value, error, num_seeds = result.measured
    return {
        "measured": value if math.isfinite(value) else None,
        "standard_error": error if math.isfinite(error) else None,
        "num_seeds": num_seeds,
        "misses_by": verdict.shortfall(result.measured, result.claim.accepted) if result.verdict == FAILS else None,
    }


def as_html(results):
    """Returns the report as one HTML page that needs no other file.

    Args:
        results: list of `finished.Result`.
    """
    runs = _runs(results)
    sections = "".join(_system(system, results) for system in TITLES)
    versions = "; ".join(sorted({_versions(each.summary) for each in runs}))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Three papers, re-measured</title><style>{_STYLE}</style></head><body>
<h1>Three papers, re-measured</h1>
<p class="soft">Every figure below was computed by the runs named beside it: {_text(_where(runs))}. ± is a standard
error over seeds. A verdict compares the 95% interval of the measured figure with the interval that the claim accepts:
inside it holds, outside it fails; across its edge, or where the run is too small to bear on the claim, it is not
decided. Several accepted bands and seed counts were chosen after first runs: see reproduce/claims.</p>
<table><tr><th>claim</th><th>published</th><th>measured</th><th>accepted</th><th>verdict</th></tr>
{"".join(_row(result) for result in results)}</table>
{sections}
<footer><h2>Versions</h2><p>{_text(versions)}</p></footer>
</body></html>
"""


def _where(runs):
    """Returns at which scales, on which devices and for how long some finished runs were made."""
    seconds = {}
    for each in runs:
        device = each.summary["device"]
        key = each.scale, f"{device['count']} {device['kind']} device(s), {device['cpus']} CPU cores"
        seconds[key] = seconds.get(key, 0) + each.summary["wall_time_s"]
    parts = [f"at scale “{scale}” in {total:.0f} s on {device}" for (scale, device), total in seconds.items()]
    return "; ".join(parts) or "none has finished"


def _versions(summary):
    return ", ".join(f"{name} {version}" for name, version in summary["versions"].items())


def _text(words):
    return html.escape(str(words))


def _verdict(result):
    return f'<span class="verdict {_CLASSES[result.verdict]}">{_text(_words(result))}</span>'


def _row(result):
    claim = result.claim
    return (
        f'<tr><td><a href="#{_text(claim.name)}">{_text(claim.title)}</a></td><td>{_text(claim.published)}</td>'
        f'<td class="number">{_text(number(result.measured))}</td>'
        f'<td class="number">{_text(claim.accepted.words())}</td><td>{_verdict(result)}</td></tr>\n'
    )


def _system(system, results):
    authors, arxiv = PAPERS[system]
    own = [result for result in results if result.claim.system == system]
    if not own:
        return ""
    parts = [f'<h2>{_text(TITLES[system])}</h2><p class="soft">{_text(authors)}, arXiv {arxiv}</p>']
    shown = set()
    for result in own:
        parts.append(_claim(result, shown))
    return "".join(parts)


def _claim(result, shown):
    """Returns the section of one claim; a plot or text that an earlier section showed is linked to."""
    claim = result.claim
    seeds = f" over {result.measured.num_seeds} seeds" if result.measured and result.measured.num_seeds > 1 else ""
    parts = [
        f'<h3 id="{_text(claim.name)}">{_text(claim.title)}</h3><p>{_text(claim.statement)}</p>',
        f'<p class="soft">{_text(claim.source)}. Published: {_text(claim.published)}. '
        f"Measured: {_text(number(result.measured))}{seeds}; accepted: "
        f"{_text(claim.accepted.words())}; {_verdict(result)}. {_text(claim.note)}</p>",
    ]
    if result.finished is None:
        return "".join([*parts, f"<pre>{_text(result.command)}</pre>"])
    for name in (*(f"figures/{plot}.png" for plot in claim.plots), *claim.texts):
        path, anchor = result.finished.workdir / name, f"{claim.run}-{pathlib.Path(name).stem}"
        if not path.exists():
            continue
        if path in shown:
            parts.append(f'<p class="soft"><a href="#{_text(anchor)}">{_text(path.stem)}: above</a></p>')
        elif path.suffix == ".png":
            data = base64.b64encode(path.read_bytes()).decode()
            picture = f'<img alt="{_text(claim.title)}" src="data:image/png;base64,{data}">'
            parts.append(f'<figure id="{_text(anchor)}">{picture}</figure>')
        else:
            words = path.read_text(encoding="utf-8").rstrip()
            parts.append(f'<pre id="{_text(anchor)}">{_text(words)}</pre>')
        shown.add(path)
    made = f"{result.finished.scale}, {result.finished.summary['wall_time_s']:.0f} s"
    parts.append(f"<pre>{_text(result.command)}  # {_text(made)}</pre>")
    return "".join(parts)
