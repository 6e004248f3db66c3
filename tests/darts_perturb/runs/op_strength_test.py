import functools

import numpy as np
import pytest

from configs.darts_perturb import op_strength as config_file
from darts_perturb import space as spaces
from darts_perturb.runs.analysis import op_strength, op_strength_plots, supernets
from experiment.workdir import Workdir
from tests.experiment import inside

config_of = functools.partial(inside.smoke_config, config_file)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"projection.tune_epochs": 1}, "config.projection.tune_epochs=1: need at least 2"),
        ({"projection.learning_rate": float("inf")}, "config.projection.learning_rate=inf: need a finite number"),
        ({"space": "s4"}, "config.space: s4 has the operations"),
        ({"layers": 0}, "config.layers=0: need at least 1"),
    ],
)
def test_a_config_that_cannot_run_is_one_line_with_its_field(changes, words):
    with pytest.raises((ValueError, OSError)) as caught:
        op_strength.load(config_of(**changes))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_figures_by_hand():
    rng = np.random.default_rng(0)
    strength = rng.standard_normal((2, 6, 5))
    tables = [
        {"alpha": -one, "removal_accuracy": one, "removal_loss": one**3, "accuracy": one, "loss": one}
        for one in strength
    ]
    data = supernets.Data(spaces.NAS_BENCH_201, None, "nor_conv_3x3")
    found = op_strength.figures(tables, data, alpha=True)
    by_accuracy = found["by_accuracy"]
    assert by_accuracy["alpha"]["rank_correlation"]["value"] == pytest.approx(-1.0)
    assert by_accuracy["removal_loss"]["rank_correlation"]["value"] == pytest.approx(1.0)
    assert by_accuracy["removal_less_alpha"]["value"] == pytest.approx(2.0)
    assert by_accuracy["removal_loss"]["same_best"]["value"] == 1.0
    assert by_accuracy["alpha"]["same_best"]["value"] == 0.0
    assert by_accuracy["alpha"]["rank_correlation_over_edges"]["edges"] == 12
    assert by_accuracy["alpha"]["given_up"]["value"] == pytest.approx(np.ptp(strength, axis=2).mean())
    wins = (strength[:, :, 1] > strength[:, :, 3]).sum(axis=1)
    assert found["skip_beats_conv"]["accuracy"]["value"] == wins.mean()
    assert found["skip_beats_conv"]["alpha"]["value"] == 6 - wins.mean()
    assert found["skip_beats_conv"]["alpha_less_accuracy"]["value"] == pytest.approx(6 - 2 * wins.mean())
    assert found["edges_with_both"] == 6
    assert "alpha" not in op_strength.figures(tables, data, alpha=False)["by_loss"]


def test_what_the_last_epoch_of_fine_tuning_changed():
    rows = [
        {
            "stage": "discrete_fixed_0",
            "row": row,
            "choice": 0,
            **{f"accuracy_{n}": 0.1 * n * change for n in range(3)},
        }
        | {f"loss_{n}": 0.0 for n in range(3)}
        for row, change in enumerate((3, -1))
    ]
    settled = op_strength_plots.settling(rows)
    assert len(settled) == 6
    found = op_strength_plots.last_changes(settled, "fixed")
    np.testing.assert_allclose(found["mean"], [0.1])
    np.testing.assert_allclose(found["of_an_operation"], [0.2])


@pytest.mark.slow
def test_a_run_measures_every_operation_of_every_edge(tmp_path):
    config = config_of(seeds=(0,), searches=("first_order",))
    data = op_strength.load(config)
    with Workdir(tmp_path, config.to_dict()) as workdir:
        found = op_strength.run(config, data, workdir)
        points = op_strength_plots.points(workdir.rows(), data.space)
        discrete = workdir.rows("discrete_first_order_0")
    assert len(points) == len(discrete) == 30
    assert sorted((row["row"], row["op"]) for row in points) == sorted(
        (row, op) for row in range(6) for op in data.space.ops
    )
    last = {(row["row"], row["choice"]): row["accuracy_2"] for row in discrete}
    for row in points:
        assert row["accuracy"] == last[row["row"], data.space.ops.index(row["op"])]
    assert found["searches"]["first_order"]["edges_with_both"] == 6
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {
        "op_strength.png",
        "op_strength.csv",
        "fine_tuning.png",
        "fine_tuning.csv",
    }


def test_the_pictures_show_every_operation_and_every_epoch():
    rng, space = np.random.default_rng(0), spaces.NAS_BENCH_201
    rows = []
    for search in ("first_order", "fixed"):
        for row in range(6):
            for choice, op in enumerate(space.ops):
                values = dict(zip(("weight", "loss_rise", "accuracy_drop"), rng.uniform(size=3)))
                rows.append({"stage": f"strengths_{search}_0", "row": row, "op": op, **values})
                course = {f"{what}_{n}": rng.uniform() for what in ("accuracy", "loss") for n in range(3)}
                rows.append({"stage": f"discrete_{search}_0", "row": row, "choice": choice, **course})
    points = op_strength_plots.points(rows, space)
    last = {(row["stage"], row["row"], row.get("choice")): row.get("accuracy_2") for row in rows}
    assert all(
        row["accuracy"] == last[f"discrete_{row['search']}_0", row["row"], space.ops.index(row["op"])] for row in points
    )
    axes = op_strength_plots.plot(points, space).axes
    assert [len(axis.lines) for axis in axes[:2]] == [5, 5]
    # with fixed alpha its panel is left out
    assert not axes[3].lines
    assert len(axes[4].lines) == 5
    settled = op_strength_plots.settling(rows)
    panels = op_strength_plots.plot_settling(settled, space).axes
    assert [len(axis.lines) for axis in panels] == [31, 31]
    mean = [
        np.mean([row["accuracy"] for row in settled if row["search"] == "fixed" and row["epoch"] == n])
        for n in range(3)
    ]
    np.testing.assert_allclose(panels[1].lines[-1].get_ydata(), mean)
