"""The run over countries: figures, resumption, the same twice, a user's own graph, every user mistake."""

import functools
import json

import numpy as np
import pytest
from ml_collections import FrozenConfigDict

from configs.cqd import countries as config_file
from configs.cqd import umls
from cqd import query, query_files, sampling, trained
from cqd.runs import asked, complex_queries
from experiment import errors
from experiment.workdir import Workdir
from tests.experiment import inside

BASELINES = ("relaxed graph search, then frequency", "relation frequency", "graph search")


def config(**fields):
    result = config_file.get_config("smoke")
    methods = ("beam k=8", "beam k=1", "exact", "exact calibrated certain", *BASELINES)
    result.update({"types": ("1p", "2p", "up", "pni"), "seeds": (0,), "methods": methods, **fields})
    return FrozenConfigDict(result)


execute = functools.partial(inside.execute, complex_queries)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole")
    return path, execute(path, config())


def test_figures_are_there_and_sound(whole):
    path, figures = whole
    assert figures["graph"] == {"entities": 822, "relations": 9, "train": 2009, "valid": 118, "test": 236}
    assert max(figures["float64_max_difference"].values()) < 2e-6
    for by_type in figures["mrr"].values():
        values = [by_type[name]["value"] for name in ("1p", "2p", "up")]
        assert by_type["average"]["value"] == pytest.approx(np.mean(values)), "negation has an average of its own"
        assert by_type["negation"] == by_type["pni"]
        assert all(0 < value <= 1 for value in values)
    assert figures["mrr"]["graph search"]["average"]["value"] < 0.01
    assert figures["paper"]["value"] == figures["mrr"]["beam k=8"]["average"]["value"]
    assert figures["best"]["value"] == figures["mrr"]["exact calibrated certain"]["average"]["value"]
    assert set(figures["beam_share_of_optimum"]) == set(figures["beam_gap"]) == {"1", "8"}
    assert figures["beam_gap"]["1"]["value"] >= figures["beam_gap"]["8"]["value"] >= -1e-6
    beam, relaxed = (figures["mrr"][name] for name in ("beam k=8", "relaxed graph search, then frequency"))
    weakest = figures["advantage_on_weakest_type"]
    differences = {name: beam[name]["value"] - relaxed[name]["value"] for name in ("1p", "2p", "up")}
    assert weakest["value"] <= min(differences.values()) + 1e-9
    assert set(figures["correct_proofs"]) == {"paper", "best"}
    for proofs in figures["correct_proofs"].values():
        assert set(proofs) == {"2p", "all"}
        assert proofs["2p"] == proofs["all"]
    links = figures["missing_links"]["paper"]
    assert set(links["1p"]) == {"1"}
    assert links["1p"]["1"] == figures["mrr"]["beam k=8"]["1p"]
    assert {"1", "2"} >= set(links["2p"])
    for name in ("mrr_by_type", "mrr_by_beam", "mrr_by_missing_links"):
        assert (path / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (path / "figures" / f"{name}.csv").read_text().count("\n") > 5
    text = (path / "explanations.txt").read_text(encoding="utf-8")
    assert "borders(China) & borders(India)" in text
    assert "observed" in text
    assert "predicted" in text


def test_the_same_twice(whole, tmp_path):
    assert execute(tmp_path, config()) == whole[1]


@pytest.mark.parametrize("stages", [0, 2, 5])
def test_resumed_is_uninterrupted(whole, tmp_path, monkeypatch, stages):
    """A run that breaks off after some stages, or in training, ends with the same figures and rows."""
    done = iter(range(stages))
    stage = Workdir.stage

    def breaking(workdir, name, fn):
        if next(done, None) is None:
            raise KeyboardInterrupt
        return stage(workdir, name, fn)

    monkeypatch.setattr(Workdir, "stage", breaking)
    with pytest.raises(KeyboardInterrupt):
        execute(tmp_path, config())
    monkeypatch.undo()
    assert json.dumps(execute(tmp_path, config())) == json.dumps(whole[1])
    assert (tmp_path / "metrics.jsonl").read_text() == (whole[0] / "metrics.jsonl").read_text()
    assert (tmp_path / "explanations.txt").read_text() == (whole[0] / "explanations.txt").read_text()


def test_a_graph_of_ones_own(tmp_path):
    rng = np.random.default_rng(0)
    lines = {f"n{a}\tlikes\tn{b}\n" for a, b in rng.integers(12, size=(60, 2))}
    (tmp_path / "mine.tsv").write_text("".join(sorted(lines)))
    questions = "likes(n1) & likes(n2)", "SELECT ?x { ?x :likes :n1 }", "SELECT ?x ?y { ?x :likes ?y . ?y :likes ?x }"
    settings = config(graph=str(tmp_path / "mine.tsv"), questions=questions, num_queries=2)
    figures = execute(tmp_path / "out", settings)
    assert figures["graph"]["relations"] == 1
    assert [item["question"] for item in figures["explanations"]][:2] == ["likes(n1) & likes(n2)", "likes^-1(n1)"]
    assert len(figures["explanations"][2]["answers"][0]["answer"]) == 2


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"methods": ("beam godel",)}, r"config\.methods: 'beam godel': 'godel' is no word of a method; beam, "),
        ({"methods": ("beam k=0",)}, r"config\.methods: k=0: a number from 1 up"),
        ({"methods": ("min",)}, r"config\.methods: 'min': one of beam, continuous, exact is due"),
        ({"methods": ("exact k=8",)}, r"config\.methods: 'exact k=8': k=8 is the width of a beam"),
        ({"methods": ("exact", "exact")}, r"config\.methods: 'exact' is listed twice"),
        ({"methods": ("exact official",)}, r"config\.methods: official=True"),
        ({"methods": (3,)}, r"config\.methods: 3 among texts"),
        ({"paper": "exact min"}, r"config\.paper='exact min': due to be one of config\.methods"),
        ({"types": ("1p", "4p")}, r"config\.types: '4p'; choose among 1p"),
        ({"types": ()}, r"config\.types"),
        ({"part": "train"}, r"config\.part='train': choose one of test, valid"),
        ({"part": "valid", "patience": 2}, r"config\.patience: queries of valid"),
        ({"num_queries": 0}, r"config\.num_queries=0: at least 1"),
        ({"predictor": "absent"}, "absent"),
        ({"seeds": (0, 0)}, r"config\.seeds"),
        ({"seeds": (-1,)}, r"config\.seeds"),
        ({"seeds": (0.5,)}, r"config\.seeds: 0\.5 among whole numbers"),
        ({"embedded": {"questions": (3,)}}, r"config\.questions: 3 among texts"),
        ({"epochs": 3}, r"config\.epochs=3 is not a multiple of epochs_per_call=2"),
        ({"regularization": -0.1}, r"config\.regularization=-0\.1"),
        ({"split": (0.5, 0.5, 0.5)}, r"config\.split: fractions="),
        ({"split": (1.0, 0.0, 0.0)}, r"no test triples"),
        ({"graph": "absent.tsv"}, "absent.tsv"),
        ({"columns": "hr"}, "columns='hr'"),
        (
            {"embedded": {"questions": ("borders(Chnia)",)}},
            r"config\.questions: unknown entity 'Chnia' \(nearest: 'China'",
        ),
        ({"embedded": {"questions": ("border(China)",)}}, r"config\.questions: unknown relation 'border' .*'borders'"),
        ({"embedded": {"questions": ("borders(China",)}}, r"config\.questions: query .*, column 14"),
        ({"embedded": {"together": ("region,subregoin",)}}, r"config\.together: unknown relation 'subregoin'"),
        ({"num_queries": 100_000}, r"config\.num_queries: 100000 queries of type 1p"),
    ],
)
def test_mistakes_are_one_clear_error(fields, message, monkeypatch):
    monkeypatch.setattr(asked.sampling, "MAX_BATCHES", 3)
    with pytest.raises((ValueError, OSError), match=message):
        complex_queries.load(config(**fields))


def test_share_of_right_proofs():
    """Shares are averaged over the seeds that have a hit."""
    results = [
        {"proofs": {"paper": {"2p": {"hits": 4, "correct": 1}, "ip": {"hits": 0, "correct": 0}}}},
        {"proofs": {"paper": {"2p": {"hits": 2, "correct": 2}, "ip": {"hits": 2, "correct": 0}}}},
    ]

    def share(of, types):
        return complex_queries.proof_share(of, "paper", types)

    assert share(results, ["2p"]) == {"value": 0.625, "sd": pytest.approx(0.75 / 2**0.5), "seeds": 2, "hits": 6}
    assert share(results, ["ip"]) == {"value": 0.0, "sd": None, "seeds": 1, "hits": 2}
    assert share(results, ["2p", "ip"])["value"] == pytest.approx((1 / 4 + 2 / 4) / 2)
    assert share(results[:1], ["ip"]) is None


@pytest.fixture
def parts(tmp_path):
    """Returns a folder with train, valid and test, and a file of queries about it."""
    rng = np.random.default_rng(0)
    rows = sorted({(int(a), int(r), int(b)) for a, r, b in rng.integers([20, 2, 20], size=(160, 3))})
    rng.shuffle(rows)
    (tmp_path / "graph").mkdir()
    bounds = {"train": rows[:100], "valid": rows[100:120], "test": rows[120:140]}
    for part, triples in bounds.items():
        text = "".join(f"n{a:02d}\tr{r}\tn{b:02d}\n" for a, r, b in triples)
        (tmp_path / "graph" / f"{part}.txt").write_text(text)
    queries = {}
    for part in ("valid", "test"):
        queries[f"{part}_1p"] = np.array([(a, 2 * r) for a, r, _ in bounds[part]])
        queries[f"{part}_2u"] = np.array([(a, 2 * r, b, 2 * r + 1) for a, r, b in bounds[part]])
    np.savez(tmp_path / "queries.npz", **queries)
    return tmp_path


def test_queries_of_a_file_have_the_hard_answers_of_their_part(parts):
    fields = {"graph": str(parts / "graph"), "queries": str(parts / "queries.npz"), "types": ("1p", "2u")}
    for part in ("test", "valid"):
        data = complex_queries.load(config(part=part, num_queries=0, **fields))
        triples = data.worlds[0].splits.test
        held_out = {(int(h), int(r), int(t)) for h, r, t in triples}
        assert len(triples) == 20
        for sample in data.sampled[0]["1p"]:
            head, relation = sample.query.child.name, sample.query.relation
            assert all((head, relation, int(tail)) in held_out for tail in sample.hard)
            assert sample.missing.tolist() == [0] * len(sample.easy) + [1] * len(sample.hard)
    some = complex_queries.load(config(num_queries=5, **fields)).sampled[0]["1p"]
    assert len(some) == 5
    stored = [each.query for each in query_files.load(parts / "queries.npz")["1p"]]
    assert [each.query for each in some] == [query for query in stored if query in {each.query for each in some}][:5]
    with pytest.raises(ValueError, match=r"queries\.npz has no 3p among 1p, 2u"):
        complex_queries.load(config(**(fields | {"types": ("3p",)})))


def test_a_predictor_from_another_workdir_answers_alike(whole, tmp_path):
    figures = execute(tmp_path / "again", config(predictor=str(whole[0])))
    assert figures["mrr"] == whole[1]["mrr"]
    assert not list((tmp_path / "again").glob("checkpoints/train*"))
    found = trained.load(tmp_path / "again")
    np.testing.assert_array_equal(found.params.entity, trained.load(whole[0]).params.entity)


def test_a_predictor_of_another_graph_is_refused(whole, parts, tmp_path):
    settings = config(predictor=str(whole[0]), graph=str(parts / "graph"), num_queries=2, types=("1p",))
    with pytest.raises(ValueError, match=r"config\.predictor=.*: the predictor has 822 entities .* the graph 20"):
        execute(tmp_path / "out", settings)


def test_a_graph_that_is_not_embedded_is_asked_for():
    with pytest.raises(ValueError, match=r"config\.graph: this run needs a file or folder of triples, such as .*umls"):
        complex_queries.load(FrozenConfigDict(umls.get_config("runlocal")))


def test_malformed_and_empty_graphs(tmp_path):
    (tmp_path / "bad.tsv").write_text("a\tr\tb\nc\tr\n")
    with pytest.raises(ValueError, match=r"bad\.tsv:2: has 2 columns"):
        complex_queries.load(config(graph=str(tmp_path / "bad.tsv")))
    (tmp_path / "empty.tsv").write_text("")
    with pytest.raises(ValueError, match="an empty graph"):
        complex_queries.load(config(graph=str(tmp_path / "empty.tsv")))


def test_scores_that_are_no_numbers_are_named():
    sample = sampling.Sample(query.parse("#0(#1)"), np.zeros(0, int), np.array([2]), np.array([1]))
    with pytest.raises(errors.NonFiniteError, match=r"1p queries: scores: not a number .*lower config\.learning_rate"):
        complex_queries._rank(lambda queries: np.full((len(queries), 3), np.nan), {"1p": [sample]}, 4)
