"""Graphs from files, whatever their format, and the countries graph that comes with the package.

Every entity and relation gets one readable name that no other has: a label where the source has one and it is unique,
else a label with the source's own key in brackets, as in `Washington County [/m/0fc_9]`, else the key.
"""

import logging
from collections import Counter
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cqd import id_files, rdf, safe_files
from cqd.graph import INVERSE, Vocabulary

PARTS = id_files.PARTS
SUFFIXES = (".tsv", ".txt", ".tsv.gz", ".txt.gz", *rdf.SUFFIXES)


class Loaded(NamedTuple):
    """What was read: labels, and triples by the name of their part.

    Attributes:
        vocabulary: entities and relations in the order in which their labels sort, or in that of the source's ids.
        parts: {"train", "valid", "test"} -> int32 [M, 3], or {"all"} where the source has no parts.
    """

    vocabulary: Vocabulary
    parts: dict


def load(path="", *, columns="hrt"):
    """Returns the graph at a path as Loaded, duplicate triples removed.

    Args:
        path: a tab-separated file; N-Triples (.nt) or Turtle (.ttl); a folder with three such files, train, valid and
            test; any of them gzipped (.gz); a folder of OpenKE, BetaE or Query2Box; a flat .npz (`cqd.id_files` has the
            layouts), or one that `save` wrote; or "" for the embedded countries graph.
        columns: the order of head, relation and tail in a tab-separated line, such as "hrt" or "rht".

    Raises:
        ValueError: a malformed line (as FILE:LINE), no training triples, a bad column order, a pickle of anything but
            plain containers.
        OSError: a path that cannot be read.
    """
    if sorted(columns) != sorted("hrt"):
        raise ValueError(f"columns={columns!r}: give the letters h, r and t in the order of the file's columns")
    if not path:
        return countries()
    path = Path(path)
    if path.suffix == ".npz":
        return _with_ids(id_files.npz(path), source=path)
    if (path / "entity2id.txt").exists():
        return _with_ids(id_files.openke(path), source=path)
    if (path / "id2ent.pkl").exists() or (path / "ind2ent.pkl").exists():
        return _with_ids(id_files.pickles(path), source=path)
    files = {part: _part(path, part) for part in PARTS} if path.is_dir() else {"all": path}
    are_rdf = {file.name.endswith(rdf.SUFFIXES) for file in files.values()}
    if len(are_rdf) > 1:
        raise ValueError(f"{path}: holds tab-separated and RDF parts; give all three in one format")
    if are_rdf == {True}:
        return _from_rdf(files, source=path)
    return encode({part: read_lines(file, columns=columns) for part, file in files.items()}, source=path)


def countries():
    """Returns the embedded graph of countries, capitals, borders, languages, currencies, time zones and regions."""
    source = resources.files("cqd") / "data" / "countries.tsv"
    return encode({"all": read_lines(source)}, source="countries.tsv")


def save(loaded, path):
    """Writes a graph to one .npz file, which `load` reads back, ids and all, much faster than text."""
    with open(path, "wb") as file:
        np.savez_compressed(file, **arrays(*loaded))


def arrays(vocabulary, parts):
    """Returns the arrays of a graph's .npz file: the labels packed, and the parts."""
    entities, relations = map(id_files.packed, (vocabulary.entities, vocabulary.relations))
    return {"entities": entities, "relations": relations, **parts}


def describe(loaded):
    """Returns counts that tell a graph from a broken one: ints, and dicts of ints by part.

    entities, relations, triples; without_edge: entities of no triple at all; unseen: triples of a later part with an
    entity or a relation of no training triple, which nothing can predict; repeated: those that training has too.
    """
    names, parts = loaded.vocabulary, loaded.parts
    first, *later = parts
    train = set(map(tuple, parts[first].tolist()))
    entities, relations = np.unique(parts[first][:, [0, 2]]), np.unique(parts[first][:, 1])

    def unseen(triples):
        return ~(np.isin(triples[:, [0, 2]], entities).all(axis=1) & np.isin(triples[:, 1], relations))

    return {
        "entities": names.num_entities,
        "relations": len(names.relations),
        "triples": {part: len(triples) for part, triples in parts.items()},
        "without_edge": names.num_entities - len(np.unique(np.concatenate(list(parts.values()))[:, [0, 2]])),
        "unseen": {part: int(unseen(parts[part]).sum()) for part in later},
        "repeated": {part: sum(tuple(triple) in train for triple in parts[part].tolist()) for part in later},
    }


def _part(folder, part):
    for suffix in SUFFIXES:
        if (folder / (part + suffix)).exists():
            return folder / (part + suffix)
    raise ValueError(
        f"{folder}: has no {part}.tsv or {part}.txt (or .nt, .ttl); give a folder with all three parts, or one file"
    )


def read_lines(file, *, columns="hrt"):
    """Returns a list of (head, relation, tail) labels.

    Args:
        file: a path; three columns a line, separated by tabs. Empty lines are skipped.
        columns: as in `load`.

    Raises:
        ValueError: a line without three columns, an empty label, a relation that ends in ^-1; names FILE:LINE.
        OSError: the file cannot be read.
    """
    order = [columns.index(letter) for letter in "hrt"]
    triples = []
    for number, line in enumerate(safe_files.lines(file), start=1):
        if not line:
            continue
        fields = [field.strip() for field in line.split("\t")]
        if len(fields) != 3:
            words = f"has {len(fields)} column{'s' * (len(fields) != 1)} where 3 are due"
            raise ValueError(f"{file}:{number}: {words}; a line is head<TAB>relation<TAB>tail")
        if not all(fields):
            raise ValueError(f"{file}:{number}: an empty label; a line is head<TAB>relation<TAB>tail")
        head, relation, tail = (fields[i] for i in order)
        if relation.endswith(INVERSE):
            raise ValueError(f"{file}:{number}: relation {relation!r} ends in {INVERSE}, the mark of an inverse")
        triples.append((head, relation, tail))
    return triples


def encode(parts, *, source):
    """Returns labelled triples as Loaded: ids in the order in which labels sort, duplicates removed.

    Args:
        parts: {part: list of (head, relation, tail) labels}.
        source: named in the error.

    Raises:
        ValueError: no triple in the first part.
    """
    entities, relations = {}, {}
    ids = {
        part: np.array(
            [
                (
                    entities.setdefault(head, len(entities)),
                    2 * relations.setdefault(relation, len(relations)),
                    entities.setdefault(tail, len(entities)),
                )
                for head, relation, tail in triples
            ],
            dtype=np.int32,
        ).reshape(-1, 3)
        for part, triples in parts.items()
    }
    return _sorted(list(entities), list(relations), ids, source=source)


def distinct(*columns):
    """Returns a list of names, each the first in its row that no other row has taken up.

    Where two rows would bear one name, both go on to their next; after the last column follows the row's number.

    Args:
        columns: lists of names, most readable first; "" where there is none.

    >>> distinct(["Rome", "Paris", "Paris"], ["I", "F", "T"])
    ['Rome', 'F', 'T']
    >>> distinct(["Rome", "Paris", "Paris"])
    ['Rome', 'Paris [#1]', 'Paris [#2]']
    """
    num_rows = len(columns[0])
    last = len(columns)  # the number's column
    column, chosen = [-1] * num_rows, [""] * num_rows
    clashing = range(num_rows)
    while clashing:
        for i in clashing:
            column[i] = next((c for c in range(column[i] + 1, last) if columns[c][i]), last)
            if column[i] < last:
                chosen[i] = columns[column[i]][i]
            else:
                chosen[i] = f"{next((names[i] for names in columns if names[i]), '')} [#{i}]".strip()
        taken = Counter(chosen)
        clashing = [i for i, name in enumerate(chosen) if taken[name] > 1 and column[i] < last]
    return chosen


def _from_rdf(files, *, source):
    found = rdf.read(files)
    if found.num_literals:
        logging.getLogger(__name__).warning("%s: literals skipped: %d", source, found.num_literals)
    return _sorted(distinct(*found.entities), distinct(*found.relations), found.parts, source=source)


def _sorted(entities, relations, parts, *, source):
    """Returns Loaded with ids in the order in which labels sort."""
    (entities, entity_rank), (relations, relation_rank) = map(_ranked, (entities, relations))

    def ranked(triples):
        head, relation, tail = triples.T
        return np.stack([entity_rank[head], 2 * relation_rank[relation // 2], entity_rank[tail]], axis=1)

    parts = {part: ranked(triples).astype(np.int32) for part, triples in parts.items()}
    return _loaded(entities, relations, parts, source=source)


def _ranked(names):
    """Returns (the names sorted, the place of each name among them)."""
    order = sorted(range(len(names)), key=names.__getitem__)
    rank = np.empty(len(names), np.int64)
    rank[order] = np.arange(len(names))
    return [names[i] for i in order], rank


def _with_ids(found, *, source):
    entities, relations, parts = found
    return _loaded(distinct(*entities), distinct(*relations), parts, source=source)


def _loaded(entities, relations, parts, *, source):
    """Returns Loaded, duplicates removed, if there is anything to learn from and no name is taken for an inverse."""
    first = next(iter(parts))
    if not len(parts[first]):
        raise ValueError(f"{source}: an empty graph, no triples in {first}; a line is head<TAB>relation<TAB>tail")
    marked = next((name for name in relations if name.endswith(INVERSE)), None)
    if marked:
        raise ValueError(f"{source}: relation {marked!r} ends in {INVERSE}, the mark of an inverse; rename it")
    shape = (len(entities), 2 * len(relations))
    return Loaded(Vocabulary(entities, relations), {part: _unique(parts[part], *shape) for part in parts})


def _unique(triples, num_entities, num_relations):
    """Returns the triples without duplicates, in the order of first occurrence."""
    head, relation, tail = triples.astype(np.int64).T
    codes = (head * num_relations + relation) * num_entities + tail
    return triples[np.sort(np.unique(codes, return_index=True)[1])]
