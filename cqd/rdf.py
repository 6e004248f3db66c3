"""Graphs in RDF: N-Triples and Turtle, plain or gzipped, through pyoxigraph's parser.

Triples between resources are edges; literals are counted and left out, except that rdfs:label names its subject. Of
several labels the one without a language or in English is taken, else the first in the order of language and text.

References:
    https://www.w3.org/TR/n-triples/, https://www.w3.org/TR/turtle/, https://pyoxigraph.readthedocs.io
"""

import gzip
import zlib
from array import array
from typing import NamedTuple

import numpy as np

SUFFIXES = (".nt", ".ttl", ".nt.gz", ".ttl.gz")
LABEL = "http://www.w3.org/2000/01/rdf-schema#label"


class Resources(NamedTuple):
    """What was read.

    Attributes:
        entities: columns of names, most readable first: label, local name, IRI; "" where there is none.
        relations: the same of the relations.
        parts: {part: int32 [M, 3]} with even relation ids; ids in the order of first occurrence.
        num_literals: how many triples had a literal and were left out, labels not counted.
    """

    entities: list
    relations: list
    parts: dict
    num_literals: int


def read(files):
    """Returns the Resources of files.

    Blank nodes are named `_:name`. Turtle may leave them nameless, so those of a Turtle file are numbered in the order
    of their occurrence.

    Args:
        files: {part: path} with one of SUFFIXES.

    Raises:
        ValueError: a syntax error (FILE:LINE), or pyoxigraph is not installed.
        OSError: a file cannot be read.
    """
    entities, relations, labels, blanks = {}, {}, {}, []
    literals = 0
    parts = {}
    for part, file in files.items():
        name_blank = _numbering(blanks) if _is_turtle(file) else str
        parts[part], skipped = _edges(file, entities, relations, labels, name_blank)
        literals += skipped
    return Resources(_columns(entities, labels), _columns(relations, labels), parts, literals)


def _edges(file, entities, relations, labels, name_blank):
    """Returns (triples [M, 3], number of literals); grows the dicts of ids and labels."""
    oxigraph = _oxigraph(file)

    def entity(term):
        name = term.value if type(term) is oxigraph.NamedNode else name_blank(term)
        return entities.setdefault(name, len(entities))

    edges, literals = array("i"), 0  # flat: a million tuples would keep the garbage collector busy
    for quad in _parsed(oxigraph, file):
        head, relation, tail = quad.subject, quad.predicate.value, quad.object
        if type(tail) is oxigraph.NamedNode or type(tail) is oxigraph.BlankNode:
            edges.extend((entity(head), 2 * relations.setdefault(relation, len(relations)), entity(tail)))
        elif relation == LABEL and type(tail) is oxigraph.Literal and tail.value.strip():
            language = tail.language or ""
            candidate = (language not in ("", "en"), language, " ".join(tail.value.split()))
            subject = head.value if type(head) is oxigraph.NamedNode else name_blank(head)
            labels[subject] = min(labels.get(subject, candidate), candidate)
        else:
            literals += 1
    return np.array(edges, dtype=np.int32).reshape(-1, 3), literals


def _oxigraph(file):
    try:
        import pyoxigraph
    except ModuleNotFoundError:
        raise ValueError(f"{file}: RDF needs pyoxigraph, which is not installed: pip install pyoxigraph") from None
    return pyoxigraph


def _parsed(oxigraph, file):
    """Yields the statements of a file, its errors as ValueError with FILE:LINE."""
    form = oxigraph.RdfFormat.TURTLE if _is_turtle(file) else oxigraph.RdfFormat.N_TRIPLES
    try:
        with gzip.open(file) if file.name.endswith(".gz") else open(file, "rb") as source:
            yield from oxigraph.parse(input=source, format=form)
    except SyntaxError as error:
        raise ValueError(f"{file}:{error.lineno}: {error.msg}") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{file}: not a whole gzip file ({error})") from None


def _is_turtle(file):
    return file.name.removesuffix(".gz").endswith(".ttl")


def _numbering(blanks):
    """Returns a function that names the blank nodes of one file _:b0, _:b1, ..., counting on from those in the list."""
    names = {}

    def name(blank):
        if blank not in names:
            names[blank] = f"_:b{len(blanks)}"
            blanks.append(names[blank])
        return names[blank]

    return name


def _columns(ids, labels):
    return [[labels.get(name, (0, 0, ""))[2] for name in ids], [local_name(name) for name in ids], list(ids)]


def local_name(iri):
    """Returns what stands after the last # or / of an IRI, or else after the last colon; "" for a blank node.

    >>> local_name("http://example.org/resource/Saint_Lucia"), local_name("urn:isbn:123")
    ('Saint_Lucia', '123')
    """
    if iri.startswith("_:"):
        return ""
    cut = max(iri.rfind("#"), iri.rfind("/"))
    return iri[(cut if cut >= 0 else iri.rfind(":")) + 1 :]
