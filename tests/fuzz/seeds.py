"""The first inputs of the targets over files: examples of the documentation, and what once showed a defect."""

import collections
import io
import json
import pickle

import numpy as np

from darts_perturb import tabular
from tests.fuzz import pieces
from tests.fuzz.graph_files import PARTS
from tests.fuzz.text_seeds import DEEP, texts


def tables():
    lines = b"a\tp\tb\nb\tp\tc\r\n\nc\tq\ta\na\tp\tb\n"
    odd = (
        "\ufeffa\tp\tb\n",
        " a \tp\u2028\t\x85b\n",
        "a\tp^-1\tb\n",
        "a\tp ^-1 \tb\n",
        "a\t\tb\n",
        "a\tp\tb\tc\n",
        "a\tp\t \n",
    )
    return [
        bytes([kind]) + content for kind in (0, 1, 2, 4, 12) for content in (lines, *texts(*odd), b"\xff\tp\tb", b"")
    ]


def openke():
    found = {
        "entity2id.txt": b"3\nann\t0\nbob smith\t2\ncat\t1\n",
        "relation2id.txt": b"1\nknows\t0\n",
        "train2id.txt": b"2\n0 1 0\n1 2 0\n",
        "valid2id.txt": b"1\n2 1 0\n",
        "test2id.txt": b"0\n",
    }
    huge = b"1\n0 " + b"9" * 5000 + b" 0\n"
    spoilt = ({"train2id.txt": huge}, {"relation2id.txt": b"1\nknows\t" + b"9" * 5000 + b"\n"})
    spoilt += ({"train2id.txt": "2\n٠ ١ ٠\n1 2 0\n".encode()}, {"entity2id.txt": b"0\n"}, {"entity2id.txt": b"\xff\n"})
    return [pieces.join(found | change) for change in ({}, *spoilt)]


_ROWS = np.array([[0, 0, 1], [1, 2, 2], [2, 0, 0]])


def _packed(value):
    return np.frombuffer(json.dumps(value).encode(), np.uint8)


def id_arrays():
    graph = dict.fromkeys(PARTS, _ROWS)
    names = {"entities": _packed(["a", "b", "c"]), "relations": _packed(["p", "q"])}
    found = [
        graph,
        graph | names,
        {"all": np.array([[0, 0, 1], [1, 1, 0]], np.int32)} | names,
        {"all": _ROWS.astype(np.uint64)},
        {"all": np.array([[0, 0, 2**63 + 5]], np.uint64)},
        {"all": np.array([[0, 0, 2**40]])},
        {"all": np.array([[0, 2**40, 0]])},
        {"all": np.array([[-1, 0, 0]])},
        graph | names | {"entities": np.frombuffer(b"[" * DEEP, np.uint8)},
        *(graph | names | {"entities": _packed(value)} for value in (5, {"a": 1}, "abc", [1, 2, 3], [["a"], "b", "c"])),
        graph | names | {"entities": _packed(["\udcff", "b", "c"])},
        graph | names | {"entities": _packed(["", "", "b"])},
    ]
    files = [{name: pieces.npy(array) for name, array in arrays.items()} for arrays in found]
    beside = {"x_entities.tsv": b"a\nb\nc\n", "x_relations.tsv": b"+p\n-p\n+q\n-q\n"}
    header = {"x_entities.tsv": b"id\tkey\tlabel\n0\tk0\tRome\n1\tk1\tRome\n2\tk2\t\n"}
    bad = (
        {"x_entities.tsv": b"\n"},
        {"x_entities.tsv": b"a\nb\tc\n"},
        {"x_entities.tsv": b"id\tlabel\n"},
        {"x_entities.tsv": b""},
    )
    files += [{"all": b"[" + files[0]["train"]}]  # a member that numpy gives as bytes
    files += [files[0] | change for change in (beside, beside | header, *(beside | one for one in bad))]
    return [pieces.join(each) for each in files]


def pickled_folders():
    betae = {
        "id2ent.pkl": pickle.dumps({0: "ann", 1: "bob", 2: "cat"}),
        "id2rel.pkl": pickle.dumps({0: "+knows", 1: "-knows"}),
        "train.txt": b"0\t0\t1\n1\t1\t0\n",
        "valid.txt": b"1\t0\t2\n",
        "test.txt": b"2\t0\t0\n",
        "test-queries.pkl": pickle.dumps({("e", ("r",)): {(0, (0,)), (1, (1,))}, ("e", ("r", "n")): {(2, (0, -2))}}),
        "test-easy-answers.pkl": pickle.dumps(collections.defaultdict(set, {(0, (0,)): {1}})),
        "test-hard-answers.pkl": pickle.dumps({(0, (0,)): {2}}),
    }
    boxes = {
        f"{part}_ans_1c{hard}.pkl": pickle.dumps({((0, (0,)),): {1, 2}}) for part in PARTS for hard in ("", "_hard")
    }
    boxes |= {f"ind2{kind}.pkl": betae[f"id2{kind}.pkl"] for kind in ("ent", "rel")}
    names = ({0: ("ann",), 1: None, 2: 3.5}, ["ann"], {0: "ann", 1: "ann", 2: "cat"})
    spoilt = [betae | {"id2ent.pkl": pickle.dumps(value)} for value in names]
    huge = {"test-hard-answers.pkl": pickle.dumps({(0, (0,)): {10**30, 2}})}
    deep = {"test-queries.pkl": b"\x80\x02}K\x00]K\x00" + b"K\x01\x85\x86" * 400 + b"as."}
    spoilt += [betae | huge, betae | deep, betae | {"train.txt": b"0\t" + b"9" * 5000 + b"\t1\n"}]
    return [pieces.join(each) for each in (betae, boxes, *spoilt)]


def query_arrays():
    found = (
        {"test_1p": np.array([[0, 0], [5, 3]]), "test_2i": np.array([[0, 0, 1, 2]])},
        {"test_pni": np.array([[0, 0, 2, 1, 1]], np.uint8)},
        {"test_1p": np.array([[2**63 + 5, 0]], np.uint64)},
        {"test_1p": np.zeros((0, 2), int)},
        {"test_4p": np.array([[0]])},
        {"test_1p": np.array(5)},
    )
    return [pieces.join({name: pieces.npy(array) for name, array in arrays.items()}) for arrays in found]


def rdf():
    nt = b"<x:a> <x:p> <x:b> .\n<x:b> <x:q> <x:a> .\n"
    odd = b'<x:a> <http://www.w3.org/2000/01/rdf-schema#label> "A\\nB"@en .\n_:c <x:p> <x:a> .\n<x:a> <x:p> "1" .\n'
    turtle = b'@prefix : <x:> .\n:a :p [ :q :b , ( :a "c" ) ] ; a :d .\n'
    deep = b"<x:a> <x:p> " + b"<<( <x:a> <x:p> " * 3000 + b"<x:b>" + b" )>>" * 3000 + b" .\n"
    contents = (nt, nt + odd, turtle, b"@prefix : <x:> . :a :p " + b"[ :q " * 3000, deep, nt + b"<x:a> <x:p>", b"\xff")
    return [bytes([kind]) + content for kind in range(4) for content in contents]


def pickles():
    plain = {
        0: "a",
        "b": [1.5, {2, 3}, frozenset([(1, (2,))])],
        (1, 2): collections.OrderedDict(a=collections.Counter("ab")),
    }
    found = [pickle.dumps(plain, protocol) for protocol in range(6)]
    shadowed = b"\x80\x02ccollections\nOrderedDict\n)R}X\x05\x00\x00\x00itemscbuiltins\nlist\nsb."
    found += [
        pickle.dumps(print),
        b"Nr\xff\xff\xff\x0f.",  # a place in a list of 268 million
        b"\x80\x02}" + b"K\x00" + b"\x85" * 300_000 + b"Ns.",  # a key so deep that its hash overflows the stack
        b"\x80\x02}K\x00" + b"2\x86" * 40 + b"Ns.",  # a key whose hash takes 2^40 steps
        shadowed,  # a dict whose items() would be another function
        b"\x8e\xff\xff\xff\xff\x03\x00\x00\x00abc.",  # 17 GB of bytes are announced
        b"]\x94h\x00a.",  # a list in itself
    ]
    return found


def _zipped(**arrays):
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def npz_files():
    whole = _zipped(train=_ROWS, valid=_ROWS, test=_ROWS)
    cut = [whole[:-30], whole[:60], whole[:-4] + b"\xff\xff\xff\xff", whole.replace(b"PK\x05\x06", b"PK\x05\x07")]
    wrong_start = bytearray(whole)
    wrong_start[-6:-2] = b"\xff\xff\xff\x7f"  # where the directory of the archive begins
    return [whole, *cut, bytes(wrong_start), pieces.npy(_ROWS), pickle.dumps(_ROWS), b"", _zipped()]


def predictors():
    rng = np.random.default_rng(0)
    parts = dict.fromkeys(PARTS, np.array([[0, 0, 1], [1, 0, 2]], np.int32))
    names = {"entities": _packed(["a", "b", "c"]), "relations": _packed(["p"])}
    found = []
    for model, widths in {"complex": (4, 4), "distmult": (4, 4), "cp": (4, 4), "rotate": (4, 2)}.items():
        tables = {"table_entity": rng.normal(size=(3, widths[0])), "table_relation": rng.normal(size=(2, widths[1]))}
        tables |= {"table_subject": tables["table_entity"]} if model == "cp" else {}
        found.append({"model": np.frombuffer(model.encode(), np.uint8), **tables, **names, **parts})
    first = found[0]
    found += [
        first | {"table_entity": first["table_entity"].astype(np.longdouble)},
        first | {"table_entity": np.zeros((3, 0)), "table_relation": np.zeros((2, 0))},
        first | {"table_entity": np.full((3, 4), 1e300)},
        first | {"table_entity": np.full((3, 4), np.nan)},
        first | {"model": np.array(["complex"])},
        {name: array for name, array in first.items() if name not in PARTS} | {"all": parts["train"]},
    ]
    return [pieces.join({name: pieces.npy(array) for name, array in arrays.items()}) for arrays in found]


def accuracies():
    shape = (tabular.NUM_CELLS, len(tabular.DATASETS))
    header = pieces.npy(np.zeros((2, 3)))
    return [
        pieces.npy(np.full(shape, 50, np.uint8)),
        pieces.npy(np.full((5, 3), 50.0)),
        header,
        header[:40],
        b"\x93NUMPY",
        b"",  # a member that numpy gives as bytes
    ]


def images():
    square = np.arange(8 * 8 * 8, dtype=np.uint8).reshape(8, 8, 8)
    labels = np.arange(8) % 2
    found = {"x_train": square, "y_train": labels, "x_test": square, "y_test": labels}
    spoilt = (
        {"x_train": square.astype(np.float64) * 1e300},
        {"y_train": labels.astype(np.uint64) + 2**63},
        {"x_test": square[:, :4]},
        {"x_train": square[:0], "y_train": labels[:0]},
        {"y_test": np.array(0)},
        {"x_train": square.astype(np.longdouble)},
        {"y_train": np.full(8, np.nan)},
    )
    return [
        pieces.join({name: pieces.npy(array) for name, array in (found | change).items()}) for change in ({}, *spoilt)
    ]


def metrics():
    lines = b'{"stage": "fit", "step": 1, "loss": 0.5}\n{"stage": "fit", "step": 2, "loss": "inf"}\n'
    spoilt = (
        *(
            b'{"stage": "fit", "step": 3, "lo',
            b"[" * DEEP + b"\n",
            b'{"stage": "f\xff", "step": 3}\n',
            b"\n",
            b"5\n",
            b"[]\n",
        ),
        b'{"stage": "fit", "step": ' + b"9" * 5000 + b"}\n",
        *(b'{"stage": "fit", "step": true}\n', b'{"stage": "fit", "step": 1}\n', b'{"stage": "fit", "step": 4}\r\n'),
        '{"stage": "f\u2028t", "step": 4}\n'.encode(),
        b'{"stage": "fit", "step": 5, "loss": NaN}\n',
    )
    return [lines, *(lines + end for end in spoilt), b""]


def workdirs():
    from tests.fuzz.run_files import CONFIG

    files = {
        "config.json": json.dumps(CONFIG).encode(),
        "inputs.json": b"{}",
        "summary.json": b'{"system": "toy", "figures": {"x": 1.5}}',
    }
    spoilt = (
        {"summary.json": b'{"figures": NaN}'},
        {"summary.json": b"[" * DEEP},
        {"summary.json": b"5"},
        {"summary.json": b"\xff"},
        {"summary.json": b'{"figures": ' + b"9" * 5000 + b"}"},
        {"config.json": json.dumps(CONFIG | {"rate": float("nan")}).encode()},
        {"config.json": json.dumps(CONFIG | {"steps": "x" * 5000}).encode()},
        {"inputs.json": b'{"a\\u0000b": 5}'},
        {"inputs.json": b'{"setup.cfg": "another digest"}'},
        {"inputs.json": b'{"/": {"a": 1}}'.replace(b"/", b"/dev/null")},
    )
    unfinished = {"config.json": files["config.json"]}
    return [pieces.join(each) for each in (files, unfinished, *(files | change for change in spoilt))]
