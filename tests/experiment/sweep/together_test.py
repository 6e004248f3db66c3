"""Points that run as one program: grouped by what may differ, the same files as alone, one by one where one fails."""

import json

import numpy as np
import pytest

from experiment.sweep import points, together
from tests.experiment import binary, team
from tests.experiment.sweep import sweeping
from tests.experiment.sweep.sweeping import TOY

TOYS = binary.ROOT / "tests" / "experiment" / "toy" / "config.py"
POINTS = [f"inner.rate={rate},seed={seed}" for seed in (0, 1) for rate in (0.5, 1.0)]


def toy_config(folder, sweep):
    """Returns --config= of the toy's config with another sweep()."""
    (folder / "toy").mkdir()
    text = TOYS.read_text()
    (folder / "toy" / "config.py").write_text(text[: text.index("def sweep")] + f"def sweep():\n    {sweep}\n")
    return f"--config={folder / 'toy' / 'config.py'}"


def log(root):
    """Returns {name: text} of what the processes of groups have said."""
    return {path.parent.name: path.read_text() for path in root.glob("together/*/log.txt")}


def figures_of(root):
    return {name: json.loads((root / "points" / name / "summary.json").read_text())["figures"] for name in POINTS}


def test_points_together_come_out_as_alone(here, tmp_path):
    root = tmp_path / "w"
    status, line, err = here(TOY, f"--workdir={root}", "--config.num_steps=30", "--vectorize")
    assert (status, line["done"]) == (0, 4), err
    (said,) = log(root).values()
    assert said.count("4 runs as one program: _walk") == 1
    own = [TOY, "--config.inner.rate=1.0", "--config.seed=1", "--config.num_steps=30"]
    status, out, err = binary.run("toy.main", *own, f"--workdir={tmp_path / 'alone'}")
    assert status == 0, err
    alone = json.loads(out)
    summary = json.loads((root / "points" / POINTS[3] / "summary.json").read_text())
    np.testing.assert_allclose(summary["figures"]["position"], alone["figures"]["position"], rtol=1e-5)
    assert summary.keys() - alone.keys() == {"runs_together"}
    assert summary["runs_together"] == 4
    assert summary["seeds"] == alone["seeds"] == [1]
    config = json.loads((root / "points" / POINTS[3] / "config.json").read_text())
    assert config == json.loads((tmp_path / "alone" / "config.json").read_text())
    assert [row["point"] for row in sweeping.table(root)] == POINTS
    assert len({str(figures) for figures in figures_of(root).values()}) == 4
    status, _, err = binary.run("toy.main", *own, f"--workdir={root / 'points' / POINTS[3]}")
    assert status == 0
    assert "is finished" in err
    assert here(TOY, f"--workdir={root}", "--config.num_steps=30")[1]["done"] == 4  # a finished sweep without the flag


def test_points_that_run_alone_are_told(tmp_path, monkeypatch):
    """So is what a run with such calls computes apart."""
    said = []
    monkeypatch.setattr(together.logging, "warning", lambda text, *values: said.append(text % values))
    config = toy_config(tmp_path, "return [{'seed': s} for s in (0, 1)] + [{'num_steps': 20}]")
    sweep = points.read("toy", {"walk": "toy.walk"}, config.removeprefix("--config="), None, (), tmp_path)
    assert [len(group) for group in together.groups(sweep, sweep.points)] == [2, 1]
    assert said[0] == "[sweep] --vectorize: 1 of 3 points run alone"
    assert "config.{seed, inner.rate, nan_at}" in said[1]
    assert len(said) == 2
    monkeypatch.setattr("toy.walk.apart", lambda config: f"its {config['num_steps']} figures", raising=False)
    together.groups(sweep, sweep.points[:2])
    assert said[2:] == ["[sweep] --vectorize: one after the other still: its 50 figures"]


def test_groups_are_of_points_that_differ_in_traced_numbers_alone_and_of_a_size(tmp_path):
    config = toy_config(
        tmp_path,
        "return [{'seed': s, 'num_steps': n, 'inner.rate': r} for s in (0, 1, 2) for n in (10, 20) for r in (1, 2)]",
    )
    sweep = points.read("toy", {"walk": "toy.walk"}, config.removeprefix("--config="), None, (), tmp_path)
    names = [[point.overrides["num_steps"] for point in group] for group in together.groups(sweep, sweep.points)]
    assert names == [[10] * 6, [20] * 6]
    groups = together.groups(sweep, sweep.points, size=4)
    assert [len(group) for group in groups] == [4, 2, 4, 2]
    assert sorted(point.name for group in groups for point in group) == sorted(point.name for point in sweep.points)
    module, *flags = together.words(sweep, groups[0][:1])
    assert module == "toy.main"
    assert f"--workdir={groups[0][0].workdir}" in flags


def test_what_cannot_run_together_runs_one_by_one(here, tmp_path):
    """One of two walks is not finite: the other finishes, and it alone has failed."""
    config = toy_config(tmp_path, "return [{'seed': 0}, {'seed': 2, 'nan_at': 5}]")
    status, line, err = here(config, f"--workdir={tmp_path / 'w'}", "--vectorize", "--config.num_steps=20")
    assert status == 1, err
    assert (line["done"], line["failed"]) == (1, 1)
    assert "its points run one by one" in err
    assert [row["state"] for row in sweeping.table(tmp_path / "w")] == ["done", "failed"]
    assert "mean is not finite at step 5" in err


SYSTEMS = [
    ("ntk_asgd", "averaging", [{"eta_sup_k": 0.2}, {"seed": 1}], 2),
    ("cqd", "train", [{"regularization": 0.03}, {"regularization": 0.05, "learning_rate": 0.2}], 1),
    pytest.param(
        *("darts_perturb", "digits", [{"seeds": (2,), "search.learning_rate": 0.05}, {"seeds": (0,)}], 2),
        marks=pytest.mark.slow,
    ),
    pytest.param("ntk_asgd", "rates", [{"noise": 0.25}, {"noise": 0.5}], 2, marks=pytest.mark.slow),
    pytest.param("ntk_asgd", "misspecified", [{"constant": 0.3}, {"constant": 1.0}], 2, marks=pytest.mark.slow),
    pytest.param("ntk_asgd", "layers", [{"network.noise": 0.1}, {"network.noise": 0.2}], 1, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("system", "run", "overrides", "least"), SYSTEMS)
def test_the_systems_own_runs_come_out_as_alone(here, tmp_path, system, run, overrides, least):
    (tmp_path / "own.py").write_text(
        f"from configs.{system}.{run} import get_config\n\n\ndef sweep():\n    return {overrides}\n"
    )
    config, roots = f"--config={tmp_path / 'own.py'}:smoke", {}
    for flag in ("--vectorize", "--novectorize"):
        roots[flag] = tmp_path / flag.strip("-")
        status, line, err = here(config, f"--system={system}", f"--workdir={roots[flag]}", "--num_workers=1", flag)
        assert (status, line["done"]) == (0, 2), err
        said = "".join(log(roots[flag]).values())
        assert (said.count("2 runs as one program") >= least) == (flag == "--vectorize")
    for alone in sorted((roots["--novectorize"] / "points").iterdir()):
        team.assert_near(roots["--vectorize"] / "points" / alone.name, alone, rtol=1e-4)


@pytest.mark.slow
def test_a_group_that_was_killed_goes_on(here, tmp_path):
    root = tmp_path / "w"
    args = [TOY, f"--workdir={root}", "--config.num_steps=30", "--vectorize"]
    driver = binary.start("experiment.sweep", *args)
    while not any("as one program" in text for text in log(root).values()):
        assert driver.poll() is None
    driver.kill()
    driver.communicate()
    status, line, err = here(*args)
    assert (status, line["done"]) == (0, 4), err
    assert all(figures["mean"]["seeds"] == 4 for figures in figures_of(root).values())
