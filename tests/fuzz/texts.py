"""Targets over text: queries as trees and in SPARQL, genotypes, search spaces."""

import collections
import functools
import re
import tempfile
from pathlib import Path

import numpy as np

from cqd import ask, cutset, query, rooting, symbolic
from cqd.graph import Vocabulary, build_index, with_inverses
from cqd.query import And, Entity, Not, Or, Projection
from darts_perturb import genotype as genotypes
from darts_perturb import space as spaces
from tests.fuzz.outcome import due, refusal

ENTITIES = ("a", "b", "c", "d", "e_f", "true")
RELATIONS = ("p", "q")
TRIPLES = ((0, 0, 1), (1, 0, 2), (2, 0, 0), (3, 0, 3), (0, 2, 1), (1, 2, 4), (4, 2, 1), (3, 2, 0), (2, 2, 5))
LARGEST = 64  # nodes of a tree that is answered


@functools.cache
def vocabulary():
    return Vocabulary(ENTITIES, RELATIONS)


@functools.cache
def index():
    return build_index(np.array(TRIPLES, np.int32), num_entities=len(ENTITIES), num_relations=2 * len(RELATIONS))


def as_argument(data):
    """Returns bytes as Python gives a word of the command line."""
    return data.decode("utf-8", "surrogateescape")


def tree(data):
    """A tree is read back from its text, and answered as sets say."""
    text = as_argument(data)
    found, _ = refusal(lambda: query.parse(text), r"^query .*(, column \d+: |nested too deeply)")
    if found is None:
        return
    due(query.parse(query.to_text(found)) == found, f"another tree from {query.to_text(found)!r}")
    due(query.fill(found, query.row(found)) == found, "another tree from its row")
    hash(query.structure(found))
    bound, _ = refusal(lambda: query.bind(found, vocabulary()), r"(unknown )?(entity|relation) ")
    if bound is not None and len(query.row(bound)) <= LARGEST:
        due(query.parse(query.to_text(bound, vocabulary()), vocabulary()) == bound, "another tree from its labels")
        due(symbolic.answers(index(), [bound])[0].tolist() == sorted(by_sets(bound)), "other answers than of sets")


def by_sets(node):
    """Returns the set of a tree's answers."""
    match node:
        case Entity(name):
            return {name}
        case Projection(relation, child):
            heads = by_sets(child)
            edges = with_inverses(np.array(TRIPLES, np.int32)).tolist()
            return {tail for head, kind, tail in edges if kind == relation and head in heads}
        case And(parts):
            return set.intersection(*map(by_sets, parts))
        case Or(parts):
            return set.union(*map(by_sets, parts))
        case Not(child):
            return set(range(len(ENTITIES))) - by_sets(child)


_PLACE = r"SPARQL|unknown |entity #|relation #|ambiguous|query|asks for|empty: |\?|_:|condition|negat|cycle|union|names"
# What means the same to a graph database: names by the prefix `:` alone, no literals, no full IRIs, no comments.
_STANDARD = re.compile(r"[^\"'<>#%\\0-9]*", re.ASCII)


def question(data):
    """A question is refused, or answered as pyoxigraph answers it where SPARQL means the same to it."""
    text = as_argument(data)
    found, _ = refusal(lambda: ask.read(text, vocabulary()), _PLACE)
    if isinstance(found, rooting.Compiled) and _STANDARD.fullmatch(text) and len(found.cuts) <= 1 and not found.limit:
        expected = by_oxigraph(text, found.select)
        if expected is not None:
            due(by_cutset(found) == expected, f"{sorted(by_cutset(found))}, pyoxigraph says {sorted(expected)}")


def by_cutset(compiled):
    """Returns the set of tuples of a pattern's answers, in the order of its selected variables."""

    def evaluate(queries):
        truths = np.zeros((len(queries), len(ENTITIES)))
        for slot, entities in zip(truths, symbolic.answers(index(), queries)):
            slot[entities] = 1
        return truths

    if len(compiled.select) == 1:
        return {(int(i),) for i in np.flatnonzero(cutset.answer(compiled, evaluate, num_entities=len(ENTITIES)))}
    return {(a, b) for a, b, _ in cutset.pairs(compiled, evaluate, num_entities=len(ENTITIES), num_pairs=1000)}


@functools.cache
def _store():
    import pyoxigraph

    store = pyoxigraph.Store()
    for head, relation, tail in TRIPLES:
        names = (ENTITIES[head], RELATIONS[relation // 2], ENTITIES[tail])
        store.add(pyoxigraph.Quad(*(pyoxigraph.NamedNode(f"urn:label:{name}") for name in names)))
    return store


def by_oxigraph(text, select):
    """Returns the set of tuples of answers, or None where pyoxigraph does not read the text."""
    try:
        found = _store().query(text, prefixes={"": "urn:label:"})
    except (SyntaxError, ValueError):
        return None
    values = [tuple(row[name].value.removeprefix("urn:label:") for name in select) for row in found]
    return {tuple(map(ENTITIES.index, row)) for row in values}


_SPACES = (None, *spaces.BUILT_IN)
_Fields = collections.namedtuple("_Fields", "normal normal_concat reduce reduce_concat")


def genotype(data):
    """A genotype, in the space that the first byte says, is read back from its text and says what Python says."""
    space = _SPACES[data[0] % len(_SPACES)] if data else None
    text = as_argument(data[1:])
    found, _ = refusal(lambda: genotypes.parse(text, space), r"^genotype ")
    if found is None:
        return
    again = genotypes.format(found)
    due(genotypes.parse(again, found.space) == found, f"another cell from {again!r}")
    due(genotypes.format(genotypes.parse(again, found.space)) == again, f"another text from {again!r}")
    if isinstance(found, genotypes.Genotype):
        pairs = {
            (target, entry) for target, node in enumerate(text.split("+")) for entry in re.findall(r"[^|\s]+", node)
        }
        edges = spaces.get(found.space).edges
        due(pairs == {(end - 1, f"{op}~{start}") for (start, end), op in zip(edges, found.ops)}, "other operations")
    else:  # it holds names and numbers alone, or `parse` would have refused it
        said = eval(text.strip(), {"__builtins__": {}, "range": range, "Genotype": _Fields})
        read = (found.normal, found.normal_concat, found.reduce, found.reduce_concat)
        due(tuple(tuple(map(_tupled, part)) for part in said) == read, "other fields")


def _tupled(value):
    return tuple(value) if isinstance(value, list) else value


def search_space(data):
    """A search space of one's own can be hashed, and its cells are read back from their text."""
    path = Path(tempfile.gettempdir()) / "fuzzed_space.json"
    path.write_bytes(data)
    spaces.load.cache_clear()
    found, _ = refusal(lambda: spaces.get(str(path)), r"PATH", path)
    if found is None:
        return
    hash(found)
    due(all(type(node) is int for edge in found.edges for node in edge), f"nodes that are no numbers: {found.edges}")
    due(type(found.pool_norm) is bool, f"pool_norm {found.pool_norm!r}")
    for kind in found.kinds:
        due(all(op in found.ops for ops in found.edge_ops(kind) for op in ops), "an operation of no space")
    if found.skeleton == spaces.STAGES:
        cell = genotypes.random(np.random.default_rng(0), found)
        due(genotypes.parse(genotypes.format(cell), found) == cell, f"another cell from {genotypes.format(cell)!r}")
