"""Files of others, read without running anything in them: UTF-8 text, pickles of plain containers, arrays.

A pickle is a program. The published query files are pickles, so they are read by an unpickler that knows nothing but
plain containers: any other name stops it before anything of that name is looked up. It is the one that `pickle` has in
Python, a few times slower than that in C, because that in C can be made to end the process: by a place far out in its
memo, or by a key whose hash takes more stack or time than there is.
"""

import gzip
import pickle
import zlib
from collections import defaultdict, deque

import numpy as np

# The values are what a pickle gets. All are types written in C, whose attributes a pickle cannot set. Those of Counter
# and OrderedDict it could, so they are read as dicts.
PLAIN = {
    ("builtins", "dict"): dict,
    ("builtins", "frozenset"): frozenset,
    ("builtins", "list"): list,
    ("builtins", "set"): set,
    ("builtins", "int"): int,
    ("builtins", "float"): float,
    ("builtins", "str"): str,
    ("collections", "Counter"): dict,
    ("collections", "OrderedDict"): dict,
    ("collections", "defaultdict"): defaultdict,
    ("collections", "deque"): deque,
}

_MOST_TUPLES = 1000  # in a tuple, each counted as often as it occurs there; a benchmark's query has ten


def lines(path):
    r"""Returns the lines of a UTF-8 file, as strings without their ends; `.gz` is unpacked.

    Only \n and \r\n end a line, since a label may hold the other characters that Unicode calls line ends.

    Raises:
        ValueError: bytes that are not UTF-8, or no gzip.
        OSError: the file cannot be read.
    """
    raw = path.read_bytes()
    try:
        text = (gzip.decompress(raw) if path.name.endswith(".gz") else raw).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text (byte {error.start}); save the file as UTF-8") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: not a whole gzip file ({error})") from None
    return [line.removesuffix("\r") for line in text.split("\n")]


def _checked(load):
    """Returns the function of an opcode that makes a tuple, followed by a check of the tuple."""

    def load_checked(unpickler):
        load(unpickler)
        waiting, seen = [unpickler.stack[-1]], 0
        while waiting:
            waiting += [item for item in waiting.pop() if type(item) is tuple]
            seen += 1
            if seen > _MOST_TUPLES:
                raise ValueError(f"tuples nested too deep or too often, over {_MOST_TUPLES} in one")

    return load_checked


def _refusing(what):
    """Returns the function of an opcode that is not read."""

    def refuse(_):
        raise _RefusedError(what)

    return refuse


class _Unpickler(pickle._Unpickler):
    """Refuses every name outside of PLAIN, tuples of too many tuples, and numbers of more than 255 bytes."""

    dispatch = pickle._Unpickler.dispatch | {
        opcode[0]: _checked(pickle._Unpickler.dispatch[opcode[0]])
        for opcode in (pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3)
    }
    dispatch |= {
        pickle.LONG4[0]: _refusing("a number of more than 255 bytes"),
        pickle.BYTEARRAY8[0]: _refusing("a bytearray"),  # takes the memory that it announces
    }

    def find_class(self, module, name):
        module = "builtins" if module == "__builtin__" else module  # as protocols 0 to 2 call it
        if (module, name) not in PLAIN:
            raise _RefusedError(f"{module}.{name}")
        return PLAIN[module, name]


class _RefusedError(Exception):
    """The pickle asks for something that is no plain container."""


def pickled(path):
    """Returns the object in a pickle of plain containers, numbers and strings.

    Raises:
        ValueError: the pickle names anything else (nothing of it is run), or is damaged.
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        try:
            return _Unpickler(file).load()
        except _RefusedError as error:
            raise ValueError(
                f"{path}: refused, the pickle asks for {error} and only plain containers are read; nothing was run"
            ) from None
        except OSError:
            raise
        except Exception as error:  # a damaged pickle raises nearly anything
            raise ValueError(f"{path}: not a readable pickle ({type(error).__name__}: {error})") from None


def arrays(path):
    """Returns {name: array} of an npz file.

    Raises:
        ValueError: not an npz file, or one with pickled objects.
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        try:
            with np.load(file, allow_pickle=False) as archive:
                found = {name: archive[name] for name in archive.files}
            if wrong := [name for name, array in found.items() if not isinstance(array, np.ndarray)]:
                raise ValueError(f"{wrong[0]!r} in it is no array")
            return found
        except (
            Exception
        ) as error:  # zipfile, zlib and numpy each have their own, an OSError for a wrong place among them
            # numpy takes whatever it does not know for a pickle, and advises to load it all the same.
            why = "another format, or pickled objects, which are refused" if "allow_pickle" in str(error) else error
            raise ValueError(f"{path}: not an npz file of plain arrays ({why})") from None
