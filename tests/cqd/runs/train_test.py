"""The run that trains a predictor: its figures and file, patience, resumption, a user's graph, every user mistake."""

import functools
import json

import jax
import numpy as np
import pytest
from ml_collections import FrozenConfigDict

from configs.cqd import train as config_file
from cqd import link_ranking, loading, predictor, trained
from cqd.runs import train
from experiment import errors
from experiment.workdir import Workdir
from tests.experiment import inside


def config(**fields):
    result = config_file.get_config("smoke")
    result.update({"seeds": (0,), "patience": 0, **fields})
    return FrozenConfigDict(result)


execute = functools.partial(inside.execute, train)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole")
    return path, execute(path, config(seeds=(0, 1)))


def test_figures_and_files(whole):
    path, figures = whole
    assert figures["graph"] == {"entities": 822, "relations": 9, "train": 2009, "valid": 118, "test": 236}
    links = figures["link_prediction"]
    assert set(links) == {"mrr", "hits_at_1", "hits_at_3", "hits_at_10"}
    assert all(0 < links[name]["value"] < 1 and links[name]["seeds"] == 2 for name in links)
    assert links["hits_at_1"]["value"] <= links["mrr"]["value"] <= links["hits_at_10"]["value"]
    assert 0 < figures["loss"]["value"] < np.log(822)  # what a predictor that knows nothing has
    assert (path / "figures" / "training.png").read_bytes().startswith(b"\x89PNG")
    assert (path / "figures" / "training.csv").read_text().startswith("seed,")


def test_the_first_seeds_predictor_is_kept_as_it_was_measured(whole):
    path, _ = whole
    found = trained.load(path)
    vocabulary, parts = loading.load("")
    assert found.vocabulary.entities == vocabulary.entities
    together = np.concatenate(list(found.parts.values()))
    assert sorted(map(tuple, together.tolist())) == sorted(map(tuple, parts["all"].tolist()))
    test = np.concatenate([found.parts["test"], found.parts["test"][:, [2, 1, 0]] + [0, 1, 0]])
    ranks = link_ranking.filtered_ranks(found.params, test, found.full(), batch_size=50)
    rows = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    [mrr] = [row["mrr"] for row in rows if row["stage"] == "link_prediction" and row["seed"] == 0]
    assert mrr == pytest.approx(np.mean(1 / ranks))


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_resumed_is_uninterrupted(whole, tmp_path, monkeypatch, steps):
    """A run that breaks off after some rows of metrics ends with the same figures, rows and predictor."""
    done = iter(range(steps))
    name = "log" if steps < 2 else "save_figure"
    method = getattr(Workdir, name)

    def breaking(workdir, *args, **values):
        if name == "save_figure" or next(done, None) is None:
            raise KeyboardInterrupt
        return method(workdir, *args, **values)

    monkeypatch.setattr(Workdir, name, breaking)
    with pytest.raises(KeyboardInterrupt):
        execute(tmp_path, config(seeds=(0, 1)))
    monkeypatch.undo()
    assert execute(tmp_path, config(seeds=(0, 1))) == whole[1]
    assert (tmp_path / "metrics.jsonl").read_text() == (whole[0] / "metrics.jsonl").read_text()
    assert (tmp_path / trained.FILE).read_bytes() == (whole[0] / trained.FILE).read_bytes()


@pytest.mark.parametrize("model", predictor.MODELS)
def test_every_model_trains_and_is_kept(tmp_path, model):
    figures = execute(tmp_path, config(model=model, learning_rate=0.05 if model == "rotate" else 0.1))
    assert type(trained.load(tmp_path).params) is predictor.MODELS[model]
    assert 0 < figures["link_prediction"]["mrr"]["value"] <= 1


def test_patience_keeps_the_best_by_validation(tmp_path, monkeypatch):
    """Of evaluations .1 .3 .2 .25 the second is the best, the fourth the last; its predictor is that of two epochs."""
    execute(tmp_path / "two", config(epochs=2, epochs_per_call=1))
    measured = iter([0.1, 0.3, 0.2, 0.25])
    monkeypatch.setattr(link_ranking, "mrr", lambda params, **_: np.float32(next(measured)))
    figures = execute(tmp_path / "patient", config(patience=2, epochs=7, epochs_per_call=1))
    rows = [json.loads(line) for line in (tmp_path / "patient" / "metrics.jsonl").read_text().splitlines()]
    rows = [row for row in rows if row["stage"] == "train_0"]
    assert [round(row["valid_mrr"], 2) for row in rows] == [0.1, 0.3, 0.2, 0.25, 0.3, 0.3, 0.3]
    assert figures["loss"]["value"] == rows[3]["loss"]
    assert ["loss" in row for row in rows] == [True] * 4 + [False] * 3
    found, due = (trained.load(tmp_path / name).params for name in ("patient", "two"))
    jax.tree.map(np.testing.assert_array_equal, found, due)


def test_training_on_everything_has_no_link_prediction(tmp_path):
    figures = execute(tmp_path, config(split=(1.0, 0.0, 0.0)))
    assert figures["graph"] == {"entities": 822, "relations": 9, "train": 2363, "valid": 0, "test": 0}
    assert "link_prediction" not in figures
    assert "loss" in figures
    assert len(trained.load(tmp_path).known().tails) == len(trained.load(tmp_path).full().tails)


def test_a_graph_of_ones_own(tmp_path):
    rng = np.random.default_rng(0)
    lines = sorted({f"n{a}\tlikes\tn{b}\n" for a, b in rng.integers(12, size=(60, 2))})
    (tmp_path / "mine.tsv").write_text("".join(lines))
    figures = execute(tmp_path / "one", config(graph=str(tmp_path / "mine.tsv")))
    assert figures["graph"]["relations"] == 1
    assert sum(figures["graph"][part] for part in ("train", "valid", "test")) == len(lines)
    assert trained.load(tmp_path / "one").vocabulary.relations == ("likes",)
    for part, text in (("train", lines[:40]), ("valid", []), ("test", lines[40:])):
        (tmp_path / f"{part}.tsv").write_text("".join(text))
    figures = execute(tmp_path / "parts", config(graph=str(tmp_path)))
    assert {part: figures["graph"][part] for part in ("train", "valid", "test")} == {
        "train": 40,
        "valid": 0,
        "test": len(lines) - 40,
    }


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rank": 0}, r"config\.rank=0: at least 1 is due"),
        ({"batch_size": 0}, r"config\.batch_size=0"),
        ({"epochs": 3}, r"config\.epochs=3 is not a multiple of epochs_per_call=2"),
        ({"learning_rate": float("inf")}, r"config\.learning_rate=inf: a number from 0 up is due"),
        ({"regularization": -0.1}, r"config\.regularization=-0\.1"),
        ({"relation_weight": -1.0}, r"config\.relation_weight=-1\.0"),
        ({"patience": -1}, r"config\.patience=-1"),
        ({"model": "transe"}, r"config\.model='transe': choose one of complex, distmult, cp, rotate"),
        ({"compute_dtype": "float16"}, r"config\.compute_dtype='float16': choose one of float32, bfloat16"),
        ({"seeds": (0, 0)}, r"config\.seeds=\(0, 0\)"),
        ({"seeds": ()}, r"config\.seeds=\(\)"),
        ({"split": (0.5, 0.5, 0.5)}, r"config\.split: fractions="),
        ({"split": (0.5, 0.5)}, r"config\.split: fractions="),
        ({"split": (1.0, 0.0, 0.0), "patience": 1}, r"config\.patience=1: there are no validation triples to watch"),
        ({"embedded": {"together": ("region,subregoin",)}}, r"config\.together: unknown relation 'subregoin'"),
        ({"graph": "absent.tsv"}, r"absent\.tsv"),
        ({"columns": "hr"}, "columns='hr'"),
    ],
)
def test_mistakes_are_one_clear_error_before_anything_is_trained(fields, message):
    with pytest.raises((ValueError, OSError), match=message):
        train.load(config(**fields))


@pytest.mark.parametrize("patience", [0, 1])
def test_a_training_that_diverges_is_named(tmp_path, patience):
    settings = config(learning_rate=1e30, batch_size=10_000, epochs=1, epochs_per_call=1, patience=patience)
    with pytest.raises(errors.NonFiniteError, match=r"(link prediction|validation): .*lower config\.learning_rate"):
        execute(tmp_path, settings)
