"""Triples of labels from tab-separated text: read in blocks, so that memory holds ids and one block of the file.

Numpy finds the fields of a block. Equal ones are brought together by a hash of their bytes, then held byte by byte
against the one that stands for them; only those, one a label and block, become Python strings. A block with a mistake
is read again line by line, which finds the words for it.
"""

import gzip
import zlib

import numpy as np

from cqd.graph import INVERSE

_BLOCK = 2**24  # bytes read at a time
_MIX = np.uint64(0x9E3779B97F4A7C15)  # odd, of random bits
_WORD = 8
_MARK = b"\xef\xbb\xbf"  # the byte order mark that some editors put first


class Labels:
    """Labels and their ids, in the order in which they came.

    Attributes:
        names: list of the labels.
    """

    def __init__(self):
        self.names = []
        self._ids = {}  # of the bytes of a field, blanks around its label included

    def id_of(self, field):
        """Returns the id of a field's bytes, a new one for a new label.

        Raises:
            ValueError: nothing but blanks.
        """
        known = self._ids.get(field)
        return self._add(field) if known is None else known

    def _add(self, field):
        text = field.decode()
        label = text.strip()
        if not label:
            raise ValueError("an empty label")
        found = self.id_of(label.encode()) if label != text else len(self.names)
        if found == len(self.names):
            self.names.append(label)
        self._ids[field] = found
        return found


def read(file, entities, relations, *, columns="hrt"):
    """Returns int32 [M, 3] of the file's triples, relations even; labels that are new are added to the Labels.

    Args:
        file: a path; three columns a line, separated by tabs; `.gz` is unpacked. Empty lines are skipped.
        entities, relations: Labels.
        columns: the order of head, relation and tail in a line.

    Raises:
        ValueError: a line without three columns, an empty label, a relation that ends in ^-1, as FILE:LINE; bytes that
            are not UTF-8, or no gzip.
        OSError: the file cannot be read.
    """
    order = [columns.index(letter) for letter in "hrt"]
    parts = [np.zeros((0, 3), np.int32)]
    first_line, first_byte = 1, 0
    for block in _blocks(file):
        _check_text(file, block, first_byte)
        fields = _fields(block)
        found = None if fields is None else _ids(block, fields, order, entities, relations)
        parts.append(_line_by_line(file, block, first_line, order, entities, relations) if found is None else found)
        first_line, first_byte = first_line + block.count(b"\n"), first_byte + len(block)
    return np.concatenate(parts)


def _blocks(file):
    """Yields the file's bytes in pieces of whole lines, each ending in a line's end; a byte order mark is left out."""
    with file.open("rb") as raw, gzip.open(raw) if file.name.endswith(".gz") else raw as stream:
        rest = _piece(file, stream, len(_MARK)).removeprefix(_MARK)
        while piece := _piece(file, stream, _BLOCK):
            rest += piece
            end = rest.rfind(b"\n") + 1
            if end:
                yield rest[:end]
            rest = rest[end:]
        if rest:
            yield rest if rest.endswith(b"\n") else rest + b"\n"


def _piece(file, stream, size):
    try:
        return stream.read(size)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{file}: not a whole gzip file ({error})") from None


def _check_text(file, block, first_byte):
    try:
        block.decode()
    except UnicodeDecodeError as error:
        byte = first_byte + error.start
        raise ValueError(f"{file}: not UTF-8 text (byte {byte}); save the file as UTF-8") from None


def _fields(block):
    """Returns ([M, 3] where fields begin, [M, 3] where they end) of lines that are not empty, None at a mistake."""
    data = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(data == ord("\n"))
    starts = np.append(0, ends[:-1] + 1)
    stops = ends - ((ends > starts) & (data[ends - 1] == ord("\r")))
    starts, stops = starts[stops > starts], stops[stops > starts]
    tabs = np.flatnonzero(data == ord("\t"))
    if len(tabs) != 2 * len(starts):
        return None
    first, second = tabs.reshape(-1, 2).T
    begin, end = np.stack([starts, first + 1, second + 1], axis=1), np.stack([first, second, stops], axis=1)
    return (begin, end) if (begin < end).all() else None


def _ids(block, fields, order, entities, relations):
    """Returns int32 [M, 3] ids of fields, None at a mistake."""
    begin, end = (places[:, order] for places in fields)
    try:
        ends_in_one = _of_labels(block, begin[:, [0, 2]].ravel(), end[:, [0, 2]].ravel(), entities)
        between = _of_labels(block, begin[:, 1], end[:, 1], relations)
    except ValueError:
        return None
    if any(name.endswith(INVERSE) for name in relations.names):
        return None
    head, tail = ends_in_one.reshape(-1, 2).T
    return np.stack([head, 2 * between, tail], axis=1)


def _of_labels(block, begin, end, labels):
    """Returns int32 [M] ids of the fields at bytes begin : end of a block."""
    words = _Words(block, begin, end - begin)
    hashed = words.hashed()
    order = np.argsort(hashed)
    in_order = hashed[order]
    is_new = np.append(True, in_order[1:] != in_order[:-1])[: len(order)]
    group = np.empty(len(order), np.int64)
    group[order] = np.cumsum(is_new) - 1
    own = order[is_new]  # the field that stands for each group
    if words.are_equal_to(own[group]):
        places = zip(begin[own].tolist(), end[own].tolist())
        ids = np.fromiter((labels.id_of(block[i:j]) for i, j in places), np.int32, len(own))
        return ids[group]
    places = zip(begin.tolist(), end.tolist())
    return np.fromiter((labels.id_of(block[i:j]) for i, j in places), np.int32, len(begin))


class _Words:
    """Fields of a block as words of eight bytes, the last filled up with zeros.

    Args:
        block: bytes.
        begin, length: [M] places of the fields.
    """

    def __init__(self, block, begin, length):
        padded = block + bytes(_WORD)
        self._at_byte = np.ndarray(len(block), "<u8", padded, strides=(1,))
        self._begin, self._length = begin, length

    def _word(self, number, chosen):
        left = np.minimum(self._length[chosen] - _WORD * number, _WORD)
        beyond = (8 * (_WORD - left)).astype(np.uint64)
        return (self._at_byte[self._begin[chosen] + _WORD * number] << beyond) >> beyond

    def _each(self):
        """Yields (number, fields that have a word of that number)."""
        for number in range(-(-int(self._length.max(initial=0)) // _WORD)):
            yield number, np.flatnonzero(self._length > _WORD * number)

    def hashed(self):
        """Returns uint64 [M]: a hash of each field."""
        found = self._length.astype(np.uint64)
        for number, chosen in self._each():
            mixed = (found[chosen] ^ self._word(number, chosen)) * _MIX
            found[chosen] = mixed ^ (mixed >> np.uint64(32))
        return found

    def are_equal_to(self, others):
        """Returns whether each field has the bytes of the field others [M]."""
        if (self._length != self._length[others]).any():
            return False
        return all((self._word(n, chosen) == self._word(n, others[chosen])).all() for n, chosen in self._each())


def _line_by_line(file, block, first_line, order, entities, relations):
    """Returns int32 [M, 3] ids of a block's triples, or raises ValueError at its first mistake."""
    triples = []
    for number, line in enumerate(block.decode().split("\n")[:-1], start=first_line):
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
        ends = (entities.id_of(label.encode()) for label in (head, tail))
        triples.append((next(ends), 2 * relations.id_of(relation.encode()), next(ends)))
    return np.array(triples, np.int32).reshape(-1, 3)
