"""Strategies for inputs that are nearly right: what a grammar makes, and small changes of it."""

import io
import json
import pickle

import numpy as np
from hypothesis import strategies as st

from darts_perturb import space as spaces
from tests.fuzz import graph_files, other_files, pieces, run_files, texts

PLACES = st.integers(0, 10_000)


@st.composite
def changed(draw, strategy, alphabet):
    """Draws bytes of a strategy, changed in none to two places: a piece taken out, doubled, or put in."""
    data = draw(strategy)
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 1, 2]))):
        start = draw(PLACES) % (len(data) + 1)
        stop = min(len(data), start + draw(st.integers(0, 6)))
        put = draw(st.sampled_from([b"", data[start:stop] * 2, *alphabet]) | st.binary(max_size=3))
        data = data[:start] + put + data[stop:]
    return data


def encoded(text):
    """Returns text as bytes."""
    return text.encode("utf-8", "surrogateescape")


# queries as trees

NAMES = st.sampled_from([*texts.ENTITIES, *texts.RELATIONS, "#0", "#3", "#99", '"a"', '"x (y)"', r'"\""', "é", "x y"])
TREES = st.recursive(
    NAMES,
    lambda part: st.one_of(
        st.builds("{}{}({})".format, NAMES, st.sampled_from(["", "^-1", " ^-1 "]), part),
        st.builds("!{}".format, part),
        st.builds("({})".format, part),
        st.builds("{}{}{}".format, part, st.sampled_from(["&", " & ", "|", " |\n"]), part),
    ),
    max_leaves=8,
).map(encoded)
TREE_SIGNS = (b"&", b"|", b"!", b"(", b")", b'"', b"^-1", b"#", b"\\", b" ", b"\n", b"p(", b"\xff", b"SELECT")

# queries in SPARQL

_VARIABLES = st.sampled_from(["?x", "?x", "?x", "?y", "?z", "$x"])
_TERMS = _VARIABLES | _VARIABLES | st.sampled_from([":a", ":b", ":c", ":e_f", "_:n", "[]"])
_PATHS = st.recursive(
    st.sampled_from([":p", ":q"]),
    lambda path: st.one_of(
        st.builds("^{}".format, path), st.builds("{}/{}".format, path, path), st.builds("({})".format, path)
    ),
    max_leaves=3,
)
_BLOCKS = st.one_of(
    st.builds("{} {} {} .".format, _TERMS, _PATHS, _TERMS),
    st.builds("{} {} {} ; {} {} .".format, _TERMS, _PATHS, _TERMS, _PATHS, _TERMS),
    st.builds("{} {} {} , {} .".format, _TERMS, _PATHS, _TERMS, _TERMS),
    st.builds("{} {} [ {} {} ] .".format, _TERMS, _PATHS, _PATHS, _TERMS),
)
_GROUPS = st.recursive(
    st.lists(_BLOCKS, min_size=1, max_size=3).map(" ".join),
    lambda group: st.one_of(
        st.builds("{} {{ {} }}".format, group, group),
        st.builds("{} {{ {} }} UNION {{ {} }}".format, group, group, group),
        st.builds("{{ {} }} UNION {{ {} }} {}".format, group, group, group),
        st.builds("{} MINUS {{ {} }}".format, group, group),
        st.builds("{} FILTER NOT EXISTS {{ {} }}".format, group, group),
        st.builds("{} OPTIONAL {{ {} }}".format, group, group),
    ),
    max_leaves=4,
)
QUESTIONS = st.builds(
    "{} {} WHERE {{ {} }}{}".format,
    st.sampled_from(["SELECT", "select distinct", "PREFIX : <urn:label:> SELECT"]),
    st.sampled_from(["?x", "?x", "?x", "?x ?y", "?y", "?z ?x"]),
    _GROUPS,
    st.sampled_from([*[""] * 8, " LIMIT 2", " ORDER BY ?x"]),
).map(encoded)
QUESTION_WORDS = (
    *(
        b"{",
        b"}",
        b"(",
        b")",
        b"[",
        b"]",
        b".",
        b";",
        b",",
        b"/",
        b"^",
        b"?x",
        b":p",
        b":a",
        b"UNION",
        b"MINUS",
        b"FILTER",
    ),
    *(b'"a"', b"'", b"<", b"#", b"\\", b"\xff", b"BASE <http://[>", b"rdfs:label", b"a", b"1e9", b"|", b"*", b"!"),
)

# genotypes and spaces

_OPS = st.sampled_from(
    [*spaces.NAS_BENCH_201.ops, "sep_conv_3x3", "dil_conv_5x5", "max_pool_3x3", "noise", "sep_conv_03x03"]
)
_NB201 = st.lists(_OPS, min_size=6, max_size=6).map(
    lambda ops: "|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|".format(*ops),
)
_PAIRS = st.tuples(*(st.tuples(_OPS, st.integers(0, node // 2 + 1)) for node in range(8))).map(
    lambda pairs: str(list(pairs))
)
_CONCATS = st.sampled_from(
    ["range(2, 6)", "[2, 3, 4, 5]", "(3,)", "range(3,5)", "[True, 2]", "{2}", "range(9)", "[2.0]"]
)
_DARTS = st.builds(
    "Genotype(normal={}, normal_concat={}, reduce={}, reduce_concat={})".format, _PAIRS, _CONCATS, _PAIRS, _CONCATS
)
GENOTYPES = st.builds(lambda kind, text: bytes([kind]) + encoded(text), st.integers(0, 6), _NB201 | _DARTS)
GENOTYPE_SIGNS = (
    b"|",
    b"~",
    b"+",
    b"0",
    b"~00",
    b"(",
    b")",
    b"[",
    b"]",
    b",",
    b"'",
    b"-",
    b"0x",
    b"range(",
    b"\0",
    b"\n",
    b"*",
)

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 9) | st.floats() | st.sampled_from(["none", "stages", "x", "\udcff"]),
    lambda value: (
        st.lists(value, max_size=3) | st.dictionaries(st.sampled_from(["ops", "edges", "a"]), value, max_size=3)
    ),
    max_leaves=5,
)
_EDGES = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4)).map(list), min_size=1, max_size=6)
SPACES = st.fixed_dictionaries(
    {"ops": st.lists(_OPS, max_size=4) | _JSON, "edges": _EDGES | st.just([[0, 1], [0, 2], [1, 2]]) | _JSON},
    optional={
        "skeleton": st.sampled_from(["stages", "reductions"]) | _JSON,
        "choices": _JSON,
        "pool_norm": st.booleans() | _JSON,
        "name": _JSON,
    },
).map(lambda space: json.dumps(space).encode())
JSON_SIGNS = (b"[", b"]", b"{", b"}", b'"', b",", b":", b"0", b"-", b"NaN", b"1e999", b"true", b"\xff", b"\\ud800")

# files of graphs

_LABELS = st.sampled_from(["a", "b", "c c", "p", " a ", "é", "\u2028", "\x85", "a^-1", "\ufeff", "\x00", "", "1"])
_LINES = st.lists(_LABELS, min_size=1, max_size=4).map("\t".join) | st.tuples(_LABELS, _LABELS, _LABELS).map("\t".join)
TABLES = st.builds(
    lambda kind, lines, end: bytes([kind]) + encoded(end.join(lines)),
    st.integers(0, 15),
    st.lists(_LINES, max_size=6),
    st.sampled_from(["\n", "\r\n", "\n\n", "\r"]),
)
SIGNS = (b"\t", b"\n", b"\r", b" ", b"^-1", b"\xff", b"\xc2\x85", b"9" * 30, b"-1", "٣".encode())


@st.composite
def openke(draw):
    """Draws the files of an OpenKE folder, mostly with right counts and ids."""
    num_names = draw(st.integers(1, 4)), draw(st.sampled_from([1, 1, 2, 0]))
    files = {}
    for kind, count in zip(("entity", "relation"), num_names):
        ids = draw(st.permutations(range(count)))
        rows = [
            f"{draw(st.sampled_from(['a', 'b', 'c c', 'é']) | _LABELS)}{draw(st.sampled_from([chr(9), ' ']))}{i}"
            for i in ids
        ]
        files[f"{kind}2id.txt"] = "\n".join([str(count + draw(st.sampled_from([0] * 9 + [1]))), *rows])
    for part in graph_files.PARTS:
        limits = (num_names[0], num_names[0], num_names[1])
        rows = draw(st.lists(st.tuples(*(st.integers(0, max(limit - 1, 0)) for limit in limits)), max_size=4))
        files[f"{part}2id.txt"] = "\n".join([str(len(rows)), *(" ".join(map(str, row)) for row in rows)])
    left_out = draw(st.sampled_from([*[None] * 20, *files]))
    return pieces.join({name: encoded(text) for name, text in files.items() if name != left_out})


_DTYPES = st.sampled_from(["i8", "i4", "u8", "u1", "f4", "f8", "g", "?", "c8", "U3", "S2", "M8[s]"])
_IDS = st.sampled_from([0, 0, 1, 1, 2, 3, -1, 2**31, 2**40])


@st.composite
def arrays(draw, names, shapes):
    """Draws arrays in pieces: of every name, of one of the shapes, of small numbers in any type."""
    files = {}
    for name in names:
        if draw(st.integers(0, 9)) == 0:
            continue
        shape = draw(shapes)
        with np.errstate(all="ignore"):
            values = np.array(draw(st.lists(_IDS, min_size=int(np.prod(shape)), max_size=int(np.prod(shape)))))
            dtype = draw(st.sampled_from(["i8", "i8", "u1"]) | _DTYPES)
            files[name] = pieces.npy(values.reshape(shape).astype(dtype))
    return pieces.join(files)


TRIPLES = st.sampled_from([(1, 3), (2, 3), (2, 3), (0, 3), (3,), (2, 2), (), (1, 3, 1)])
ID_ARRAYS = arrays(("train", "valid", "test"), TRIPLES) | arrays(("all",), TRIPLES)


@st.composite
def packed_ids(draw):
    """Draws an .npz of triples with names within: JSON of any kind."""
    graph = {"all": pieces.npy(np.array([[0, 0, 1]]))}
    for kind, good in (("entities", ["a", "b"]), ("relations", ["p"])):
        value = draw(st.just(good) | st.lists(st.text(max_size=2), max_size=3) | _JSON)
        graph[kind] = pieces.npy(np.frombuffer(json.dumps(value).encode(), np.uint8))
    return pieces.join(graph)


QUERY_ARRAYS = arrays(graph_files.QUERIES, st.sampled_from([(1, 2), (2, 3), (1, 4), (1, 5), (2,), ()]))
PREDICTORS = st.builds(
    lambda model, tables: pieces.join({"model": pieces.npy(np.frombuffer(model, np.uint8))}) + b"\n\x1e\x1e\n" + tables,
    st.sampled_from([b"complex", b"distmult", b"cp", b"rotate", b"x"]),
    arrays(
        other_files.PREDICTOR[1:4], st.sampled_from([(3, 4), (2, 4), (2, 2), (3, 2), (3, 3), (0, 4), (3, 0)])
    ).flatmap(lambda tables: packed_ids().map(lambda graph: tables + b"\n\x1e\x1e\n" + graph)),
)
IMAGES = arrays(other_files.IMAGES, st.sampled_from([(2, 4, 4), (2, 4, 4, 3), (2,), (2, 1), (0, 4, 4)]))
ACCURACIES = st.binary(max_size=200) | arrays(("acc",), TRIPLES).map(lambda data: data.partition(b"\n")[2])

# pickles: of plain containers, and of opcodes in any order

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda value: st.lists(value, max_size=3) | st.lists(value, max_size=3).map(tuple),
    max_leaves=6,
)
KEYS = st.recursive(st.integers(-3, 3) | st.text(max_size=2), lambda value: st.lists(value, max_size=3).map(tuple))
OPCODES = st.lists(
    st.sampled_from(
        [*(bytes([code]) for code in range(256) if bytes([code]) in b"}])(.NKMJIFVXUCGcRbolditaesuhjqrpg012Q")]
    )
    | st.sampled_from(
        [b"K\x01", b"X\x01\0\0\0a", b"cbuiltins\nlist\n", b"ccollections\ndefaultdict\n", b"\x85", b"\x86", b"\x90"]
    )
    | st.binary(max_size=3),
    max_size=25,
).map(b"".join)


@st.composite
def pickled_folders(draw):
    """Draws the files of BetaE: names, triples, queries and answers, all nearly right."""
    nested = st.recursive(
        st.integers(0, 3),
        lambda part: (
            st.tuples(part, st.lists(st.sampled_from([0, 1, 1, -2, -1, 5]), max_size=2).map(tuple))
            | st.tuples(part, part)
            | st.tuples(part, part, st.just((-1,)))
        ),
        max_leaves=4,
    )
    answers = st.dictionaries(nested, st.sets(st.integers(-1, 4), max_size=3), max_size=3)
    rows = st.lists(st.tuples(*(st.integers(0, 2),) * 3), max_size=3)
    names = st.sampled_from(["a", "b", "+r", "-r", 5, None, "\udcff"])
    files = {
        "id2ent.pkl": {i: draw(st.just(f"e{i}") | names) for i in range(draw(st.integers(1, 4)))},
        "id2rel.pkl": {i: draw(names) for i in range(draw(st.sampled_from([2, 2, 4, 1])))},
        "test-queries.pkl": {("e", ("r",)): set(draw(st.lists(nested, max_size=4)))},
        "test-easy-answers.pkl": draw(answers),
        "test-hard-answers.pkl": draw(answers | st.lists(st.integers())),
    }
    files = {name: pickle.dumps(content, draw(st.sampled_from([0, 2, 4]))) for name, content in files.items()}
    for part in graph_files.PARTS:
        files[f"{part}.txt"] = encoded("\n".join("\t".join(map(str, row)) for row in draw(rows)))
    return pieces.join(files)


_RESOURCES = st.sampled_from(["<x:a>", "<x:b>", "<x:p>", "_:n", ":a", "<http://h/é#y>", "<x:%5E-1>", "[]"])
_VALUES = _RESOURCES | st.sampled_from(
    ['"A"', '"B\\nC"@en', '"1"^^<x:i>', "<<( <x:a> <x:p> <x:b> )>>", "( :a )", "[ :q :b ]", "5"]
)
_SIMPLE = st.builds("<x:{}> <x:{}> <x:{}> .".format, *[st.sampled_from("abc")] * 3)
_STATEMENTS = st.builds(
    "{} {} {} .".format, _RESOURCES, _RESOURCES | st.just("<http://www.w3.org/2000/01/rdf-schema#label>"), _VALUES
)
RDF = st.builds(
    lambda kind, start, lines: bytes([kind]) + encoded("\n".join([start, *lines])),
    st.integers(0, 3),
    st.sampled_from(["", "@prefix : <x:> ."]),
    st.lists(_STATEMENTS, max_size=5) | st.lists(_SIMPLE, min_size=1, max_size=5),
)

# what runs are started from and leave

_FIELDS = st.sampled_from(
    [
        "seeds",
        "rank",
        "query",
        "queries",
        "closed",
        "min_truth",
        "split",
        "embedded",
        "embedded.queries",
        "search.epsilon",
        "width",
        "powers",
        "retrain.seeds",
        "genotypes",
        "run",
        "seed",
        "",
        ".",
        "seeds[0]",
        "rank.x",
        "nothing",
        "method",
    ]
)
_VALUE = st.one_of(
    st.sampled_from(
        ["", "1", "0", "-1", "1.5", "nan", "-inf", "1e400", "True", "None", "abc", "''", "()", "(1,)", "(0.5,)"]
    ),
    st.sampled_from(
        ["1,2", "(1,'a')", "((1,),)", "[1]", "{}", "{1:2}", "(" * 90, "0x1f", "1_000", "9" * 4400, "é", "\udcff"]
    ),
    st.text(max_size=5),
    st.floats().map(repr),
    st.integers().map(str),
)
_WORDS = st.builds("{}config.{}={}".format, st.sampled_from(["--", "--", "-", "--no"]), _FIELDS, _VALUE)
OVERRIDES = st.builds(
    lambda kind, words: bytes([kind]) + encoded("\n".join(words)),
    st.integers(0, len(run_files.SYSTEMS) - 1),
    st.lists(_WORDS, min_size=1, max_size=2),
)
ARGUMENTS = st.builds(
    lambda kind, items: bytes([kind]) + encoded(",".join(items)),
    st.integers(0, len(run_files.SYSTEMS) - 1),
    st.lists(
        st.builds(
            "{}{}".format, st.sampled_from(["runlocal", "smoke", "dim", "x"]), st.sampled_from(["", "=", "=1", "=no"])
        )
    ),
)
_ROW = st.fixed_dictionaries(
    {"stage": st.sampled_from(["fit", "é"]) | _JSON, "step": st.integers(0, 5) | _JSON}, optional={"loss": _JSON}
)
METRICS = st.builds(
    lambda rows, end: b"".join(json.dumps(row).encode() + b"\n" for row in rows) + end,
    st.lists(_ROW, max_size=4),
    st.sampled_from([b"", b"", b'{"sta', b"\n", b"\xff\n"]),
)


@st.composite
def workdirs(draw):
    """Draws the JSON files of a workdir, nearly those of its config."""
    config = run_files.CONFIG | draw(st.just({}) | st.dictionaries(st.sampled_from(["steps", "x"]), _JSON, max_size=1))
    summary = {"figures": draw(_JSON)} | draw(st.dictionaries(st.sampled_from(["figures", "seeds"]), _JSON, max_size=1))
    inputs = draw(st.just({}) | st.dictionaries(st.sampled_from(["/dev/null", "a\0"]), _JSON, max_size=1) | _JSON)
    files = {"config.json": config, "summary.json": summary, "inputs.json": inputs}
    left_out = draw(st.sampled_from([None, None, *files]))
    return pieces.join({name: json.dumps(value).encode() for name, value in files.items() if name != left_out})


@st.composite
def zipped(draw):
    """Draws the bytes of an .npz file, compressed or not."""
    file = io.BytesIO()
    save = draw(st.sampled_from([np.savez, np.savez_compressed]))
    save(file, train=np.arange(draw(st.integers(0, 9))), x=np.zeros(2))
    return file.getvalue()
