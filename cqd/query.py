"""Queries as trees, their text form, and the 14 benchmark types.

A query is a set expression over entities; its value is the set of answers. The variables of the logical form are
implicit: the child of a projection that is no entity is one existential variable.

    capital(Greece)                    the tail of (Greece, capital, ?)
    capital^-1(Athens)                 the inverse relation: what has Athens as its capital
    borders(China) & borders(India)    and; & binds closer than |
    capital(borders(Greece) | borders(Turkey))
    borders(China) & !borders(India)   not
    language("Saint Martin (French part)")     quotes around a label with ( ) & | ! ^ or "; \\" and \\\\ inside
    #6(#12)                            ids instead of labels

References:
    arXiv 2011.03459, section 2 (positive queries); Ren and Leskovec, arXiv 2010.11465 (negation).
"""

import re
from dataclasses import dataclass
from typing import Union

from cqd.graph import INVERSE, inverse


@dataclass(frozen=True)
class Entity:
    """One entity: an id, or a label that is not looked up yet."""

    name: int | str


@dataclass(frozen=True)
class Projection:
    """The tails of (x, relation, ?) for x in the child; a relation label may end in `^-1`."""

    relation: int | str
    child: "Query"


@dataclass(frozen=True)
class And:
    """What is in every child, of which there are two or more."""

    children: tuple


@dataclass(frozen=True)
class Or:
    """What is in some child, of which there are two or more."""

    children: tuple


@dataclass(frozen=True)
class Not:
    """What is not in the child."""

    child: "Query"


Query = Union[Entity, Projection, And, Or, Not]  # noqa: UP007 (the names above are strings here)

# Every entity, with truth 1 under every t-norm: the child of a projection whose variable has no condition of its own.
ANYTHING = Or((Entity(0), Not(Entity(0))))

# Every a is an anchor and every r a relation, filled from left to right, inside before outside.
TEMPLATES = {
    "1p": "r(a)",
    "2p": "r(r(a))",
    "3p": "r(r(r(a)))",
    "2i": "r(a) & r(a)",
    "3i": "r(a) & r(a) & r(a)",
    "ip": "r(r(a) & r(a))",
    "pi": "r(r(a)) & r(a)",
    "2u": "r(a) | r(a)",
    "up": "r(r(a) | r(a))",
    "2in": "r(a) & !r(a)",
    "3in": "r(a) & r(a) & !r(a)",
    "inp": "r(r(a) & !r(a))",
    "pin": "r(r(a)) & !r(a)",
    "pni": "!r(r(a)) & r(a)",
}
MAX_DEPTH = 24  # of a tree that is read from text; one of 32 hops takes a minute to compile, of 48 many
POSITIVE_TYPES = ("1p", "2p", "3p", "2i", "3i", "ip", "pi", "2u", "up")


def children(query):
    """Returns the tuple of a query's direct parts."""
    match query:
        case Entity():
            return ()
        case Projection(_, child) | Not(child):
            return (child,)
        case And(parts) | Or(parts):
            if len(parts) < 2:
                raise ValueError(f"{type(query).__name__} of {len(parts)} part: two or more are due")
            return parts
        case _:
            raise ValueError(f"{query!r} is no query; build one with cqd.query.parse or from_benchmark")


def rebuild(query, parts):
    """Returns the query with other direct parts."""
    match query:
        case Entity():
            return query
        case Projection(relation, _):
            return Projection(relation, *parts)
        case Not():
            return Not(*parts)
        case _:
            return type(query)(tuple(parts))


def row(query):
    """Returns the tuple of entities and relations from left to right, inside before outside: a benchmark row.

    >>> row(from_benchmark("pi", (5, 2, 4, 7, 0)))
    (5, 2, 4, 7, 0)
    """
    inside = tuple(name for child in children(query) for name in row(child))
    match query:
        case Entity(name):
            return (*inside, name)
        case Projection(relation, _):
            return (*inside, relation)
        case _:
            return inside


def fill(query, names):
    """Returns the query with the entities and relations of a row, an iterable consumed in order."""
    names = iter(names)

    def walk(node):
        node = rebuild(node, [walk(child) for child in children(node)])
        match node:
            case Entity():
                return Entity(next(names))
            case Projection(_, child):
                return Projection(next(names), child)
            case _:
                return node

    return walk(query)


def structure(query):
    """Returns the query with every id 0: equal for queries of one shape, and hashable."""
    return fill(query, [0] * len(row(query)))


def from_benchmark(type_name, row):
    """Returns the query of a benchmark row.

    Rows hold anchors and relations in order: 1p (a, r); 2p (a, r1, r2); 2i (a1, r1, a2, r2); ip and up (a1, r1,
    a2, r2, r3); pi (a1, r1, r2, a2, r3). In 2in and 3in the last branch is negated, in inp and pin the second, in
    pni the two-hop branch.

    Args:
        type_name: one of TEMPLATES.
        row: ids (or labels).

    Raises:
        ValueError: an unknown type, a row of another length, or a number that is not whole.
    """
    if type_name not in TEMPLATES:
        raise ValueError(f"query type {type_name!r}: choose one of {', '.join(TEMPLATES)}")
    names = [name if isinstance(name, str) else _whole(name) for name in row]
    template = parse(TEMPLATES[type_name])
    due = TEMPLATES[type_name].count("a") + TEMPLATES[type_name].count("r")
    if len(names) != due:
        raise ValueError(f"a row of type {type_name} has {due} entries, not {len(names)}")
    return fill(template, names)


def _whole(number):
    if int(number) != number:
        raise ValueError(f"{number} in a row of ids: a whole number is due")
    return int(number)


def bind(query, vocabulary):
    """Returns the query with labels looked up as ids.

    Raises:
        ValueError: an unknown label, with the nearest ones, or an id outside the vocabulary.
    """
    parts = [bind(child, vocabulary) for child in children(query)]
    match query:
        case Entity(name):
            return Entity(_checked("entity", name, vocabulary.entity_id, vocabulary.num_entities))
        case Projection(relation, _):
            return Projection(_checked("relation", relation, vocabulary.relation_id, vocabulary.num_relations), *parts)
        case _:
            return rebuild(query, parts)


def _checked(kind, name, look_up, count):
    if isinstance(name, str):
        return look_up(name)
    if not 0 <= name < count:
        raise ValueError(f"{kind} #{name}: ids run from 0 to {count - 1}")
    return name


def to_text(query, vocabulary=None):
    """Returns the text form, which `parse` reads back as the same query.

    Args:
        query: a tree.
        vocabulary: writes labels for ids; without it ids are written as #id.
    """
    match query:
        case Entity(name):
            label = vocabulary.entities[name] if vocabulary and not isinstance(name, str) else name
            return _write(label)
        case Projection(relation, child):
            if vocabulary and not isinstance(relation, str):
                relation = vocabulary.relation_label(relation)
            backwards = isinstance(relation, str) and relation.endswith(INVERSE)
            name = _write(relation.removesuffix(INVERSE) if backwards else relation)
            return f"{name}{INVERSE * backwards}({to_text(child, vocabulary)})"
        case Not(child):
            return "!" + _inside(child, vocabulary)
        case _:
            sign = " & " if isinstance(query, And) else " | "
            return sign.join(_inside(child, vocabulary) for child in children(query))


def _inside(query, vocabulary):
    text = to_text(query, vocabulary)
    return f"({text})" if isinstance(query, And | Or) else text


_TOKEN = re.compile(r'\s*(?:(?P<sign>[()&|!]|\^-1)|"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^()&|!"^]+))', re.DOTALL)
_ID = re.compile(r"#[0-9]+")
_LONGEST_ID = 20  # characters
_LONGEST_QUOTED = 80


def _write(name):
    """Returns a name as `parse` reads it: #id, the bare label, or the label in quotes."""
    if not isinstance(name, str):
        return f"#{name}"
    if name and name == name.strip() and not _ID.fullmatch(name) and not re.search(r'[()&|!"^]', name):
        return name
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def parse(text, vocabulary=None):
    """Returns the query of a text; the module's docstring has the language.

    Args:
        text: such as `capital(borders(Greece) | borders(Turkey))`.
        vocabulary: looks labels up; without it they stay labels, for `bind`.

    Raises:
        ValueError: a syntax error, with its column (from 1), an unknown label, with the nearest ones, or a query nested
            more deeply than MAX_DEPTH.
    """
    try:
        query = _Parser(text).query()
        if _depth(query) > MAX_DEPTH:
            raise RecursionError
        return bind(query, vocabulary) if vocabulary else query
    except RecursionError:
        raise ValueError(f"query {_quoted(text)}: nested too deeply to be read") from None


def _quoted(text):
    return repr(text if len(text) <= _LONGEST_QUOTED else f"{text[:_LONGEST_QUOTED]}...")


def _depth(query):
    return 1 + max(map(_depth, children(query)), default=0)


class _Parser:
    """Recursive descent over (kind, value, column) tokens."""

    def __init__(self, text):
        self.text = text
        self.tokens = []
        position = 0
        end = len(text.rstrip())
        while position < end:
            match = _TOKEN.match(text, position)
            if not match:
                position += len(text[position:]) - len(text[position:].lstrip())
                quote = text[position] == '"'
                self.fail(position + 1, "a quote that does not end" if quote else f"{text[position:][:3]!r}, not ^-1")
            kind = match.lastgroup
            value = match.group(kind)
            self.tokens.append((kind, value, match.start(kind) + 1 - (kind == "quoted")))
            position = match.end()
        self.tokens.append(("end", "", end + 1))
        self.at = 0

    def fail(self, column, problem):
        raise ValueError(f"query {_quoted(self.text)}, column {column}: {problem}")

    def take(self, *signs):
        """Returns whether the next token is one of the signs, and passes it if so."""
        kind, value, _ = self.tokens[self.at]
        found = kind == "sign" and value in signs
        self.at += found
        return found

    def due(self, sign):
        if not self.take(sign):
            kind, value, column = self.tokens[self.at]
            self.fail(column, f"{sign!r} is due, not {'the end' if kind == 'end' else _quoted(value.strip())}")

    def query(self):
        query = self.disjunction()
        kind, value, column = self.tokens[self.at]
        if kind != "end":
            self.fail(column, f"{_quoted(value.strip())} after the end of the query; join parts by & or |")
        return query

    def disjunction(self):
        return self.joined("|", Or, lambda: self.joined("&", And, self.unary))

    def joined(self, sign, node, part):
        parts = [part()]
        while self.take(sign):
            parts.append(part())
        return node(tuple(parts)) if len(parts) > 1 else parts[0]

    def unary(self):
        if self.take("!"):
            return Not(self.unary())
        if self.take("("):
            query = self.disjunction()
            self.due(")")
            return query
        return self.term()

    def term(self):
        kind, value, column = self.tokens[self.at]
        if kind in ("sign", "end"):
            self.fail(column, f"a name is due, not {'the end' if kind == 'end' else repr(value)}")
        self.at += 1
        name = re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL) if kind == "quoted" else value.strip()
        if kind == "bare" and _ID.fullmatch(name):
            if len(name) > _LONGEST_ID:
                self.fail(column, f"{len(name) - 1} digits are no id")
            name = int(name[1:])
        backwards = self.take(INVERSE)
        if not self.take("("):
            if backwards:
                self.due("(")
            return Entity(name)
        child = self.disjunction()
        self.due(")")
        if backwards:
            name = name + INVERSE if isinstance(name, str) else inverse(name)
        return Projection(name, child)
