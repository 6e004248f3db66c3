import json
import signal

import numpy as np
import pytest
from ml_collections import FrozenConfigDict

from configs.darts_perturb import retrain as config_file
from darts_perturb import genotype, network, retraining
from darts_perturb.runs import retrain, retrain_plots, retrained
from experiment.signals import Interrupted
from experiment.workdir import Workdir

CELL = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|skip_connect~0|none~1|avg_pool_3x3~2|"
POOLS = (
    "Genotype(normal=[('skip_connect', 0), ('skip_connect', 1), ('skip_connect', 0), ('dil_conv_3x3', 2), "
    "('skip_connect', 0), ('skip_connect', 1), ('skip_connect', 0), ('skip_connect', 1)], normal_concat=[2, 3], "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), "
    "('skip_connect', 3), ('skip_connect', 2), ('skip_connect', 3)], reduce_concat=[2, 3])"
)


def config_of(arg="smoke", **changes):
    config = config_file.get_config(arg)
    config.update_from_flattened_dict(changes)
    return FrozenConfigDict(config)


def small(**changes):
    """Returns a config of few steps, two calls an epoch, that compiles the same for every test."""
    sizes = {"seeds": (0,), "genotypes": (POOLS,), "steps_per_call": 2, "retrain.batch_size": 256, "retrain.cutout": 0}
    return config_of(**sizes | changes)


def opened(path, config):
    return Workdir(path, json.loads(config.to_json_best_effort()))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"genotypes": ()}, "config.genotypes is empty"),
        ({"genotypes": (CELL, "|x~0|")}, "config.genotypes[1]: genotype '|x~0|'"),
        ({"genotypes": (CELL, CELL)}, "config.genotypes[1] is the same cell as config.genotypes[0]"),
        ({"genotypes": (CELL, config_file.DARTS_V2)}, "config.genotypes[1] is of darts, config.genotypes[0] of nas_be"),
        ({"space": "s7"}, "config.space: unknown search space 's7'"),
        ({"space": "s2"}, "config.genotypes[0]: genotype "),
        ({"seeds": (1, 1)}, "config.seeds=(1, 1)"),
        ({"seeds": ()}, "config.seeds=()"),
        ({"table": "absent.npz"}, "config.table: it has cells of nas_bench_201, config.genotypes are of darts"),
        ({"table": "absent.npz", "genotypes": (CELL,)}, "absent.npz: no such file"),
        ({"dataset": "mnist"}, "config.dataset='mnist'"),
        ({"retrain.layers": 2}, "config.retrain.layers=2: need at least 3; a network of a DARTS genotype"),
        ({"retrain.epochs": 0}, "config.retrain.epochs=0: need at least 1"),
        ({"retrain.batch_size": 1198}, "config.retrain.batch_size=1198 is larger than the 1197 training images"),
        ({"retrain.clip": -1.0}, "config.retrain.clip=-1.0: need a finite number"),
        ({"retrain.learning_rate": float("inf")}, "config.retrain.learning_rate=inf"),
        ({"retrain.drop_path": 1.0}, "config.retrain.drop_path=1.0: need a number below 1"),
        ({"retrain.auxiliary": 0.4}, "made for images of 32x32, these are 8x8; set it to 0"),
        ({"genotypes": (CELL,)}, "config.retrain.drop_path=0.2: a network of nas_bench_201 has none; set it to 0"),
        ({"dtype": "float16"}, "config.dtype='float16': known are float32, bfloat16"),
        ({"steps_per_call": 0}, "config.steps_per_call=0: need at least 1"),
        ({"eval_batch_size": 0}, "config.eval_batch_size=0"),
        ({"shift": -1}, "config.shift=-1"),
    ],
)
def test_a_config_that_cannot_run_is_one_line_with_its_field(changes, words):
    with pytest.raises((ValueError, OSError)) as caught:
        retrain.load(config_of(**changes))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_recipes_are_those_of_the_papers():
    darts, benchmark = config_file.get_config().retrain, config_file.get_config("nas_bench_201").retrain
    sizes = {"channels": darts.channels, "layers": darts.layers, "num_classes": 10}
    # 3.3M in the paper
    assert network.num_params(genotype.parse(config_file.DARTS_V2), **sizes) == 3_349_342
    assert (darts.epochs, darts.batch_size, darts.nesterov, darts.clip) == (600, 96, False, 5.0)
    assert (benchmark.epochs, benchmark.batch_size, benchmark.nesterov, benchmark.clip) == (200, 256, True, 0.0)
    assert set(darts) == set(benchmark)


def test_a_training_stopped_within_an_epoch_ends_as_if_it_had_not_been(tmp_path, monkeypatch):
    config = small()
    data = retrain.load(config)
    steps, calls = retrained._steps, []

    def trained(name, stop_at=0):
        with opened(tmp_path / name, config) as workdir:

            def counted(*args, **options):
                calls.append(args[6])
                if len(calls) == stop_at:
                    workdir.signals.pending = signal.SIGTERM
                return steps(*args, **options)

            monkeypatch.setattr(retrained, "_steps", counted)
            args = ("retrain_0_0", data.genotypes[0], data.dataset, config, 0)
            return retrained.retrained(workdir, *args), workdir.rows("retrain_0_0")

    whole, rows = trained("whole")
    assert calls == [0, 2, 4, 6]
    calls.clear()
    with pytest.raises(Interrupted):
        trained("stopped", stop_at=3)
    found, rows_of_both = trained("stopped")
    assert calls == [0, 2, 4, 6]  # none twice
    assert (found, rows_of_both) == (whole, rows)
    assert [row["epoch"] for row in rows] == [0.5, 1.0, 1.5, 2.0]
    assert ["valid_accuracy" in row for row in rows] == [False, True, False, True]
    valid = [row["valid_accuracy"] for row in rows if "valid_accuracy" in row]
    assert (whole["valid_accuracy"], whole["best_epoch"]) == (max(valid), 1 + int(np.argmax(valid)))
    assert whole["test_accuracy"] * 360 == round(whole["test_accuracy"] * 360)
    calls.clear()
    assert trained("stopped") == (found, rows)
    assert not calls


def test_the_weights_that_are_tested_are_those_of_the_best_epoch(tmp_path, monkeypatch):
    config = small()
    data = retrain.load(config)
    # the first epoch, which on its own would rarely be the best
    monkeypatch.setattr(retrained, "_keep_best", lambda state, _, epoch: retraining.keep_best(state, 1 / epoch, epoch))
    with opened(tmp_path, config) as workdir:
        found = retrained.retrained(workdir, "retrain_0_0", data.genotypes[0], data.dataset, config, 0)
        first, last = (row["valid_accuracy"] for row in workdir.rows("retrain_0_0") if "valid_accuracy" in row)
    assert first != last
    assert (found["valid_accuracy"], found["best_epoch"]) == (first, 1)


def test_a_run_tells_of_every_cell_and_draws_it(tmp_path):
    config = small(**{"retrain.epochs": 1, "seeds": (3, 1)})
    with opened(tmp_path, config) as workdir:
        found = retrain.run(config, retrain.load(config), workdir)
        rows = retrain_plots.by_epoch(workdir.rows())
        cells = workdir.rows("cells")
    (cell,) = found["cells"]
    json.dumps(found)
    sizes = {"channels": 4, "layers": 3, "num_classes": 10}
    assert cell["params"] == network.num_params(genotype.parse(POOLS), **sizes)
    assert cell["multiply_adds"] == network.flops(genotype.parse(POOLS), image_size=8, **sizes)
    assert (cell["genotype"], cell["table"], cell["best_epoch"]) == (POOLS, None, [1, 1])
    assert cell["test_accuracy"]["value"] == pytest.approx(np.mean(cell["test_accuracy"]["every"]))
    assert [row["test_accuracy"] for row in cells] == cell["test_accuracy"]["every"]
    assert [(row["seed"], row["epoch"]) for row in rows] == [(3, 1), (1, 1)]
    assert [row["valid_accuracy"] for row in rows] == cell["valid_accuracy"]["every"]
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert names == {"curves.png", "curves.csv", "cell_0.png", "cell_0.csv"}


def test_the_table_answers_for_its_cells(tmp_path):
    accuracy = np.random.default_rng(0).uniform(10, 90, (15_625, 3))
    np.savez(tmp_path / "table.npz", acc=accuracy)
    config = config_of("smoke,nas_bench_201", genotypes=(CELL,), table=str(tmp_path / "table.npz"))
    data = retrain.load(config)
    found = [{"test_accuracy": 0.5, "valid_accuracy": 0.6, "best_epoch": 2}]
    figures = retrain.figures(data.genotypes[0], found, config.retrain, data.dataset, data.table)
    row = 3 * 5**5 + 0 * 5**4 + 1 * 5**3 + 1 * 5**2 + 0 * 5 + 4
    assert figures["table"]["cifar10"]["accuracy"] == accuracy[row, 0]
    assert "params_with_auxiliary" not in figures


def test_the_curves_are_medians_over_seeds_of_the_means_of_an_epoch():
    rows = [
        {"stage": f"retrain_0_{seed}", "step": step, "epoch": step / 4, "loss": float(10 * seed + step)}
        | {"accuracy": 0.5, "learning_rate": 0.1}
        | ({"valid_accuracy": 0.1 * seed + step / 10} if step % 4 == 0 else {})
        for seed in (0, 1, 4)
        for step in (2, 4, 6, 8)
    ]
    found = retrain_plots.by_epoch([*rows, {"stage": "cells", "step": 1, "seed": 0}])
    assert [row["loss"] for row in found] == [3, 7, 13, 17, 43, 47]
    assert [row["epoch"] for row in found] == [1, 2] * 3
    left, right = retrain_plots.plot_curves(found).axes
    np.testing.assert_allclose(left.lines[0].get_ydata(), [13, 17])
    np.testing.assert_allclose(right.lines[0].get_ydata(), [0.5, 0.9])
    assert "epoch" in right.get_xlabel()


def test_a_call_is_a_part_of_an_epoch():
    for epoch_steps in (1, 6, 7, 175, 468):
        for wanted in (1, 3, 50, 1000):
            assert epoch_steps % retrained.steps_in_call(epoch_steps, wanted) == 0
