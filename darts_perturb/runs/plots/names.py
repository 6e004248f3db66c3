"""What the figures call searches, selections, operations and edges, and how they find the rows of a stage."""

import re

from darts_perturb.drawing import label as of_op

__all__ = ("FIXED", "RANDOM", "SEARCHES", "WAYS", "grouped", "of_edge", "of_op", "of_seeds", "of_selection", "staged")

FIXED = "fixed"
RANDOM = "random"
SEARCHES = {
    "first_order": "first order",
    "second_order": "second order",
    "sdarts_rs": "SDARTS-RS",
    "sdarts_adv": "SDARTS-ADV",
    FIXED: "fixed alpha",
}
WAYS = {"magnitude": "magnitude", "perturbation": "perturbation", "one_shot": "one-shot"}
_KINDS = {"cell": "edge", "normal": "normal", "reduce": "reduction"}


def staged(rows, part):
    """Returns the rows of the stages PART_SEARCH_SEED, with search and seed as fields.

    >>> staged([{"stage": "search_sdarts_rs_3", "step": 2}], "search")
    [{'search': 'sdarts_rs', 'seed': 3, 'stage': 'search_sdarts_rs_3', 'step': 2}]
    """
    form = re.compile(rf"{part}_({'|'.join(SEARCHES)})_(\d+)")
    found = ((form.fullmatch(row["stage"]), row) for row in rows)
    return [{"search": match[1], "seed": int(match[2]), **row} for match, row in found if match]


def grouped(rows, field):
    """Returns {value of the field: its rows}, both in the order of the rows."""
    groups = {}
    for row in rows:
        groups.setdefault(row[field], []).append(row)
    return groups


def of_edge(edge):
    """Returns the name of an `edges.Edge`.

    >>> from darts_perturb import edges, space
    >>> of_edge(edges.listed(space.get("darts"))[14])
    'reduction 0→2'
    """
    return f"{_KINDS[edge.kind]} {edge.source}→{edge.target}"


def of_seeds(count):
    """Returns "1 seed" or "3 seeds"."""
    return f"{count} seed{'' if count == 1 else 's'}"


def of_selection(selection):
    """Returns the name of a selection.

    >>> of_selection("one_shot of fixed")
    'one-shot, fixed alpha'
    """
    way, _, search = selection.partition(" of ")
    return f"{WAYS.get(way, way)}, {SEARCHES.get(search, search)}" if search else f"{selection} cells"
