"""A trained predictor's file: what was saved comes back for every model, and what is no such file says so."""

import io
import pickle

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cqd import graph, loading, predictor, trained

ENTITIES = ("Ägypten", 'the "West"', "42", "a\tb", "[#1]")
RELATIONS = ("borders", "located in")
PARTS = {
    "train": np.array([[0, 0, 1], [1, 2, 2], [3, 0, 4]], np.int32),
    "valid": np.array([[2, 0, 3]], np.int32),
    "test": np.array([[4, 2, 0]], np.int32),
}


def example(model="complex", parts=None, entities=ENTITIES):
    sizes = {"num_entities": len(entities), "num_relations": 2 * len(RELATIONS)}
    params = predictor.init(jax.random.key(0), rank=3, model=model, scale=1.0, **sizes)
    return trained.Trained(params, graph.Vocabulary(entities, RELATIONS), PARTS if parts is None else parts)


def written(path, content):
    (path / trained.FILE).write_bytes(content)
    return path / trained.FILE


def changed(path, **arrays):
    """Returns the file of the example with some arrays replaced, or left out where they are None."""
    with np.load(io.BytesIO(trained.to_bytes(example()))) as archive:
        content = {name: archive[name] for name in archive.files} | arrays
    np.savez(path / trained.FILE, **{name: array for name, array in content.items() if array is not None})
    return path / trained.FILE


@pytest.mark.parametrize("model", predictor.MODELS)
@pytest.mark.parametrize("by_folder", [True, False])
def test_what_is_saved_comes_back(tmp_path, model, by_folder):
    saved = example(model)
    file = written(tmp_path, trained.to_bytes(saved))
    found = trained.load(tmp_path if by_folder else str(file))
    assert type(found.params) is type(saved.params) is predictor.MODELS[model]
    jax.tree.map(np.testing.assert_array_equal, found.params, saved.params)
    assert (found.vocabulary.entities, found.vocabulary.relations) == (ENTITIES, RELATIONS)
    assert all(table.dtype == np.float32 for table in found.params)
    jax.tree.map(np.testing.assert_array_equal, found.parts, PARTS)


def test_the_same_predictor_gives_the_same_bytes_and_bfloat16_is_kept_as_float32(tmp_path):
    saved = example()
    assert trained.to_bytes(saved) == trained.to_bytes(saved)
    half = saved._replace(params=jax.tree.map(lambda table: table.astype("bfloat16"), saved.params))
    found = trained.load(written(tmp_path, trained.to_bytes(half)))
    np.testing.assert_array_equal(found.params.entity, half.params.entity.astype("float32"))


def test_known_edges_are_train_and_valid_and_full_ones_all(tmp_path):
    found = trained.load(written(tmp_path, trained.to_bytes(example())))
    known, full = found.known(), found.full()
    assert known.contains([(0, 0, 1), (1, 1, 0), (2, 0, 3), (4, 2, 0)]).tolist() == [True, True, True, False]
    assert full.contains([(0, 0, 1), (2, 0, 3), (4, 2, 0), (0, 3, 4), (0, 2, 4)]).tolist() == [True] * 4 + [False]
    assert (known.num_entities, known.num_relations) == (5, 4)


def test_the_file_is_read_as_a_graph_too(tmp_path):
    vocabulary, parts = loading.load(written(tmp_path, trained.to_bytes(example())))
    assert (vocabulary.entities, vocabulary.relations) == (ENTITIES, RELATIONS)
    jax.tree.map(np.testing.assert_array_equal, parts, PARTS)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.text(min_size=1), min_size=1, max_size=6, unique=True),
    st.lists(st.tuples(*[st.integers(0, 5), st.integers(0, 1), st.integers(0, 5)]), min_size=1, max_size=8),
    st.sampled_from(sorted(predictor.MODELS)),
)
def test_any_labels_and_edges_come_back(tmp_path_factory, labels, edges, model):
    triples = np.array([(h % len(labels), 2 * r, t % len(labels)) for h, r, t in edges], np.int32)
    parts = {"train": np.unique(triples, axis=0), "valid": np.zeros((0, 3), np.int32), "test": triples[:1]}
    saved = example(model, parts, tuple(labels))
    found = trained.load(written(tmp_path_factory.mktemp("any"), trained.to_bytes(saved)))
    assert found.vocabulary.entities == tuple(labels)
    jax.tree.map(np.testing.assert_array_equal, found.params, saved.params)
    jax.tree.map(np.testing.assert_array_equal, found.parts, parts)


def test_no_file(tmp_path):
    with pytest.raises(ValueError, match=r"absent: no such file; give the workdir of a finished run of cqd\.main"):
        trained.load(tmp_path / "absent")
    with pytest.raises(ValueError, match=r"has no predictor\.npz; give the workdir of a finished run"):
        trained.load(tmp_path)
    (tmp_path / "graph.tsv").write_text("a\tr\tb\n")
    with pytest.raises(ValueError, match=r"graph\.tsv: not an \.npz file; give the workdir"):
        trained.load(tmp_path / "graph.tsv")


def test_a_graph_is_no_predictor(tmp_path):
    loading.save(loading.Loaded(example().vocabulary, PARTS), tmp_path / "graph.npz")
    with pytest.raises(ValueError, match=r"graph\.npz: no trained predictor; a run of cqd\.main writes one"):
        trained.load(tmp_path / "graph.npz")


class Bomb:
    def __reduce__(self):
        return (open, ("/nonexistent/boom", "w"))


def test_pickles_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"predictor\.npz: not an npz file of plain arrays"):
        trained.load(written(tmp_path, pickle.dumps(Bomb())))
    with pytest.raises(ValueError, match=r"not an npz file of plain arrays .*pickled objects, which are refused"):
        trained.load(changed(tmp_path, table_entity=np.array([Bomb()], object)))
    with pytest.raises(ValueError, match="not an npz file of plain arrays"):
        trained.load(written(tmp_path, trained.to_bytes(example())[:-100]))


def test_tables_that_are_not_of_the_model(tmp_path):
    text = np.frombuffer(b"cp", np.uint8)
    with pytest.raises(ValueError, match="cp is due to have the table subject; train it again"):
        trained.load(changed(tmp_path, model=text))
    with pytest.raises(ValueError, match="no trained predictor"):
        trained.load(changed(tmp_path, model=np.frombuffer(b"transe\xff", np.uint8)))
    matrix = np.zeros((5, 6), np.float32)
    nan = np.where(np.eye(5, 6), np.nan, 0).astype(np.float32)
    for broken in (matrix[0], matrix.astype(int), np.float32(1), nan):
        with pytest.raises(ValueError, match="table_entity is not a matrix of finite numbers; train the predictor"):
            trained.load(changed(tmp_path, table_entity=broken))
    with pytest.raises(ValueError, match=r"no complex has the tables entity \[5, 4\], relation \[4, 6\]"):
        trained.load(changed(tmp_path, table_entity=matrix[:, :4]))
    with pytest.raises(ValueError, match=r"no complex has the tables entity \[5, 5\], relation \[4, 5\]"):
        trained.load(changed(tmp_path, table_entity=matrix[:, :5], table_relation=matrix[:4, :5]))
    with pytest.raises(ValueError, match=r"no cp has the tables .*subject \[4, 6\]"):
        trained.load(changed(tmp_path, model=text, table_subject=matrix[:4]))
    with pytest.raises(ValueError, match="no rotate has the tables"):
        trained.load(changed(tmp_path, model=np.frombuffer(b"rotate", np.uint8)))


def test_another_vocabulary(tmp_path):
    message = "the predictor has 4 entities and 2 relations, the graph 5 and 2: it was trained on another vocabulary"
    with pytest.raises(ValueError, match=message):
        trained.load(changed(tmp_path, table_entity=np.zeros((4, 6), np.float32)))
    with pytest.raises(ValueError, match="the predictor has 5 entities and 1 relations, the graph 5 and 2"):
        trained.load(changed(tmp_path, table_relation=np.zeros((2, 6), np.float32)))
    with pytest.raises(ValueError, match=r"entities is not as cqd\.loading\.save writes it"):
        trained.load(changed(tmp_path, entities=np.arange(3)))
    with pytest.raises(ValueError, match="a graph without the parts train, valid and test"):
        trained.load(changed(tmp_path, train=None, valid=None, test=None, all=PARTS["train"]))
    with pytest.raises(ValueError, match="train, row 0: head 7; ids run from 0 to 4"):
        trained.load(changed(tmp_path, train=np.array([[7, 0, 1]])))


def test_labels_are_compared_with_a_graphs():
    saved = example()
    trained.check_labels(saved, saved.vocabulary, source="x")
    other = graph.Vocabulary((*ENTITIES[:2], "43", *ENTITIES[3:]), RELATIONS)
    with pytest.raises(ValueError, match=r"x: entities #2 is '42' to the predictor and '43' in the graph: it was tra"):
        trained.check_labels(saved, other, source="x")
    turned = graph.Vocabulary(ENTITIES, RELATIONS[::-1])
    with pytest.raises(ValueError, match="x: relations #0 is 'borders' to the predictor and 'located in' in the graph"):
        trained.check_labels(saved, turned, source="x")
    with pytest.raises(ValueError, match="x: the predictor has 5 entities and 2 relations, the graph 4 and 2"):
        trained.check_labels(saved, graph.Vocabulary(ENTITIES[:4], RELATIONS), source="x")
