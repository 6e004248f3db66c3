import functools

import jax
import numpy as np
import pytest

from configs.darts_perturb import criteria as configs
from darts_perturb import genotype, selection, space, tabular
from darts_perturb.criteria import shapley
from darts_perturb.runs.analysis import criteria, criteria_plots, selectors
from experiment.workdir import Workdir
from tests.experiment import inside

SPACE = space.get("nas_bench_201")


config_of = functools.partial(inside.smoke_config, configs)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"criteria": ()}, "config.criteria=(): known are magnitude, "),
        ({"criteria": ("magnitude", "magnitude")}, "config.criteria=('magnitude', 'magnitude')"),
        ({"criteria": ("jacobian_global",)}, "config.criteria=('jacobian_global',)"),
        ({"random_cells": 0}, "config.random_cells=0"),
        ({"shapley.walks": 0}, "config.shapley.walks=0"),
        ({"shapley.batches": 6}, "config.shapley.batches=6: the held-out images make 4"),
        ({"shapley.truncation": 1.0}, "config.shapley.truncation=1.0"),
        ({"zero_cost.batch_size": 1}, "config.zero_cost.batch_size=1"),
        ({"zero_cost.batch_size": 599}, "config.zero_cost.batch_size=599 is larger than the 598"),
        ({"projection.tune_epochs": -1}, "config.projection.tune_epochs=-1"),
        ({"projection.official": True}, "config.projection.official=True: name official_accuracy"),
        ({"projection.order": "gap"}, "config.projection.order='gap'"),
        ({"projection.learning_rate": -1.0}, "config.projection.learning_rate=-1.0"),
        ({"searches": ("third_order",)}, "config.searches=('third_order',)"),
    ],
)
def test_a_config_that_cannot_run_is_one_line_with_its_field(changes, words):
    with pytest.raises(ValueError, match=r"config\.") as caught:
        criteria.load(config_of(**changes))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_criterion_of_the_config_is_known():
    assert set(configs.CRITERIA) == {*selectors.OF_SUPERNET, *selectors.ZERO_COST}


def test_figures_are_ranks_in_the_table_by_criterion():
    table = tabular.Table(np.arange(15625.0)[:, None] / 200 * np.ones(3))  # the last row is the best
    best, worst = (genotype.from_choice(SPACE, [op] * 6) for op in (4, 0))
    cells = {("a", 0): best, ("a", 1): worst, (criteria.RANDOM, 0): best}
    costs = {what: 2.0 for what in selectors.COSTS}
    found = criteria.figures(cells, {("a", 0): costs, ("a", 1): costs}, table)
    assert found["a"]["table"]["cifar10"]["rank"]["value"] == (1 + 15625) / 2
    assert found["random"]["table"]["cifar100"]["rank"]["value"] == 1
    assert found["a"]["cost"] == costs
    assert "cost" not in found["random"]
    assert found["a"]["lookup_s"] < 1
    assert "table" not in criteria.figures(cells, {}, None)["a"]


def test_pictures_have_a_line_for_every_criterion():
    rows = [
        {"criterion": name, "seed": seed, "parameter_free_share": 0.5, "rank cifar10": 100.0 * seed + 1}
        for name in ("random", "magnitude of first_order", "shapley_loss of fixed", "saliency_nodes")
        for seed in range(2)
    ]
    assert criteria_plots.ranked(rows) == ["cifar10"]
    for figure in (criteria_plots.plot_rank(rows, "cifar10"), criteria_plots.plot_parameter_free(rows)):
        labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
        assert labels == ["magnitude, first order", "shapley loss, fixed alpha", "saliency nodes", "random"]


@pytest.mark.slow
def test_a_run_selects_by_every_criterion_and_ranks_the_cells(tmp_path):
    asked = ("magnitude", "perturbation_loss", "one_shot_accuracy", "official_one_shot", "shapley_loss")
    config = config_of(seeds=(0,), searches=("first_order",), criteria=(*asked, "jacobian_nodes", "saliency_random"))
    data = criteria.load(config)._replace(table=tabular.Table(np.random.default_rng(0).uniform(10, 90, (15625, 3))))
    with Workdir(tmp_path, config.to_dict()) as workdir:
        found = criteria.run(config, data, workdir)
        rows = {row["criterion"]: row for row in workdir.rows() if row["stage"] == "cells"}
        jobs = selectors.Selectors(config, SPACE, data.dataset, workdir)
        state = jobs.search("first_order", 0)
        again = jobs.chosen("shapley_loss", "first_order", 0, state)
    of_supernet = {f"{name} of first_order" for name in asked}
    assert set(found["criteria"]) == {*of_supernet, "jacobian_nodes", "saliency_random", "random"} == set(rows)
    magnitude = genotype.from_choice(SPACE, selection.magnitude(state.alpha, SPACE))
    assert rows["magnitude of first_order"]["genotype"] == genotype.format(magnitude)
    chosen = genotype.from_choice(SPACE, again["choice"])
    assert rows["shapley_loss of first_order"]["genotype"] == genotype.format(chosen)
    for name, row in rows.items():
        cell = genotype.parse(row["genotype"])
        assert row["rank cifar100"] == tabular.of(data.table, cell)["cifar100"]["rank"]
        if name.startswith("one_shot"):
            assert row["forward_images"] == 6 * 5 * 480  # the whole and four removals of every edge, on four batches
    assert len(list((tmp_path / "figures").glob("*.png"))) == 4
    # the removal of one operation is a walk of one step
    players, value_fn = jobs.game("loss", state)
    orders = [np.roll(np.arange(len(players)), -player) for player in range(len(players))]
    alone = shapley.estimate(value_fn, orders, length=1).value
    scores = jobs.removal(jax.random.key(0), state, np.arange(6), jobs.images)
    rise = np.asarray(scores.loss - scores.baseline_loss)[players[:, 0], players[:, 1]]
    np.testing.assert_allclose(alone, rise, atol=1e-5)
