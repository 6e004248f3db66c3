"""N-Triples and Turtle: edges, names, literals, and what each mistake says."""

import gzip
import logging
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cqd import loading, rdf

pytest.importorskip("pyoxigraph", reason="RDF is read through pyoxigraph: pip install pyoxigraph")

TURTLE = """@prefix : <http://e.org/> . @prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
:s1 :capital :p1 ; rdfs:label "la France"@fr, "France", "Frankreich"@de ; :population 68 .
:s2 :capital :p2 ; rdfs:label "Techas"@an, "Texas"@en .
:p1 rdfs:label "Paris"@en . :p2 rdfs:label "Paris"@en .
:s1 :has [ :in :Europe ] . _:x :in :Europe .
:capital rdfs:label "has  capital" . <http://other.org/Europe> :in :s2 .
"""


def labelled(loaded, part="all"):
    entity, relation = loaded.vocabulary.entities, loaded.vocabulary.relation_label
    return {(entity[h], relation(r), entity[t]) for h, r, t in loaded.parts[part].tolist()}


def test_names_are_labels_then_local_names_then_iris(tmp_path, caplog):
    (tmp_path / "g.ttl").write_text(TURTLE)
    with caplog.at_level(logging.WARNING):
        loaded = loading.load(tmp_path / "g.ttl")
    assert labelled(loaded) == {
        ("France", "has capital", "p1"),  # two cities are labelled Paris
        ("Texas", "has capital", "p2"),
        ("France", "has", "_:b0"),
        ("_:b0", "in", "http://e.org/Europe"),  # two resources have the local name Europe
        ("_:b1", "in", "http://e.org/Europe"),
        ("http://other.org/Europe", "in", "Texas"),
    }
    assert list(loaded.vocabulary.entities) == sorted(loaded.vocabulary.entities)
    assert "literals skipped: 1" in caplog.text
    again = loading.load(tmp_path / "g.ttl")  # nameless blank nodes get the same names every time
    assert again.vocabulary.entities == loaded.vocabulary.entities
    assert (again.parts["all"] == loaded.parts["all"]).all()


def test_gzip_and_the_format_make_no_difference(tmp_path):
    text = "<http://e.org/a> <http://e.org/r> _:x .\n# a remark\n_:x <http://e.org/r> <http://e.org/a> .\n"
    (tmp_path / "g.nt").write_text(text)
    (tmp_path / "g.nt.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "g.ttl").write_text(text)
    assert labelled(loading.load(tmp_path / "g.nt")) == {("a", "r", "_:x"), ("_:x", "r", "a")}
    assert labelled(loading.load(tmp_path / "g.nt.gz")) == {("a", "r", "_:x"), ("_:x", "r", "a")}
    assert labelled(loading.load(tmp_path / "g.ttl")) == {("a", "r", "_:b0"), ("_:b0", "r", "a")}
    (tmp_path / "bad.nt.gz").write_bytes(gzip.compress(text.encode())[:-9])
    with pytest.raises(ValueError, match=r"bad\.nt\.gz: not a whole gzip file"):
        loading.load(tmp_path / "bad.nt.gz")


def test_folder_of_parts(tmp_path):
    for part in loading.PARTS:
        (tmp_path / f"{part}.ttl").write_text(f"<http://e.org/{part}> <http://e.org/r> [] .")
    loaded = loading.load(tmp_path)
    # A blank node belongs to its file, so the three are different.
    assert [labelled(loaded, part) for part in loading.PARTS] == [
        {("train", "r", "_:b0")},
        {("valid", "r", "_:b1")},
        {("test", "r", "_:b2")},
    ]
    (tmp_path / "valid.ttl").rename(tmp_path / "valid.ttl.away")
    (tmp_path / "valid.tsv").write_text("a\tr\tb\n")
    with pytest.raises(ValueError, match="give all three in one format"):
        loading.load(tmp_path)


def test_mistakes_name_file_and_line(tmp_path):
    good = "<http://e.org/a> <http://e.org/r> <http://e.org/b> .\n"
    for name, text, message in (
        ("g.nt", good + "<http://e.org/a> <http://e.org/r> b .\n", r"g\.nt:2: .*"),
        ("g.nt", good + good + "\n<http://e.org/a b> <http://e.org/r> <http://e.org/b> .\n", r"g\.nt:4: "),
        ("g.ttl", good + ":a :r :b .\n", r"g\.ttl:2: .*prefix"),
        ("g.ttl", '<http://e.org/a> <http://e.org/r> "b" .\n', r"g\.ttl: an empty graph"),
        ("g.nt", "", r"g\.nt: an empty graph"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(ValueError, match=message):
            loading.load(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        loading.load(tmp_path / "absent.nt")


def test_without_pyoxigraph_the_command_is_named(tmp_path, monkeypatch):
    (tmp_path / "g.nt").write_text("")
    monkeypatch.setitem(sys.modules, "pyoxigraph", None)
    with pytest.raises(ValueError, match=r"g\.nt: RDF needs pyoxigraph.*pip install pyoxigraph"):
        loading.load(tmp_path / "g.nt")


NAMES = st.text("ab/:é", max_size=4).map("http://e.org/".__add__)
TEXTS = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=3)


def literal(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    triples=st.lists(st.tuples(NAMES, NAMES, NAMES), min_size=1, max_size=8),
    labels=st.dictionaries(NAMES, TEXTS, max_size=6),
    literals=st.lists(st.tuples(NAMES, TEXTS), max_size=3),
)
def test_any_edges_survive(tmp_path_factory, triples, labels, literals):
    path = tmp_path_factory.mktemp("rdf") / "g.nt"
    lines = [f"<{h}> <{r}> <{t}> ." for h, r, t in triples]
    lines += [f"<{name}> <{rdf.LABEL}> {literal(text)} ." for name, text in labels.items()]
    lines += [f"<{name}> <http://e.org/note> {literal(text)} ." for name, text in literals]
    path.write_text("\n".join(lines), encoding="utf-8")
    found = rdf.read({"all": path})
    iris, relations = found.entities[2], found.relations[2]
    assert [(iris[h], relations[r // 2], iris[t]) for h, r, t in found.parts["all"].tolist()] == triples
    assert found.entities[0] == [" ".join(labels.get(iri, "").split()) for iri in iris]
    assert found.num_literals == len(literals) + sum(not text.strip() for text in labels.values())
    loaded = loading.load(path)
    assert len(set(loaded.vocabulary.entities)) == len(iris)
    assert len(labelled(loaded)) == len(set(triples))
