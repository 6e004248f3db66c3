import functools

import numpy as np
import pytest
from scipy import stats

from configs.darts_perturb import skip_domination as config_file
from darts_perturb import space as spaces
from darts_perturb.runs.analysis import skip_domination, skip_domination_plots, supernets
from experiment.workdir import Workdir
from tests.experiment import inside

config_of = functools.partial(inside.smoke_config, config_file)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"space": "darts2"}, "config.space: unknown search space 'darts2'"),
        ({"space": "s4"}, "config.space: s4 has the operations noise, sep_conv_3x3: need skip_connect"),
        ({"conv": "sep_conv_3x3"}, "config.conv: 'sep_conv_3x3' is not a convolution of nas_bench_201"),
        ({"search.epochs": 2}, "config.search.epochs=2: need at least 3"),
        ({"searches": ("first_order", "fixed")}, "alpha that never moves has no course"),
        ({"searches": ("third_order",)}, "config.searches=('third_order',): known are first_order"),
        ({"searches": ()}, "config.searches=()"),
        ({"seeds": (1, 1)}, "config.seeds=(1, 1)"),
        ({"seeds": ()}, "config.seeds=()"),
        ({"seeds": (0, -1)}, "config.seeds=(0, -1): need whole numbers from 0"),
        ({"seeds": (0.5,)}, "config.seeds=(0.5,): need whole numbers from 0"),
        ({"channels": 1}, "config.channels=1: need at least 2"),
        ({"batch_size": 599}, "config.batch_size=599 is larger than the 598 images"),
        ({"eval_batch_size": 361}, "config.eval_batch_size=361 is larger than the 360 images"),
        ({"steps_per_call": 0}, "config.steps_per_call=0"),
        ({"search.learning_rate": float("nan")}, "config.search.learning_rate=nan"),
        ({"search.clip": 0.0}, "config.search.clip=0.0"),
        ({"search.epsilon": (0.1,)}, "config.search.epsilon=(0.1,)"),
        ({"dtype": "int8"}, "config.dtype='int8': known are float32, bfloat16"),
        ({"projection.method": "loop"}, "config.projection.method='loop'"),
        ({"dataset": "mnist"}, "config.dataset='mnist'"),
        ({"space_file": "absent.json"}, "absent.json"),
    ],
)
def test_a_config_that_cannot_run_is_one_line_with_its_field(changes, words):
    with pytest.raises((ValueError, OSError)) as caught:
        skip_domination.load(config_of(**changes))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_figures_by_hand():
    rng = np.random.default_rng(0)
    courses = rng.uniform(size=(2, 6, 2))
    rows = [
        {"search": "first_order", "seed": seed, "epoch": epoch + 1, "lead": lead, "held_out_accuracy": accuracy}
        for seed, course in enumerate(courses)
        for epoch, (lead, accuracy) in enumerate(course)
    ]
    found = skip_domination.figures(rows)
    each = [stats.spearmanr(*course.T).statistic for course in courses]
    assert found["rank_correlation"]["value"] == pytest.approx(np.mean(each))
    assert found["rank_correlation"]["sd"] == pytest.approx(np.std(each, ddof=1))
    assert found["lead_at_end"]["value"] == pytest.approx(courses[:, -1, 0].mean())
    assert found["accuracy_at_end"]["value"] == pytest.approx(courses[:, -1, 1].mean())
    with_epoch = [stats.spearmanr(course[:, 0], np.arange(6)).statistic for course in courses]
    assert found["rank_correlation_with_epoch"]["value"] == pytest.approx(np.mean(with_epoch))


@pytest.mark.slow
def test_a_run_follows_every_epoch(tmp_path):
    config = config_of(seeds=(0,))
    data = skip_domination.load(config)
    with Workdir(tmp_path, config.to_dict()) as workdir:
        found = skip_domination.run(config, data, workdir)
        rows = skip_domination_plots.courses(workdir.rows())
    assert isinstance(data, supernets.Data)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert found["conv"] == "nor_conv_3x3"
    assert found["searches"]["first_order"]["lead_at_end"]["value"] == rows[-1]["lead"]
    assert found["searches"]["first_order"]["rank_correlation"]["interval"] is None
    assert all(0 <= row["held_out_accuracy"] <= 1 for row in rows)
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"skip_domination.png", "skip_domination.csv"}


def test_the_picture_shows_every_epoch():
    rng = np.random.default_rng(1)
    rows = [
        {"stage": f"search_first_order_{seed}", "step": step, "loss": 1.0}
        | ({"lead": lead, "held_out_accuracy": accuracy} if step % 2 else {})
        for seed in (3, 4)
        for step, (lead, accuracy) in enumerate(rng.uniform(size=(8, 2)))
    ]
    points = skip_domination_plots.courses(rows)
    assert [row["epoch"] for row in points] == [1, 2, 3, 4] * 2
    against, lead, accuracy = skip_domination_plots.plot(points, spaces.get("s2"), "sep_conv_3x3").axes
    dots = against.lines[0]
    np.testing.assert_array_equal(dots.get_ydata(), [row["lead"] for row in points[:4]])
    np.testing.assert_array_equal(dots.get_xdata(), [row["held_out_accuracy"] for row in points[:4]])
    assert [line.get_label() for line in lead.lines[:2]] == ["seed 3", "seed 4"]
    assert all(axis.get_xlabel() and axis.get_ylabel() for axis in (against, lead, accuracy))
