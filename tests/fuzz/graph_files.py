"""Targets over files of graphs and of benchmark queries, each held against a plain reading of the same bytes."""

import gzip
import io
import json
import re
import tempfile
from pathlib import Path

import numpy as np

from cqd import loading, query_files
from cqd.query import bind
from tests.fuzz import pieces
from tests.fuzz.outcome import due, refusal

PARTS = ("train", "valid", "test")
OPENKE = ("entity2id.txt", "relation2id.txt", *(f"{part}2id.txt" for part in PARTS))
BETAE = (
    *("id2ent.pkl", "id2rel.pkl", "ind2ent.pkl", "ind2rel.pkl", *(f"{part}.txt" for part in PARTS)),
    *(f"test-{kind}.pkl" for kind in ("queries", "easy-answers", "hard-answers")),
    *(f"{part}_ans_{kind}.pkl" for part in PARTS for kind in ("1c", "1c_hard", "2i", "2i_hard", "uc", "uc_hard")),
)
ARRAYS = (*PARTS, "all", "entities", "relations", "x_entities.tsv", "x_relations.tsv")
QUERIES = tuple(f"test_{name}" for name in ("1p", "2p", "2i", "pni", "4p", "", "1p_hard"))
NO_TEXT = "not UTF-8"
RDF = (".nt", ".ttl", ".nt.gz", ".ttl.gz")


def folder():
    """Returns the folder that all inputs of this process are written to."""
    return Path(tempfile.gettempdir()) / "fuzzed"


def tab_separated(data):
    """A table of three columns; the first byte says their order, and whether it is gzipped, truly or not."""
    if not data:
        return
    kind, content = data[0], data[1:]
    columns = ("hrt", "rht", "trh")[kind % 3]
    is_gzipped, is_whole = bool(kind & 4), not kind & 8
    name = "x.tsv.gz" if is_gzipped else "x.tsv"
    path = pieces.write(folder(), {name: gzip.compress(content) if is_gzipped and is_whole else content}) / name
    found, line = refusal(lambda: loading.load(path, columns=columns), "PATH", path)
    if is_gzipped and not is_whole:
        return  # bytes at random
    expected = plainly_tab_separated(content, columns)
    due((found is None) == isinstance(expected, str), f"{line!r}, a plain reading says {str(expected)[:200]}")
    if found is None:
        words = re.escape(expected) + (
            r"|:\d+: " if expected == NO_TEXT else ""
        )  # a mistake may stand before those bytes
        due(re.search(words, line), f"{line!r} does not have {words!r}")
    else:
        due(labelled(found) == {"all": expected}, "other triples than a plain reading finds")


def plainly_tab_separated(content, columns):
    """Returns the set of triples of labels, or words that the refusal is due to have."""
    try:
        lines = content.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError:
        return NO_TEXT
    triples = set()
    for number, line in enumerate(lines, start=1):
        line = line.removesuffix("\r")
        fields = [field.strip() for field in line.split("\t")]
        if line and (len(fields) != 3 or not all(fields)):
            return f":{number}: "
        if line:
            triple = tuple(fields[columns.index(letter)] for letter in "hrt")
            if triple[1].endswith("^-1"):
                return f":{number}: "
            triples.add(triple)
    return triples or "empty graph"


def labelled(found):
    """Returns {part: set of triples of labels} of a Loaded graph, checked to be one."""
    names, parts = found.vocabulary, {}
    due(len(set(names.entities)) == names.num_entities, "two entities of one name")
    due(len(set(names.relations)) == len(names.relations), "two relations of one name")
    due(all(isinstance(name, str) for name in (*names.entities, *names.relations)), "a name that is no text")
    "".join((*names.entities, *names.relations)).encode()
    for part, triples in found.parts.items():
        due(triples.dtype == np.int32 and triples.ndim == 2 and triples.shape[1] == 3, "no triples")
        due(not len(triples) or triples.min() >= 0, "an id below 0")
        due((triples[:, 1] % 2 == 0).all(), "a relation that is an inverse")
        parts[part] = {
            (names.entities[head], names.relations[relation // 2], names.entities[tail])
            for head, relation, tail in triples.tolist()
        }
        due(len(parts[part]) == len(triples), "a triple twice")
    loading.describe(found)
    return parts


def openke(data):
    """A folder of OpenKE."""
    files = pieces.split(data, OPENKE)
    path = pieces.write(folder(), {"entity2id.txt": b""} | files)
    found, _ = refusal(lambda: loading.load(path), "PATH", path)
    if found is None:
        return
    names = {}
    for kind in ("entity", "relation"):
        rows = [line.strip() for line in _lines(files[f"{kind}2id.txt"])[1:] if line.strip()]
        rows = [row.rsplit("\t" if "\t" in row else " ", 1) for row in rows]
        names[kind] = {int(number): name.strip() for name, number in rows}
    ids = {part: [tuple(map(int, line.split())) for line in _lines(files[f"{part}2id.txt"])[1:]] for part in PARTS}
    for part, triples in labelled_by_id(found).items():
        due(triples == {(h, 2 * r, t) for h, t, r in filter(None, ids[part])}, "other triples")
    for number, name in enumerate(found.vocabulary.entities):
        due(name.startswith(names["entity"][number]), f"{name!r} for {names['entity'][number]!r}")
    labelled(found)


def _lines(content):
    return content.decode("utf-8-sig").split("\n")


def labelled_by_id(found):
    return {part: set(map(tuple, triples.tolist())) for part, triples in found.parts.items()}


def id_arrays(data):
    """An .npz file of triples, with names within or beside it."""
    files = pieces.split(data, ARRAYS)
    beside = {name: content for name, content in files.items() if name.endswith(".tsv")}
    within = {name: content for name, content in files.items() if name not in beside}
    path = pieces.write(folder(), beside | {"x_triples.npz": pieces.npz(within)}) / "x_triples.npz"
    found, _ = refusal(lambda: loading.load(path), "PATH|" + re.escape(str(folder())), path)
    if found is None:
        return
    for part, triples in labelled_by_id(found).items():
        rows = np.load(io.BytesIO(within[part])).tolist()
        due(triples == {tuple(row) for row in rows if row[1] % 2 == 0}, "other triples")
    labelled(found)
    if "entities" in within:
        packed = json.loads(np.load(io.BytesIO(within["entities"])).tobytes())
        due(
            all(name.startswith(own) for name, own in zip(found.vocabulary.entities, packed, strict=True)),
            "other names",
        )


def pickled_folder(data):
    """A folder of BetaE or Query2Box: the graph, then its queries."""
    files = pieces.split(data, BETAE)
    path = pieces.write(folder(), {"id2ent.pkl": b""} | files)
    found, _ = refusal(lambda: loading.load(path), "PATH", path)
    vocabulary = None
    if found is not None:
        labelled(found)
        vocabulary = found.vocabulary
    stored, _ = refusal(lambda: query_files.load(path, vocabulary=vocabulary), "PATH", path)
    check_stored(stored, vocabulary)


def check_stored(stored, vocabulary):
    """Holds what a file of queries gave against the vocabulary."""
    for of_type in (stored or {}).values():
        for one in of_type:
            hash(one.query)
            for ids in (one.easy, one.hard):
                due(ids is None or (ids.dtype == np.int64 and (np.diff(ids) > 0).all()), "answers out of order")
            if vocabulary is not None:
                bind(one.query, vocabulary)
                answers = [ids for ids in (one.easy, one.hard) if ids is not None and len(ids)]
                due(all(ids[0] >= 0 and ids[-1] < vocabulary.num_entities for ids in answers), "answers out of range")


def query_arrays(data):
    """An .npz file of queries."""
    from tests.fuzz.texts import vocabulary

    files = pieces.split(data, QUERIES)
    path = pieces.write(folder(), {"x.npz": pieces.npz(files)}) / "x.npz"
    stored, _ = refusal(lambda: query_files.load(path, vocabulary=vocabulary()), "PATH", path)
    check_stored(stored, vocabulary())
    for name, of_type in (stored or {}).items():
        due(len(of_type) == len(np.load(io.BytesIO(files[f"test_{name}"]))), "other queries")


_SIMPLE = re.compile(r"<(x:[a-z]+)> <(x:[a-z]+)> <(x:[a-z]+)> \.")


def rdf(data):
    """N-Triples or Turtle, as the first byte says, gzipped or not."""
    if not data:
        return
    suffix, content = RDF[data[0] % len(RDF)], data[1:]
    path = pieces.write(folder(), {f"x{suffix}": gzip.compress(content) if suffix.endswith(".gz") else content})
    path /= f"x{suffix}"
    found, _ = refusal(lambda: loading.load(path), "PATH", path)
    if found is None:
        return
    triples = labelled(found)["all"]
    lines = [line for line in content.decode("utf-8", "replace").split("\n") if line]
    if suffix.startswith(".nt") and all(map(_SIMPLE.fullmatch, lines)):
        names = [tuple(name[2:] for name in _SIMPLE.fullmatch(line).groups()) for line in lines]
        due(triples == set(names), "other triples")
