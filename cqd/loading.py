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

from cqd import id_files, rdf, tab_separated
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
    return _from_text(files, columns, source=path)


def countries():
    """Returns the embedded graph of countries, capitals, borders, languages, currencies, time zones and regions."""
    file = resources.files("cqd") / "data" / "countries.tsv"
    return _from_text({"all": file}, "hrt", source="countries.tsv")


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
    shape = (names.num_entities, names.num_relations)
    has_edge, seen = np.zeros((2, names.num_entities), bool)
    is_used = np.zeros(names.num_relations, bool)
    for triples in parts.values():
        has_edge[triples[:, [0, 2]]] = True
    seen[parts[first][:, [0, 2]]] = True
    is_used[parts[first][:, 1]] = True
    train = np.sort(_codes(parts[first], *shape)) if later else None

    def unseen(triples):
        return ~(seen[triples[:, [0, 2]]].all(axis=1) & is_used[triples[:, 1]])

    def repeated(triples):
        codes = _codes(triples, *shape)
        at = np.minimum(np.searchsorted(train, codes), len(train) - 1)
        return train[at] == codes

    return {
        "entities": names.num_entities,
        "relations": len(names.relations),
        "triples": {part: len(triples) for part, triples in parts.items()},
        "without_edge": int(names.num_entities - has_edge.sum()),
        "unseen": {part: int(unseen(parts[part]).sum()) for part in later},
        "repeated": {part: int(repeated(parts[part]).sum()) for part in later},
    }


def _part(folder, part):
    for suffix in SUFFIXES:
        if (folder / (part + suffix)).exists():
            return folder / (part + suffix)
    raise ValueError(
        f"{folder}: has no {part}.tsv or {part}.txt (or .nt, .ttl); give a folder with all three parts, or one file"
    )


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


def _from_text(files, columns, *, source):
    entities, relations = tab_separated.Labels(), tab_separated.Labels()
    parts = {part: tab_separated.read(file, entities, relations, columns=columns) for part, file in files.items()}
    return _sorted(entities.names, relations.names, parts, source=source)


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

    parts = {part: ranked(triples).astype(np.int32, copy=False) for part, triples in parts.items()}
    return _loaded(entities, relations, parts, source=source)


def _ranked(names):
    """Returns (the names sorted, the place of each name among them)."""
    order = sorted(range(len(names)), key=names.__getitem__)
    rank = np.empty(len(names), np.int32)
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
    codes = _codes(triples, num_entities, num_relations)
    in_order = np.sort(codes)
    if (in_order[1:] != in_order[:-1]).all():  # a plain sort is many times faster than one that keeps places
        return triples
    return triples[np.sort(np.unique(codes, return_index=True)[1])]


def _codes(triples, num_entities, num_relations):
    """Returns [M] of sortable values: one of each triple that no other has."""
    if num_entities**2 * num_relations > np.iinfo(np.int64).max:  # slower, and no number of 64 bits would do
        return np.ascontiguousarray(triples, np.int32).view([(name, np.int32) for name in "hrt"]).reshape(-1)
    head, relation, tail = triples.T
    return (head.astype(np.int64) * num_relations + relation) * num_entities + tail
