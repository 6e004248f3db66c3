import numpy as np
import pytest
from scipy import stats

from darts_perturb import genotype, network, perturb, space, tabular
from darts_perturb.runs import summary

SPACE = space.get("nas_bench_201")
CONV, FREE = (genotype.Genotype(SPACE.name, (op,) * 6) for op in ("nor_conv_3x3", "skip_connect"))
SIZES = {"channels": 4, "layers": 1, "num_classes": 10, "image_size": 8}
SEEDS = (4, 7, 9)


def scores(strongest, ops=5):
    """Returns Scores of six edges in which the removal of one operation hurts."""
    rise = np.tile(np.eye(ops)[strongest], (6, 1))
    return perturb.Scores(0.5 - 0.1 * rise, 1 + rise, 0.01 + 0 * rise, 0.02 + 0 * rise, 0.5, 1.0)


def test_figures_of_known_supernets():
    weights = np.full((6, 5), 0.2) + 0.1 * np.eye(5)[1] - 0.1 * np.eye(5)[3]
    by_seed = {("first_order", seed): weights for seed in SEEDS}
    found = summary.searches(SPACE, ("first_order",), SEEDS, by_seed, {key: scores(3) for key in by_seed})
    figures = found["first_order"]
    assert figures["op_weight"]["skip_connect"]["value"] == pytest.approx(0.3)
    assert figures["skip_minus_conv"]["value"] == pytest.approx(0.2)
    assert figures["alpha_and_removal_agree"]["value"] == 0.0
    assert figures["supernet_accuracy"]["interval"] == [0.5, 0.5]
    assert np.shape(figures["removal"]["loss_rise"]) == (6, 5)
    np.testing.assert_allclose(np.asarray(figures["removal"]["accuracy_drop"])[:, 3], 0.1)
    same = summary.searches(SPACE, ("first_order",), SEEDS, by_seed, {key: scores(1) for key in by_seed})
    assert same["first_order"]["alpha_and_removal_agree"]["value"] == 1.0


def test_weights_are_averaged_over_the_edges_that_take_the_operation():
    s1 = space.get("s1")
    weights = np.tile([0.25, 0.75], (28, 1))
    both = {("fixed", 0): weights}, {("fixed", 0): perturb.Scores(*np.zeros((4, 28, 2)), 0.0, 0.0)}
    found = summary.searches(s1, ("fixed",), (0,), *both)["fixed"]["op_weight"]
    assert found["max_pool_3x3"]["value"] == pytest.approx(0.25)  # always the first of its edge
    assert found["dil_conv_5x5"]["value"] > 0.5


def cells_and_accuracies():
    cells = {("magnitude of first_order", seed): FREE for seed in SEEDS}
    cells |= {("perturbation of fixed", seed): CONV for seed in SEEDS}
    cells["perturbation of fixed", 9] = FREE
    cells |= {("random", 0): FREE, ("random", 1): CONV, ("random", 2): FREE}
    return cells, {CONV: np.array([0.7, 0.9]), FREE: np.array([0.5, 0.7])}


def test_figures_of_known_cells():
    table = tabular.Table(np.linspace(1, 100, 15625)[:, None] * np.ones(3))
    found = summary.selections(*cells_and_accuracies(), table, "magnitude of first_order", SIZES)
    fixed, free = found["perturbation of fixed"], found["magnitude of first_order"]
    assert free["parameter_free_share"]["value"] == 1.0
    assert fixed["parameter_free_share"]["value"] == pytest.approx(1 / 3)
    assert fixed["params"][0] == network.num_params(CONV, channels=4, layers=1, num_classes=10)
    assert fixed["multiply_adds"][2] == network.flops(FREE, **SIZES)
    assert fixed["test_accuracy"]["value"] == pytest.approx((0.8 + 0.8 + 0.6) / 3)
    difference = fixed["minus_magnitude"]
    # 0.2, 0.2, 0: mean 0.133, se 0.0667, t quantile of 2 degrees of freedom 4.3027
    assert difference["value"] == pytest.approx(0.4 / 3)
    assert difference["interval"] == pytest.approx([0.4 / 3 - 4.302653 / 15, 0.4 / 3 + 4.302653 / 15], rel=1e-5)
    assert "minus_magnitude" not in free
    assert "minus_random" not in found["random"]
    rank = found["random"]["table"]["cifar10"]["rank"]
    ranks = [tabular.of(table, cell)["cifar10"]["rank"] for cell in (FREE, CONV, FREE)]
    assert rank["value"] == pytest.approx(np.mean(ranks))


def test_a_selection_is_compared_with_magnitude_of_its_own_search():
    names = ("magnitude of sdarts_rs", "magnitude of sdarts_adv", "perturbation of sdarts_adv", "perturbation of fixed")
    cells = {(name, 0): cell for name, cell in zip(names, (FREE, CONV, CONV, CONV))}
    accuracies = {CONV: np.array([0.8]), FREE: np.array([0.5])}
    found = summary.selections(cells, accuracies, None, names[0], SIZES)
    assert "minus_magnitude" not in found[names[0]] | found[names[1]]
    assert found[names[2]]["minus_magnitude"]["value"] == 0.0
    assert found[names[3]]["minus_magnitude"]["value"] == pytest.approx(0.3)  # no magnitude of its own: the first


def test_selected_cells_against_random_ones():
    cells, accuracies = cells_and_accuracies()
    fixed = summary.selections(cells, accuracies, None, "magnitude of first_order", SIZES)["perturbation of fixed"]
    # first retrainings: .7, .7, .5 against .5, .7, .5
    assert fixed["random_beaten"]["value"] == pytest.approx((5 / 6 + 5 / 6 + 1 / 3) / 3)
    found = fixed["minus_random"]
    welch = stats.ttest_ind([0.7, 0.7, 0.5], [0.5, 0.7, 0.5], equal_var=False).confidence_interval(0.95)
    assert found["value"] == pytest.approx(0.2 / 3)
    assert found["interval"] == pytest.approx([welch.low, welch.high])
    assert "table" not in fixed


def test_one_seed_has_no_interval_and_no_retraining_no_accuracy():
    cells = {("magnitude of first_order", 0): CONV, ("perturbation of first_order", 0): FREE}
    nothing = {CONV: np.zeros(0), FREE: np.zeros(0)}
    found = summary.selections(cells, nothing, None, "magnitude of first_order", SIZES)
    assert "test_accuracy" not in found["magnitude of first_order"]
    assert "minus_magnitude" not in found["perturbation of first_order"]
    one = summary.spread([0.25])
    assert one == {"value": 0.25, "sd": None, "se": None, "interval": None, "seeds": 1}
