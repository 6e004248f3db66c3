"""Every scale builds every run's config, and a finished run is recognised by its config alone."""

import importlib
import json

import pytest

from experiment import app
from experiment.errors import UserError
from reproduce import scales

CASES = [(run, scale) for run in scales.RUNS for scale in run.scales]


@pytest.mark.parametrize(("run", "scale"), CASES, ids=lambda value: getattr(value, "name", value))
def test_flags_give_the_config_of_the_scale(run, scale):
    argv = [run.system, *run.flags(scale), "--workdir=w"]
    options = app.parse_flags(run.system, {run.name: ""}, "", argv)
    found = run.scale_of(json.loads(options.config.to_json_best_effort()))
    order = list(scales.ARGUMENTS)
    same = run.config(found) == run.config(scale) and run.fields(found) == run.fields(scale)
    assert found == scale or (same and order.index(found) < order.index(scale))


def test_an_input_does_not_change_the_scale_and_another_field_does():
    run = scales.Run("cqd", "umls", needs=("graph",))
    argv = ["cqd", *run.flags("laptop", {"graph": "folder"}), "--workdir=w"]
    config = json.loads(app.parse_flags("cqd", {"umls": ""}, "", argv).config.to_json_best_effort())
    assert config["graph"] == "folder"
    assert run.scale_of(config) == "laptop"
    assert scales.Run("cqd", "umls").scale_of(config) is None  # another graph than the claims are about
    assert run.scale_of(config | {"rank": 7}) is None


def test_a_run_without_what_it_needs_is_left_out(monkeypatch):
    runs = (scales.Run("cqd", "umls", needs=("graph",)), scales.Run("cqd", "countries"))
    monkeypatch.setattr(scales, "RUNS", runs)
    assert scales.chosen("laptop", ["cqd"], {}) == [runs[1]]
    assert scales.chosen("laptop", ["cqd"], {("cqd", "umls"): {"graph": "x"}}) == list(runs)
    assert scales.chosen("laptop", ["ntk_asgd"], {}) == []
    with pytest.raises(UserError, match="--input=cqd/countries:graph: at --scale=laptop it takes nothing"):
        scales.chosen("laptop", ["cqd"], {("cqd", "countries"): {"graph": "x"}})


def test_inputs_are_texts_of_one_form():
    words = ["cqd/umls:graph=a=b", "cqd/umls:queries=c", "cqd/nations:graph=d"]
    expected = {("cqd", "umls"): {"graph": "a=b", "queries": "c"}, ("cqd", "nations"): {"graph": "d"}}
    assert scales.parse_inputs(words) == expected
    for word in ("cqd/umls:graph", "cqd:graph=x", "cqd/umls=x", "cqd/umls:graph="):
        with pytest.raises(UserError, match="SYSTEM/RUN:FIELD=PATH"):
            scales.parse_inputs([word])


@pytest.mark.parametrize("run", [run for run in scales.RUNS if "gpu" in run.scales], ids=lambda run: run.name)
def test_a_run_needs_at_the_papers_scale_what_its_config_does_not_have(run):
    """The images of dataset=files, and the graph of a config that embeds none, have to come from the user."""
    config = run._at("gpu")
    if config.get("dataset") == "files":
        assert "data_path" in run.needed("gpu")
    if run.system == "cqd" and not config["embedded"]:
        assert "graph" in run.needed("gpu")
    module = importlib.import_module(importlib.import_module(f"{run.system}.main").RUNS[run.name])
    assert set(run.needed("gpu")) <= set(module.INPUTS if run.needed("gpu") else ())
