import functools
import json

import numpy as np
import pytest

from configs.darts_perturb import pilot as configs
from darts_perturb import isomorphism
from darts_perturb.runs.analysis import pilot, pilot_plots
from experiment.workdir import Workdir
from tests.experiment import inside

config_of = functools.partial(inside.smoke_config, configs)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"settings": ()}, "config.settings=(): need different ones of digits, "),
        ({"settings": ("cifar",)}, "config.settings=('cifar',)"),
        ({"seeds": (0,)}, "config.seeds=(0,): need two or more"),
        ({"seeds": (0, -1)}, "config.seeds[1]=-1: need a whole number"),
        ({"cell_seed": -1}, "config.cell_seed=-1"),
        ({"num_cells": 5}, "config.num_cells=5: need 6 to 4,929"),
        ({"num_cells": 4930}, "config.num_cells=4930"),
        ({"needed": 1.0}, "config.needed=1.0"),
        ({"eval_batch_size": 1}, "config.eval_batch_size=1"),
        ({"known.pooled_2400.size": 6}, "config.known.pooled_2400.size=6: need a multiple of 4"),
        ({"known.pooled_2400.dataset": "cifar"}, "config.known.pooled_2400.dataset='cifar': known are textures"),
        ({"known.pooled_2400.reduction": "none"}, "config.known.pooled_2400.reduction='none'"),
        ({"known.pooled_2400.num_train": 9000}, "config.known.pooled_2400.num_train=9000: "),
        ({"known.pooled_2400.epochs": 0}, "config.known.pooled_2400.epochs=0"),
        ({"known.pooled_2400.batch_size": 201}, "config.known.pooled_2400.batch_size=201 is larger than the 200"),
        ({"known.pooled_2400.learning_rate": 0.0}, "config.known.pooled_2400.learning_rate=0.0"),
    ],
)
def test_a_config_that_cannot_run_is_one_line_with_its_field(changes, words):
    with pytest.raises(ValueError, match=r"config\.") as caught:
        pilot.load(config_of(**changes))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_cells_are_different_networks_with_an_output():
    cells = pilot.load(config_of(num_cells=60)).cells
    members = isomorphism.classes()[0][cells @ 5 ** np.arange(5, -1, -1)]
    assert len(set(members.tolist())) == 60
    assert isomorphism.zero_class() not in members


def test_figures_say_what_a_table_would_take_and_whether_it_passes():
    order = np.arange(10.0)[:, None] + np.array([0.0, 0.1, 0.2])
    config = config_of(seeds=(0, 1, 2))
    found = pilot.figures({"accuracy": order, "cpu_s": np.full((10, 3), 2.0)}, config)
    assert found["passes"]
    assert found["lower_end_passes"]
    assert found["cpu_hours_of_table"]["cells"] == pytest.approx(15625 * 3 * 2 / 3600)
    noise = np.random.default_rng(0).normal(size=(10, 3))
    assert not pilot.figures({"accuracy": noise, "cpu_s": np.ones((10, 3))}, config)["passes"]


def test_the_seeds_of_every_cell_are_drawn_from_the_rows_that_are_logged():
    rows = [{"stage": "cells", "step": cell, "parameter_free_share": cell / 4} for cell in range(4)]
    rows += [
        {"stage": "trained_here", "step": 2 * cell + seed + 1, "cell": cell, "seed": seed, "accuracy": 0.1 * cell}
        for cell in range(4)
        for seed in range(2)
    ]
    points = pilot_plots.points(rows)
    assert points[-1] == {"setting": "here", "cell": 3, "parameter_free_share": 0.75, "seed": 1, "accuracy": 0.1 * 3}
    figure = pilot_plots.plot_seeds(points)
    np.testing.assert_allclose(figure.axes[0].collections[0].get_offsets()[:, 0], [0, 10, 20, 30])
    summary = [{"setting": "here", "mean": 0.5, "low": 0.4, "high": 0.7, "pair_0": 0.5}]
    axis = pilot_plots.plot_agreement(summary, 0.8, points).axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["here"]


@pytest.mark.slow
def test_a_pilot_trains_every_cell_with_every_seed_and_goes_on_where_it_was(tmp_path):
    config = config_of()
    data, plain = pilot.load(config), json.loads(config.to_json_best_effort())
    with Workdir(tmp_path, plain) as workdir:
        first = pilot.run(config, data, workdir)
        rows = [row for row in workdir.rows() if row["stage"] == "trained_pooled_2400"]
    assert sorted((row["cell"], row["seed"]) for row in rows) == [(cell, seed) for cell in range(6) for seed in (0, 1)]
    assert {path.name for path in (tmp_path / "figures").glob("*.png")} == {"seeds.png", "agreement.png"}
    with Workdir(tmp_path, plain) as workdir:
        again = pilot.run(config, data, workdir)
    assert json.dumps(again, default=float) == json.dumps(first, default=float)
