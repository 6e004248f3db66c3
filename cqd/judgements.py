"""Judgements of predicted edges as a tab-separated file, and candidates written in the same form to be judged.

    head <tab> relation <tab> tail <tab> accept

A line has the labels of an edge and what is said of it: accept (it is true), reject (it is false), or ?, not judged.
Further columns, empty lines and lines that begin with # are passed over. The candidates of a run have ? in the fourth
column, and what may help to judge in those after it.
"""

import pathlib
from typing import NamedTuple

import numpy as np

from cqd import safe_files
from cqd.graph import inverse
from cqd.query import to_text

WORDS = ("accept", "reject")
COLUMNS = ("head", "relation", "tail", "judgement", "truth", "blame", "queries", "wrong", "right", "example")


class Judged(NamedTuple):
    """Edges [.., 3] with even relations: those accepted as true, and those rejected as false."""

    accepted: np.ndarray
    rejected: np.ndarray

    def all(self):
        """Returns both, one after the other."""
        return np.concatenate(self)


def judged(triples, is_true):
    """Returns the Judged of triples [K, 3] with even relations and of [K] bool."""
    triples = np.reshape(triples, (-1, 3)).astype(np.int64)
    is_true = np.asarray(is_true, bool)
    return Judged(triples[is_true], triples[~is_true])


def read(path, vocabulary):
    """Returns the Judged of a file.

    Raises:
        ValueError: FILE:LINE with fewer than four columns, an unknown label or word, or an edge that another line
            judges otherwise; a file that judges nothing.
        OSError: the file cannot be read.
    """
    path = pathlib.Path(path)
    found = {}
    for number, line in enumerate(safe_files.lines(path), start=1):
        if line.strip() and not line.startswith("#"):
            try:
                edge, word = _parse(line, vocabulary)
                if word and found.setdefault(edge, (word, number))[0] != word:
                    raise ValueError(f"{word}s an edge that line {found[edge][1]} {found[edge][0]}s; drop one")
            except ValueError as error:
                raise ValueError(f"{path}:{number}: {error}") from None
    if not found:
        raise ValueError(f"{path}: judges no edge; put accept or reject in the fourth column of some line")
    return judged(list(found), [word == "accept" for word, _ in found.values()])


def _parse(line, vocabulary):
    """Returns (edge, word) of a line, the word None where nothing is judged."""
    parts = [part.strip() for part in line.split("\t")]
    if len(parts) < 4:
        raise ValueError(f"has {len(parts)} columns; head, relation, tail and accept or reject are due, tabs between")
    head, relation, tail, word = parts[:4]
    if word not in (*WORDS, "?"):
        raise ValueError(f"judgement {word!r}: choose one of accept, reject, ?")
    edge = vocabulary.entity_id(head), vocabulary.relation_id(relation), vocabulary.entity_id(tail)
    if edge[1] % 2:
        edge = edge[2], inverse(edge[1]), edge[0]
    return edge, None if word == "?" else word


def to_lines(edges, vocabulary):
    """Returns the content of a file of Judged."""
    words = np.repeat(WORDS, [len(part) for part in edges])
    rows = [(*labels(edge, vocabulary), word) for edge, word in zip(edges.all().tolist(), words)]
    return _table(COLUMNS[:4], rows)


def candidates_to_lines(found, examples, vocabulary):
    """Returns the content of a file of `blame.Candidates`, most blamed first, each open to be judged.

    Args:
        found: Candidates.
        examples: list of K (query with ids, wrong answer), None where there is none.
        vocabulary: the labels.
    """
    rows = []
    for number, (edge, example) in enumerate(zip(found.triples.tolist(), examples)):
        words = "" if example is None else f"{to_text(example[0], vocabulary)} = {vocabulary.entities[example[1]]}"
        counts = (int(part[number]) for part in (found.queries, found.wrong, found.right))
        values = f"{found.truth[number]:.4g}", f"{found.blame[number]:.4g}"
        rows.append((*labels(edge, vocabulary), "?", *values, *counts, words))
    return _table(COLUMNS, rows)


def labels(edge, vocabulary):
    """Returns the labels of (head, relation, tail)."""
    head, relation, tail = edge
    return vocabulary.entities[head], vocabulary.relation_label(relation), vocabulary.entities[tail]


def _table(columns, rows):
    return "".join("\t".join(map(str, row)) + "\n" for row in (("# " + columns[0], *columns[1:]), *rows))
