"""Patterns rooted at their selected variable: query trees, with cut variables where cycles close.

Seen from its selected variable a pattern without cycles is a tree: each variable is the conjunction of what hangs from
it, each edge a projection. Where a cycle closes, a variable on it is cut: with z = c asserted, any occurrence of z may
be replaced by c, and just as many are as open the cycles. The truth is then the maximum over all entities c
(`cqd.cutset`). Two edges between the same variables are a cycle of length two. With two selected variables the first is
cut, so that the tree gives the truths of the second.

An Either that touches one variable is an `or` there. One that links several is distributed over the parts it links,
each alternative with variables of its own: the disjunctive normal form of arXiv 2011.03459, section 2.

>>> from cqd.pattern import Atom, Variable
>>> from cqd.query import Entity, to_text
>>> x, y = Variable("x"), Variable("y")
>>> borders = Atom(x, "borders", y)
>>> to_text(compile((borders, Atom(y, "language", Entity("Spanish"))), "x").at())
'borders^-1(language^-1(Spanish))'
>>> ring = compile((borders, Atom(x, "exports_to", y)), "x")
>>> ring.cuts, to_text(ring.at([7]))
(('y',), 'borders^-1(#7) & exports_to^-1(#7)')

References:
    arXiv 2304.07063 (FIT: cyclic queries by enumeration); arXiv 2307.13701 (EFOk: two free variables).
"""

import itertools
from typing import NamedTuple

from cqd.graph import INVERSE, inverse
from cqd.pattern import (
    Atom,
    Either,
    Is,
    Variable,
    Without,
    bind,
    bound,
    listed,
    mentioned,
    rename,
    scoped,
    size,
    variables,
)
from cqd.query import ANYTHING, And, Entity, Not, Or, Projection, fill, row

MAX_PARTS = 64
MAX_NODES = 4096
MAX_TRIED = 16384  # nodes of all trees that are tried, one for each choice of variables to cut; a few seconds
MAX_CUTS = 2


class Compiled(NamedTuple):
    """A pattern as a tree for every assignment of its cut variables; `cqd.cutset` answers it.

    Attributes:
        select: the selected variables, one or two names.
        cuts: names of the variables to enumerate; the first is select[0] where two are selected.
        template: the tree of select[-1], whose entities may be cut Variables: see `at`.
        bounds: a tree for each cut variable whose truth at c is no less than any answer's with that variable at c, or
            None where none is known.
        limit: how many answers were asked for, or None.
    """

    select: tuple
    cuts: tuple
    template: object
    bounds: tuple
    limit: int | None = None

    def at(self, values=()):
        """Returns the query with the cut variables at the entities of values, one for each name in cuts."""
        chosen = dict(zip(self.cuts, values, strict=True))
        return fill(self.template, [chosen[n.name] if isinstance(n, Variable) else n for n in row(self.template)])


class _Cycle(Exception):
    """Holds the variables of a cycle that nothing opens."""


class _Apart(Exception):
    """Holds variables that no positive part links to the root."""


def compile(pattern, select, *, vocabulary=None):
    """Returns the pattern as Compiled.

    As few variables are cut as open every cycle, at most two; among equals one that is not selected, has an anchor,
    and occurs often.

    Args:
        pattern: tuple of parts.
        select: name of the selected variable, or a tuple of one or two names.
        vocabulary: looks labels up; without it they stay labels.

    Raises:
        ValueError: no or more than two selected variables, one that no positive part binds, a negation that shares no
            variable with the rest, parts that no variable links, cycles inside a negation or beyond two cuts, an
            unknown label, a pattern too large.
    """
    select = (select,) if isinstance(select, str) else tuple(dict.fromkeys(select))
    if not 1 <= len(select) <= 2:
        raise ValueError(f"{len(select)} selected variables: select one or two")
    if (count := size(pattern)) > MAX_PARTS:
        raise ValueError(f"a query of {count} parts: at most {MAX_PARTS} are answered")
    parts = scoped(pattern if vocabulary is None else bind(pattern, vocabulary))
    *forced, root = (_selected(name, parts, pattern) for name in select)
    cuts, builder, template = _opened(parts, forced, root)
    bounds = tuple(_bound(parts, cut) if not builder.distributed else None for cut in cuts)
    return Compiled(select, tuple(cut.name for cut in cuts), template, bounds)


def _opened(parts, forced, root):
    """Returns (cuts, builder, template) for the best variables to cut that leave no cycle."""
    cycle = apart = None
    tried = 0
    for cuts in _cut_sets(parts, forced, root):
        asserted = parts
        for cut in cuts:
            asserted = _assert(asserted, cut)
        builder = _Builder()
        if tried > MAX_TRIED:
            raise ValueError(
                "too many cycles for the variables that open them to be found; name one of their variables"
            )
        try:
            return cuts, builder, builder.tree(root, asserted, {})
        except _Cycle as problem:
            cycle = cycle or problem
        except _Apart as problem:
            apart = apart or problem
            if not cycle:  # from the start: no cut links parts
                break
        tried += builder.nodes
    if apart:
        raise ValueError(
            f"no positive condition links {listed(apart.args[0])} to {listed([root])}; "
            "state how they are related, or ask two queries"
        )
    raise ValueError(
        f"a cycle through {listed(cycle.args[0])} stays whatever {MAX_CUTS} variables are fixed, or lies inside "
        "a negation; name one of its variables"
    )


def _bound(parts, variable):
    """Returns a tree whose truth at c is no less than any answer's with the variable at c, or None."""
    return _Builder(relax=True).tree(variable, parts, {}) if variable in bound(parts) else None


def _selected(name, parts, pattern):
    variable = Variable(name)
    if variable in bound(parts):
        return variable
    if variable in mentioned(parts):
        raise ValueError(f"?{name} is selected but bound in only some branches of a union; bind it in all")
    where = "occurs only in a negation" if variable in variables(pattern) else "does not occur in the pattern"
    raise ValueError(f"?{name} is selected but {where}; a positive condition must bind it")


def _cut_sets(parts, forced, root):
    """Yields tuples of variables to cut, the smallest and best first; all begin with those forced."""
    atoms = [part for part in parts if isinstance(part, Atom)]

    def cost(variable):
        touching = [atom for atom in atoms if variable in variables(atom)]
        anchors = sum(len(variables(atom)) == 1 and atom.head != atom.tail for atom in touching)
        return variable == root, -anchors, -len(touching), variable.name

    free = sorted((one for one in mentioned(parts) if one not in forced), key=cost)
    for count in range(MAX_CUTS + 1 - len(forced)):
        for chosen in itertools.combinations(free, count):
            yield (*forced, *chosen)


def _assert(parts, cut):
    """Returns parts that also say that a variable is its cut, where it lives: inside an Either that alone has it."""
    holders = [part for part in parts if cut in variables(part)]
    if len(holders) > 1 or not isinstance(holders[0], Either):
        return (*parts, Is(cut, Entity(cut)))
    patterns = tuple(_assert(one, cut) if cut in mentioned(one) else one for one in holders[0].patterns)
    return tuple(Either(patterns) if part is holders[0] else part for part in parts)


def _components(parts, joint):
    """Returns lists of parts that variables other than the joint link, in the order of their first parts."""
    groups = []
    for number, part in enumerate(parts):
        found, members = variables(part) - {joint}, [number]
        for group in [group for group in groups if group[0] & found]:
            groups.remove(group)
            found, members = found | group[0], members + group[1]
        groups.append((found, sorted(members)))
    return [[parts[number] for number in members] for members in sorted(members for _, members in groups)]


def _is_loop(part):
    return isinstance(part, Atom) and part.head == part.tail


class _Builder:
    """Builds the tree of a pattern from a root: `tree` takes parts apart, `component` turns those that hang together.

    Args:
        relax: leave out what closes a cycle, so that no truth falls.
    """

    def __init__(self, relax=False):
        self.relax = relax
        self.distributed = False
        self.nodes = 0
        self.copies = itertools.count(1)

    def tree(self, root, parts, pins):
        """Returns the tree whose answers are what the root may be; pins: {variable: the entity it is}."""
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise ValueError(f"the unions multiply to more than {MAX_NODES} alternatives; ask several queries")
        parts = list(dict.fromkeys(parts))
        pins = pins | {part.variable: part.entity for part in parts if isinstance(part, Is)}
        built = [self.component(root, group, pins) for group in _components(parts, root)]
        flat = []
        for one in built:
            flat += one.children if isinstance(one, And) else [] if one is None else [one]
        return And(tuple(flat)) if len(flat) > 1 else flat[0] if flat else ANYTHING

    def component(self, root, group, pins):
        """Returns the tree of parts that variables other than the root link, or None for no condition."""
        touching = [part for part in group if root in variables(part)]
        if not touching:
            if self.relax or (len(group) == 1 and isinstance(group[0], Is)):  # some entity is that entity
                return None
            raise _Apart(frozenset().union(*map(variables, group)))
        match group:
            case [Is(_, entity)]:
                return entity
            case [Either(patterns)]:
                return Or(tuple(self.tree(root, pattern, pins) for pattern in patterns))
            case [Without(pattern)]:
                return self.negation(root, pattern, pins)
        if len(touching) == 1 and isinstance(touching[0], Atom) and not _is_loop(touching[0]):
            return self.step(root, touching[0], [part for part in group if part is not touching[0]], pins)
        if self.relax:
            return self.relaxed(root, group, touching)
        return self.opened(root, group, pins)

    def step(self, root, atom, rest, pins):
        relation, other = (atom.relation, atom.head) if atom.tail == root else (_turned(atom.relation), atom.tail)
        return Projection(relation, other if isinstance(other, Entity) else self.tree(other, rest, pins))

    def negation(self, root, pattern, pins):
        if not self.relax:
            return Not(self.tree(root, pattern, pins))
        if any(variable.scope == 0 and variable != root for variable in variables(pattern)):
            return None
        try:
            return Not(_Builder().tree(root, pattern, {}))
        except (_Cycle, _Apart):
            return None

    def relaxed(self, root, group, touching):
        kept = next((part for part in touching if isinstance(part, Atom) and not _is_loop(part)), None)
        return kept and self.step(root, kept, [part for part in group if part not in touching], {})

    def opened(self, root, group, pins):
        """Returns the tree of parts that close a cycle: by a pinned variable, else by distributing an Either."""
        problem = _Cycle(frozenset().union(*map(variables, group)))
        for variable, entity in pins.items():
            pinned = self.pinned(root, group, variable, entity)
            if set(pinned) != set(group):
                try:
                    return self.tree(root, pinned, pins)
                except (_Cycle, _Apart) as other:
                    problem = other
        for part in group:
            others = frozenset([root]).union(*(variables(one) for one in group if one is not part))
            if isinstance(part, Either) and len(variables(part) & others) > 1:
                self.distributed = True
                rest = [one for one in group if one is not part]
                return Or(tuple(self.tree(root, [*rest, *pattern], pins) for pattern in part.patterns))
        raise problem

    def pinned(self, root, group, variable, entity):
        """Returns the group with the variable replaced by its entity, but for one link to each neighbourhood."""
        parts = []
        for component in _components(group, variable):
            links = [part for part in component if variable in variables(part)]
            kept = [part for part in links if isinstance(part, Atom) and not _is_loop(part)]
            kept = kept or [part for part in links if isinstance(part, Either)]
            if len(component) == 1 and not _is_loop(component[0]) and root not in variables(component[0]) - {variable}:
                kept = component  # a condition on the variable alone
            for part in component:
                replaced = part in links and part not in kept[:1]
                parts.append(self.replaced(part, variable, entity) if replaced else part)
        return parts

    def replaced(self, part, variable, entity):
        if isinstance(part, Atom):
            head = entity if part.head == variable and part.tail != variable else part.head
            return Atom(head, part.relation, entity if part.tail == variable else part.tail)
        # A copy that is the entity: the parts inside may say more of it than atoms that link it to others.
        copy = Variable(variable.name, -next(self.copies))
        same = Is(copy, entity)
        if isinstance(part, Without):
            return Without((*rename(part.pattern, {variable: copy}), same))
        return Either(
            tuple(
                (*rename(one, {variable: copy}), same) if variable in variables(one) else one for one in part.patterns
            )
        )


def _turned(relation):
    """Returns the inverse of a relation, an id or a label."""
    if not isinstance(relation, str):
        return inverse(relation)
    return relation.removesuffix(INVERSE) if relation.endswith(INVERSE) else relation + INVERSE
