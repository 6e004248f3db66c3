"""The first inputs of the targets over text; see `tests.fuzz.seeds`."""

import functools
import json

from configs.cqd import ask
from cqd.query import TEMPLATES

DEEP = 100_000  # levels, more than any stack holds


def texts(*found):
    """Returns texts as bytes."""
    return [text.encode("utf-8", "surrogateescape") for text in found]


def trees():
    return texts(
        *(text.replace("(a)", "(b)").replace("r(", "p(") for text in TEMPLATES.values()),
        'p^-1(#1) & !("a" | #3^-1(q(e_f)))',
        'language("Saint Martin (French part)") & !!x',
        r'"a\"b\\"^-1("^-1")',
        "(" * 5000 + "a",
        "!" * 900 + "a",
        "p(" * 150 + "a" + ")" * 150,
        "#" + "9" * 5000,
        "#" + "9" * 30 + "(a)",
        "p(a) " + "x(" * 2000,
        "p(" * 30 + "a" + ")" * 30,  # a minute's compilation
    )


def questions():
    own = [text.replace(":borders", ":p").replace(":China", ":a") for text in ask.get_config().embedded.queries]
    return texts(
        *own,
        "SELECT ?x WHERE { ?x :p :a, :b }",
        "SELECT ?x { { ?n :p :a } UNION { ?n :q :b } ?n :p ?x }",
        "SELECT ?x { ?x :p :a FILTER NOT EXISTS { ?x :q :b } }",
        "SELECT ?x { ?x :p/^:q :a MINUS { ?x :q ?z . ?z :p :e_f } }",
        "SELECT ?x ?y { ?x :p ?y . ?y :q ?z . ?z :p ?x } LIMIT 5",
        'PREFIX s: <urn:label:> SELECT ?x { ?x s:p [ :q "a" ] ; ^:q/:p s:b . ?x rdfs:label "c" }',
        "ASK { ?x :p :a }",
        "p(a) & !q(b)",
        "SELECT ?x { ?x :p :a } LIMIT " + "9" * 5000,
        'SELECT ?x { ?x :p "abc"^^<http://www.w3.org/2001/XMLSchema#integer> }',
        "SELECT ?x { ?x :p <http://[> }",
        "SELECT ?x { ?x :p :a # \udcff\n }",  # bytes that are no UTF-8
        "SELECT ?x { " + "{ " * 300 + "?x :p :a" + " }" * 300 + " }",
        "SELECT ?x { ?x :p :" + "a" * 3000 + " }",
        "#9",
        "p(a)" + " | p(a)" * 2000,
        "SELECT ?a { " + " ".join(f"{{ ?{x} :p ?{y} }} UNION {{ ?{x} :q ?z }}" for x in "abc" for y in "def") + " }",
    )


_NB201 = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|avg_pool_3x3~2|"
_PAIRS = ", ".join("('sep_conv_3x3', 0), ('skip_connect', 1)" for _ in range(4))
_DARTS = f"Genotype(normal=[{_PAIRS}], normal_concat=range(2, 6), reduce=[{_PAIRS}], reduce_concat=[2, 3, 4, 5])"


def genotypes():
    short = _DARTS.replace("range(2, 6)", "(3,)")
    cells = (
        *(_NB201, _DARTS, short, "|none~0|" * 3000, _DARTS.replace("0)", f"0x{'f' * 4000})", 1), "+" * 9000),
        *("Genotype(" + "(" * 5000, f"Genotype({'-' * 9000}1)", _NB201.replace("none~0", "none~00")),
    )
    return [bytes([space]) + text for text in texts(*cells) for space in range(7)]


def search_spaces():
    spaces = (
        {"ops": ["none", "skip_connect", "sep_conv_3x3"], "edges": [[0, 1], [0, 2], [1, 2]]},
        {
            "ops": ["none", "max_pool_3x3"],
            "edges": [[a, b] for b in range(2, 6) for a in range(b)],
            "skeleton": "reductions",
            "pool_norm": True,
        },
        {"ops": ["none", "noise"], "edges": [[0, 1]], "choices": [[["none"]]]},
        {"ops": ["none"], "edges": [[0, 10**9]]},
        {"ops": ["none"], "edges": [[0.0, 1], [0, 2.0], [1, 2]]},
        {"ops": ["none"], "edges": [[False, True]]},
        {"ops": ["none"], "edges": [[0, 1]], "choices": {}},
        {"ops": ["none"], "edges": [[0, 1]], "pool_norm": {}},
        {"ops": ["none"], "edges": [[0, 1]], "pool_norm": "no"},
        {"ops": ["sep_conv_1000001x1000001"], "edges": [[0, 1]]},
        {"ops": ["sep_conv_٣x٣"], "edges": [[0, 1]]},
        {"ops": ["none" * 2000], "edges": [[0, 1]]},
        {"ops": "none", "edges": [[0, 1]]},
        {"ops": {"none": 1}, "edges": [[0, 1]]},
        {"ops": ["none", "none"], "edges": [[0, 1]], "skeleton": ["stages"]},
    )
    found = [json.dumps(space).encode() for space in spaces]
    return [*found, b"[" * DEEP, b'{"ops": ["none"], "edges": ' + b"[" * 900 + b"]" * 900 + b"}", b"\xff", b"5"]


@functools.cache
def _words():
    tuples = ("()", "(1,)", "1,2", "(0.5,", "((1,2),3)", "('a',)", "[1]", "{}", "(" * 300, "1e400,2")
    values = (
        "",
        "1",
        "-1",
        "1.5",
        "1e400",
        "nan",
        "inf",
        "True",
        "None",
        "abc",
        "9" * 5000,
        "1_0",
        "0x10",
        " 1",
        *tuples,
    )
    fields = (
        "rank",
        "seeds",
        "query",
        "closed",
        "min_truth",
        "split",
        "embedded",
        "embedded.queries",
        "run",
        "seeds[0]",
    )
    return [f"--config.{field}={value}" for field in fields for value in values]


def overrides():
    others = (
        "--config.",
        "--config..a=1",
        "--config.nothing=1",
        "--config.seeds[9]=1",
        "--config.rank.deeper=1",
        "--noconfig.closed",
        "--config.closed",
        "--config.query",
        "--profile=a:b",
        "--mesh=x",
        "--num_processes=0",
        "--undefok=a",
        "--",
        "-",
        "word",
        "--config.query=\udcff",
        "--config.query=a\n--config.query=b",
        "--workdir=",
        "--debug=maybe",
        "--config.search.epsilon=1",
        "--config.nu\u0308ll=1",
    )
    return [bytes([number]) + word for word in texts(*_words(), *others) for number in (0, 2, 3)]


def config_arguments():
    found = texts(
        "", "runlocal", "smoke,runlocal=false", "runlocal=2", ",", "x=1", "=", "run", "dim=" + "9" * 5000, "a" * 3000
    )
    return [bytes([number]) + text for text in found for number in range(5)]
