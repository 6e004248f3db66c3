"""Queries in a subset of SPARQL 1.1, read by rdflib's parser and compiled to query trees.

    SELECT ?x WHERE { ?x :borders :China, :India }                            conjunction
    SELECT ?c WHERE { { ?n :borders :Greece } UNION { ?n :borders :Turkey } ?n :capital ?c }
    SELECT ?x WHERE { ?x :borders :China FILTER NOT EXISTS { ?x :borders :India } }     or MINUS { ... }
    SELECT ?r WHERE { ?r ^:region/:capital :Bridgetown }                      path: sequence and inverse
    SELECT ?x WHERE { ?x :borders [ :language "French" ] }                    blank node: a variable without a name
    SELECT ?x ?y WHERE { ?x :borders ?y . ?x :currency ?c . ?y :currency ?c } LIMIT 5   the best pairs, a cycle

Names. The prefix `:` need not be declared: `:United_States` is the label "United States" (an underscore stands for
itself where such a label exists, else for a space), `:Saint_John%27s` and `:Saint_John\\'s` escape a character, <...>
is a full IRI, and an IRI that is no label is looked up by what follows its last / or #. As an extension a quoted label
stands for its entity: "Saint Martin (French part)". `?x rdfs:label "Chad"` says that ?x is Chad.

Meaning. Answers are entities, ranked: DISTINCT and REDUCED change nothing, and LIMIT m asks for the best m. MINUS takes
away from what stands before it, FILTER NOT EXISTS from its whole group. Whatever else is SPARQL is an error that names
it: OPTIONAL, VALUES, BIND, aggregates, ORDER BY, OFFSET, other filters, paths with | * + ? !, variable predicates,
sub-SELECT, GRAPH, SERVICE, FROM, SELECT *, ASK, CONSTRUCT, DESCRIBE.

References:
    https://www.w3.org/TR/sparql11-query (sections 8.3 and 18.2 for the scope of variables in negations).
"""

import itertools
import logging
import re
from urllib.parse import unquote, urljoin

from cqd import rooting
from cqd.pattern import Atom, Either, Is, Variable, Without, bound, check_negation, mentioned, rename, variables
from cqd.query import Entity

_LABEL = "http://www.w3.org/2000/01/rdf-schema#label"
_PREFIXES = {
    "": "urn:label:",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
}
_QUERIES = {"AskQuery": "ASK", "ConstructQuery": "CONSTRUCT", "DescribeQuery": "DESCRIBE"}
_CLAUSES = {  # of a SELECT query, but for projection, where, modifier and limit
    "datasetClause": "FROM",
    "groupby": "GROUP BY",
    "having": "HAVING",
    "orderby": "ORDER BY",
    "valuesClause": "VALUES",
}
_PARTS = {
    "OptionalGraphPattern": "OPTIONAL",
    "GraphGraphPattern": "GRAPH",
    "ServiceGraphPattern": "SERVICE",
    "InlineData": "VALUES",
    "Bind": "BIND",
}
_FILTERS = {
    "Builtin_EXISTS": "FILTER EXISTS",
    "ConditionalOrExpression": "FILTER by ||",
    "ConditionalAndExpression": "FILTER by &&",
    "RelationalExpression": "FILTER by comparison",
    "UnaryNot": "FILTER by !",
}
_LONGEST_NUMBER = 18  # digits
_SUPPORTED = "basic patterns, UNION, MINUS, FILTER NOT EXISTS and paths of / and ^ are answered"


def compile(text, vocabulary):
    """Returns the query as `rooting.Compiled`, with ids.

    >>> from cqd import loading
    >>> from cqd.query import to_text
    >>> vocabulary = loading.countries().vocabulary
    >>> compiled = compile("SELECT ?x { ?x :borders :China MINUS { ?x :borders/:capital :Bangkok } }", vocabulary)
    >>> to_text(compiled.at(), vocabulary)
    'borders^-1(China) & !borders^-1(capital^-1(Bangkok))'

    Args:
        text: a SELECT query of one or two variables.
        vocabulary: looks names up.

    Raises:
        ValueError: not SPARQL (with line and column), a construct that is not answered, an unknown or ambiguous name,
            a query that `rooting.compile` refuses, rdflib not installed.
    """
    pattern, select, limit = read(text, vocabulary)
    return rooting.compile(pattern, select)._replace(limit=limit)


def read(text, vocabulary):
    """Returns (pattern, selected names, limit or None); arguments and errors as in `compile`."""
    prologue, query = _parse(text)
    reader = _Reader(text, prologue, vocabulary)
    if query.name != "SelectQuery":
        reader.refuse(_QUERIES.get(query.name, query.name))
    for clause, word in _CLAUSES.items():
        if getattr(query, clause):
            reader.refuse(word)
    select, limit = reader.selected(query), reader.limit(query)
    return reader.group(query.where, frozenset()), select, limit


def _parse(text):
    """Returns rdflib's parse of a query: (prologue, query)."""
    try:
        from rdflib.plugins.sparql.parser import parseQuery
    except ImportError:
        raise ValueError("SPARQL needs rdflib: pip install rdflib") from None
    logger = logging.getLogger("rdflib.term")  # has a traceback for each literal that is not as its type says
    was_disabled, logger.disabled = logger.disabled, True
    try:
        return parseQuery(text)
    except RecursionError:
        raise ValueError("SPARQL: nested too deeply to be read") from None
    except Exception as error:  # the parser's own, and bare ones from its actions
        line, column = getattr(error, "lineno", None), getattr(error, "column", None)
        if line is None:
            raise ValueError(f"SPARQL: cannot be read: {' '.join(str(error).split())}") from None
        rest = (error.pstr.splitlines() or [""])[line - 1 :]
        found = repr(rest[0][column - 1 :][:20]) if rest and rest[0][column - 1 :] else "the end"
        raise ValueError(f"SPARQL line {line}, column {column}: not understood from {found} on") from None
    finally:
        logger.disabled = was_disabled


class _Reader:
    """Turns rdflib's parse tree into a pattern."""

    def __init__(self, text, prologue, vocabulary):
        self.text = text
        self.vocabulary = vocabulary
        self.base = ""
        self.prefixes = dict(_PREFIXES)
        self.numbers = itertools.count(1)
        self.blanks = {}
        self.unseen = set()
        self.forms = {}
        for declaration in prologue:
            if declaration.name == "Base":
                self.base = str(declaration.iri)
            else:
                self.prefixes[declaration.prefix or ""] = str(declaration.iri)

    def refuse(self, construct, word=None):
        """Raises ValueError for a construct, with the place of its first word if that is in the text."""
        masked = re.sub(r"\"[^\"\n]*\"|'[^'\n]*'|<[^>\s]*>|#[^\n]*", lambda found: " " * len(found[0]), self.text)
        word = re.escape((word or construct).split()[0])
        found = re.search(rf"\b{word}\b" if word.isalpha() else word, masked, re.IGNORECASE)
        place = ""
        if found:
            before = self.text[: found.start()]
            place = f" line {before.count(chr(10)) + 1}, column {found.start() - before.rfind(chr(10))}:"
        raise ValueError(f"SPARQL{place} {construct} is not supported: {_SUPPORTED}")

    def selected(self, query):
        if not query.projection:
            self.refuse("SELECT *", "*")
        for item in query.projection:
            if item.evar is not None:
                self.refuse("SELECT with an expression (AS, COUNT and the like)", "AS")
        return tuple(dict.fromkeys(str(item.var) for item in query.projection))

    def limit(self, query):
        if not query.limitoffset:
            return None
        offset, limit = query.limitoffset.offset, query.limitoffset.limit
        for word, number in (("OFFSET", offset), ("LIMIT", limit)):
            if number is not None and len(str(number)) > _LONGEST_NUMBER:
                raise ValueError(f"SPARQL {word} has {len(str(number))} digits: a smaller number is due")
        if offset is not None and int(offset):
            self.refuse("OFFSET")
        if limit is not None and int(limit) < 1:
            raise ValueError("SPARQL LIMIT 0 asks for no answer: at least 1 is due")
        return None if limit is None else int(limit)

    def group(self, node, outer):
        """Returns the pattern of a group; outer: variables that a negation around it binds."""
        if node.name != "GroupGraphPatternSub":
            self.refuse("a sub-SELECT", "SELECT")
        parts, filters, nested = [], [], []
        for part in node.part or ():
            match part.name:
                case "TriplesBlock":
                    for block in part.triples:
                        parts += self.triples(list(block))
                case "GroupOrUnionGraphPattern":
                    branches = [self.group(branch, outer) for branch in part.graph]
                    inner = branches[0] if len(branches) == 1 else (Either(tuple(branches)),)
                    nested.append((inner, len(parts)))
                    parts += inner
                case "MinusGraphPattern":
                    parts.append(self.negation(part.graph, parts, outer, frozenset()))
                case "Filter":
                    filters.append(self.negated(part.expr))
                case _:
                    self.refuse(_PARTS.get(part.name, part.name))
        around = tuple(parts)
        for inner, start in nested:
            self.check_filters(inner, (*around[:start], *around[start + len(inner) :]))
        return (*around, *(self.negation(graph, around, outer, mentioned(around)) for graph in filters))

    def negation(self, node, around, outer, seen):
        """Returns Without(group) that sees the variables bound around it; others of the same names are its own.

        Args:
            node: the group.
            around: parts that stand around it.
            outer: variables of the negations around those.
            seen: variables of `around` that the group's own negations see, as in NOT EXISTS but not in MINUS.
        """
        pattern = self.group(node, outer | seen)
        inside, sure = mentioned(around) | outer, bound(around) | outer
        check_negation(pattern, inside, sure)
        own = {one: Variable(one.name, -next(self.numbers)) for one in sorted(variables(pattern) - inside)}
        if seen:
            self.unseen |= set(own.values())
        return Without(rename(pattern, own))

    def check_filters(self, inner, around):
        """Raises ValueError where a filter of a nested group uses a variable that only parts around the group bind."""
        outside = {variable.name for variable in mentioned(around)}
        for variable in sorted(variables(inner) & self.unseen):
            if variable.name in outside:
                raise ValueError(
                    f"SPARQL: ?{variable.name} in FILTER NOT EXISTS is bound outside the filter's group {{ ... }} "
                    "and not seen there; put the filter into the group that binds it"
                )

    def negated(self, expression):
        """Returns the group of FILTER NOT EXISTS; parentheses around it parse as operators of one operand."""
        while (kind := getattr(expression, "name", "a value")).endswith("Expression"):
            if expression.op or expression.other:
                break
            expression = expression.expr
        if kind == "Builtin_NOTEXISTS":
            return expression.graph
        self.refuse(_FILTERS.get(kind, f"FILTER by {kind.removeprefix('Builtin_')}"), "FILTER")

    def triples(self, terms):
        """Returns the parts of a flat list of heads, predicates and tails."""
        parts = []
        for head, predicate, tail in zip(terms[::3], terms[1::3], terms[2::3], strict=True):
            if type(predicate).__name__ == "Variable":
                self.refuse(f"the variable predicate ?{predicate}", f"?{predicate}")
            if str(predicate).startswith(_PREFIXES["rdf"]):
                self.refuse("a list ( ... )", "(")
            parts += self.path(self.term(head), predicate, self.term(tail))
        return parts

    def path(self, head, path, tail):
        """Returns the parts of a path between two terms of the pattern."""
        kind = getattr(path, "name", None)
        if kind in ("pname", None):
            return [self.edge(head, path, tail)]
        steps = path.part if isinstance(path.part, list) else [path.part]
        if kind == "PathNegatedPropertySet":
            self.refuse("the path !", "!")
        if path.mod:
            self.refuse(f"the path {path.mod}", path.mod)
        if kind == "PathEltOrInverse":
            return self.path(tail, steps[0], head)
        if kind != "PathSequence":
            if len(steps) > 1:
                self.refuse("the path |", "|")
            return self.path(head, steps[0], tail)
        stops = [head, *(self.blank() for _ in steps[1:]), tail]
        return [part for a, step, b in zip(stops, steps, stops[1:]) for part in self.path(a, step, b)]

    def edge(self, head, predicate, tail):
        iri, local = self.iri(predicate)
        if iri != _LABEL:
            return Atom(head, self.vocabulary.relation_id(self.label("relation", iri, local)), tail)
        if not isinstance(head, Variable) or not isinstance(tail, Entity):
            raise ValueError('SPARQL rdfs:label is read as ?variable rdfs:label "LABEL"; ask for the variable itself')
        return Is(head, tail)

    def term(self, term):
        """Returns the Variable or Entity of a term of rdflib's parse."""
        kind = type(term).__name__
        if kind == "Variable":
            return Variable(str(term))
        if kind == "BNode":
            return self.blanks.setdefault(str(term), Variable(f"_:{term}"))
        if kind == "Literal":
            return Entity(self.vocabulary.entity_id(str(term)))
        if getattr(term, "name", None) == "literal":
            return Entity(self.vocabulary.entity_id(str(term.string)))
        return Entity(self.vocabulary.entity_id(self.label("entity", *self.iri(term))))

    def blank(self):
        return Variable(f"_:{next(self.numbers)}")

    def iri(self, term):
        """Returns (full IRI, the name at its end) of a prefixed name or an IRI."""
        if getattr(term, "name", None) != "pname":
            iri = urljoin(self.base, str(term))
            return iri, unquote(re.split("[/#]", iri)[-1])
        prefix = term.prefix or ""
        if prefix not in self.prefixes:
            raise ValueError(
                f"SPARQL: unknown prefix {prefix}: (known: {', '.join(f'{one}:' for one in self.prefixes)})"
            )
        local = unquote(re.sub(r"\\(.)", r"\1", term.localname or ""))
        return self.prefixes[prefix] + local, local

    def label(self, kind, iri, local):
        """Returns the label that is the IRI, or its end, or differs from its end by underscores for spaces alone."""
        labels = self.vocabulary.entities if kind == "entity" else self.vocabulary.relations
        if kind not in self.forms:
            forms = self.forms[kind] = {}
            for label in labels:
                for form in {label, _plain(label)}:
                    forms.setdefault(form, []).append(label)
        forms = self.forms[kind]
        for name in (iri, f"<{iri}>", local):
            if name in forms.get(name, ()):
                return name
        found = forms.get(_plain(local), [])
        if len(found) > 1:
            few = ", ".join(map(repr, found[:3]))
            raise ValueError(f"{kind} {local!r} is ambiguous: {few}; write the label in quotes or the IRI in full")
        return found[0] if found else local


def _plain(label):
    """Returns the end of a label that is an IRI, or the label, with underscores for spaces."""
    end = re.split("[/#]", label.strip("<>"))[-1] if "://" in label else label
    return end.replace(" ", "_")
