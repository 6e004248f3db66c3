"""The refinement run: figures, files, resumption, judgements of a user, every user mistake."""

import functools
import json
import pathlib

import numpy as np
import pytest
from ml_collections import FrozenConfigDict

from configs.cqd import refinement as config_file
from cqd import graph, judgements, predictor, sampling, trained
from cqd.runs import fitting, refinement, refinement_figures
from experiment.workdir import Workdir
from tests.experiment import inside


def config(**fields):
    result = config_file.get_config("smoke")
    result.update({"seeds": (0,), **fields})
    return FrozenConfigDict(result)


execute = functools.partial(inside.execute, refinement)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole")
    return path, execute(path, config())


def test_figures_and_files(whole):
    path, figures = whole
    found = {name: of["value"] for name, of in figures["detection"].items()}
    assert found["rejected"] + found["accepted"] == found["judged"] <= 20
    assert found["judged"] <= found["blamed"] <= found["candidates"]
    assert all(0 <= found[name] <= 1 for name in ("false_of_candidates", "auc_of_blame", "auc_of_untruth"))
    assert sum(of["candidates"] for of in figures["by_relation"].values()) == found["candidates"]
    for scope in refinement_figures.SCOPES:
        of = figures[scope]
        counts = {part: of["queries"][part]["value"] for part in ("affected", "rest")}
        assert 0 < sum(counts.values()) <= 24
        for way, change in of["change"].items():
            for part in counts:
                before, after = (of["mrr"][name][part]["value"] for name in ("before", way))
                assert change[part]["value"] == pytest.approx(after - before)
                assert change[part]["queries"] == counts[part]
    assert figures["rejected"]["left_out_answers"]["value"] == 0, "who is told of no true edge has learnt no answer"
    for name in ("blame_by_relation", "mrr_by_way"):
        assert (path / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (path / "figures" / f"{name}.csv").read_text().count("\n") > 3


def test_the_oracle_judges_candidates_of_validation_queries_by_the_full_graph(whole):
    path, _ = whole
    data = refinement.load(config())
    judged = judgements.read(path / "judgements_0.tsv", data.vocabulary)
    text = (path / "candidates_0.tsv").read_text(encoding="utf-8")
    (path / "edited.tsv").write_text(text.replace("\t?\t", "\taccept\t"), encoding="utf-8")
    candidates = judgements.read(path / "edited.tsv", data.vocabulary).all()
    (path / "edited.tsv").unlink()
    assert set(map(tuple, judged.all().tolist())) <= set(map(tuple, candidates.tolist()))
    world = data.worlds[0]
    assert world.full.contains(judged.accepted).all()
    assert not world.full.contains(judged.rejected).any()
    train = graph.build_index(world.splits.train, num_entities=822, num_relations=18)
    assert not train.contains(candidates).any(), "a candidate is predicted"
    asked = {sampling.unordered(sample.query) for sample in data.found[0] + data.chosen[0]}
    assert not asked & {sampling.unordered(sample.query) for sample in data.held_out[0]}
    assert not {sampling.unordered(s.query) for s in data.found[0]} & {
        sampling.unordered(s.query) for s in data.chosen[0]
    }


def test_answers_that_accepted_edges_give_away_do_not_count():
    """An accepted test edge takes its answers, and those of its group, out of both the before and the after."""
    settings = config()
    data = refinement.load(settings)
    world = data.worlds[0]
    borders = data.vocabulary.relation_id("borders")
    edge = next(e for e in world.splits.test.tolist() if e[1] == borders and [e[2], borders, e[0]] in world.splits.test)
    accepted = np.array([edge])
    full, refined, given_away = refinement._with_accepted(settings, data.vocabulary, world, accepted)
    back = [(edge[2], borders, edge[0])]
    assert np.array_equal(full.tails, world.full.tails)
    assert refined.contains([edge]).all()
    assert not refined.contains(back).any()
    assert given_away.contains(back).all(), "a border is known once the one that goes back is"
    assert len(given_away.tails) <= len(world.known.tails) + 8


def test_the_same_twice(whole, tmp_path):
    assert execute(tmp_path, config()) == whole[1]


@pytest.mark.parametrize("stages", [0, 2])
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
    for name in ("metrics.jsonl", "candidates_0.tsv", "judgements_0.tsv", "refined.npz"):
        assert (tmp_path / name).read_bytes() == (whole[0] / name).read_bytes()


def test_judgements_from_a_file_are_those_of_the_oracle_that_wrote_it(whole, tmp_path):
    """And the predictor of a workdir is refined without being trained again."""
    fields = {"judgements": str(whole[0] / "judgements_0.tsv"), "predictor": str(whole[0])}
    figures = execute(tmp_path, config(**fields))
    assert figures["detection"]["rejected"] == whole[1]["detection"]["rejected"]
    assert figures["rejected"]["mrr"]["fine-tuned"] == whole[1]["rejected"]["mrr"]["fine-tuned"]
    assert not list(pathlib.Path(tmp_path).glob("checkpoints/train*"))
    refined = trained.load(whole[0] / refinement.REFINED)
    accepted = judgements.read(fields["judgements"], refined.vocabulary).accepted
    assert refined.known().contains(accepted).all()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_judging": 1}, r"config\.num_judging=1: at least 2 is due"),
        ({"first": 0}, r"config\.first=0: at least 1 is due"),
        ({"keep": -1.0}, r"config\.keep=-1\.0: a number from 0 up is due"),
        ({"reject": ()}, r"config\.reject=\(\): one or more weights"),
        ({"reject": (float("inf"),)}, r"config\.reject=\(inf,\)"),
        ({"types": ("1p", "2in")}, r"config\.types: '2in'; choose among 1p"),
        ({"types": ("1p", "1p")}, r"config\.types"),
        ({"setting": "continuous"}, r"config\.setting: 'continuous': has no best proofs"),
        ({"setting": "beam godel"}, r"config\.setting: 'beam godel': 'godel' is no word"),
        ({"model": "rotate"}, r"config\.model='rotate'"),
        ({"patience": 1}, r"config\.patience: queries of valid"),
        ({"rank": 0}, r"config\.rank=0"),
        ({"split": (0.9, 0.0, 0.1)}, r"config\.split=.*: leaves no valid triples"),
        ({"predictor": "absent"}, "absent"),
        ({"judgements": "absent.tsv"}, r"absent\.tsv"),
    ],
)
def test_mistakes_are_one_clear_error(fields, message):
    with pytest.raises((ValueError, OSError), match=message):
        refinement.load(config(**fields))


def test_a_predictor_that_cannot_be_overridden(monkeypatch):
    given = predictor.RotatE(*[np.zeros((1, 2))] * len(predictor.RotatE._fields))
    monkeypatch.setattr(fitting, "given", lambda *_: given)
    with pytest.raises(ValueError, match=r"config\.predictor=there: rotate's edges cannot be overridden"):
        refinement.load(config(predictor="there"))


def test_judgements_that_cannot_be(tmp_path):
    path = tmp_path / "mine.tsv"
    path.write_text("Spain\tborders\tFrance\treject\n")
    with pytest.raises(ValueError, match=r"config\.judgements=.*rejects Spain -- borders -- France, an edge of the gr"):
        refinement.load(config(judgements=str(path)))
    path.write_text("Spain\tborders\tJapan\treject\nSpain\tborders\tChina\treject\n")
    with pytest.raises(ValueError, match=r"config\.num_judged=1: config\.judgements has 2 edges"):
        refinement.load(config(judgements=str(path), num_judged=1))


def test_choice_and_interval():
    assert refinement_figures.choose([(0.1, 0.0), (0.3, -0.004), (0.5, -0.02)], 0.005) == 1
    assert refinement_figures.choose([(0.1, -0.03), (0.5, -0.02)], 0.005) == 1
    found = refinement_figures.change([np.array([0.1, 0.3]), np.array([0.3, 0.5]), np.array([0.2, 0.4])])
    assert found["value"] == pytest.approx(0.3)
    assert found["sd"] == pytest.approx(0.1)
    half = 4.302653 * 0.1 / 3**0.5  # Student's 97.5% with two degrees of freedom
    assert found["interval"] == pytest.approx([0.3 - half, 0.3 + half], abs=1e-5)
    assert found["interval_of_queries"] == pytest.approx(
        [0.3 - 1.959964 * (0.02**0.5) / 6**0.5, 0.3 + 1.959964 * (0.02**0.5) / 6**0.5]
    )
    assert refinement_figures.change([np.array([0.1])])["interval"] is None
