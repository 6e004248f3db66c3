"""Graphs in ids: OpenKE, npz, BetaE and Query2Box folders, all written here from one small graph."""

import os
import pathlib
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cqd import graph, loading

ENTITIES = ("ann", "bob", "cy d", "dee")
RELATIONS = ("likes", "knows")
PARTS = {
    "train": [(0, 0, 1), (1, 0, 0), (1, 2, 2), (3, 2, 3)],
    "valid": [(2, 0, 0)],
    "test": [(0, 2, 2), (2, 2, 1)],
}


def write_openke(folder, entities=ENTITIES, relations=RELATIONS, parts=PARTS):
    for file, names in (("entity2id.txt", entities), ("relation2id.txt", relations)):
        lines = [f"{name}\t{i}" for i, name in enumerate(names)]
        (folder / file).write_text("\n".join([str(len(names)), *lines]))
    for part, triples in parts.items():
        lines = [f"{h} {t} {r // 2}" for h, r, t in triples]
        (folder / f"{part}2id.txt").write_text("\n".join([str(len(triples)), *lines]) + "\n")
    return folder


def write_npz(folder, parts=PARTS):
    np.savez(folder / "g_triples.npz", **{part: np.array(rows, dtype=np.int32) for part, rows in parts.items()})
    (folder / "g_entities.tsv").write_text(
        "id\tkey\tlabel\tnote\n" + "".join(f"{i}\tk{i}\t{name}\t\n" for i, name in enumerate(ENTITIES))
    )
    (folder / "g_relations.txt").write_text("".join(f"{name}\n{name}_reverse\n" for name in RELATIONS))
    return folder / "g_triples.npz"


def write_betae(folder, parts=PARTS, plus=False):
    names = [("+" + n, "-" + n) if plus else (n, n + "_reverse") for n in RELATIONS]
    dump(folder / "id2ent.pkl", dict(enumerate(ENTITIES)))
    dump(folder / "id2rel.pkl", dict(enumerate(name for pair in names for name in pair)))
    for part, triples in parts.items():
        both = graph.with_inverses(triples).tolist()
        (folder / f"{part}.txt").write_text("".join("\t".join(map(str, row)) + "\n" for row in both))
    return folder


def write_query2box(folder):
    write_betae(folder, parts={})
    for kind in ("ent", "rel"):
        (folder / f"id2{kind}.pkl").rename(folder / f"ind2{kind}.pkl")
    for part, triples in PARTS.items():
        answers = {}
        for h, r, t in graph.with_inverses(triples).tolist():
            answers.setdefault(((h, (r,)),), set()).add(t)
        dump(folder / f"{part}_ans_1c{'' if part == 'train' else '_hard'}.pkl", answers)
    return folder


def dump(path, content):
    path.write_bytes(pickle.dumps(content))


@pytest.mark.parametrize(
    "write",
    [write_openke, write_npz, write_betae, lambda folder: write_betae(folder, plus=True), write_query2box],
    ids=["openke", "npz", "betae", "betae-plus", "query2box"],
)
def test_every_format_holds_the_same_graph(tmp_path, write):
    loaded = loading.load(write(tmp_path))
    assert loaded.vocabulary.entities == ENTITIES
    assert loaded.vocabulary.relations == RELATIONS
    assert {part: sorted(map(tuple, rows.tolist())) for part, rows in loaded.parts.items()} == {
        part: sorted(rows) for part, rows in PARTS.items()
    }
    assert {rows.dtype for rows in loaded.parts.values()} == {np.dtype(np.int32)}


def test_equal_labels_are_told_apart(tmp_path):
    path = write_npz(tmp_path)
    (tmp_path / "g_entities.tsv").write_text("id\tkey\tlabel\n0\tk0\tann\n1\tk1\tann\n2\tk2\t\n3\tk2\tdee\n")
    assert loading.load(path).vocabulary.entities == ("ann [k0]", "ann [k1]", "k2", "dee")
    write_openke(tmp_path, entities=("ann", "bob", "ann", "dee"))
    assert loading.load(tmp_path).vocabulary.entities == ("ann [#0]", "bob", "ann [#2]", "dee")


def test_npz_without_names(tmp_path):
    np.savez(tmp_path / "a.npz", all=np.array([[0, 2, 3]]))
    loaded = loading.load(tmp_path / "a.npz")
    assert loaded.vocabulary.entities == ("entity_0", "entity_1", "entity_2", "entity_3")
    assert loaded.vocabulary.relations == ("relation_0", "relation_1")
    assert loading.describe(loaded)["without_edge"] == 2


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("entity2id.txt", "3\nann\t0\nbob\t1\ncy d\t2\ndee\t3\n", r"entity2id\.txt:1: the count '3' is due to be 4"),
        ("entity2id.txt", "2\nann\t0\nbob\t0\n", r"entity2id\.txt:3: id 0; each id from 0 to 1 is due once"),
        ("entity2id.txt", "2\nann\t0\nbob\t2\n", r"entity2id\.txt:3: id 2"),
        ("relation2id.txt", "2\nlikes 0\nknows\n", r"relation2id\.txt:3: a line is name<TAB>id, not 'knows'"),
        ("train2id.txt", "", r"train2id\.txt:1: the count '' is due to be 0"),
        ("train2id.txt", "2\n0 1 0\n\n0 4 0\n", r"train2id\.txt:4: id 4; ids run from 0 to 3"),
        ("valid2id.txt", "1\n0 1 2\n", r"valid2id\.txt:2: id 2; ids run from 0 to 1"),
        ("test2id.txt", "1\n0 1\n", r"test2id\.txt:2: three ids are due, not '0 1'"),
        ("test2id.txt", "1\n0 -1 0\n", r"test2id\.txt:2: three ids are due"),
        ("train2id.txt", "0\n", "an empty graph, no triples in train"),
    ],
)
def test_openke_mistakes(tmp_path, file, text, message):
    (write_openke(tmp_path) / file).write_text(text)
    with pytest.raises(ValueError, match=message):
        loading.load(tmp_path)


def test_missing_files(tmp_path):
    (write_openke(tmp_path) / "test2id.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"test2id\.txt"):
        loading.load(tmp_path)
    (tmp_path / "betae").mkdir()
    (write_betae(tmp_path / "betae") / "valid.txt").unlink()
    with pytest.raises(FileNotFoundError, match="valid_ans_1c_hard"):
        loading.load(tmp_path / "betae")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"train": [[0, 0, 1]]}, "holds the arrays train; train, valid and test"),
        ({"all": [[0, 0]]}, r"all is int64 \[1, 2\]; integers \[M, 3\] are due"),
        ({"all": [[0.0, 0, 1]]}, "all is float64"),
        ({"all": [[0, 0, 4]]}, "all, row 0: tail 4; ids run from 0 to 3"),
        ({"all": [[0, 0, 1], [0, 4, 1]]}, "all, row 1: relation 4; ids run from 0 to 3"),
        ({"all": [[-1, 0, 1]]}, "head -1"),
        ({"all": [[0, 0, 1]], "entities": ["a", "b"]}, "entities is not as cqd.loading.save writes it"),
        ({"all": [[0, 0, 1]], "entities": np.frombuffer(b"[", np.uint8)}, "entities is not as"),
        ({"all": [[0, 0, 1]], "entities": np.frombuffer(b"[]", np.uint8)}, "relations is not as"),
        ({"all": [[0, 0, 1], [0, 1, 1]]}, r"2 edges stand in one direction only, such as \(0, 0, 1\)"),
    ],
)
def test_npz_mistakes(tmp_path, arrays, message):
    path = write_npz(tmp_path)
    np.savez(path, **{name: np.array(rows) for name, rows in arrays.items()})
    with pytest.raises(ValueError, match=message):
        loading.load(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id\tname\n0\tann\n", r"g_entities\.tsv:1: names the columns id, name; one of them is due to be label"),
        ("0\tann\n2\tbob\n", r"g_entities\.tsv:2: 2 columns are due, the first of them 1"),
        ("0\tann\n1\tbob\tx\n", r"g_entities\.tsv:2: 2 columns"),
    ],
)
def test_mistakes_in_names_beside(tmp_path, text, message):
    path = write_npz(tmp_path)
    (tmp_path / "g_entities.tsv").write_text(text)
    with pytest.raises(ValueError, match=message):
        loading.load(path)


def test_betae_mistakes(tmp_path):
    write_betae(tmp_path)
    (tmp_path / "train.txt").write_text("0\t0\t1\n1\t1\t0\n0\t9\t1\n")
    with pytest.raises(ValueError, match=r"train\.txt:3: id 9; ids run from 0 to 3"):
        loading.load(tmp_path)
    (tmp_path / "train.txt").write_text("0\t0\t1\n0\t1\t1\n")
    with pytest.raises(ValueError, match=r"train\.txt: relations 2 i and 2 i \+ 1 are due as one another's inverse"):
        loading.load(tmp_path)
    dump(tmp_path / "id2rel.pkl", {0: "a", 1: "b", 2: "c"})
    (tmp_path / "train.txt").write_text("0\t0\t1\n")
    (tmp_path / "valid.txt").write_text("")
    (tmp_path / "test.txt").write_text("")
    with pytest.raises(ValueError, match="3 relations are named; each is due beside its inverse"):
        loading.load(tmp_path)
    dump(tmp_path / "id2ent.pkl", {1: "a"})
    with pytest.raises(ValueError, match=r"id2ent\.pkl: a dict from every id"):
        loading.load(tmp_path)
    dump(tmp_path / "id2ent.pkl", print)
    with pytest.raises(ValueError, match=r"id2ent\.pkl: refused, the pickle asks for builtins\.print"):
        loading.load(tmp_path)


def test_query2box_mistakes(tmp_path):
    dump(write_query2box(tmp_path) / "train_ans_1c.pkl", {(0, (1,)): {2}})
    with pytest.raises(ValueError, match=r"train_ans_1c\.pkl: \{\(\(head, \(relation,\)\),\): answers\} is due"):
        loading.load(tmp_path)


NAMES = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=4).map(str.strip).filter(bool)
GRAPHS = st.tuples(
    st.lists(NAMES, min_size=1, max_size=5, unique=True),
    st.lists(NAMES.filter(lambda name: not name.endswith("^-1")), min_size=1, max_size=3, unique=True),
    st.lists(st.tuples(*[st.integers(0, 99)] * 3), min_size=1, max_size=9),
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(graph_=GRAPHS)
def test_round_trips(tmp_path_factory, graph_):
    """OpenKE's files and those of `save` give back names, ids and triples as they were."""
    entities, relations, rows = graph_
    triples = list(dict.fromkeys((h % len(entities), 2 * (r % len(relations)), t % len(entities)) for h, r, t in rows))
    parts = {"train": triples, "valid": [], "test": triples[:1]}
    folder = tmp_path_factory.mktemp("ids")
    loaded = loading.load(write_openke(folder, entities, relations, parts))
    loading.save(loaded, folder / "saved.npz")
    for found in (loaded, loading.load(folder / "saved.npz")):
        assert found.vocabulary.entities == tuple(entities)
        assert found.vocabulary.relations == tuple(relations)
        assert {part: list(map(tuple, ids.tolist())) for part, ids in found.parts.items()} == parts


def test_published_sizes():
    folder = os.environ.get("KG_DATA")
    if not folder:
        pytest.skip("needs the folder KG_DATA with fb15k237_triples.npz and nell995_triples.npz of the Query2Box data")
    for name, entities, relations, sizes in (
        ("fb15k237", 14505, 237, {"train": 272115, "valid": 17526, "test": 20438}),
        ("nell995", 63361, 200, {"train": 114213, "valid": 14324, "test": 14267}),
    ):
        loaded = loading.load(pathlib.Path(folder) / f"{name}_triples.npz")
        found = loading.describe(loaded)
        assert (found["entities"], found["relations"], found["triples"]) == (entities, relations, sizes)
        assert found["unseen"] == found["repeated"] == {"valid": 0, "test": 0}
        assert len(set(loaded.vocabulary.entities)) == entities
