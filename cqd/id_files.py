"""Graphs whose files hold ids: OpenKE's, the flat npz files, Query2Box's and BetaE's.

Ids stay as they are, since query files refer to them. Each reader returns (entities, relations, parts): columns of
names as `cqd.loading.distinct` takes them, the forward relations' only, and triples by part with even relation ids.

    OpenKE      entity2id.txt, relation2id.txt, train2id.txt, ...: a line with the count, then `name<TAB>id`, and
                `head tail relation` in the files of triples
    npz         NAME_triples.npz with arrays train, valid, test [M, 3] (or all); names beside it in NAME_entities.tsv or
                .txt and NAME_relations.tsv or .txt, or within it as `cqd.loading.save` writes them
    BetaE       id2ent.pkl, id2rel.pkl, train.txt, valid.txt, test.txt with `head relation tail`
    Query2Box   ind2ent.pkl, ind2rel.pkl and no triples: these follow from the one-hop queries and their answers

Relation ids 2 i and 2 i + 1 are a relation and its inverse in the last three, whose files may list each edge in both
directions; it is kept once.

References:
    OpenKE: Han et al., EMNLP 2018 (D18-2024). Query2Box: arXiv 2002.05969. BetaE: arXiv 2010.11465.
"""

import json
import re

import numpy as np

from cqd import safe_files
from cqd.graph import inverse

PARTS = ("train", "valid", "test")
_LONGEST_ID = 18  # digits, more than a graph has entities
_HALF = re.compile("[\ud800-\udfff]")
_MOST_UNNAMED = 10**6  # ids without names, unless there are as many triples


def openke(folder):
    """Returns (entities, relations, parts) of an OpenKE folder.

    Raises:
        ValueError: a wrong count, an id out of range or twice; names FILE:LINE.
        OSError: a file that is missing.
    """
    entities, relations = (_openke_names(folder / f"{kind}2id.txt") for kind in ("entity", "relation"))
    parts = {}
    for part in PARTS:
        file = folder / f"{part}2id.txt"
        rows = ((number, line.split()) for number, line in _counted(file))
        head, tail, relation = _ids(file, rows, (len(entities), len(entities), len(relations))).T
        parts[part] = np.stack([head, 2 * relation, tail], axis=1)
    return [entities], [relations], parts


def _counted(file):
    """Returns [(line number, line)] after a first line that says how many there are."""
    first, *rest = safe_files.lines(file)
    numbered = [(number, line) for number, line in enumerate(rest, start=2) if line.strip()]
    if first.strip() != str(len(numbered)):
        raise ValueError(f"{file}:1: the count {first.strip()!r} is due to be {len(numbered)}, the lines that follow")
    return numbered


def _openke_names(file):
    names = {}
    numbered = _counted(file)
    for number, line in numbered:
        name, _, text = line.strip().rpartition("\t") if "\t" in line.strip() else line.strip().rpartition(" ")
        if not name.strip() or not _is_id(text):
            raise ValueError(f"{file}:{number}: a line is name<TAB>id, not {line!r}")
        if int(text) >= len(numbered) or int(text) in names:
            raise ValueError(f"{file}:{number}: id {text}; each id from 0 to {len(numbered) - 1} is due once")
        names[int(text)] = name.strip()
    return [names[i] for i in range(len(names))]


def _is_id(text):
    return text.isdecimal() and len(text) <= _LONGEST_ID


def _ids(file, rows, sizes):
    """Returns int32 [M, 3] of numbered rows of three ids, each below its size."""
    found = []
    for number, fields in rows:
        if len(fields) != 3 or not all(map(_is_id, fields)):
            raise ValueError(f"{file}:{number}: three ids are due, not {' '.join(fields)!r}")
        ids = tuple(map(int, fields))
        for value, size in zip(ids, sizes):
            if value >= size:
                raise ValueError(f"{file}:{number}: id {value}; ids run from 0 to {size - 1} here")
        found.append(ids)
    return np.array(found, dtype=np.int32).reshape(-1, 3)


def npz(path):
    """Returns (entities, relations, parts) of a file NAME_triples.npz, or of one that `cqd.loading.save` wrote.

    Raises:
        ValueError: not such a file, an id without a name, an odd relation without its even counterpart.
        OSError: the file cannot be read.
    """
    content = safe_files.arrays(path)
    parts = {part: content[part] for part in (*PARTS, "all") if part in content}
    if set(parts) not in (set(PARTS), {"all"}):
        raise ValueError(f"{path}: holds the arrays {', '.join(content)}; train, valid and test (or all) are due")
    for part, triples in parts.items():
        if triples.ndim != 2 or triples.shape[1] != 3 or triples.dtype.kind not in "iu":
            raise ValueError(f"{path}: {part} is {triples.dtype} {list(triples.shape)}; integers [M, 3] are due")
    if "entities" in content:
        entities, relations = ([_unpacked(content, kind, path)] for kind in ("entities", "relations"))
    else:
        entities, relations = (_names_beside(path, kind) for kind in ("entities", "relations"))
        relations = relations and [_forward_names(column, path) for column in relations]
    entities = entities or [_unnamed("entity", [triples[:, [0, 2]] for triples in parts.values()], path)]
    relations = relations or [_unnamed("relation", [triples[:, 1] // 2 for triples in parts.values()], path)]
    parts = {
        part: _forward(_checked(triples, len(entities[0]), 2 * len(relations[0]), f"{path}: {part}"), f"{path}: {part}")
        for part, triples in parts.items()
    }
    return entities, relations, parts


def _unnamed(kind, ids, path):
    """Returns names for ids that have none: KIND_0 to the largest id of a list of arrays."""
    last, count = max((int(array.max(initial=0)) for array in ids), default=0), sum(array.size for array in ids)
    if last >= max(_MOST_UNNAMED, count):
        raise ValueError(f"{path}: {kind} id {last} among {count}; give the names, or number them from 0 without gaps")
    return [f"{kind}_{i}" for i in range(last + 1)]


def packed(names):
    """Returns names as one uint8 array of JSON: numpy's arrays of strings give every name the room of the longest."""
    return np.frombuffer(json.dumps(names).encode(), dtype=np.uint8)


def _unpacked(content, kind, path):
    try:
        names = json.loads(content[kind].astype(np.uint8, casting="no").tobytes())
        if not isinstance(names, list) or not all(map(_is_text, names)):
            raise TypeError
        return names
    except (KeyError, TypeError, ValueError, RecursionError):
        raise ValueError(f"{path}: {kind} is not as cqd.loading.save writes it; save the graph again") from None


def _is_text(name):
    """Returns whether a name can be written: a str without halves of a character."""
    return isinstance(name, str) and (name.isascii() or not _HALF.search(name))


def _names_beside(path, kind):
    """Returns columns of names from the file beside an npz, or None where there is none.

    A line is a name (its id the line's number from 0), or `id<TAB>name`; a first line that starts with `id` names the
    columns, `label` among them, and the column after the id then tells equal labels apart.
    """
    stem = path.name.removesuffix(".npz").removesuffix("_triples")
    file = next((f for f in (path.with_name(f"{stem}_{kind}.{end}") for end in ("tsv", "txt")) if f.exists()), None)
    if file is None:
        return None
    rows = [(number, line.split("\t")) for number, line in enumerate(safe_files.lines(file), start=1) if line.strip()]
    header = rows.pop(0)[1] if rows and rows[0][1][0] == "id" else ["id", "label"]
    if "label" not in header:
        raise ValueError(f"{file}:1: names the columns {', '.join(header)}; one of them is due to be label")
    if rows and len(rows[0][1]) == 1:
        return [[fields[0].strip() for _, fields in rows]]
    for due, (number, fields) in enumerate(rows):
        if len(fields) != len(header) or fields[0] != str(due):
            raise ValueError(f"{file}:{number}: {len(header)} columns are due, the first of them {due}")
    labels = [fields[header.index("label")].strip() for _, fields in rows]
    keys = [fields[1].strip() for _, fields in rows]
    return [labels, [f"{label} [{key}]" if label else key for label, key in zip(labels, keys)]]


def pickles(folder):
    """Returns (entities, relations, parts) of a BetaE or Query2Box folder.

    Raises:
        ValueError: a pickle of anything but plain containers, a malformed line (FILE:LINE), an id out of range, an edge
            without its counterpart.
        OSError: a file that is missing.
    """
    short = "id2" if (folder / "id2ent.pkl").exists() else "ind2"
    entities, relations = (_pickled_names(folder / f"{short}{kind}.pkl") for kind in ("ent", "rel"))
    parts = {}
    for part in PARTS:
        file = folder / f"{part}.txt"
        if file.exists():
            rows = ((n, line.split()) for n, line in enumerate(safe_files.lines(file), start=1) if line.strip())
            triples = _ids(file, rows, (len(entities), len(relations), len(entities)))
        else:
            file = folder / f"{part}_ans_1c{'' if part == 'train' else '_hard'}.pkl"
            triples = _checked(_one_hop(file), len(entities), len(relations), file)
        parts[part] = _forward(triples, file)
    return [entities], [_forward_names(relations, folder)], parts


def _pickled_names(file):
    names = safe_files.pickled(file)
    if not isinstance(names, dict) or set(names) != set(range(len(names))):
        raise ValueError(f"{file}: a dict from every id, 0 to the last, to its name is due")
    if wrong := [i for i, name in names.items() if not _is_text(name) and type(name) is not int]:
        raise ValueError(f"{file}: the name of {wrong[0]} is no text; give every id a name in Unicode")
    return [str(names[i]) for i in range(len(names))]


def _one_hop(file):
    """Returns the edges that are the answers of one-hop queries, {((head, (relation,)),): answers}."""
    answers = safe_files.pickled(file)
    try:
        edges = [(head, relation, tail) for ((head, (relation,)),), tails in answers.items() for tail in tails]
        return np.array(edges, dtype=np.int64).reshape(-1, 3)
    except (AttributeError, OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"{file}: {{((head, (relation,)),): answers}} is due ({error})") from None


def _checked(triples, num_entities, num_relations, where):
    """Returns triples [M, 3] as int32 if their ids are in range."""
    sizes = np.array([num_entities, num_relations, num_entities])
    for row, column in np.argwhere((triples < 0) | (triples >= sizes))[:1]:
        kind = ("head", "relation", "tail")[column]
        raise ValueError(f"{where}, row {row}: {kind} {triples[row, column]}; ids run from 0 to {sizes[column] - 1}")
    return triples.astype(np.int32)


def _forward(triples, where):
    """Returns the triples with even relations; those with odd ones must be the same edges read backwards."""
    backward = triples[:, 1] % 2 == 1
    forward = triples[~backward]
    if backward.any():
        head, relation, tail = triples[backward].T
        turned = np.stack([tail, inverse(relation), head], axis=1)
        if not np.array_equal(np.unique(turned, axis=0), np.unique(forward, axis=0)):
            missing = set(map(tuple, turned.tolist())) ^ set(map(tuple, forward.tolist()))
            raise ValueError(
                f"{where}: relations 2 i and 2 i + 1 are due as one another's inverse, but {len(missing)} edges stand "
                f"in one direction only, such as {min(missing)}"
            )
    return forward


def _forward_names(names, where):
    """Returns the even names; BetaE marks the directions by + and -, which are left out."""
    if len(names) % 2:
        raise ValueError(f"{where}: {len(names)} relations are named; each is due beside its inverse, 2 i and 2 i + 1")
    pairs = zip(names[::2], names[1::2])
    return [name[1:] if name == "+" + backward.removeprefix("-") else name for name, backward in pairs]
