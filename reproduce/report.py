"""One page: the verdicts in a table, then every claim with its plot and the command that measures it."""

import base64
import html
import json
import math
import pathlib

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
        (r.claim.title, number(r.measured), r.claim.accepted.words(), r.claim.published, r.verdict) for r in results
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    counts = {verdict: sum(r.verdict == verdict for r in results) for verdict in _CLASSES}
    words = ", ".join(f"{n} {verdict}" for verdict, n in counts.items() if n or verdict != NOT_MEASURED)
    return "\n".join([*lines, f"{len(results)} claims: {words}"])


def as_json(results, summaries, scale):
    """Returns the report as one JSON text: the claims, and where each run's files are."""
    claims = [
        {
            "claim": result.claim.name,
            "system": result.claim.system,
            "statement": result.claim.statement,
            "source": result.claim.source,
            "published": result.claim.published,
            **_measured(result.measured),
            "accepted": list(result.claim.accepted),
            "verdict": result.verdict,
            "command": result.command,
        }
        for result in results
    ]
    runs = {
        name: {key: summary[key] for key in ("seeds", "device", "wall_time_s", "versions")}
        for name, summary in summaries.items()
    }
    return json.dumps({"scale": scale, "claims": claims, "runs": runs}, indent=2) + "\n"


def _measured(measured):
    """Returns the JSON fields of a figure; what is not a number or not known is null."""
    if measured is None:
        return {"measured": None, "standard_error": None, "num_seeds": 0}
    value, error, num_seeds = measured
    return {
        "measured": value if math.isfinite(value) else None,
        "standard_error": error if math.isfinite(error) else None,
        "num_seeds": num_seeds,
    }


def as_html(results, summaries, scale, runs_dir):
    """Returns the report as one HTML page that needs no other file.

    Args:
        results: list of reproduce.main.Result.
        summaries: {"system/run": summary.json}.
        scale: which of the configs' sizes was run.
        runs_dir: directory with one workdir a run, for the plots.
    """
    sections = "".join(_system(system, results, summaries, pathlib.Path(runs_dir)) for system in TITLES)
    any_summary = next(iter(summaries.values()), {"versions": {}, "device": {"count": 0, "kind": "", "cpus": 0}})
    versions = ", ".join(f"{name} {version}" for name, version in any_summary["versions"].items())
    device = any_summary["device"]
    total = sum(summary["wall_time_s"] for summary in summaries.values())
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Three papers, re-measured</title><style>{_STYLE}</style></head><body>
<h1>Three papers, re-measured</h1>
<p class="soft">Every figure below was computed by the runs named beside it, at scale “{_text(scale)}”, in
{total:.0f} s on {device["count"]} {_text(device["kind"])} device(s), {device["cpus"]} CPU cores; ± is a standard error
over seeds. A verdict compares the 95% interval of the measured figure with the interval that the claim accepts: inside
it holds, outside it fails; across its edge, or where the run is too small to bear on the claim, it is not decided.
Several accepted bands and seed counts were chosen after first runs: see reproduce/claims.</p>
<table><tr><th>claim</th><th>published</th><th>measured</th><th>accepted</th><th>verdict</th></tr>
{"".join(_row(result) for result in results)}</table>
{sections}
<footer><h2>Versions</h2><p>{_text(versions)}</p></footer>
</body></html>
"""


def _text(words):
    return html.escape(str(words))


def _verdict(result):
    return f'<span class="verdict {_CLASSES[result.verdict]}">{_text(result.verdict)}</span>'


def _row(result):
    claim = result.claim
    return (
        f'<tr><td><a href="#{_text(claim.name)}">{_text(claim.title)}</a></td><td>{_text(claim.published)}</td>'
        f'<td class="number">{_text(number(result.measured))}</td>'
        f'<td class="number">{_text(claim.accepted.words())}</td><td>{_verdict(result)}</td></tr>\n'
    )


def _system(system, results, summaries, runs_dir):
    authors, arxiv = PAPERS[system]
    own = [result for result in results if result.claim.system == system]
    if not own:
        return ""
    parts = [f'<h2>{_text(TITLES[system])}</h2><p class="soft">{_text(authors)}, arXiv {arxiv}</p>']
    shown = set()
    for result in own:
        parts.append(_claim(result, summaries, runs_dir, shown))
    return "".join(parts)


def _claim(result, summaries, runs_dir, shown):
    """Returns the section of one claim; a plot or text that an earlier section showed is linked to."""
    claim = result.claim
    summary = summaries.get(f"{claim.system}/{claim.run}", {"wall_time_s": 0.0})
    workdir = runs_dir / claim.system / claim.run
    seeds = f" over {result.measured.num_seeds} seeds" if result.measured and result.measured.num_seeds > 1 else ""
    parts = [
        f'<h3 id="{_text(claim.name)}">{_text(claim.title)}</h3><p>{_text(claim.statement)}</p>',
        f'<p class="soft">{_text(claim.source)}. Published: {_text(claim.published)}. '
        f"Measured: {_text(number(result.measured))}{seeds}; accepted: "
        f"{_text(claim.accepted.words())}; {_verdict(result)}. {_text(claim.note)}</p>",
    ]
    for name in (*(f"figures/{plot}.png" for plot in claim.plots), *claim.texts):
        path, anchor = workdir / name, f"{claim.run}-{pathlib.Path(name).stem}"
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
    parts.append(f"<pre>{_text(result.command)}  # {summary['wall_time_s']:.0f} s</pre>")
    return "".join(parts)
