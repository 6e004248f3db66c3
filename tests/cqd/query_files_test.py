"""Benchmark queries: every type through every file format, and what each mistake says."""

import collections
import os
import pathlib
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cqd import loading, query_files
from cqd.graph import Vocabulary
from cqd.query import POSITIVE_TYPES, TEMPLATES, And, Entity, Not, Or, Projection, from_benchmark, parse, row, to_text

VOCABULARY = Vocabulary([f"e{i}" for i in range(10)], [f"r{i}" for i in range(5)])
# The structures of BetaE's main.py, with the instance of each that the row (0, 1, 2, ...) is.
BETAE = {
    "1p": (("e", ("r",)), (0, (1,))),
    "2p": (("e", ("r", "r")), (0, (1, 2))),
    "3p": (("e", ("r", "r", "r")), (0, (1, 2, 3))),
    "2i": ((("e", ("r",)), ("e", ("r",))), ((0, (1,)), (2, (3,)))),
    "3i": ((("e", ("r",)), ("e", ("r",)), ("e", ("r",))), ((0, (1,)), (2, (3,)), (4, (5,)))),
    "ip": (((("e", ("r",)), ("e", ("r",))), ("r",)), (((0, (1,)), (2, (3,))), (4,))),
    "pi": ((("e", ("r", "r")), ("e", ("r",))), ((0, (1, 2)), (3, (4,)))),
    "2u": ((("e", ("r",)), ("e", ("r",)), ("u",)), ((0, (1,)), (2, (3,)), (-1,))),
    "up": (((("e", ("r",)), ("e", ("r",)), ("u",)), ("r",)), (((0, (1,)), (2, (3,)), (-1,)), (4,))),
    "2in": ((("e", ("r",)), ("e", ("r", "n"))), ((0, (1,)), (2, (3, -2)))),
    "3in": ((("e", ("r",)), ("e", ("r",)), ("e", ("r", "n"))), ((0, (1,)), (2, (3,)), (4, (5, -2)))),
    "inp": (((("e", ("r",)), ("e", ("r", "n"))), ("r",)), (((0, (1,)), (2, (3, -2))), (4,))),
    "pin": ((("e", ("r", "r")), ("e", ("r", "n"))), ((0, (1, 2)), (3, (4, -2)))),
    "pni": ((("e", ("r", "r", "n")), ("e", ("r",))), ((0, (1, 2, -2)), (3, (4,)))),
    "2u-DM": (((("e", ("r", "n")), ("e", ("r", "n"))), ("n",)), (((0, (1, -2)), (2, (3, -2))), (-2,))),
    "up-DM": (((("e", ("r", "n")), ("e", ("r", "n"))), ("n", "r")), (((0, (1, -2)), (2, (3, -2))), (-2, 4))),
}
QUERY2BOX = {  # in the order of POSITIVE_TYPES
    "1c": ((0, (1,)),),
    "2c": ((0, (1, 2)),),
    "3c": ((0, (1, 2, 3)),),
    "2i": ((0, (1,)), (2, (3,))),
    "3i": ((0, (1,)), (2, (3,)), (4, (5,))),
    "ic": ((0, (1,)), (2, (3,)), 4),
    "ci": ((0, (1, 2)), (3, (4,))),
    "2u": ((0, (1,)), (2, (3,))),
    "uc": ((0, (1,)), (2, (3,)), 4),
}


def dump(path, content):
    path.write_bytes(pickle.dumps(content))


def write_betae(folder, queries, easy=None, hard=None):
    """Writes {structure: queries} as BetaE does, in defaultdicts of sets."""
    default = collections.defaultdict(set)
    dump(folder / "test-queries.pkl", default | queries)
    dump(folder / "test-easy-answers.pkl", default | (easy or {}))
    dump(folder / "test-hard-answers.pkl", default | (hard or {}))
    return folder


def test_betae_has_every_type(tmp_path):
    assert set(BETAE) == set(TEMPLATES) | set(query_files.DE_MORGAN)
    easy = {instance: {3, 0} for _, instance in BETAE.values()}
    hard = {instance: {2} for _, instance in BETAE.values()}
    write_betae(tmp_path, {key: {instance} for key, instance in BETAE.values()}, easy, hard)
    found = query_files.load(tmp_path, vocabulary=VOCABULARY)
    assert set(found) == set(BETAE)
    for name, of_type in found.items():
        (stored,) = of_type
        if name in TEMPLATES:
            due = from_benchmark(name, range(len(row(stored.query))))
        else:
            due = parse({"2u-DM": "!(!#1(#0) & !#3(#2))", "up-DM": "#4(!(!#1(#0) & !#3(#2)))"}[name])
        assert stored.query == due
        assert stored.easy.tolist() == [0, 3]
        assert stored.hard.tolist() == [2]
        assert stored.easy.dtype == np.int64


def test_betae_training_queries_have_easy_answers_only(tmp_path):
    dump(tmp_path / "train-queries.pkl", {("e", ("r",)): {(i, (1,)) for i in range(50)}})
    dump(tmp_path / "train-answers.pkl", {(3, (1,)): {4}})
    found = query_files.load(tmp_path, part="train")["1p"]
    assert [to_text(stored.query) for stored in found] == [f"#1(#{i})" for i in range(50)]
    assert [stored.easy.tolist() for stored in found] == [[4] if i == 3 else [] for i in range(50)]
    assert {stored.hard for stored in found} == {None}


def test_query2box_has_every_type(tmp_path):
    assert set(QUERY2BOX) == set(query_files.QUERY2BOX_TYPES)
    for number, (old, instance) in enumerate(QUERY2BOX.items()):
        dump(tmp_path / f"test_ans_{old}.pkl", {instance: {9, number}})
        dump(tmp_path / f"test_ans_{old}_hard.pkl", {instance: {number}})
    dump(tmp_path / "train_ans_1c.pkl", {((1, (0,)),): {2, 1}})
    found = query_files.load(tmp_path, vocabulary=VOCABULARY)
    assert tuple(sorted(found)) == tuple(sorted(POSITIVE_TYPES))
    for name, (stored,) in found.items():
        assert stored.query == from_benchmark(name, range(len(row(stored.query))))
        assert stored.easy.tolist() == [9]
        assert stored.hard.tolist() == [POSITIVE_TYPES.index(name)]
    (stored,) = query_files.load(tmp_path, part="train")["1p"]
    assert (to_text(stored.query), stored.easy.tolist(), stored.hard) == ("#0(#1)", [1, 2], None)


def test_npz_has_every_type(tmp_path):
    rows = {name: np.arange(2 * len(row(parse(text)))).reshape(2, -1) for name, text in TEMPLATES.items()}
    np.savez(tmp_path / "q.npz", **{f"valid_{name}": array for name, array in rows.items()})
    found = query_files.load(tmp_path / "q.npz", part="valid")
    assert found == {
        name: [query_files.Stored(from_benchmark(name, ids), None, None) for ids in array]
        for name, array in rows.items()
    }
    with pytest.raises(ValueError, match=r"q\.npz: has no queries of the part 'test'"):
        query_files.load(tmp_path / "q.npz")


@pytest.mark.parametrize(
    ("nested", "message"),
    [
        ((0, (1, "r")), "is no query"),
        ((0, ()), "is no query"),
        ((0, (-1,)), "is no query"),
        ((0, (-3,)), "is no query"),
        ((-5, (1,)), "is no query, at -5"),
        (((0, (1,)), 4), "is no query"),
        (((0, (1,)), (-1,)), "is no query"),
        (("ann", (1,)), "is no query, at 'ann'"),
        ("text", "is no query"),
        ((99, (1,)), r"#1\(#99\): entity #99: ids run from 0 to 9; is this the graph of the queries"),
        ((0, (10,)), "relation #10: ids run from 0 to 9"),
    ],
)
def test_betae_mistakes(tmp_path, nested, message):
    write_betae(tmp_path, {("e", ("r",)): {nested}})
    with pytest.raises(ValueError, match=message):
        query_files.load(tmp_path, vocabulary=VOCABULARY)


def test_other_mistakes(tmp_path):
    with pytest.raises(ValueError, match="part='dev': choose one of train"):
        query_files.load(tmp_path, part="dev")
    with pytest.raises(ValueError, match=r"has neither test-queries\.pkl .* nor test_ans_1c\.pkl"):
        query_files.load(tmp_path)
    dump(tmp_path / "test_ans_1c.pkl", {((0, (1, 2)),): {3}})
    dump(tmp_path / "test_ans_1c_hard.pkl", {})
    with pytest.raises(ValueError, match="is no query of type 1p"):
        query_files.load(tmp_path)
    write_betae(tmp_path, {("e", ("r",)): {(0, (1,))}}, hard={(0, (1,)): {3, 77}})
    with pytest.raises(ValueError, match="entity #77"):
        query_files.load(tmp_path, vocabulary=VOCABULARY)
    dump(tmp_path / "test-easy-answers.pkl", {(0, (1,)): {"x"}})
    with pytest.raises(ValueError, match="are not all ids"):
        query_files.load(tmp_path)
    dump(tmp_path / "test-easy-answers.pkl", [1])
    with pytest.raises(ValueError, match=r"test-easy-answers\.pkl: \{query: answers\} is due, a dict of sets"):
        query_files.load(tmp_path)
    dump(tmp_path / "test-queries.pkl", os.system)
    with pytest.raises(ValueError, match=r"test-queries\.pkl: refused"):
        query_files.load(tmp_path)
    deep = b"K\x00" + b"K\x01\x85\x86" * 5000  # what pickle.dumps would write, had it no limit of depth
    (tmp_path / "test-queries.pkl").write_bytes(b"\x80\x02}K\x00]" + deep + b"as.")
    dump(tmp_path / "test-easy-answers.pkl", {})
    with pytest.raises(ValueError, match="nested too deep"):
        query_files.load(tmp_path)
    for name, array, message in (
        ("test_4p", [[0]], "the query types are 1p"),
        ("test_2p", [[0, 1]], r"test_2p is int64 \[1, 2\]; integers \[Q, 3\] are due"),
        ("test_1p", [[0.5, 1]], "test_1p is float64"),
    ):
        np.savez(tmp_path / "q.npz", **{name: np.array(array)})
        with pytest.raises(ValueError, match=message):
            query_files.load(tmp_path / "q.npz")


def nested_of(query):
    """Returns the nested tuple of a tree: the writer that the reader is held against."""
    match query:
        case Entity(name):
            return name
        case Projection() | Not():
            chain = []
            while isinstance(query, Projection | Not):
                chain.insert(0, query.relation if isinstance(query, Projection) else query_files.NOT)
                query = query.child
            return (nested_of(query), tuple(chain))
        case And(parts):
            return tuple(map(nested_of, parts))
        case Or(parts):
            return (*map(nested_of, parts), (query_files.UNION,))


TREES = st.recursive(
    st.builds(lambda entity, relation: Projection(relation, Entity(entity)), st.integers(0, 9), st.integers(0, 9)),
    lambda inner: (
        st.builds(Projection, st.integers(0, 9), inner)
        | st.builds(Not, inner)
        | st.builds(lambda node, *parts: node(parts), st.sampled_from([And, Or]), inner, inner)
        | st.builds(lambda node, *parts: node(parts), st.sampled_from([And, Or]), inner, inner, inner)
    ),
    max_leaves=6,
)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(tree=TREES)
def test_any_tree_survives_betae(tmp_path_factory, tree):
    folder = write_betae(tmp_path_factory.mktemp("betae"), {"any": {nested_of(tree)}}, hard={nested_of(tree): {4}})
    ((stored,),) = query_files.load(folder, vocabulary=VOCABULARY).values()
    assert stored.query == tree
    assert stored.hard.tolist() == [4]


def test_published_queries():
    folder = os.environ.get("KG_DATA")
    if not folder:
        pytest.skip("needs the folder KG_DATA with fb15k237_triples.npz and fb15k237_q2b_queries.npz")
    folder = pathlib.Path(folder)
    vocabulary = loading.load(folder / "fb15k237_triples.npz").vocabulary
    found = query_files.load(folder / "fb15k237_q2b_queries.npz", vocabulary=vocabulary)
    assert {name: len(of_type) for name, of_type in found.items()} == {
        name: 22812 if name == "1p" else 5000 for name in POSITIVE_TYPES
    }
