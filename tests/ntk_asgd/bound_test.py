import re

import jax
import numpy as np
import pytest
from ml_collections import FrozenConfigDict
from scipy import stats

from configs.ntk_asgd import bound as config_file
from experiment.errors import NonFiniteError, UserError
from experiment.signals import Interrupted
from experiment.workdir import Workdir
from ntk_asgd import spectrum, theory
from ntk_asgd.runs import bound, bound_figures, descent, pictures
from tests.experiment import binary
from tests.experiment.stopping import StoppingStages


def _config(**changes):
    config = config_file.get_config("smoke")
    config.update_from_flattened_dict({name.replace("__", "."): value for name, value in changes.items()})
    return FrozenConfigDict(config)


_SMALL = {"activations": ("relu",), "num_points": 120, "network__width": 8}


def _run(config, path, kind=Workdir):
    with kind(path, {}) as workdir:
        return bound.run(config, bound.load(config), workdir)


@pytest.mark.slow
def test_interrupted_after_every_stage_equals_uninterrupted(tmp_path):
    config = _config(**_SMALL)
    whole = _run(config, tmp_path / "whole")
    stops = 0
    while True:
        try:
            figures = _run(config, tmp_path / "stopped", StoppingStages)
            break
        except Interrupted:
            stops += 1
    assert stops == 9  # samples, operator, grid, two T of the reference, two seeds at each of two T of the network
    jax.tree.map(np.testing.assert_array_equal, figures, whole)
    names = ("bound", "variance", "averaging")
    for name in ("metrics.jsonl", *(f"figures/{name}.{kind}" for name in names for kind in ("png", "csv"))):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "stopped" / name).read_bytes()


def test_binary_measures_every_figure_on_digits(tmp_path):
    status, _, err = binary.run("ntk_asgd.main", "--config=configs/ntk_asgd/bound.py:smoke", f"--workdir={tmp_path}")
    assert status == 0, err
    figures, _ = binary.figures(tmp_path)
    for activation in ("relu", "erf"):
        own = figures[activation]
        assert own["T32"]["larger_step"]["risk"]["value"] > own["T64"]["larger_step"]["risk"]["value"] > 0
        for step in ("theorem_step", "larger_step"):
            at = own["T64"][step]
            # mean risk = squared bias + variance, the former exact
            apart = at["risk"]["value"] - at["bias"]["value"] - at["variance"]["value"]
            assert abs(apart) < 4 * at["risk"]["sd"]
            assert at["bound"]["value"] == pytest.approx(sum(at["bound"]["terms"].values()))
            assert at["tightest_r"]["value"] == 0.5
        assert own["alpha"]["theorem"]["value"] < 1
        lead = own["averaging"]["network"]["T64"]["tail"]["minus_average"]
        assert lead["interval"][0] <= lead["value"] <= lead["interval"][1]
        assert own["averaging"]["reference"]["T64"]["average"]["minus_average"]["value"] == 0
        functions = own["averaging"]["network"]["T64"]["functions"]
        assert 0 < functions["distance_to_weights"]["value"] < 0.1
    assert figures["alpha"]["value"] == max(figures[name]["alpha"]["theorem"]["value"] for name in ("relu", "erf"))
    assert -1 <= figures["order"]["variance_by_degrees"]["value"] <= 1


def test_risks_and_bound_are_those_of_the_definitions(tmp_path):
    """One seed's descent in float64 numpy on the run's own samples, and the terms of the bound by matrices."""
    config = _config(**_SMALL)
    data = bound.load(config)
    with Workdir(tmp_path, {}) as workdir:
        bound.run(config, data, workdir)
        rows = {row["stage"]: row for row in workdir.rows()}  # the last row of a stage: T = 64, the least lambda
    whole = bound._whole_operator(config, data, "relu")
    drawn = {name: np.asarray(value) for name, value in bound._samples(config, data).items()}
    n, num_samples, seed = len(data.target), 64, 1
    assert set(drawn["y"].ravel()) == {-1.0, 1.0}

    def descent_of(eta, level, power=0.0):
        values, kept = np.zeros(n), [np.zeros(n)]
        for t, (place, y) in enumerate(zip(drawn["place"][seed], drawn["y"][seed])):
            now = eta * (1 + t) ** -power
            values = (1 - now * level) * values - now * (values[place] - y) * whole.gram[place]
            kept.append(values)
        return np.array(kept)

    def risk(values):
        return sum((value - target) ** 2 for value, target in zip(values, data.target)) / n

    larger = config.eta_sup_k / np.diag(whole.gram).max()
    row = rows["grid_relu"]
    assert risk(descent_of(larger, row["regularization"]).mean(axis=0)) == pytest.approx(row["risk"][seed], rel=1e-4)
    row = rows["schedule_theorem_relu"]
    eta, level = theory.max_learning_rate(row["regularization"]), row["regularization"]
    assert risk(descent_of(eta, level).mean(axis=0)) == pytest.approx(row["risk"][seed], rel=1e-4)
    beta = -spectrum.decay_slope(whole.eigenvalues, config.fit_first, n // 10)
    assert level == pytest.approx(num_samples ** (-beta / (beta + 1)))
    averages, iterates = rows["averaging_reference_relu"], descent_of(larger, level)
    expected = {"average": iterates.mean(axis=0), "tail": iterates[33:].mean(axis=0), "last": iterates[-1]}
    expected["decreasing"] = descent_of(larger, level, config.power)[-1]
    for scheme, values in expected.items():
        assert risk(values) == pytest.approx(averages[scheme][seed], rel=1e-4)
    sigma, g, total = whole.gram / n, data.target, num_samples + 1
    norm = g @ np.linalg.solve(whole.gram, g)
    free = np.trace(sigma @ np.linalg.inv(sigma + level * np.eye(n)))
    terms = {
        "source": level * norm,
        "initial": norm / total,
        "step_size": norm / (level * (eta * total) ** 2),
        "variance": (1 + np.mean(g**2) + norm) * free / total,
    }
    assert row["terms"] == pytest.approx(terms, rel=1e-6)
    assert row["bound"] == pytest.approx(sum(terms.values()), rel=1e-6)
    ridge = np.linalg.solve(sigma + level * np.eye(n), sigma @ g)
    assert row["limit_bias"] == pytest.approx(np.mean((ridge - g) ** 2), rel=1e-8)


def test_targets_lie_in_the_unit_interval():
    label, linear = (bound.load(_config(target=target)) for target in ("label", "linear"))
    np.testing.assert_allclose(np.abs(label.target), 0.8)
    assert label.noise() ** 2 == pytest.approx(0.36)
    assert np.abs(linear.target).max() == pytest.approx(0.8)
    np.testing.assert_allclose(np.linalg.norm(linear.inputs, axis=1), 1, rtol=1e-6)
    residual = (
        linear.target - linear.inputs @ np.linalg.lstsq(linear.inputs.astype(float), linear.target, rcond=None)[0]
    )
    assert np.abs(residual).max() < 1e-8


def test_images_from_a_path(tmp_path):
    rng = np.random.default_rng(0)
    file = tmp_path / "own.npz"
    arrays = {f"x_{part}": rng.integers(0, 256, (n, 4, 4, 3), np.uint8) for part, n in (("train", 150), ("test", 20))}
    np.savez(file, **arrays, y_train=np.arange(150) % 3, y_test=np.arange(20) % 3)
    problem = bound.load(_config(data_path=str(file), positive_classes=(2,), num_points=120))
    assert problem.inputs.shape == (120, 48)
    with pytest.raises(OSError, match=r"absent\.npz"):
        bound.load(_config(data_path=str(tmp_path / "absent.npz")))


def test_blank_images_stay_zero_and_single_pixels_are_refused():
    images = np.ones((3, 2, 2))
    assert not pictures.on_sphere("field", images, images).any()
    with pytest.raises(ValueError, match="field: images of one pixel"):
        pictures.on_sphere("field", np.ones((3, 1, 1)), np.ones((3, 1, 1)))


def test_kendall_is_that_of_scipy():
    one, other = np.random.default_rng(0).standard_normal((2, 5, 6))
    expected = [stats.kendalltau(*pair).statistic for pair in zip(one, other)]
    np.testing.assert_allclose(bound_figures.kendall(one, other), expected)


def test_interval_is_that_of_a_t_test():
    values = np.random.default_rng(0).standard_normal(9)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    np.testing.assert_allclose(bound_figures.over_seeds(values)["interval"], expected)


def test_divergence_is_named():
    config = _config(**_SMALL)
    data = bound.load(config)
    values = np.full((3, 1, 120), np.inf)
    with pytest.raises(NonFiniteError, match=r"lower config\.eta_sup_k"):
        bound._measured(data, values, np.zeros((1, 120)))
    kept = {"eigenvalues": np.arange(1, 121.0) ** -1.5, "coefficients": np.zeros(120), "sup_k": np.array(0.01)}
    with pytest.raises(UserError, match=r"config\.eta_sup_k=0\.25, relu: eta lambda = "):
        bound._described(config, "relu", kept)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"activations": ()}, "config.activations=()"),
        ({"activations": ("relu", "relu")}, "config.activations=('relu', 'relu')"),
        ({"activations": ("tanhh",)}, "config.activations: activation 'tanhh' is unknown"),
        ({"averages": ("tail",)}, "config.averages=('tail',): must begin with 'average'"),
        ({"averages": ("average", "median")}, "config.averages: average 'median' is unknown"),
        ({"target": "class"}, "config.target='class'"),
        ({"flip": 0.5}, "config.flip=0.5"),
        ({"power": 0.0}, "config.power=0.0"),
        ({"eta_sup_k": 2.0}, "config.eta_sup_k=2.0"),
        ({"r": (0.2, 1.0)}, "config.r=(0.2, 1.0)"),
        ({"r": ()}, "config.r=()"),
        ({"levels": (0.0,)}, "config.levels=(0.0,)"),
        ({"levels": (0.1, 0.1)}, "config.levels=(0.1, 0.1)"),
        ({"gamma": 0.0}, "config.gamma=0.0"),
        ({"scale": -1.0}, "config.scale=-1.0"),
        ({"num_seeds": 1}, "config.num_seeds=1"),
        ({"seed": -1}, "config.seed=-1: must lie in 0.."),
        ({"num_points": 50}, "config.num_points=50: must lie in 100..10000"),
        ({"fit_first": 40}, "config.fit_first=40"),
        ({"num_samples": (64,)}, "config.num_samples=(64,)"),
        ({"network__num_seeds": 9}, "config.network.num_seeds=9: must be at most config.num_seeds"),
        ({"network__num_samples": (48,)}, "config.network.num_samples=(48,)"),
        ({"network__num_samples": (96,)}, "config.network.num_samples=(96,): must be among config.num_samples"),
        ({"network__width": 7}, "config.network.width=7"),
        ({"network__block_size": 0}, "config.network.block_size=0"),
        ({"positive_classes": (10,)}, "config.positive_classes=(10,)"),
    ],
)
def test_impossible_settings_are_refused_by_name(changes, field):
    with pytest.raises(ValueError, match=re.escape(field)):
        bound.load(_config(**changes))


def test_every_form_of_the_config_loads():
    for arg in ("", "runlocal", "smoke"):
        assert bound.load(FrozenConfigDict(config_file.get_config(arg)))
    for override in config_file.sweep():
        assert bound.load(_config(**override))
    assert descent.all_of(int, config_file.get_config().num_samples)
