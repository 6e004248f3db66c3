"""The run that calibrates: the parts share nothing, its figures, resumption, repetition, every user mistake."""

import functools
import json

import numpy as np
import pytest
from ml_collections import FrozenConfigDict

from configs.cqd import calibration as config_file
from cqd import sampling, trained
from cqd.runs import calibration, calibration_figures, judging
from experiment import errors
from experiment.workdir import Workdir
from tests.experiment import inside


def config(**fields):
    result = config_file.get_config("smoke")
    small = {"types": ("1p", "2i", "2in"), "seeds": (0,), "num_queries": 12, "adapters": ("binary",)}
    result.update({**small, **fields})
    return FrozenConfigDict(result)


execute = functools.partial(inside.execute, calibration)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole")
    return path, execute(path, config())


def test_figures_are_there_and_sound(whole):
    path, found = whole
    assert found["graph"] == {"entities": 822, "relations": 9, "train": 1654, "valid": 473, "test": 236}
    assert set(found["ece"]["held_out"]) == {"exact", "exact calibrated certain", "CQD-A binary"}
    for by_method in found["ece"].values():
        for by_map in by_method.values():
            assert set(by_map) == set(judging.MAPS)
            assert all(0 <= of["value"] <= 1 for of in by_map.values())
    assert found["ece"]["held_out"]["exact"]["none"]["value"] > 0.3, "sigmoids are far from probabilities"
    ece = found["ece"]["test"]
    ratio = ece["exact calibrated certain"]["platt by type"]["value"] / ece["exact"]["none"]["value"]
    assert found["ece_over"]["test"]["paper"]["value"] == pytest.approx(ratio)
    for by_method in found["errors"].values():
        for of in by_method.values():
            values = [of["every"]["auc"][name]["value"] for name in ("none", "platt")]
            assert values[0] == pytest.approx(values[1], abs=1e-6), "one increasing map leaves the order"
            assert of["every"]["ece"]["platt"]["value"] < 0.02
    for method in found["mrr"]["held_out"].values():
        assert method["average"]["platt"]["value"] == pytest.approx(method["average"]["none"]["value"], abs=2e-3)
    for of in found["coverage"]["held_out"].values():
        levels = of["all"]
        assert set(levels) == {"0.95", "0.9", "0.8", "0.7", "0.5"}
        assert levels["0.5"]["size"]["value"] <= levels["0.95"]["size"]["value"] <= 822
        assert levels["0.5"]["value"] <= levels["0.95"]["value"]
    for name in ("reliability", "errors", "coverage", "set_size"):
        assert (path / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (path / "figures" / f"{name}.csv").read_text().count("\n") > 5
    assert trained.load(path).vocabulary.num_entities == 822


def test_the_parts_share_no_missing_edge_and_no_query():
    settings = config(num_queries=60, num_adapted=20, types=("1p", "2i", "2in"))
    data = calibration.load(settings)
    world, parts = data.worlds[0], data.parts[0]
    full = {name: of.known for name, of in parts.items()}
    train = {tuple(triple) for triple in world.splits.train.tolist()}
    for name in ("fit", "held_out"):
        observed = {tuple(triple) for triple in full[name].triples().tolist() if triple[1] % 2 == 0}
        assert observed == train, "what is fitted and what is held out see the same edges"
    missing = {}
    for name, of in parts.items():
        edges = set()
        for query, types, hard in zip(of.queries, of.types, of.hard):
            if types == "1p":
                edges |= {(query.child.name, query.relation, int(tail)) for tail in hard}
        missing[name] = edges | {(tail, relation ^ 1, head) for head, relation, tail in edges}
    assert not missing["fit"] & missing["held_out"]
    assert not (missing["fit"] | missing["held_out"]) & missing["test"]
    keys = {name: {sampling.unordered(query) for query in of.queries} for name, of in parts.items()}
    assert not keys["fit"] & keys["held_out"]
    own = {sampling.unordered(sample.query) for sample in data.examples[0]}
    assert len(own) == 40
    assert not own & (keys["fit"] | keys["held_out"])


def test_halves_are_equal_and_leave_groups_whole():
    triples = np.array([(a, r, b) for a in range(12) for r, b in ((0, 12 + a), (2, 30 + a % 3), (4, 40))], np.int32)
    halves = calibration._halves(triples, [[0, 2]], seed=(0, 0))
    sizes = [len(half) for half in halves]
    assert sum(sizes) == 36
    assert abs(sizes[0] - sizes[1]) <= 2, "the largest group"
    heads = [{int(head) for head, relation, _ in half if relation < 4} for half in halves]
    assert not heads[0] & heads[1], "relations that give one another away stay together"
    with pytest.raises(ValueError, match=r"config\.split: leaves too few valid triples to divide"):
        calibration._halves(triples[:1], [], seed=0)


def test_the_same_twice(whole, tmp_path):
    assert execute(tmp_path, config()) == whole[1]


@pytest.mark.parametrize("stages", [3])
def test_resumed_is_uninterrupted(whole, tmp_path, monkeypatch, stages):
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


def parts_of(truths, hard, easy, types):
    asked = judging.Asked(None, [None] * len(truths), np.array(types), easy, hard)
    return {name: truths for name in ("fit", "held_out", "test")}, dict.fromkeys(("fit", "held_out", "test"), asked)


OPTIONS = {"top": 2, "num_bins": 4, "alphas": (0.5,), "num_divisions": 2, "seed": 0}


def test_judged_by_hand():
    """Entity 0 is an easy answer of the first query and never a candidate; two candidates a query are shown."""
    truths = np.array([[0.9, 0.6, 0.2, 0.1], [0.3, 0.8, 0.1, 0.4]], np.float32)
    hard, easy = [np.array([1]), np.array([3])], [np.array([0]), np.array([], int)]
    found = judging.judge(*parts_of(truths, hard, easy, ["1p", "1p"]), **OPTIONS)["test"]
    shown = found["none"]["shown"]
    assert shown["brier"] == pytest.approx(np.mean([0.4**2, 0.2**2, 0.8**2, 0.6**2]), rel=1e-5)
    assert shown["ece"] == pytest.approx(np.mean([0.2, 0.6, 0.4, 0.8]), rel=1e-5)
    assert found["none"]["first"]["brier"] == pytest.approx((0.4**2 + 0.8**2) / 2, rel=1e-5)
    all_squares = [0.4**2, 0.2**2, 0.1**2, 0.3**2, 0.8**2, 0.1**2, 0.6**2]
    assert found["none"]["every"]["brier"] == pytest.approx(np.mean(all_squares), abs=0.005)
    assert found["none"]["mrr"] == {"average": pytest.approx((1 + 1 / 2) / 2)}
    np.testing.assert_array_equal(found["sets"]["all"]["covered"], [[1, 1]])
    np.testing.assert_array_equal(found["sets"]["all"]["size"], [[1, 2]]), "those of .4 and more, easy ones apart"


def test_scores_that_are_no_numbers_are_named():
    truths = np.full((2, 4), np.nan, np.float32)
    hard, easy = [np.array([1]), np.array([3])], [np.array([], int)] * 2
    with pytest.raises(errors.NonFiniteError, match=r"truths: not a number among them; .*config\.learning_rate"):
        judging.judge(*parts_of(truths, hard, easy, ["1p", "1p"]), **OPTIONS)


def test_coverage_figures_by_hand():
    settings = FrozenConfigDict({"alphas": (0.1, 0.5), "chosen_method": "exact"})
    divided = {"all": np.array([[0.91, 0.4], [0.93, 0.6]]), "by type": np.array([[0.8, 0.5], [1.0, 0.5]])}
    results = [{"exact": {"divided": divided}}]
    found = calibration_figures._deviations(settings, results, "divided", "exact")
    assert found["all"]["value"] == pytest.approx(0.02)
    assert found["by type"]["value"] == pytest.approx(0, abs=1e-9)
    assert calibration_figures._near(settings, results, "exact")["all"]["value"] == pytest.approx(0.25)
    entry = calibration_figures._coverage(settings, results, "divided", "exact")["all"]["0.9"]
    assert (entry["value"], entry["nominal"]) == (pytest.approx(0.92), 0.9)
    assert 0.91 <= entry["interval"][0] < entry["interval"][1] <= 0.93


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"types": ("1p", "4p")}, r"config\.types: '4p'; choose among 1p"),
        ({"types": ()}, r"config\.types=\(\): one or more different"),
        ({"adapter_types": ("3i",)}, r"config\.adapter_types: '3i'; choose among 1p, 2i, 2in"),
        ({"adapters": ("hinge",)}, r"config\.adapters: 'hinge'; choose among softmax, softmax by relation, binary"),
        ({"adapters": (1,)}, r"config\.adapters: 1 among texts"),
        ({"methods": ("exact", "beam official k=2")}, r"config\.methods: 'beam official k=2' gives no truths"),
        ({"methods": ("exact", "graph search")}, r"config\.methods: 'graph search' gives no truths"),
        ({"methods": ("exact", "beam k=0")}, r"config\.methods: k=0"),
        ({"paper": "beam"}, r"config\.paper='beam': due to be one of config\.methods"),
        ({"paper": "exact calibrated certain"}, r"config\.paper='exact calibrated certain': adapters are of sigmoids"),
        ({"qto": "beam"}, r"config\.qto='beam': choose one of exact, exact calibrated certain"),
        ({"chosen_method": "CQD-A softmax"}, r"config\.chosen_method='CQD-A softmax': .*CQD-A binary"),
        ({"chosen_map": "spline"}, r"config\.chosen_map='spline': choose one of none, platt"),
        ({"alphas": (0.1, 1.0)}, r"config\.alphas: 1\.0; numbers between 0 and 1"),
        ({"alphas": ()}, r"config\.alphas=\(\)"),
        ({"top": 0}, r"config\.top=0: at least 1"),
        ({"num_adapted": 0}, r"config\.num_adapted=0"),
        ({"adapter_learning_rate": 0.0}, r"config\.adapter_learning_rate=0\.0: a number above 0"),
        ({"model": "rotate"}, r"config\.model='rotate': has no adapters"),
        ({"patience": 2}, r"config\.patience: queries of valid"),
        ({"split": (0.9, 0.0, 0.1)}, r"config\.split=.*leaves no valid triples"),
        ({"seeds": (1, 1)}, r"config\.seeds"),
        ({"epochs": 3}, r"config\.epochs=3"),
        ({"graph": "absent.tsv"}, "absent.tsv"),
        ({"num_queries": 100_000}, r"config\.num_queries: 100000 queries of type 1p"),
    ],
)
def test_mistakes_are_one_clear_error(fields, message, monkeypatch):
    monkeypatch.setattr(sampling, "MAX_BATCHES", 3)
    with pytest.raises((ValueError, OSError), match=message):
        calibration.load(config(**fields))
