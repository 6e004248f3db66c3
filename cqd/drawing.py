"""The picture of an explanation: the best proof of every answer as a graph, from the anchors to the answer.

Entities are boxes in columns by their distance from the answer, at the right. Edges bear relation and truth: solid
where observed, dashed where predicted, red where they speak for a part that the proof denies. Lengths are inches.
"""

import textwrap
from typing import NamedTuple

_SIZE = 9  # of letters, points
_LETTER = 0.078  # width of one
_LINE = 0.16  # height of a line
_ROW = 0.85  # from box to box in a column
_WRAP = 20
_TITLE = 0.14
_COLOURS = {"observed": "#1b6ca8", "predicted": "#555555", "negated": "#c0392b"}
_FILLS = {"answer": "#dcebf7", "anchor": "#eeeeee", "variable": "white"}


class _Edge(NamedTuple):
    head: str
    tail: str
    relation: str
    truth: float
    source: str
    negated: bool


class _Panel(NamedTuple):
    """One answer's graph: title, boxes {entity: (text, kind, x, y, width, height)}, edges, height."""

    title: str
    boxes: dict
    edges: list
    width: float
    height: float


def draw(explanation):
    """Returns a matplotlib Figure of an explanation, a panel an answer.

    Args:
        explanation: a dict of `explain.explain`.
    """
    from matplotlib.figure import Figure

    panels = [_panel(answer) for answer in explanation["answers"]]
    width = max([5.5, *(panel.width for panel in panels)]) + 0.3
    question = textwrap.wrap(explanation["question"], int(width / _LETTER) - 6)
    top, bottom = 0.25 + 0.19 * len(question), 0.35
    height = top + bottom + sum(panel.height for panel in panels) + (0 if panels else 0.4)
    figure = Figure(figsize=(width, height))
    figure.text(
        0.15 / width,
        1 - 0.12 / height,
        "\n".join(question),
        va="top",
        fontsize=_SIZE + 1,
        weight="bold",
        parse_math=False,
    )
    if not panels:
        notes = textwrap.fill(" ".join(explanation["notes"]), int(width / _LETTER))
        figure.text(0.15 / width, 0.45, notes, fontsize=_SIZE, va="center")
        return figure
    y = height - top
    for panel in panels:
        y -= panel.height
        axis = figure.add_axes((0.15 / width, y / height, 1 - 0.3 / width, panel.height / height))
        axis.set(xlim=(0, width - 0.3), ylim=(0, panel.height))
        axis.axis("off")
        _draw_panel(axis, panel)
    _legend(figure, width, height, any(edge.negated for panel in panels for edge in panel.edges))
    return figure


def _panel(answer):
    """Returns the _Panel of an answer."""
    ruled_out = answer["ruled_out"]
    proof = answer["proofs"][0] if answer["proofs"] else ruled_out
    named = answer["answer"] if isinstance(answer["answer"], str) else ", ".join(answer["answer"])
    title = f"{named}: {answer['status']}, truth {answer['truth']:.3g}"
    if proof is None:
        return _Panel(f"{title} (no single proof)", {}, [], _LETTER * len(title) + 2, _TITLE + 2 * _LINE)
    if not answer["proofs"]:
        title += " (the proof is ruled out by observed edges)"
    elif ruled_out:
        title += f" (of a proof that is ruled out; this one {proof['truth']:.3g})"
    elif proof["truth"] < 0.999 * answer["truth"]:
        title += f" (its best proof {proof['truth']:.3g})"
    denials = [f"denied for {one['of']}, truth 1 - {one['truth']:.2g}: {one['not']}" for one in proof["denials"]]
    title = "\n".join([title, *(line for denial in denials for line in textwrap.wrap(denial, _WRAP * 4))])
    last = named if isinstance(answer["answer"], str) else answer["answer"][-1]
    edges = list(dict.fromkeys(_edges(proof)))
    columns = _columns(last, edges)
    texts, kinds = _texts(answer, proof, columns)
    boxes, width, height = _placed(columns, edges, texts, kinds)
    lines = title.splitlines()
    return _Panel(title, boxes, edges, max(width, _LETTER * max(map(len, lines))), height + _TITLE + _LINE * len(lines))


def _edges(proof):
    """Yields the edges of a proof, and those of what it denies."""
    for atom in proof["atoms"]:
        yield _Edge(*(atom[name] for name in ("head", "tail", "relation", "truth", "source", "negated")))
    for denial in proof["denials"]:
        yield from _edges(denial)


def _columns(answer, edges):
    """Returns lists of entities by distance from the answer, each in the order of the entities they are joined to."""
    columns, seen = [[answer]], {answer}
    everything = dict.fromkeys(end for edge in edges for end in edge[:2])
    while True:
        found = {}
        for inner in columns[-1]:
            ends = [end for edge in edges if inner in edge[:2] for end in edge[:2]]
            found |= dict.fromkeys(end for end in ends if end not in seen)
        if not found:
            break
        columns.append(list(found))
        seen |= set(found)
    apart = [entity for entity in everything if entity not in seen]  # evidence that a denied part is true of anything
    return columns + [apart] * bool(apart)


def _texts(answer, proof, columns):
    """Returns ({entity: the lines of its box}, {entity: kind}); variables that have names are named."""
    answers = [answer["answer"]] if isinstance(answer["answer"], str) else answer["answer"]
    texts, kinds = {}, {}
    for entity in (entity for column in columns for entity in column):
        names = [name for name, value in proof["assignment"].items() if value == entity]
        kinds[entity] = "answer" if entity in answers else "variable" if names else "anchor"
        shown = ", ".join(name for name in names if name.startswith("?"))
        texts[entity] = ([shown] if shown else []) + textwrap.wrap(entity, _WRAP, max_lines=3)
    return texts, kinds


def _placed(columns, edges, texts, kinds):
    """Returns (boxes, width, height) of a panel, the answer's column at the right."""
    rows = max(map(len, columns))
    loops = any(edge.head == edge.tail for edge in edges)
    height = (rows - 1) * _ROW + 0.8 + 0.45 * loops
    widths = [max(_LETTER * max(map(len, texts[entity])) + 0.2 for entity in column) for column in columns]
    gap = _LETTER * max((len(_label(edge)) for edge in edges), default=0) + 0.6
    width = sum(widths) + gap * (len(columns) - 1) + 0.2
    boxes, right = {}, width - 0.1
    for column, column_width in zip(columns, widths):
        for place, entity in enumerate(column):
            y = (height - 0.45 * loops) / 2 + ((len(column) - 1) / 2 - place) * _ROW
            size = (_LETTER * max(map(len, texts[entity])) + 0.2, _LINE * len(texts[entity]) + 0.14)
            boxes[entity] = ("\n".join(texts[entity]), kinds[entity], right - column_width / 2, y, *size)
        right -= column_width + gap
    return boxes, width, height


def _label(edge):
    return f"{edge.relation} {edge.truth:.2g}"


def _draw_panel(axis, panel):
    from matplotlib.patches import FancyBboxPatch

    axis.text(0, panel.height - 0.08, panel.title, va="top", fontsize=_SIZE, parse_math=False)
    axis.plot([0, axis.get_xlim()[1]], [panel.height] * 2, color="0.85", linewidth=0.8, clip_on=False)
    patches = {}
    for entity, (text, kind, x, y, width, height) in panel.boxes.items():
        patch = FancyBboxPatch(
            (x - width / 2, y - height / 2),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=0.06",
            facecolor=_FILLS[kind],
            edgecolor="0.35",
            linewidth=1.4 if kind == "answer" else 0.8,
            zorder=3,
        )
        patches[entity] = axis.add_patch(patch)
        axis.text(x, y, text, ha="center", va="center", fontsize=_SIZE, zorder=4, linespacing=1.1, parse_math=False)
    beside = {}  # edges between the same two entities
    for edge in panel.edges:
        beside.setdefault(frozenset(edge[:2]), []).append(edge)
    for parallel in beside.values():
        for place, edge in enumerate(parallel):
            _draw_edge(axis, panel.boxes, patches, edge, place - (len(parallel) - 1) / 2)


def _draw_edge(axis, boxes, patches, edge, offset):
    """Draws an edge; offset: how many places it lies aside of the straight line."""
    from matplotlib.patches import FancyArrowPatch

    style = {
        "arrowstyle": "-|>",
        "mutation_scale": 11,
        "color": _COLOURS["negated" if edge.negated else edge.source],
        "linestyle": "-" if edge.source == "observed" else (0, (4, 2.5)),
        "linewidth": 1.3,
        "zorder": 2,
    }
    label = {
        "ha": "center",
        "va": "center",
        "fontsize": _SIZE - 1,
        "color": style["color"],
        "zorder": 5,
        "parse_math": False,
    }
    (_, _, x0, y0, _, height), (_, _, x1, y1, _, _) = boxes[edge.head], boxes[edge.tail]
    if edge.head == edge.tail:
        y = y0 + height / 2
        axis.add_patch(FancyArrowPatch((x0 - 0.15, y), (x0 + 0.15, y), connectionstyle="arc3,rad=-1.1", **style))
        axis.text(x0, y + 0.4 + 0.2 * offset, _label(edge), **label)
        return
    side = offset if (x0, y0) <= (x1, y1) else -offset  # the bend is to the left of the direction of travel
    bend = 0.3 * side
    axis.add_patch(
        FancyArrowPatch(
            (x0, y0),
            (x1, y1),
            connectionstyle=f"arc3,rad={bend}",
            patchA=patches[edge.head],
            patchB=patches[edge.tail],
            shrinkA=1,
            shrinkB=1,
            **style,
        )
    )
    # The middle of a quadratic curve whose control point lies bend times its chord aside.
    x, y = (x0 + x1) / 2 + bend / 2 * (y1 - y0), (y0 + y1) / 2 - bend / 2 * (x1 - x0)
    box = {"boxstyle": "round,pad=0.12", "facecolor": "white", "edgecolor": "none"}
    axis.text(x, y, _label(edge), bbox=box, **label)


def _legend(figure, width, height, has_negated):
    from matplotlib.lines import Line2D

    styles = {"observed": (_COLOURS["observed"], "-"), "predicted": (_COLOURS["predicted"], "--")}
    if has_negated:
        styles["speaks for a denied part"] = (_COLOURS["negated"], "--")
    handles = [Line2D([], [], color=colour, linestyle=line, label=name) for name, (colour, line) in styles.items()]
    figure.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0.05 / width, 0), ncols=3, frameon=False, fontsize=_SIZE - 1
    )
