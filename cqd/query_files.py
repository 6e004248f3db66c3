"""Benchmark queries from files: the flat npz, BetaE's pickles and Query2Box's older ones.

    npz         arrays {train,valid,test}_{type} [Q, L]; a row as in `cqd.query.from_benchmark`; no answers
    BetaE       {part}-queries.pkl, {part}-easy-answers.pkl and {part}-hard-answers.pkl (train-answers.pkl for train):
                {structure: queries} and {query: answers}, a query as nested tuples
    Query2Box   {part}_ans_{type}.pkl and {part}_ans_{type}_hard.pkl: {query: answers}, all of them and the hard ones

A nested tuple is (what, (r1, r2, ...)), a chain of relations from an entity or from another tuple, or a tuple of
branches, which are intersected. Among the relations -2 stands for not; (-1,) as the last branch makes a union.

References:
    Query2Box: arXiv 2002.05969. BetaE: arXiv 2010.11465, whose code has the structures.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from cqd import safe_files
from cqd.id_files import PARTS
from cqd.query import (
    POSITIVE_TYPES,
    TEMPLATES,
    And,
    Entity,
    Not,
    Or,
    Projection,
    Query,
    bind,
    fill,
    parse,
    row,
    structure,
    to_text,
)

QUERY2BOX_TYPES = {name.replace("p", "c"): name for name in POSITIVE_TYPES}
# BetaE's files hold unions twice, the second time by De Morgan's law.
DE_MORGAN = {"2u-DM": "!(!r(a) & !r(a))", "up-DM": "r(!(!r(a) & !r(a)))"}
NOT, UNION = -2, -1


class Stored(NamedTuple):
    """A query of a file.

    Attributes:
        query: the tree, with ids.
        easy: sorted int64 answers from observed edges, or None where the file has none.
        hard: sorted int64 answers that need a missing edge, or None.
    """

    query: Query
    easy: np.ndarray | None
    hard: np.ndarray | None


def load(path, *, part="test", vocabulary=None):
    """Returns {type: list of Stored} of one part, in the file's order (BetaE's: sorted, since its files hold sets).

    Types are those of `cqd.query.TEMPLATES`, "2u-DM" and "up-DM"; a query of none of them goes by its text form with
    every id 0.

    Args:
        path: an .npz file, or a folder of BetaE or Query2Box.
        part: "train", "valid" or "test".
        vocabulary: of the graph that the queries are about; checks their ids. `cqd.loading.load` of the same folder
            gives it.

    Raises:
        ValueError: nothing of this part, a malformed query, an id out of range, a pickle of anything but plain
            containers.
        OSError: a file that is missing.
    """
    if part not in PARTS:
        raise ValueError(f"part={part!r}: choose one of {', '.join(PARTS)}")
    path = Path(path)
    read = _npz if path.suffix == ".npz" else _betae if (path / f"{part}-queries.pkl").exists() else _query2box
    try:
        found = read(path, part)
    except RecursionError:
        raise ValueError(f"{path}: a query that is nested too deep") from None
    if vocabulary is not None:
        for of_type in found.values():
            for stored in of_type:
                _check(path, stored, vocabulary)
    return found


def _check(path, stored, vocabulary):
    try:
        bind(stored.query, vocabulary)
        for ids in (stored.easy, stored.hard):
            if ids is not None and len(ids):
                bind(Entity(int(ids[0])), vocabulary)
                bind(Entity(int(ids[-1])), vocabulary)
    except ValueError as error:
        raise ValueError(f"{path}: {to_text(stored.query)}: {error}; is this the graph of the queries?") from None


def _npz(path, part):
    content = safe_files.arrays(path)
    rows = {name.removeprefix(f"{part}_"): content[name] for name in content if name.startswith(f"{part}_")}
    if not rows:
        raise ValueError(f"{path}: has no queries of the part {part!r}; its arrays are {', '.join(content)}")
    return {type_name: _of_rows(type_name, array, f"{path}: {part}_{type_name}") for type_name, array in rows.items()}


def _of_rows(type_name, rows, where):
    if type_name not in TEMPLATES:
        raise ValueError(f"{where}: the query types are {', '.join(TEMPLATES)}")
    template = parse(TEMPLATES[type_name])
    due = len(row(template))
    if rows.ndim != 2 or rows.shape[1] != due or rows.dtype.kind not in "iu":
        raise ValueError(f"{where} is {rows.dtype} {list(rows.shape)}; integers [Q, {due}] are due")
    return [Stored(fill(template, ids), None, None) for ids in rows.tolist()]


def _betae(folder, part):
    file = folder / f"{part}-queries.pkl"
    queries = _dict(file, "{structure: queries}")
    if part == "train":
        easy, hard = _answers(folder / "train-answers.pkl"), None
    else:
        easy, hard = (_answers(folder / f"{part}-{kind}-answers.pkl") for kind in ("easy", "hard"))
    names = {structure(parse(text)): name for name, text in (TEMPLATES | DE_MORGAN).items()}
    found = {}
    for nested in (nested for of_structure in queries.values() for nested in of_structure):
        query = _tree(nested, file)
        shape = structure(query)
        stored = Stored(query, _ids(easy, nested, file), _ids(hard, nested, file))
        found.setdefault(names.get(shape) or to_text(shape), []).append(stored)
    return {name: sorted(of_type, key=lambda stored: row(stored.query)) for name, of_type in found.items()}


def _answers(file):
    return _dict(file, "{query: answers}")


def _dict(file, what):
    """Returns the dict of sets (or lists) in a pickle."""
    content = safe_files.pickled(file)
    if not isinstance(content, dict) or not all(isinstance(ids, set | frozenset | list) for ids in content.values()):
        raise ValueError(f"{file}: {what} is due, a dict of sets")
    return content


def _ids(answers, nested, file):
    """Returns the sorted answers of a query; a query without an entry has none, as BetaE's defaultdicts mean it."""
    if answers is None:
        return None
    found = answers.get(nested, ())
    if not all(type(answer) is int and 0 <= answer < 2**31 for answer in found):
        raise ValueError(f"{file}: the answers of {nested} are not all ids")
    return np.array(sorted(found), dtype=np.int64)


def _tree(nested, file):
    """Returns the tree of a nested tuple; the module's docstring has their form."""

    def is_chain(part):
        return isinstance(part, tuple) and len(part) > 0 and all(type(r) is int and (r >= 0 or r == NOT) for r in part)

    def walk(part):
        match part:
            case int() if part >= 0:
                return Entity(int(part))
            case (child, chain) if is_chain(chain):
                query = walk(child)
                for relation in chain:
                    query = Not(query) if relation == NOT else Projection(relation, query)
                return query
            case (_, _, *_):
                union = part[-1] == (UNION,)
                branches = tuple(map(walk, part[:-1] if union else part))
                if len(branches) > 1 and not any(isinstance(branch, Entity) for branch in branches):
                    return Or(branches) if union else And(branches)
        raise ValueError(f"{file}: {nested} is no query, at {part!r}")

    return walk(nested)


def _query2box(folder, part):
    files = {name: folder / f"{part}_ans_{old}.pkl" for old, name in QUERY2BOX_TYPES.items()}
    files = {name: file for name, file in files.items() if file.exists()}
    if not files:
        raise ValueError(f"{folder}: has neither {part}-queries.pkl (BetaE) nor {part}_ans_1c.pkl (Query2Box)")
    return {name: _of_answers(name, file, with_hard=part != "train") for name, file in files.items()}


def _of_answers(type_name, file, *, with_hard):
    """Returns the queries of a file of answers; the file's name says what the tuples, flattened, are rows of."""
    answers = _answers(file)
    hard = _answers(file.with_name(f"{file.stem}_hard.pkl")) if with_hard else None
    template = parse(TEMPLATES[type_name])
    found = []
    for nested in answers:
        ids = _flat(nested)
        if len(ids) != len(row(template)) or not all(type(name) is int for name in ids):
            raise ValueError(f"{file}: {nested} is no query of type {type_name}")
        every, missing = _ids(answers, nested, file), _ids(hard, nested, file)
        easy = every if missing is None else np.setdiff1d(every, missing, assume_unique=True)
        found.append(Stored(fill(template, ids), easy, missing))
    return found


def _flat(nested):
    return [name for part in nested for name in _flat(part)] if isinstance(nested, tuple) else [nested]
