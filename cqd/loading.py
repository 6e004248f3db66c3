"""Graphs from tab-separated files, and the countries graph that comes with the package."""

from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cqd.graph import INVERSE, Vocabulary

PARTS = ("train", "valid", "test")
SUFFIXES = (".tsv", ".txt")


class Loaded(NamedTuple):
    """What was read: labels, and triples by the name of their part.

    Attributes:
        vocabulary: entities and relations in the order in which their labels sort.
        parts: {"train", "valid", "test"} -> int32 [M, 3], or {"all"} where the source has no parts.
    """

    vocabulary: Vocabulary
    parts: dict


def load(path="", *, columns="hrt"):
    """Returns the graph at a path as Loaded.

    Args:
        path: a tab-separated file; or a folder with train.tsv, valid.tsv and test.tsv (or .txt); or "" for the
            embedded countries graph.
        columns: the order of head, relation and tail in a line, such as "hrt" or "rht".

    Raises:
        ValueError: a malformed line (as FILE:LINE), an empty graph, a bad column order.
        OSError: a path that cannot be read.
    """
    if sorted(columns) != sorted("hrt"):
        raise ValueError(f"columns={columns!r}: give the letters h, r and t in the order of the file's columns")
    if not path:
        return countries()
    path = Path(path)
    files = {"all": path} if not path.is_dir() else {part: _part(path, part) for part in PARTS}
    return encode({part: read_lines(file, columns=columns) for part, file in files.items()}, source=path)


def countries():
    """Returns the embedded graph of countries, capitals, borders, languages, currencies, time zones and regions."""
    source = resources.files("cqd") / "data" / "countries.tsv"
    return encode({"all": read_lines(source)}, source="countries.tsv")


def _part(folder, part):
    for suffix in SUFFIXES:
        if (folder / (part + suffix)).exists():
            return folder / (part + suffix)
    raise ValueError(f"{folder}: has no {part}.tsv or {part}.txt; give a folder with all three parts, or one file")


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
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: not UTF-8 text (byte {error.start}); save the file as UTF-8") from None
    for number, line in enumerate(lines, start=1):
        line = line.removesuffix("\r")
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
    first = next(iter(parts))
    if not parts[first]:
        raise ValueError(f"{source}: an empty graph, no triples in {first}; a line is head<TAB>relation<TAB>tail")
    everything = [triple for part in parts.values() for triple in part]
    vocabulary = Vocabulary(
        sorted({triple[0] for triple in everything} | {triple[2] for triple in everything}),
        sorted({triple[1] for triple in everything}),
    )
    entity = {label: i for i, label in enumerate(vocabulary.entities)}
    relation = {label: 2 * i for i, label in enumerate(vocabulary.relations)}
    encoded = {
        part: np.array([(entity[h], relation[r], entity[t]) for h, r, t in dict.fromkeys(triples)], dtype=np.int32)
        for part, triples in parts.items()
    }
    return Loaded(vocabulary, {part: triples.reshape(-1, 3) for part, triples in encoded.items()})
