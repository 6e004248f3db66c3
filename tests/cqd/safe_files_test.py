"""Text, pickles and arrays of others: what is read, and what is refused without being run."""

import collections
import gzip
import os
import pickle

import numpy as np
import pytest

from cqd import safe_files


class Touch:
    """Unpickled by pickle.load, it would make a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_containers_survive(tmp_path, protocol):
    content = {
        "queries": collections.defaultdict(set, {("e", ("r",)): {(5, (2,)), (7, (0,))}}),
        "rest": [frozenset({1}), collections.OrderedDict(a=1.5), collections.deque([None, True, "é"])],
    }
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content, protocol))
    read = safe_files.pickled(tmp_path / "a.pkl")
    assert read == content
    assert type(read["queries"]) is collections.defaultdict
    (tmp_path / "counter.pkl").write_bytes(pickle.dumps(collections.Counter("aab"), protocol))
    assert safe_files.pickled(tmp_path / "counter.pkl") == {"a": 2, "b": 1}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_malicious_pickle_is_refused_and_not_run(tmp_path, protocol):
    witness = tmp_path / "witness"
    raw = pickle.dumps({0: "harmless", 1: Touch(witness)}, protocol)
    (tmp_path / "id2ent.pkl").write_bytes(raw)
    with pytest.raises(ValueError, match=r"id2ent\.pkl: refused, the pickle asks for (posix|nt)\.system"):
        safe_files.pickled(tmp_path / "id2ent.pkl")
    assert not witness.exists()
    pickle.loads(raw)  # the test can fail: read without care, it makes the file
    assert witness.exists()


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b"cbuiltins\neval\n(S'1'\ntR.", "builtins.eval"),
        (b"cbuiltins\ngetattr\n.", "builtins.getattr"),
        (b"\x80\x04\x8c\x0bcollections\x8c\x0fabc.sys.modules\x93.", "collections.abc.sys.modules"),
        (b"ccopyreg\n_reconstructor\n.", "copyreg._reconstructor"),
        (pickle.dumps(np.arange(3)), "numpy"),
        (pickle.dumps(collections.namedtuple), "collections.namedtuple"),
    ],
)
def test_any_other_name_is_refused(tmp_path, raw, name):
    (tmp_path / "a.pkl").write_bytes(raw)
    with pytest.raises(ValueError, match=f"asks for {name}"):
        safe_files.pickled(tmp_path / "a.pkl")


def test_no_pickle_changes_a_class(tmp_path):
    """BUILD with a pair of states sets attributes, of the class itself where that is the object on the stack."""
    for name in ("Counter", "OrderedDict", "defaultdict", "deque"):
        raw = b"\x80\x02ccollections\n" + name.encode() + b"\n}}U\x05evilXK\x01s\x86b."
        (tmp_path / "a.pkl").write_bytes(raw)
        with pytest.raises(ValueError, match="not a readable pickle"):
            safe_files.pickled(tmp_path / "a.pkl")
        assert not hasattr(getattr(collections, name), "evilX")


@pytest.mark.parametrize("raw", [b"", b"no pickle", pickle.dumps({1: 2})[:-2], b"\x80\x04}\x94h\xff."])
def test_damaged_pickles(tmp_path, raw):
    (tmp_path / "a.pkl").write_bytes(raw)
    with pytest.raises(ValueError, match=r"a\.pkl: not a readable pickle"):
        safe_files.pickled(tmp_path / "a.pkl")


def test_arrays_without_objects(tmp_path):
    np.savez(tmp_path / "good.npz", a=np.arange(3))
    assert safe_files.arrays(tmp_path / "good.npz")["a"].tolist() == [0, 1, 2]
    np.savez(tmp_path / "bad.npz", a=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match=r"bad\.npz: not an npz file of plain arrays"):
        safe_files.arrays(tmp_path / "bad.npz")
    (tmp_path / "text.npz").write_text("a\tr\tb\n")
    with pytest.raises(ValueError, match=r"text\.npz: not an npz"):
        safe_files.arrays(tmp_path / "text.npz")
    for read in (safe_files.arrays, safe_files.pickled, safe_files.lines):
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "absent")


def test_lines(tmp_path):
    text = "\ufeffa\r\nb\u2028c\n"
    (tmp_path / "a.txt").write_bytes(text.encode())
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(text.encode()))
    assert safe_files.lines(tmp_path / "a.txt") == safe_files.lines(tmp_path / "a.txt.gz") == ["a", "b\u2028c", ""]
    (tmp_path / "cut.gz").write_bytes(gzip.compress(text.encode())[:-9])
    (tmp_path / "plain.gz").write_text(text)
    for name in ("cut.gz", "plain.gz"):
        with pytest.raises(ValueError, match=f"{name}: not a whole gzip file"):
            safe_files.lines(tmp_path / name)


def test_nobody_is_advised_to_load_a_pickle_all_the_same(tmp_path):
    np.savez(tmp_path / "objects.npz", a=np.array([{}], dtype=object))
    (tmp_path / "text.npz").write_text("no archive")
    for name in ("objects.npz", "text.npz"):
        with pytest.raises(ValueError, match="another format, or pickled objects, which are refused"):
            safe_files.arrays(tmp_path / name)
