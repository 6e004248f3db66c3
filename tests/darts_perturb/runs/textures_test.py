import numpy as np
import pytest
from ml_collections import FrozenConfigDict

from configs.darts_perturb import textures as config_file
from darts_perturb import genotype, space
from darts_perturb.runs import textures
from experiment.workdir import Workdir

SPACE = space.get("nas_bench_201")


def config_of(**changes):
    config = config_file.get_config("smoke")
    config.update_from_flattened_dict(changes)
    return FrozenConfigDict(config)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"space": "darts2"}, "config.space: unknown search space 'darts2'; known: "),
        ({"dataset": "mnist"}, "config.dataset='mnist': known are textures, digits, files"),
        ({"dataset": "files"}, "config.data_path is empty"),
        ({"dataset": "files", "data_path": "absent.npz"}, "absent.npz: No such file"),
        ({"batch_size": 1201}, "config.batch_size=1201 is larger than half of the training images, 1200"),
        ({"eval_batch_size": 601}, "config.eval_batch_size=601 is larger than the smallest part, 600"),
        ({"seeds": ()}, "config.seeds"),
        ({"seeds": (1, 1)}, "config.seeds"),
        ({"seeds": (-1,)}, "config.seeds"),
        ({"layers": 0}, "config.layers=0: need at least 1"),
        ({"search.epochs": 0}, "config.search.epochs=0"),
        ({"projection.tune_epochs": -1}, "config.projection.tune_epochs=-1"),
        ({"projection.criterion": "f1"}, "config.projection.criterion='f1': known are accuracy, loss"),
        ({"projection.method": "loop"}, "config.projection.method='loop'"),
        ({"search.learning_rate": -0.1}, "config.search.learning_rate=-0.1"),
        ({"retrain.learning_rate": float("nan")}, "config.retrain.learning_rate=nan"),
        ({"textures.size": 10}, "config.textures"),
        ({"textures.num_test": 9999}, "config.textures: num_test=9999: brick.png has"),
    ],
)
def test_a_config_that_cannot_run_is_one_line_with_its_field(changes, words):
    with pytest.raises((ValueError, OSError)) as caught:
        textures.load(config_of(**changes))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_figures_of_known_cells():
    conv, free = ((op,) * 6 for op in ("nor_conv_3x3", "skip_connect"))
    good, bad = genotype.Genotype(SPACE.name, conv), genotype.Genotype(SPACE.name, free)
    seeds = (4, 7, 9)
    cells = {("magnitude", seed): bad for seed in seeds} | {("random", 0): bad}
    cells |= {(name, seed): good for name in ("perturbation", "perturbation_fixed") for seed in seeds}
    cells["perturbation", 9] = bad
    alpha = np.full((6, 5), 0.2) + 0.1 * np.eye(5)[1] - 0.1 * np.eye(5)[3]
    table = {name: np.tile(np.eye(5)[3], (6, 1)) for name in ("accuracy_drop", "accuracy_se", "loss_rise", "loss_se")}
    found = textures.figures(
        SPACE,
        seeds,
        {(kind, seed): alpha for kind in ("trained", "fixed") for seed in seeds},
        {(kind, seed): table for kind in ("trained", "fixed") for seed in seeds},
        cells,
        {good: np.array([0.7, 0.9]), bad: np.array([0.5, 0.7])},
    )
    assert found["parameter_free_share"]["magnitude"]["value"] == 1.0
    assert found["parameter_free_share"]["perturbation_fixed"] == {"value": 0.0, "sd": 0.0, "se": 0.0, "seeds": 3}
    assert found["skip_minus_conv3x3"]["value"] == pytest.approx(0.2)
    assert found["avg_pool_minus_conv3x3"]["value"] == pytest.approx(0.1)
    assert found["alpha_and_removal_agree"]["value"] == 0.0
    assert found["test_accuracy"]["perturbation_fixed"]["value"] == pytest.approx(0.8)
    difference = found["perturbation_minus_magnitude"]
    assert difference["value"] == pytest.approx(0.4 / 3)
    # 0.2, 0.2, 0: mean 0.133, se 0.0667, t quantile of 2 degrees of freedom 4.3027
    assert difference["interval"] == pytest.approx([0.4 / 3 - 4.302653 / 15, 0.4 / 3 + 4.302653 / 15], rel=1e-5)
    assert not difference["decided"]
    assert found["perturbation_fixed_minus_magnitude"]["decided"]
    assert found["test_accuracy_sd_of_retraining"] == pytest.approx(np.sqrt(0.02))


@pytest.mark.slow
def test_a_run_decides_every_edge_and_shows_it(tmp_path):
    config = config_of(**{"seeds": (0,), "retrain.seeds": 1, "projection.tune_epochs": 1, "dataset": "digits"})
    config = FrozenConfigDict({**config.to_dict(), "eval_batch_size": 120, "steps_per_call": 9})
    with Workdir(tmp_path, config.to_dict()) as workdir:
        found = textures.run(config, textures.load(config), workdir)
        rows = workdir.rows()
    cells = {row["selection"]: row for row in rows if row["stage"] == "cells"}
    assert set(cells) == {"magnitude", "perturbation", "perturbation_fixed", "random"}
    assert found["genotypes"]["magnitude"] == [cells["magnitude"]["genotype"]]
    assert found["perturbation_minus_magnitude"]["interval"] is None
    projected = [row for row in rows if row["stage"] == "projection_trained_0" and "edge" in row]
    assert sorted(row["edge"] for row in projected) == list(range(6))
    chosen = dict(zip(SPACE.edges, genotype.parse(cells["perturbation"]["genotype"]).ops))
    assert all(SPACE.ops[int(row["op"])] == chosen[SPACE.edges[int(row["edge"])]] for row in projected)
    fixed = [row for row in rows if row["stage"] == "search_fixed_0"]
    assert {row["weight_skip_connect"] for row in fixed} == {fixed[0]["weight_skip_connect"]}
    trained = [row for row in rows if row["stage"] == "strengths_trained_0"]
    assert len(trained) == 30
    largest = [max(trained[5 * e : 5 * e + 5], key=lambda row: row["weight"])["op"] for e in range(6)]
    assert list(genotype.parse(cells["magnitude"]["genotype"]).ops) == largest
    assert all(row["loss_rise"] == 0.0 for row in trained if row["op"] == "none")
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert names == {
        f"{name}.{kind}"
        for name in ("alpha", "strengths_trained", "strengths_fixed", "cells", "accuracy")
        for kind in ("png", "csv")
    }
