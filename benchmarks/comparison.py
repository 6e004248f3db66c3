"""Rows of results as comparisons that may stand in one table: this project beside a library, a bound or what was asked.

A ratio is the other's time over ours: above 1 ours is faster. For a figure of which less is better, such as a memory or
a compile time, the other is what was asked for, and the ratio that over what was measured.
"""

import json
import pathlib
from typing import NamedTuple

from benchmarks import timing

ASKED = "asked for"
SYSTEMS = ("ntk_asgd", "cqd", "darts_perturb")


class Comparison(NamedTuple):
    """One ratio; None where nothing was measured or asked.

    Attributes:
        system: the package.
        case: in words, with sizes.
        ours: this project's candidate.
        peer: what stands beside it.
        kind: `timing.LIBRARY`, `timing.BOUND` or ASKED.
        value: ours, in `unit`.
        unit: "s" for times.
        ratio: the peer's time over ours, medians.
        low: of the ratio, the peer's quickest call over our slowest.
        high: of the ratio, the other way about.
        cpu_ratio: of processor times.
        target: of the ratio, that asked for.
        our_version: of jax.
        peer_version: in words.
        threads: that either may use.
        device: in words.
        source: name of the file of results.
    """

    system: str
    case: str
    ours: str
    peer: str
    kind: str
    value: float
    unit: str
    ratio: float | None
    low: float | None
    high: float | None
    cpu_ratio: float | None
    target: float | None
    our_version: str
    peer_version: str
    threads: int
    device: str
    source: str


def read(path):
    """Returns the content of a file of results, or None where it is not there or not whole."""
    try:
        content = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        whole = {"where", "size", "peers", "rows"} <= content.keys()
    except (OSError, ValueError, AttributeError):
        return None
    return content if whole else None


def comparisons(content, source):
    """Returns the Comparisons in a file of results.

    Args:
        content: of `read`.
        source: the file's name.
    """
    where = content["where"]
    common = {"our_version": f"jax {where['jax']}", "device": where["device"], "source": source}
    common["threads"] = where["threads"]
    found = []
    for row in content["rows"]:
        if "per_s" not in row:  # a throughput stands beside the device alone
            found += [one._replace(**common) for one in (_figure(row) if "value" in row else _ratios(row))]
    return found


def _blank(row, **fields):
    return Comparison(**dict.fromkeys(Comparison._fields) | {"system": row["system"], "case": row["case"]} | fields)


def _figure(row):
    fields = {"ours": "", "peer": ASKED, "kind": ASKED, "peer_version": "", "value": row["value"], "unit": row["unit"]}
    if row["at_most"] is not None:
        fields |= {"ratio": row["at_most"] / row["value"], "target": 1.0}
    return [_blank(row, **fields)]


def _ratios(row):
    ours = row["ours"]
    value = {"ours": ours, "value": row["times"][ours]["median_s"], "unit": "s"}
    found = []
    for peer, beside in row["beside"].items():
        if beside["kind"] == timing.OWN:
            continue
        one = timing.ratio(row["times"], ours, peer)
        ratio = {"ratio": one["value"], "low": one["low"], "high": one["high"], "cpu_ratio": one["cpu"]}
        fields = {"peer": peer, "kind": beside["kind"], "target": beside["target"], "peer_version": beside["version"]}
        found.append(_blank(row, **value, **ratio, **fields))
    return found


def shortfall(one):
    """Returns the ratio over what it should be at least, 1 or the target; None where there is no ratio.

    A bound is the bare arithmetic of a task: it should be reached as far as was asked.
    """
    if one.ratio is None:
        return None
    least = one.target if one.kind == timing.BOUND else max(1.0, one.target or 1.0)
    return None if least is None else one.ratio / least


def behind(found):
    """Returns the Comparisons that fall short, worst first."""
    short = [one for one in found if shortfall(one) is not None and shortfall(one) < 1]
    return sorted(short, key=shortfall)


def uncertain(found):
    """Returns the Comparisons with a library, not behind, in which some call of ours was slower than one of its."""
    short = behind(found)
    return [one for one in found if one.kind == timing.LIBRARY and (one.low or 1) < 1 and one not in short]


def in_order(found):
    """Returns the Comparisons by system, each system's in the order of its files."""
    return sorted(found, key=lambda one: SYSTEMS.index(one.system))
