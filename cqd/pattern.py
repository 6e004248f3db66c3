"""Graph patterns with named variables.

A pattern is a tuple of parts that hold together, its variables existential except for those selected:

    Atom(x, r, y)       the edge; x and y are Variable or Entity
    Is(x, entity)       equality with an entity
    Either(patterns)    one of several patterns holds
    Without(pattern)    the pattern does not hold; a variable of it that no part around binds is existential inside

`cqd.rooting` compiles a pattern to a query tree, `cqd.sparql` reads one from text.
"""

import itertools
from dataclasses import dataclass
from typing import NamedTuple

from cqd.query import Entity


class Variable(NamedTuple):
    """A named variable; `scope` tells apart variables of one name that belong to different negations."""

    name: str
    scope: int = 0


@dataclass(frozen=True)
class Atom:
    """The edge (head, relation, tail); a relation is an id or a label."""

    head: Variable | Entity
    relation: int | str
    tail: Variable | Entity


@dataclass(frozen=True)
class Is:
    """The variable is the entity."""

    variable: Variable
    entity: Entity


@dataclass(frozen=True)
class Either:
    """Some of the patterns holds."""

    patterns: tuple


@dataclass(frozen=True)
class Without:
    """The pattern does not hold."""

    pattern: tuple


def variables(part):
    """Returns the frozenset of variables of a part, or of a pattern, negations included."""
    match part:
        case Atom(head, _, tail):
            return frozenset(term for term in (head, tail) if isinstance(term, Variable))
        case Is(variable, _):
            return frozenset([variable])
        case Either(patterns):
            return frozenset().union(*map(variables, patterns))
        case Without(pattern):
            return variables(pattern)
        case _:
            return frozenset().union(*map(variables, part))


def bound(pattern):
    """Returns the variables that positive parts bind, whichever alternative holds."""
    found = frozenset()
    for part in pattern:
        if isinstance(part, Either):
            found |= frozenset.intersection(*map(bound, part.patterns))
        elif not isinstance(part, Without):
            found |= variables(part)
    return found


def mentioned(pattern):
    """Returns the variables that positive parts bind in some alternative."""
    found = frozenset()
    for part in pattern:
        if isinstance(part, Either):
            found = found.union(*map(mentioned, part.patterns))
        elif not isinstance(part, Without):
            found |= variables(part)
    return found


def rename(pattern, new):
    """Returns the pattern with variables renamed by a dict; those it lacks keep their names."""
    return _mapped(pattern, lambda term: new.get(term, term) if isinstance(term, Variable) else term, lambda one: one)


def bind(pattern, vocabulary):
    """Returns the pattern with labels looked up as ids.

    Raises:
        ValueError: an unknown label, with the nearest ones.
    """

    def term(one):
        return Entity(vocabulary.entity_id(one.name)) if isinstance(one, Entity) and isinstance(one.name, str) else one

    return _mapped(pattern, term, lambda one: vocabulary.relation_id(one) if isinstance(one, str) else one)


def _mapped(pattern, term, relation):
    def part(one):
        match one:
            case Atom(head, name, tail):
                return Atom(term(head), relation(name), term(tail))
            case Is(variable, entity):
                return Is(term(variable), term(entity))
            case Either(patterns):
                if len(patterns) < 2:
                    raise ValueError(f"Either of {len(patterns)} pattern: two or more are due")
                return Either(tuple(_mapped(inner, term, relation) for inner in patterns))
            case Without(inner):
                return Without(_mapped(inner, term, relation))
            case _:
                raise ValueError(f"{one!r} is no part of a pattern: an Atom, Is, Either or Without is due")

    return tuple(map(part, pattern))


def listed(found):
    """Returns the names of variables in words; those of blank nodes begin with _: already."""
    words = {name if name.startswith("_:") else f"?{name}" for name, _ in found}
    return " and ".join(sorted(words)) or "a condition without variables"


def size(pattern):
    """Returns the number of parts, those inside others counted."""
    inner = [
        part.patterns if isinstance(part, Either) else (part.pattern,)
        for part in pattern
        if isinstance(part, Either | Without)
    ]
    return len(pattern) + sum(size(one) for patterns in inner for one in patterns)


def scoped(pattern, outside=frozenset(), fresh=None):
    """Returns the pattern without repeated parts, the variables of each negation renamed apart; checks negations."""
    fresh = itertools.count(1) if fresh is None else fresh
    pattern = rename(dict.fromkeys(pattern), {})
    inside = outside | mentioned(pattern)
    sure = outside | bound(pattern)
    parts = []
    for part in pattern:
        if isinstance(part, Either):
            around = outside | mentioned(one for one in pattern if one is not part)
            parts.append(Either(tuple(scoped(inner, around, fresh) for inner in part.patterns)))
        elif isinstance(part, Without):
            check_negation(part.pattern, inside, sure)
            own = sorted(variables(part.pattern) - inside)
            inner = rename(part.pattern, {variable: Variable(variable.name, next(fresh)) for variable in own})
            parts.append(Without(scoped(inner, inside, fresh)))
        else:
            parts.append(part)
    return tuple(parts)


def check_negation(pattern, inside, sure):
    """Raises ValueError for a negation that shares no variable, or an unsure one, with what stands around it.

    Args:
        pattern: what is negated.
        inside: variables around it that some alternative binds.
        sure: those that every alternative binds.
    """
    shared = variables(pattern) & inside
    if not shared:
        raise ValueError(
            f"the negation of {listed(variables(pattern))} shares no variable with what stands around it; "
            "bind one of its variables by a positive condition"
        )
    if shared - sure:
        raise ValueError(
            f"{listed(shared - sure)} is negated but bound in only some branches of a union; bind it in all"
        )
