"""Triples read in blocks against lines split one by one."""

import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cqd import tab_separated


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def read(path, **options):
    entities, relations = tab_separated.Labels(), tab_separated.Labels()
    triples = tab_separated.read(path, entities, relations, **options)
    names = entities.names, relations.names
    return [(names[0][h], names[1][r // 2], names[0][t]) for h, r, t in triples.tolist()]


def split_lines(text):
    lines = [line.removesuffix("\r") for line in text.removeprefix("\ufeff").split("\n")]
    return [tuple(field.strip() for field in line.split("\t")) for line in lines if line]


LABELS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\t\n"), min_size=1).filter(str.strip)
LINES = st.tuples(LABELS, LABELS.filter(lambda label: not label.strip().endswith("^-1")), LABELS).map("\t".join)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    lines=st.lists(LINES | st.just(""), max_size=8),
    end=st.sampled_from(["\n", "\r\n"]),
    mark=st.sampled_from(["", "\ufeff"]),
    is_ended=st.booleans(),
    block=st.sampled_from([7, 2**24]),
)
def test_any_text_in_any_blocks(tmp_path_factory, lines, end, mark, is_ended, block):
    text = mark + end.join(lines) + end * is_ended
    path = write(tmp_path_factory.mktemp("text") / "g.tsv", text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tab_separated, "_BLOCK", block)
        assert read(path) == split_lines(text)


def random_text(num_lines=2000):
    rng = np.random.default_rng(0)
    labels = ["x" * int(size) + str(i) for i, size in enumerate(rng.integers(1, 40, size=60))]
    labels += ["é" * 5, " padded ", "padded", "a b", "\u2028x"]
    return "".join("\t".join(labels[i] for i in row) + "\n" for row in rng.integers(len(labels), size=(num_lines, 3)))


@pytest.mark.parametrize("block", [300, 2**24])
def test_many_lines(tmp_path, monkeypatch, block):
    monkeypatch.setattr(tab_separated, "_BLOCK", block)
    text = random_text()
    assert read(write(tmp_path / "g.tsv", text)) == split_lines(text)
    assert read(write(tmp_path / "g.tsv.gz", gzip.compress(text.encode()))) == split_lines(text)


def test_labels_of_one_hash_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(tab_separated, "_MIX", np.uint64(0))  # only the length is left of the hash
    text = random_text(200)
    assert read(write(tmp_path / "g.tsv", text)) == split_lines(text)


@pytest.mark.parametrize("block", [10, 2**24])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\tr\tb\n" * 9 + "a r b\n", r"g\.tsv:10: has 1 column where 3 are due"),
        ("a\tr\tb\n" * 9 + "a\tr\tb\tc\na\tr\n", r"g\.tsv:10: has 4 columns"),
        ("a\tr\n" + "a\tr\tb\tc\n", r"g\.tsv:1: has 2 columns"),
        ("\n\n" * 5 + "a\t \tb\n", r"g\.tsv:11: an empty label"),
        ("a\tr\tb\n\u3000\tr\tb\n", r"g\.tsv:2: an empty label"),
        ("a\tr\tb\n   \n", r"g\.tsv:2: has 1 column"),
        ("a\tr\tb\na\ts^-1 \tb\n", r"g\.tsv:2: relation 's\^-1' ends in \^-1"),
        ("a\tr\tb\n" + "ä\tr\tb\n" * 3, None),
        (b"a\tr\tb\n" * 9 + b"a\tr\t\xff\n", r"g\.tsv: not UTF-8 text \(byte 58\)"),
        (b"\xef\xbb\xbfa\tr\tb\n" * 1 + b"a\tr\t\xff\n", r"g\.tsv: not UTF-8 text \(byte 10\)"),
    ],
)
def test_mistakes_in_any_block_name_file_and_line(tmp_path, monkeypatch, text, message, block):
    monkeypatch.setattr(tab_separated, "_BLOCK", block)
    path = write(tmp_path / "g.tsv", text)
    if message is None:
        assert len(read(path)) == 4
    else:
        with pytest.raises(ValueError, match=message):
            read(path)


def test_half_a_gzip_file(tmp_path):
    path = write(tmp_path / "g.tsv.gz", gzip.compress(random_text().encode())[:-20])
    with pytest.raises(ValueError, match=r"g\.tsv\.gz: not a whole gzip file"):
        read(path)
    with pytest.raises(ValueError, match=r"h\.tsv\.gz: not a whole gzip file"):
        read(write(tmp_path / "h.tsv.gz", "a\tr\tb\n"))


def test_order_of_columns(tmp_path):
    assert read(write(tmp_path / "g.tsv", "r\tt\th\n"), columns="rth") == [("h", "r", "t")]
