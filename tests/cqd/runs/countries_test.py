"""The run over countries: figures, resumption, the same twice, a user's own graph, every user mistake."""

import json

import numpy as np
import pytest
from ml_collections import FrozenConfigDict

from configs.cqd import countries as config_file
from cqd.runs import countries
from experiment.workdir import Workdir


def config(**fields):
    result = config_file.get_config("smoke")
    result.update({"types": ("1p", "2p", "up"), "seeds": (0,), "tnorms": ("product",), "beam_sizes": (1, 0), **fields})
    return FrozenConfigDict(result)


def execute(path, settings):
    """Returns the figures of a run in a workdir, as JSON gives them back."""
    with Workdir(path, json.loads(settings.to_json_best_effort())) as workdir:
        summary = workdir.finish({"figures": countries.run(settings, countries.load(settings), workdir)})
    return json.loads(json.dumps(summary["figures"]))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole")
    return path, execute(path, config())


def test_figures_are_there_and_sound(whole):
    path, figures = whole
    assert figures["graph"] == {"entities": 822, "relations": 9, "train": 2009, "valid": 118, "test": 236}
    assert figures["float64_max_difference"] < 2e-6
    for by_type in figures["mrr"].values():
        values = [by_type[name]["value"] for name in ("1p", "2p", "up")]
        assert by_type["average"]["value"] == pytest.approx(np.mean(values))
        assert all(0 < value <= 1 for value in values)
    assert figures["mrr"]["graph search"]["average"]["value"] < 0.01
    assert set(figures["mrr_by_beam_size"]) == {"1", "822"}
    share = figures["beam_share_of_optimum"]
    assert share["822"]["value"] == pytest.approx(1)
    assert 0 < share["1"]["value"] < 3  # four queries a type: a narrow beam may do better by chance
    beam, relaxed = (figures["mrr"][name] for name in ("beam product k=8", "relaxed graph search, then frequency"))
    weakest = figures["advantage_on_weakest_type"]
    differences = {name: beam[name]["value"] - relaxed[name]["value"] for name in beam if name != "average"}
    assert weakest["value"] <= min(differences.values()) + 1e-9
    proofs = figures["correct_proofs"]
    assert set(proofs) == {"2p", "all", "of"}
    assert proofs["2p"] == proofs["all"]
    for name in ("mrr_by_type", "mrr_by_beam"):
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
    settings = config(graph=str(tmp_path / "mine.tsv"), questions=("likes(n1) & likes(n2)",), num_queries=2)
    figures = execute(tmp_path / "out", settings)
    assert figures["graph"]["relations"] == 1
    assert [item["question"] for item in figures["explanations"]] == ["likes(n1) & likes(n2)"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tnorms": ("godel",)}, r"config\.tnorms: tnorm='godel': choose one of lukasiewicz, min, product"),
        ({"beam_size": 0}, r"config\.beam_size=0"),
        ({"beam_sizes": (-1,)}, r"config\.beam_sizes=\(-1,\)"),
        ({"types": ("1p", "2in")}, r"config\.types: '2in'; choose among 1p"),
        ({"types": ()}, r"config\.types"),
        ({"seeds": (0, 0)}, r"config\.seeds"),
        ({"seeds": (-1,)}, r"config\.seeds"),
        ({"seeds": (0.5,)}, r"config\.seeds: 0\.5 among whole numbers"),
        ({"beam_sizes": ("a",)}, r"config\.beam_sizes: 'a' among whole numbers"),
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
    monkeypatch.setattr(countries.sampling, "MAX_BATCHES", 3)
    with pytest.raises((ValueError, OSError), match=message):
        countries.load(config(**fields))


def test_share_of_right_proofs():
    """Shares are averaged over the seeds that have a hit."""
    results = [
        {"proofs": {"2p": {"hits": 4, "correct": 1}, "ip": {"hits": 0, "correct": 0}}},
        {"proofs": {"2p": {"hits": 2, "correct": 2}, "ip": {"hits": 2, "correct": 0}}},
    ]
    assert countries._proof_share(results, ["2p"]) == {
        "value": 0.625,
        "sd": pytest.approx(0.75 / 2**0.5),
        "seeds": 2,
        "hits": 6,
    }
    assert countries._proof_share(results, ["ip"]) == {"value": 0.0, "sd": None, "seeds": 1, "hits": 2}
    assert countries._proof_share(results, ["2p", "ip"])["value"] == pytest.approx((1 / 4 + 2 / 4) / 2)
    assert countries._proof_share(results[:1], ["ip"]) is None


def test_malformed_and_empty_graphs(tmp_path):
    (tmp_path / "bad.tsv").write_text("a\tr\tb\nc\tr\n")
    with pytest.raises(ValueError, match=r"bad\.tsv:2: has 2 columns"):
        countries.load(config(graph=str(tmp_path / "bad.tsv")))
    (tmp_path / "empty.tsv").write_text("")
    with pytest.raises(ValueError, match="an empty graph"):
        countries.load(config(graph=str(tmp_path / "empty.tsv")))
