"""Files of triples: what is read, and what each mistake says."""

import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cqd import loading


def write(path, text):
    path.write_bytes(text.encode())
    return str(path)


def labelled(loaded, part="all"):
    entity, relation = loaded.vocabulary.entities, loaded.vocabulary.relation_label
    return {(entity[h], relation(r), entity[t]) for h, r, t in loaded.parts[part].tolist()}


def test_reads_a_file_of_any_editor(tmp_path):
    path = write(tmp_path / "g.tsv", "\ufeffb\tr\ta\r\n\r\na b\tr\tc, d\r\nb\tr\ta\r\n")
    loaded = loading.load(path)
    assert labelled(loaded) == {("b", "r", "a"), ("a b", "r", "c, d")}
    assert loaded.parts["all"].shape == (2, 3)
    assert loaded.parts["all"].dtype == np.int32


def test_column_order(tmp_path):
    path = write(tmp_path / "g.tsv", "likes\tann\tbob\n")
    assert labelled(loading.load(path, columns="rht")) == {("ann", "likes", "bob")}
    with pytest.raises(ValueError, match="columns='hrx'"):
        loading.load(path, columns="hrx")


def test_folder_of_parts(tmp_path):
    for part, text in (("train", "a\tr\tb\n"), ("valid", "b\tr\tc\n"), ("test", "c\ts\ta\n")):
        write(tmp_path / f"{part}.txt", text)
    loaded = loading.load(str(tmp_path))
    assert [len(loaded.parts[part]) for part in loading.PARTS] == [1, 1, 1]
    assert labelled(loaded, "test") == {("c", "s", "a")}
    (tmp_path / "valid.txt").unlink()
    with pytest.raises(ValueError, match=r"no valid\.tsv or valid\.txt"):
        loading.load(str(tmp_path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\tr\tb\na r b\n", r"g\.tsv:2: has 1 column where 3 are due"),
        ("a\tr\tb\tc\n", r"g\.tsv:1: has 4 columns"),
        ("\n\na\t\tb\n", r"g\.tsv:3: an empty label"),
        ("a\tr^-1\tb\n", r"g\.tsv:1: relation 'r\^-1' ends in \^-1"),
        ("", r"g\.tsv: an empty graph"),
        ("\n\n", r"g\.tsv: an empty graph"),
    ],
)
def test_mistakes_name_file_and_line(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        loading.load(write(tmp_path / "g.tsv", text))


def test_other_encodings_and_missing_files(tmp_path):
    (tmp_path / "latin.tsv").write_bytes("a\tr\tCôte\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"latin\.tsv: not UTF-8"):
        loading.load(str(tmp_path / "latin.tsv"))
    with pytest.raises(FileNotFoundError):
        loading.load(str(tmp_path / "absent.tsv"))


LABELS = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1).map(str.strip).filter(bool)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    triples=st.lists(
        st.tuples(LABELS, LABELS.filter(lambda label: not label.endswith("^-1")), LABELS), min_size=1, max_size=8
    )
)
def test_any_labels_survive(tmp_path_factory, triples):
    path = tmp_path_factory.mktemp("labels") / "g.tsv"
    loaded = loading.load(write(path, "".join("\t".join(triple) + "\n" for triple in triples)))
    assert labelled(loaded) == set(triples)


def test_gzipped_parts(tmp_path):
    for part in loading.PARTS:
        (tmp_path / f"{part}.tsv.gz").write_bytes(gzip.compress(f"a\tr\t{part}\n".encode()))
    assert labelled(loading.load(tmp_path), "valid") == {("a", "r", "valid")}


def test_describe_counts_what_cannot_be_predicted(tmp_path):
    for part, text in (
        ("train", "a\tr\tb\nb\tr\ta\n"),
        ("valid", "b\tr\tc\na\ts\tb\na\tr\tb\na\tr\ta\n"),
        ("test", ""),
    ):
        write(tmp_path / f"{part}.tsv", text)
    assert loading.describe(loading.load(tmp_path)) == {
        "entities": 3,
        "relations": 2,
        "triples": {"train": 2, "valid": 4, "test": 0},
        "without_edge": 0,
        "unseen": {"valid": 2, "test": 0},
        "repeated": {"valid": 1, "test": 0},
    }
    write(tmp_path / "train.tsv", "")
    with pytest.raises(ValueError, match="an empty graph, no triples in train"):
        loading.load(tmp_path)
    assert loading.describe(loading.countries())["unseen"] == {}


@pytest.mark.parametrize("num_entities", [2**28, 2**30])
def test_duplicates_of_graphs_of_any_size(num_entities):
    rng = np.random.default_rng(0)
    triples = (rng.integers([9, 4, 9], size=(300, 3)) * [1, 2, 1]).astype(np.int32)
    triples = np.append(triples, [[171_798_691, 84, 5], [0, 0, 5]], axis=0).astype(np.int32)  # 2^34 = 100 h + r
    first = sorted(np.unique(triples, axis=0, return_index=True)[1])
    assert len(first) < 300
    np.testing.assert_array_equal(loading._unique(triples, num_entities, 100), triples[first])
    np.testing.assert_array_equal(loading._unique(triples[first], num_entities, 100), triples[first])
    repeated = np.isin(loading._codes(triples, num_entities, 100), loading._codes(triples[:40], num_entities, 100))
    known = {tuple(triple) for triple in triples[:40].tolist()}
    assert repeated.tolist() == [tuple(triple) in known for triple in triples.tolist()]


def test_saved_graphs_come_back(tmp_path):
    loaded = loading.countries()
    loading.save(loaded, tmp_path / "g.npz")
    again = loading.load(tmp_path / "g.npz")
    assert again.vocabulary.entities == loaded.vocabulary.entities
    assert again.vocabulary.relations == loaded.vocabulary.relations
    assert (again.parts["all"] == loaded.parts["all"]).all()


NAMES = st.sampled_from(["", "a", "b", "a [k]", "a [#0]", "[#1]"])


@settings(max_examples=200, deadline=None, derandomize=True)
@given(rows=st.lists(st.tuples(NAMES, NAMES), max_size=6))
def test_names_are_distinct_and_as_readable_as_can_be(rows):
    names = loading.distinct(*zip(*rows)) if rows else loading.distinct([], [])
    assert len(set(names)) == len(names) == len(rows)
    ladders = [[*filter(None, row), f"{next(filter(None, row), '')} [#{i}]".strip()] for i, row in enumerate(rows)]
    for i, (name, ladder) in enumerate(zip(names, ladders)):
        assert name in ladder
        if not any(ladder[0] in other for j, other in enumerate(ladders) if j != i):
            assert name == ladder[0]


def test_countries():
    loaded = loading.countries()
    facts = labelled(loaded)
    assert len(facts) == len(loaded.parts["all"]) == 2363
    assert loaded.vocabulary.num_entities == 822
    assert len(loaded.vocabulary.relations) == 9
    borders = {(head, tail) for head, relation, tail in facts if relation == "borders"}
    assert borders == {(tail, head) for head, tail in borders}
    assert all(head != tail for head, tail in borders)
    assert ("Myanmar", "India") in borders
    assert ("Nepal", "China") in borders
    assert not {("Kuwait", "Iran"), ("Myanmar", "Bhutan"), ("Chad", "South Sudan"), ("Sri Lanka", "India")} & borders
    assert {("Kazakhstan", "capital", "Astana"), ("Croatia", "currency", "EUR")} <= facts
    assert {tail for _, relation, tail in facts if relation == "region"} == {
        "Africa",
        "Americas",
        "Asia",
        "Europe",
        "Oceania",
    }
