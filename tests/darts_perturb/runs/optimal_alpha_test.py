import functools

import numpy as np
import pytest

from configs.darts_perturb import optimal_alpha as config_file
from darts_perturb import space as spaces
from darts_perturb.analysis import optimal_alpha as maths
from darts_perturb.runs.analysis import optimal_alpha, optimal_alpha_plots
from experiment.workdir import Workdir
from tests.experiment import inside

config_of = functools.partial(inside.smoke_config, config_file)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_images": 1}, "config.num_images=1: need at least 2"),
        ({"num_images": 599}, "config.num_images=599 is larger than the 598 held-out images"),
        ({"synthetic": 0}, "config.synthetic=0: need at least 2"),
        ({"limit": 0.0}, "config.limit=0.0: need a number above 0"),
        ({"limit": float("nan")}, "config.limit=nan: need a number above 0"),
        ({"space": "s4"}, "config.space: s4 has the operations"),
        ({"search.epochs": 0}, "config.search.epochs=0"),
    ],
)
def test_a_config_that_cannot_run_is_one_line_with_its_field(changes, words):
    with pytest.raises((ValueError, OSError)) as caught:
        optimal_alpha.load(config_of(**changes))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_space_whose_edges_have_nothing_to_compare_with_is_refused(tmp_path):
    path = tmp_path / "own.json"
    path.write_text('{"ops": ["skip_connect", "nor_conv_3x3"], "edges": [[0, 1], [1, 2]]}')
    with pytest.raises(ValueError, match=r"config\.space: estimator 'others': edge 1 to 2"):
        optimal_alpha.load(config_of(space_file=str(path)))


def test_synthetic_problems_are_solved_to_1e_4():
    found = optimal_alpha._synthetic(0, 50)
    assert found["problems"] == 50
    assert found["largest_error"] < 1e-4
    assert found["median_error_without_covariance"] > 0.05


def test_the_figures_by_hand():
    rng = np.random.default_rng(0)
    names = ("learned", "optimum", "without_covariance", "minimised", "variance_skip", "variance_conv", "covariance")
    rows = [
        {"seed": seed, "row": row, "exists": row > 0, **dict(zip(names, rng.standard_normal(7)))}
        for seed in (0, 1)
        for row in range(4)
    ]
    found = optimal_alpha.figures(rows, learns=True)
    best, learned = (np.array([row[name] for row in rows]).reshape(2, 4) for name in ("optimum", "learned"))
    assert found["with_covariance"]["mean"]["value"] == pytest.approx(best.mean())
    assert found["with_covariance"]["mean"]["sd"] == pytest.approx(best.mean(axis=1).std(ddof=1))
    assert found["with_covariance"]["favours_skip"]["value"] == np.mean(best > 0)
    assert found["with_covariance"]["same_sign_as_learned"]["value"] == np.mean(best * learned > 0)
    assert found["share_without_an_optimum"]["value"] == 0.25
    missed = [abs(row["optimum"] - row["minimised"]) for row in rows if row["row"]]
    assert found["largest_difference_to_minimised"] == max(missed)
    fixed = optimal_alpha.figures(rows, learns=False)
    assert set(fixed["with_covariance"]) == {"mean", "favours_skip"}


@pytest.mark.slow
def test_a_run_holds_every_edge_against_direct_minimisation(tmp_path):
    config = config_of(seeds=(0,))
    with Workdir(tmp_path, config.to_dict()) as workdir:
        found = optimal_alpha.run(config, optimal_alpha.load(config), workdir)
        rows = workdir.rows("optimum_first_order_0")
    assert len(rows) == 6 * len(maths.ESTIMATORS)
    for row in rows:
        moments = maths.Moments(row["variance_conv"], row["variance_skip"], row["covariance"])
        best = maths.optimum(moments, config.limit)
        assert best.difference == pytest.approx(row["optimum"])
        if row["exists"]:
            assert row["minimised"] == pytest.approx(row["optimum"], abs=1e-4)
    assert set(found["searches"]) == {"first_order", "fixed"}
    assert found["synthetic"]["largest_error"] < 1e-4
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"optimal_alpha.png", "optimal_alpha.csv"}


def test_the_picture_tells_edges_without_an_optimum_apart():
    rng = np.random.default_rng(0)
    names = ("learned", "optimum", "without_covariance", "variance_skip", "variance_conv", "covariance")
    rows = [
        {"stage": f"optimum_first_order_{seed}", "estimator": estimator, "row": row, "exists": row != 2}
        | dict(zip(names, rng.uniform(0.1, 3.0, 6)))
        for seed in (0, 1)
        for estimator in maths.ESTIMATORS
        for row in range(6)
    ]
    points = optimal_alpha_plots.points(rows)
    assert len(points) == len(rows)
    axes = optimal_alpha_plots.plot(points, spaces.NAS_BENCH_201, "nor_conv_3x3").axes
    lines = {line.get_label(): line for line in axes[0].lines}
    assert len(lines["with cov"].get_xdata()) == 10
    assert len(lines["no finite optimum: at the limit"].get_xdata()) == 2
    assert len(lines["without cov"].get_xdata()) == 12
    heights = [bar.get_height() for bar in axes[3].containers[0]]
    own = [row for row in points if row["estimator"] == "others"]
    expected = [np.mean([row["variance_skip"] for row in own if row["row"] == edge]) for edge in range(6)]
    np.testing.assert_allclose(heights, expected)
    assert [text.get_text() for text in axes[3].get_xticklabels()] == ["0→1", "0→2", "1→2", "0→3", "1→3", "2→3"]
