"""Finished runs of several directories become one report, each claim judged at the largest scale."""

import json

import pytest

from experiment import app
from experiment.errors import UserError
from reproduce import claims, finished, main, scales

RUN = scales.Run("cqd", "train", gpu_needs=("graph",))
SUMMARY = {
    "system": "cqd",
    "run": "train",
    "seeds": [0],
    "device": {"platform": "cpu", "kind": "cpu", "count": 1, "cpus": 2},
    "wall_time_s": 3.0,
    "versions": {"jax": "0.0"},
}


def make(folder, scale, value, **changes):
    argv = ["cqd", *RUN.flags(scale), "--workdir=w"]
    config = json.loads(app.parse_flags("cqd", {"train": ""}, "", argv).config.to_json_best_effort())
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config | changes))
    (folder / "summary.json").write_text(json.dumps(SUMMARY | {"figures": {"mrr": value}}))
    return folder


@pytest.fixture(autouse=True)
def table(monkeypatch):
    claim = claims.Claim(
        name="links",
        system="cqd",
        run="train",
        title="links are found",
        statement="x",
        source="y",
        published="z",
        measure=claims.at("mrr"),
        accepted=claims.cqd.Accepted(low=0.4),
    )
    monkeypatch.setattr(claims, "CLAIMS", (claim,))
    monkeypatch.setattr(scales, "RUNS", (RUN,))


def test_the_largest_scale_is_reported_with_its_place_and_command(tmp_path, capsys):
    make(tmp_path / "a" / "deep", "laptop", 0.5)
    make(tmp_path / "b", "gpu", 0.3, graph="big.tsv")
    make(tmp_path / "c", "smoke", 0.1)
    folders = ",".join(str(tmp_path / name) for name in "abc")
    with pytest.raises(SystemExit) as stop:
        main.main(["reproduce", f"--workdir={tmp_path / 'out'}", "--only=cqd", f"--merge={folders}"])
    assert not stop.value.code
    assert "fails by 0.1" in capsys.readouterr().out
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["runs"]["cqd/train"]["scale"] == "gpu"
    assert report["claims"][0]["scale"] == "gpu"
    assert (
        report["claims"][0]["command"]
        == "python -m cqd.main --config=configs/cqd/train.py --config.graph=big.tsv --workdir=DIR"
    )
    assert "at scale “gpu”" in (tmp_path / "out" / "report.html").read_text()


def test_a_run_of_no_scale_is_left_out_and_paths_it_needs_do_not_matter(tmp_path):
    make(tmp_path / "own", "laptop", 0.5, rank=7)
    make(tmp_path / "other_graph", "laptop", 0.5, graph="my.tsv")
    assert finished.collect([tmp_path], ["cqd"]) == {}
    folder = make(tmp_path / "given", "gpu", 0.5, graph="my.tsv")
    found = finished.collect([tmp_path], ["cqd"])["cqd", "train"]
    assert (found.workdir, found.scale, found.inputs) == (folder, "gpu", {"graph": "my.tsv"})
    assert finished.result(claims.CLAIMS[0], found, RUN).command.endswith("--config.graph=my.tsv --workdir=DIR")
    assert finished.collect([tmp_path], ["ntk_asgd"]) == {}


def test_bad_folders_are_named(tmp_path):
    with pytest.raises(UserError, match="no finished run in it"):
        finished.collect([tmp_path], ["cqd"])
    (tmp_path / "summary.json").write_text("{")
    with pytest.raises(UserError, match=r"summary\.json: not the summary of a run"):
        finished.collect([tmp_path], ["cqd"])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("summary.json", SUMMARY, "it has no 'figures'"),
        ("summary.json", [1], "not the summary of a run"),
        ("config.json", [1], "the config is no object"),
    ],
)
def test_what_a_run_lacks_is_said(tmp_path, name, content, message):
    folder = make(tmp_path / "a", "laptop", 0.5)
    (folder / name).write_text(json.dumps(content))
    with pytest.raises(UserError, match=message):
        finished.collect([tmp_path], ["cqd"])


def test_a_summary_of_another_version_is_named(tmp_path):
    folder = make(tmp_path / "a", "laptop", 0.5)
    (folder / "summary.json").write_text(json.dumps(SUMMARY | {"figures": {"other": 1}}))
    found = finished.collect([tmp_path], ["cqd"])["cqd", "train"]
    with pytest.raises(UserError, match=r"summary\.json: lacks a figure of the claim links \('mrr'\)"):
        finished.result(claims.CLAIMS[0], found, RUN)


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--scale=gpu --input=cqd/train:graph=absent.tsv", "--input=cqd/train:graph=absent.tsv: no such file"),
        ("--merge=", "--merge=: a directory of finished runs is due"),
        ("--input=cqd/train:graph=absent.tsv", "--input=cqd/train:graph: at --scale=laptop it takes nothing"),
    ],
)
def test_what_is_absent_is_said_before_any_run(tmp_path, capsys, monkeypatch, flag, message):
    monkeypatch.setattr(app, "run", lambda **_: pytest.fail("a run was begun"))
    with pytest.raises(SystemExit) as stop:
        main.main(["reproduce", f"--workdir={tmp_path}", "--only=cqd", *flag.split()])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
