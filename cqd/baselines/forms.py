"""Queries as rows of one form, so that one compiled program embeds queries of every benchmark type.

A row holds up to three branches that meet, and one more relation that leads on from where they meet:

    last( [!] second(first_0(anchor_0)) & [!] first_1(anchor_1) & [!] first_2(anchor_2) )

with -1 for what a query does not have; 3p has its third relation as `last`. A query with unions is several rows, one a
disjunct (its disjunctive normal form), of which the best answers.

References:
    Ren, Hu, Leskovec, arXiv 2002.05969, section 3.3 (disjunctive normal form).
"""

import itertools
from typing import NamedTuple

import numpy as np

from cqd.query import And, Entity, Not, Or, Projection, children, fill, rebuild, row, to_text
from cqd.symbolic import by_structure, has_negation

BRANCHES = 3
WIDTH = 3 * BRANCHES + 2


class Form(NamedTuple):
    """The columns of rows [..., WIDTH]; -1 for what is absent.

    Attributes:
        anchor: [..., BRANCHES] entity ids; the first is always there.
        first: [..., BRANCHES] relation ids.
        negated: [..., BRANCHES] 1 for a negated branch, else 0.
        second: [...] the second relation of the first branch.
        last: [...] the relation that leads on from where the branches meet.
    """

    anchor: np.ndarray
    first: np.ndarray
    negated: np.ndarray
    second: np.ndarray
    last: np.ndarray


def split(rows):
    """Returns the Form of rows [..., WIDTH]."""
    anchor, first, negated = (rows[..., part * BRANCHES : (part + 1) * BRANCHES] for part in range(3))
    return Form(anchor, first, negated, rows[..., -2], rows[..., -1])


def encode(queries):
    """Returns (rows [D, WIDTH] int32, owner [D] int64, sorted): the disjuncts and the number of the query of each.

    Args:
        queries: list of queries with ids.

    Raises:
        ValueError: a query that is not of the form.
    """
    parts, owners = [np.zeros((0, WIDTH), np.int32)], [np.zeros(0, np.int64)]
    for shape, positions in by_structure(queries).items():
        names = np.array([row(queries[i]) for i in positions], np.int32).reshape(len(positions), -1)
        names = np.pad(names, ((0, 0), (0, 1)), constant_values=-1)  # what is absent is column -1
        for conjunction in disjuncts(fill(shape, range(names.shape[1] - 1))):
            form = _form(conjunction)
            negated = np.broadcast_to(np.int32(form.negated), (len(positions), BRANCHES))
            ids = [names[:, form.anchor], names[:, form.first], negated, names[:, [form.second, form.last]]]
            parts.append(np.concatenate(ids, axis=1))
            owners.append(np.array(positions))
    owner = np.concatenate(owners)
    order = np.argsort(owner, kind="stable")
    return np.concatenate(parts)[order], owner[order]


def disjuncts(query):
    """Returns a list of queries without unions that the query is the union of.

    Raises:
        ValueError: a union within a negation.
    """
    match query:
        case Entity():
            return [query]
        case Not(child) if len(disjuncts(child)) == 1:
            return [query]
        case Not():
            raise ValueError(f"query {to_text(query)}: a union within a negation has no disjunctive normal form here")
        case Or(parts):
            return [one for part in parts for one in disjuncts(part)]
        case _:
            return [rebuild(query, parts) for parts in itertools.product(*map(disjuncts, children(query)))]


def needs_negation(queries):
    """Returns whether any query has a negated part."""
    return any(map(has_negation, queries))


def _form(query):
    """Returns the Form, of lists and ints, of a conjunctive query."""
    match query:
        case Projection(last, And(parts)):
            pass
        case Projection(last, Projection(_, Projection()) as body):
            parts = (body,)
        case And(parts):
            last = -1
        case _:
            last, parts = -1, (query,)
    branches = sorted((_branch(part, query) for part in parts), key=lambda branch: -len(branch[2]))
    if len(branches) > BRANCHES or len(branches[0][2]) > 2 or any(len(hops) > 1 for _, _, hops in branches[1:]):
        raise _not_of_the_form(query)
    absent = BRANCHES - len(branches)
    negated, anchors, hops = zip(*branches)
    second = hops[0][1] if len(hops[0]) > 1 else -1
    firsts = [relations[0] for relations in hops]
    return Form([*anchors, *[-1] * absent], [*firsts, *[-1] * absent], [*negated, *[0] * absent], second, last)


def _branch(node, query):
    """Returns (1 if negated, anchor, relations in order) of a branch."""
    match node:
        case Not(child):
            negated, anchor, hops = _branch(child, query)
            return 1 - negated, anchor, hops
        case Projection(relation, Entity(anchor)):
            return 0, anchor, [relation]
        case Projection(relation, Projection() as child):
            negated, anchor, hops = _branch(child, query)
            return negated, anchor, [*hops, relation]
    raise _not_of_the_form(query)


def _not_of_the_form(query):
    return ValueError(
        f"query {to_text(query)}: query models embed up to {BRANCHES} branches of one relation, one of up to two, "
        "and one relation after they meet; cqd.answer takes any query"
    )
