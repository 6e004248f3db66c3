"""Every scale builds every run's config, and a finished run is recognised by its config alone."""

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
    assert scales.Run("cqd", "umls", scales=("smoke", "laptop")).scale_of(config) == "laptop"
    assert run.scale_of(config | {"rank": 7}) is None


def test_a_run_without_what_it_needs_is_left_out(monkeypatch):
    runs = (scales.Run("cqd", "umls", needs=("graph",)), scales.Run("cqd", "countries"))
    monkeypatch.setattr(scales, "RUNS", runs)
    assert scales.chosen("laptop", ["cqd"], {}) == [runs[1]]
    assert scales.chosen("laptop", ["cqd"], {("cqd", "umls"): {"graph": "x"}}) == list(runs)
    assert scales.chosen("laptop", ["ntk_asgd"], {}) == []


def test_inputs_are_texts_of_one_form():
    words = ["cqd/umls:graph=a=b", "cqd/umls:queries=c", "cqd/nations:graph=d"]
    expected = {("cqd", "umls"): {"graph": "a=b", "queries": "c"}, ("cqd", "nations"): {"graph": "d"}}
    assert scales.parse_inputs(words) == expected
    for word in ("cqd/umls:graph", "cqd:graph=x", "cqd/umls=x", "cqd/umls:graph="):
        with pytest.raises(UserError, match="SYSTEM/RUN:FIELD=PATH"):
            scales.parse_inputs([word])
