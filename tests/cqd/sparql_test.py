"""SPARQL: questions on the countries graph, rdflib's own evaluation as the reference, and what each mistake says."""

import functools
import sys

import numpy as np
import pytest
import rdflib
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cqd import cutset, loading, rooting, sparql, symbolic
from cqd.graph import Vocabulary, build_index
from cqd.query import to_text


def evaluator(index):
    def evaluate(queries):
        truths = np.zeros((len(queries), index.num_entities))
        for slot, found in zip(truths, symbolic.answers(index, queries)):
            slot[found] = 1
        return truths

    return evaluate


@functools.cache
def countries():
    loaded = loading.countries()
    vocabulary = loaded.vocabulary
    sizes = {"num_entities": vocabulary.num_entities, "num_relations": vocabulary.num_relations}
    return vocabulary, build_index(loaded.parts["all"], **sizes)


def labels(text):
    """Returns the set of answers on the countries graph, or of pairs of them."""
    vocabulary, index = countries()
    compiled = sparql.compile(text, vocabulary)
    options = {"num_entities": vocabulary.num_entities}
    if len(compiled.select) == 2:
        found = cutset.pairs(compiled, evaluator(index), num_pairs=10_000, **options)
        return {(vocabulary.entities[a], vocabulary.entities[b]) for a, b, _ in found}
    return {vocabulary.entities[i] for i in np.flatnonzero(cutset.answer(compiled, evaluator(index), **options))}


def test_countries_that_border_china_and_india():
    wanted = {"Bhutan", "Myanmar", "Nepal", "Pakistan"}
    assert labels("SELECT ?x WHERE { ?x :borders :China, :India }") == wanted
    assert labels("SELECT ?x { :China :borders ?x . :India :borders ?x }") == wanted


def test_english_speaking_caribbean():
    found = labels('SELECT ?country WHERE { ?country :language :English ; :area "Caribbean" . }')
    assert {"Jamaica", "Barbados", "Trinidad and Tobago", "Saint Lucia"} <= found
    assert not found & {"Cuba", "Haiti", "Belize", "United Kingdom"}


def test_capitals_of_countries_that_border_greece_or_turkey():
    found = labels("SELECT ?c { { ?n :borders :Greece } UNION { ?n :borders :Turkey } ?n :capital ?c }")
    assert found >= {"Tbilisi", "Yerevan", "Sofia", "Tirana", "Skopje", "Baku", "Tehran", "Baghdad", "Damascus"}
    assert len(found) == 11


def test_spanish_speaking_neighbours_of_colombia():
    wanted = {"Ecuador", "Panama", "Peru", "Venezuela"}
    assert labels("SELECT ?x { ?x :borders :Colombia ; :language :Spanish }") == wanted


def test_region_of_the_country_whose_capital_is_bridgetown():
    assert labels("SELECT ?r { ?country :capital :Bridgetown ; :region ?r }") == {"Americas"}
    assert labels("SELECT ?r { ?r ^:region/:capital :Bridgetown }") == {"Americas"}
    assert labels("SELECT ?r { :Bridgetown ^:capital/:region ?r }") == {"Americas"}
    assert labels("SELECT ?r { ?r ^(^:capital/:region) :Bridgetown }") == {"Americas"}


def test_negations():
    around_china = labels("SELECT ?x { ?x :borders :China }")
    both = labels("SELECT ?x { ?x :borders :China, :India }")
    for part in ("MINUS { ?x :borders :India }", "FILTER NOT EXISTS { ?x :borders :India }"):
        assert labels(f"SELECT ?x {{ ?x :borders :China {part} }}") == around_china - both
    assert labels("SELECT ?x { FILTER (NOT EXISTS { :India :borders ?x }) ?x :borders :China }") == around_china - both
    islands = labels("SELECT ?x { ?x :area :Caribbean MINUS { ?x :borders ?y } }")
    assert "Jamaica" in islands
    assert not islands & {"Haiti", "Dominican Republic"}


def test_all_neighbours_by_two_negations():
    """Countries with a neighbour, and none that does not speak Spanish."""
    found = labels(
        "SELECT ?x { ?x :borders ?z FILTER NOT EXISTS { ?x :borders ?y FILTER NOT EXISTS { ?y :language :Spanish } } }"
    )
    spanish = labels("SELECT ?x { ?x :language :Spanish }")
    neighbours = labels("SELECT ?x ?y { ?x :borders ?y }")
    assert found == {x for x, _ in neighbours if {b for a, b in neighbours if a == x} <= spanish}
    assert found


def test_cycles_and_pairs():
    neighbours = labels("SELECT ?x ?y { ?x :borders ?y }")
    assert len(neighbours) == 640
    triangles = labels("SELECT ?x { ?x :borders ?y . ?y :borders ?z . ?z :borders ?x }")
    assert triangles == {a for a, b in neighbours for c, d in neighbours if b == c and (d, a) in neighbours}
    francs = labels("SELECT ?x ?y { ?x :borders ?y ; :currency ?c . ?y :currency ?c ; :language :French }")
    assert ("Benin", "Togo") in francs
    assert francs < neighbours


def test_limit_and_distinct():
    vocabulary, _ = countries()
    assert sparql.compile("SELECT DISTINCT ?x { ?x :borders :China } LIMIT 7", vocabulary).limit == 7
    assert sparql.compile("SELECT REDUCED ?x { ?x :borders :China } OFFSET 0", vocabulary).limit is None


VOCABULARY = Vocabulary(
    ("A_B", "A B", "A B C", "http://x.org/Chad", "http://y.org/Mali", "http://z.org/Mali", "Peru", "it's", '"q"', "42"),
    ("located in", "http://x.org/r#near"),
)


@pytest.mark.parametrize(
    ("term", "label"),
    [
        (":A_B", "A_B"),
        ('"A B"', "A B"),
        ("'A B'", "A B"),
        ('"A B"@en', "A B"),
        (":A_B_C", "A B C"),
        (":A%20B%20C", "A B C"),
        (":it\\'s", "it's"),
        ('"\\"q\\""', '"q"'),
        ("<http://x.org/Chad>", "http://x.org/Chad"),
        ("x:Chad", "http://x.org/Chad"),
        (":Chad", "http://x.org/Chad"),
        ("<Chad>", "http://x.org/Chad"),
        ("<http://elsewhere.org/Peru>", "Peru"),
        ("x:Peru", "Peru"),
        ("<http://y.org/Mali>", "http://y.org/Mali"),
        ("42", "42"),
    ],
)
def test_names(term, label):
    text = f"PREFIX x: <http://x.org/> SELECT ?x {{ ?x :located_in {term} }}"
    assert to_text(sparql.compile(text, VOCABULARY).at()) == f"#1(#{VOCABULARY.entity_id(label)})"


def test_names_of_relations_and_labels():
    for relation in (":near", "<http://x.org/r#near>", "n:near"):
        text = f"PREFIX n: <http://x.org/r#> SELECT ?x {{ ?x {relation} :Peru }}"
        assert to_text(sparql.compile(text, VOCABULARY).at()) == "#3(#6)"
    based = "BASE <http://x.org/> SELECT ?x { ?x <r#near> <Chad> }"
    assert to_text(sparql.compile(based, VOCABULARY).at()) == "#3(#3)"
    for label in ('?y rdfs:label "Peru"', '?y rdfs:label "Peru"@es', '"Peru" ^rdfs:label ?y'):
        assert to_text(sparql.compile(f"SELECT ?x {{ ?x :near ?y . {label} }}", VOCABULARY).at()) == "#3(#6)"


UNSUPPORTED = {
    "SELECT ?x {\n ?x :borders ?y\n OPTIONAL { ?y :capital ?c } }": "line 3, column 2: OPTIONAL is not supported",
    "SELECT ?x { ?x :borders ?y VALUES ?y { :Chad } }": "column 28: VALUES",
    "SELECT ?x { ?x :borders ?y } VALUES ?y { :Chad }": "VALUES",
    "SELECT ?x { ?x :borders ?y BIND(?y AS ?z) }": "BIND",
    "SELECT ?x { ?x :borders ?y } ORDER BY ?x": "ORDER BY",
    "SELECT ?x { ?x :borders ?y } LIMIT 2 OFFSET 1": "OFFSET",
    "SELECT ?x { ?x :borders ?y } GROUP BY ?x": "GROUP BY",
    "SELECT ?x { ?x :borders ?y } HAVING (COUNT(?y) > 1)": "HAVING",
    "SELECT (COUNT(?x) AS ?n) { ?x :borders ?y }": "AS, COUNT",
    "SELECT (?x AS ?z) { ?x :borders ?y }": "SELECT with an expression",
    "SELECT * { ?x :borders ?y }": r"SELECT \*",
    "SELECT ?x FROM <g> { ?x :borders ?y }": "FROM",
    "SELECT ?x { GRAPH <g> { ?x :borders ?y } }": "GRAPH",
    "SELECT ?x { SERVICE <g> { ?x :borders ?y } }": "SERVICE",
    "SELECT ?x { ?x :borders ?y { SELECT ?y { ?y :borders ?z } } }": "sub-SELECT",
    "SELECT ?x { SELECT ?x { ?x :borders ?z } }": "sub-SELECT",
    "SELECT ?x { ?x :borders|:capital ?y }": r"the path \|",
    "SELECT ?x { ?x :borders* ?y }": r"the path \*",
    "SELECT ?x { ?x (:borders/:capital)+ ?y }": r"the path \+",
    "SELECT ?x { ?x :borders? ?y }": r"the path \?",
    "SELECT ?x { ?x !:borders ?y }": "the path !",
    "SELECT ?x { ?x ?p :Chad }": r"column 16: the variable predicate \?p",
    "SELECT ?x { ?x :borders (:Chad) }": "a list",
    "SELECT ?x { ?x :borders ?y FILTER(?x != ?y) }": "FILTER by comparison",
    "SELECT ?x { ?x :borders ?y FILTER EXISTS { ?y :borders :Chad } }": "FILTER EXISTS",
    "SELECT ?x { ?x :borders ?y FILTER(?y) }": "FILTER by a value",
    "SELECT ?x { ?x :borders ?y FILTER regex(?y, 'a') }": "FILTER by REGEX",
    "SELECT ?x { ?x :borders ?y FILTER(!bound(?y)) }": "FILTER by !",
    "SELECT ?x { ?x :borders ?y FILTER(NOT EXISTS { ?x :capital ?y } && NOT EXISTS { ?y :area ?x }) }": "FILTER by &&",
    "ASK { ?x :borders ?y }": "ASK",
    "CONSTRUCT { ?x :borders ?y } WHERE { ?x :borders ?y }": "CONSTRUCT",
    "DESCRIBE ?x { ?x :borders ?y }": "DESCRIBE",
}


@pytest.mark.parametrize("text", UNSUPPORTED)
def test_unsupported_constructs_are_named(text):
    with pytest.raises(ValueError, match=UNSUPPORTED[text]) as error:
        sparql.compile(text, countries()[0])
    assert "is not supported: basic patterns, UNION, MINUS" in str(error.value)
    assert "\n" not in str(error.value)


MISTAKES = {
    "SELECT ?x {\n  ?x :borders :China .\n  ?x borders :India }": "SPARQL line 3, column 3: not understood from",
    "SELECT ?x { ?x :borders :China ": "line 1, column 32: not understood from the end",
    "": "line 1, column 1",
    "borders(China)": "line 1, column 1: not understood from 'borders",
    "SELECT ?x { ?x :borders :Chnia }": r"unknown entity 'Chnia' \(nearest: 'China'",
    'SELECT ?x { ?x :borders "United_States" }': r"unknown entity 'United_States' \(nearest: 'United States'",
    "SELECT ?x { ?x :brders :China }": r"unknown relation 'brders' \(nearest: 'borders'",
    "SELECT ?x { ?x dbo:borders :China }": "unknown prefix dbo: ",
    "SELECT ?x { ?x :borders :China } LIMIT 0": "LIMIT 0",
    "SELECT ?x { }": r"\?x is selected but does not occur",
    "SELECT ?y { ?x :borders :China }": r"\?y is selected but does not occur",
    "SELECT ?x ?y ?z { ?x :borders ?y . ?y :borders ?z }": "3 selected variables",
    "SELECT ?x { FILTER NOT EXISTS { ?x :borders :China } }": r"negation of \?x shares no variable",
    "SELECT ?x { MINUS { ?x :borders :China } ?x :borders :India }": r"negation of \?x shares no variable",
    "SELECT ?x { ?x :borders :India MINUS { ?y :borders :China } }": r"negation of \?y shares no variable",
    "SELECT ?x { { ?x :borders :India } UNION { ?y :borders :China } }": r"\?x .* some branches",
    "SELECT ?x { { ?x :borders ?y } UNION { ?x :region :Asia } MINUS { ?y :borders :China } ?x :borders ?y }": (
        r"\?y is negated but bound in only some branches"
    ),
    "SELECT ?x { ?x :borders :India . ?y :borders :China }": r"links \?y to \?x",
    "SELECT ?x { ?x :borders :India . [] :borders :China }": r"links _:\S+ to \?x",
    "SELECT ?x { ?x :borders ?y { ?y :capital ?z FILTER NOT EXISTS { ?z :capital ?x } } }": (
        r"\?x in FILTER NOT EXISTS is bound outside the filter's group"
    ),
    "SELECT ?x { ?x rdfs:label ?y }": "rdfs:label is read as",
    "SELECT ?x { ?x :borders -3.5 }": "SPARQL: cannot be read|unknown entity",
    "SELECT ?x { ?x " + "/".join([":borders"] * 65) + " :China }": "at most 64",
    "SELECT ?x " + "{" * 300 + "?x :borders :China" + "}" * 300: "nested too deeply",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_mistakes_are_one_clear_line(text):
    with pytest.raises(ValueError, match=MISTAKES[text]) as error:
        sparql.compile(text, countries()[0])
    assert "\n" not in str(error.value)


def test_an_ambiguous_name_lists_its_labels():
    for name in (":Mali", "<Mali>", "<http://elsewhere.org/Mali>"):
        with pytest.raises(ValueError, match=r"entity 'Mali' is ambiguous: 'http://y.org/Mali', 'http://z.org/Mali'"):
            sparql.compile(f"SELECT ?x {{ ?x :near {name} }}", VOCABULARY)


def test_without_rdflib_the_way_out_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "rdflib.plugins.sparql.parser", None)
    with pytest.raises(ValueError, match="pip install rdflib"):
        sparql.compile("SELECT ?x { ?x :borders :China }", countries()[0])


TERMS = st.sampled_from(["?x", "?x", "?y", "?y", "?z", ":e0", ":e1"])
PATHS = st.sampled_from([":p", ":q", "^:p", ":p/:q", ":q/^:p", "^(:p/:q)"])
TRIPLES = st.tuples(TERMS, PATHS, TERMS).filter(lambda one: "?" in one[0] + one[2]).map(" ".join)
BLOCKS = st.lists(TRIPLES, min_size=1, max_size=3).map(" . ".join)


def groups(inner):
    union = st.lists(inner, min_size=1, max_size=2).map(lambda parts: " UNION ".join(f"{{ {one} }}" for one in parts))
    minus = inner.map("MINUS {{ {} }}".format)
    without = inner.map("FILTER NOT EXISTS {{ {} }}".format)
    parts = st.lists(BLOCKS.map("{} .".format) | union | minus | without, max_size=2)
    return st.tuples(BLOCKS.map("{} .".format), parts).map(lambda both: " ".join([both[0], *both[1]]))


GROUPS = st.recursive(BLOCKS, groups, max_leaves=4)


def compare_with_rdflib(select, group, seed):
    """Asserts that the answers on a random graph are those of rdflib; returns how many they are."""
    rng = np.random.default_rng(seed)
    vocabulary = Vocabulary([f"e{i}" for i in range(4)], ["p", "q"])
    triples = np.stack([rng.integers(4, size=9), 2 * rng.integers(2, size=9), rng.integers(4, size=9)], axis=1)
    text = f"SELECT DISTINCT {select} WHERE {{ {group} }}"
    compiled = sparql.compile(text, vocabulary)
    graph = rdflib.Graph()
    name = rdflib.Namespace("u:")
    for head, relation, tail in triples.tolist():
        graph.add((name[f"e{head}"], name[vocabulary.relations[relation // 2]], name[f"e{tail}"]))
    wanted = {tuple(int(str(value)[-1]) for value in row) for row in graph.query("PREFIX : <u:> " + text)}
    evaluate = evaluator(build_index(triples.astype(np.int32), num_entities=4, num_relations=4))
    if len(compiled.select) == 1:
        found = {(int(i),) for i in np.flatnonzero(cutset.answer(compiled, evaluate, num_entities=4))}
    else:
        found = {(a, b) for a, b, _ in cutset.pairs(compiled, evaluate, num_entities=4, num_pairs=16)}
    assert found == wanted, text
    return len(found)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(group=GROUPS, select=st.sampled_from(["?x", "?x", "?x ?y"]), seed=st.integers(0, 3))
def test_answers_are_those_of_rdflib(group, select, seed):
    try:
        sparql.compile(f"SELECT {select} {{ {group} }}", Vocabulary([f"e{i}" for i in range(4)], ["p", "q"]))
    except ValueError:
        assume(False)
    compare_with_rdflib(select, group, seed)


SCOPES = {
    "what stands after MINUS": "?x :p ?y MINUS { ?x :q ?z } ?y :q ?z",
    "inside MINUS": "?x :p ?y MINUS { ?x :q ?z FILTER NOT EXISTS { ?z :p ?y } }",
    "inside NOT EXISTS": "?x :p ?y FILTER NOT EXISTS { ?x :q ?z FILTER NOT EXISTS { ?z :p ?y } }",
    "two levels up": (
        "?x :p ?y FILTER NOT EXISTS { ?x :q ?z FILTER NOT EXISTS { ?z :p ?w FILTER NOT EXISTS { ?w :q ?y } } }"
    ),
    "cycle in two negations": "?x :p ?y FILTER NOT EXISTS { ?x :q ?z . ?z :p ?w FILTER NOT EXISTS { ?w :p ?y } }",
    "a filter before": "FILTER NOT EXISTS { ?x :q ?y } ?x :p ?y",
    "two of one name": "?x :p ?y MINUS { ?x :q ?z } FILTER NOT EXISTS { ?z :q ?y }",
}


@pytest.mark.parametrize("scope", SCOPES)
def test_scopes_of_variables_are_those_of_rdflib(scope):
    assert sum(compare_with_rdflib("?x", SCOPES[scope], seed) for seed in range(12)) > 0


WORDS = """
    SELECT ?x ?y { } ( ) [ ] . ; , / ^ | * + ? ! :borders :China <a> "China" UNION MINUS FILTER NOT EXISTS OPTIONAL
    LIMIT 3 -2 rdfs:label a _:b PREFIX BASE x: WHERE \\ ' # é \\u0041 \\uD800 = && 1e5 @en ^^ true
"""
PIECES = st.sampled_from(WORDS.split())


def assert_read_or_refused(text):
    try:
        compiled = sparql.compile(text, countries()[0])
    except ValueError:
        with pytest.raises(ValueError, match=r"\A[^\n]+\Z"):
            sparql.compile(text, countries()[0])
    else:
        assert isinstance(compiled, rooting.Compiled)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(text=st.lists(PIECES, max_size=12).map(" ".join) | st.text(max_size=20))
def test_any_text_is_a_query_or_a_value_error(text):
    assert_read_or_refused(text)
    assert_read_or_refused(f"SELECT ?x {{ ?x :borders :China {text} }}")


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_misprint_is_a_query_or_a_value_error(data):
    text = data.draw(st.sampled_from([*UNSUPPORTED, *list(MISTAKES)[:-2]]))
    at = data.draw(st.integers(0, len(text)))
    misprint = data.draw(PIECES | st.text(max_size=2))
    assert_read_or_refused(text[:at] + misprint + text[at + data.draw(st.integers(0, 3)) :])
