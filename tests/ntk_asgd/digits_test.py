import re

import jax
import numpy as np
import pytest
from ml_collections import FrozenConfigDict

from configs.ntk_asgd import digits as config_file
from experiment.errors import NonFiniteError, UserError
from experiment.signals import Interrupted
from experiment.workdir import Workdir
from ntk_asgd.runs import digits, digits_plots
from tests.experiment.stopping import StoppingStages


def _config(**changes):
    config = config_file.get_config("smoke")
    config.update(changes)
    return FrozenConfigDict(config)


def _run(config, path, kind=Workdir):
    with kind(path, {}) as workdir:
        return digits.run(config, digits.load(config), workdir)


def test_interrupted_after_every_stage_equals_uninterrupted(tmp_path):
    config = _config(width=16, num_train=300, num_samples=(96, 192))
    whole = _run(config, tmp_path / "whole")
    stops = 0
    while True:
        try:
            figures = _run(config, tmp_path / "stopped", StoppingStages)
            break
        except Interrupted:
            stops += 1
    assert stops == 3  # the spectrum and two seeds
    jax.tree.map(np.testing.assert_array_equal, figures, whole)
    files = [
        "metrics.jsonl",
        *(f"figures/{name}.{kind}" for name in ("eigenvalues", "learning") for kind in ("png", "csv")),
    ]
    for name in files:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "stopped" / name).read_bytes()


def test_average_learns_and_follows_its_reference(tmp_path):
    config = _config(activations=("erf",), width=512, num_train=800, num_samples=(96, 768), num_seeds=3)
    figures = _run(config, tmp_path)
    chance = figures["data"]["chance"]["value"]
    for activation in config.activations:
        first, last = figures[activation]["T96"], figures[activation]["T768"]
        for curve in ("averaged", "reference", "ridge"):
            assert last[f"{curve}_zero_one"]["value"] < first[f"{curve}_zero_one"]["value"] < 0.6 * chance
            assert last[f"{curve}_squared"]["value"] < 0.8 * first[f"{curve}_squared"]["value"] < 0.8
        assert last["averaged_squared"]["value"] == pytest.approx(last["reference_squared"]["value"], rel=0.05)
        assert last["network_reference_gap"]["value"] < 0.15
        assert last["ridge_squared"]["value"] < last["averaged_squared"]["value"]
        assert last["variance_term"]["value"] < first["variance_term"]["value"]
        freedom = figures[activation]["degrees_of_freedom"]
        assert freedom["value"] < freedom["uniform_sphere"]  # the data do not fill the sphere
        assert figures[activation][f"network_top{digits._TOP}_median_deviation"]["value"] < 0.1


def test_kernel_methods_on_a_prefix_are_those_of_the_prefix_alone():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(12, 5)).astype(np.float32)
    gram, y, level, eta = features @ features.T, np.sign(features[:, 0]), 0.1, 0.02
    ours = digits._kernel_methods(gram, y, 8, {"learning_rate": np.float32(eta), "regularization": np.float32(level)})
    ridge = np.linalg.solve(gram[:8, :8] + 8 * level * np.eye(8), y[:8])
    iterate, total = np.zeros(8), np.zeros(8)
    for t in range(8):
        residual = gram[t, :8] @ iterate - y[t]
        iterate = (1 - eta * level) * iterate - eta * residual * np.eye(8)[t]
        total += iterate
    for curve, expected in (("ridge", ridge), ("reference", total / 9)):
        np.testing.assert_allclose(ours[curve][:8], expected, rtol=1e-3, atol=1e-5)
        assert not np.any(ours[curve][8:])


def test_inputs_are_centred_unit_vectors_with_both_targets():
    problem = digits.load(_config(positive_classes=(3,)))
    assert problem.x_train.shape == (400, 64)
    assert problem.x_test.shape == (256, 64)
    for x in (problem.x_train, problem.x_test):
        np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1, rtol=1e-6)
    assert np.abs(problem.x_train.mean(axis=0)).max() < 0.05
    assert set(problem.y_train) == {-1.0, 1.0}
    assert 0.05 < np.mean(problem.y_train > 0) < 0.15
    joined = np.concatenate([problem.x_train, problem.x_test])
    assert len(np.unique(joined, axis=0)) == len(joined)  # no image is in both parts


def test_images_from_a_path(tmp_path):
    rng = np.random.default_rng(0)
    file = tmp_path / "own.npz"
    arrays = {f"x_{part}": rng.integers(0, 256, (n, 4, 4, 3), np.uint8) for part, n in (("train", 310), ("test", 20))}
    np.savez(file, **arrays, y_train=np.arange(310) % 3, y_test=np.arange(20) % 3)
    problem = digits.load(_config(data_path=str(file), positive_classes=(2,)))
    assert problem.x_train.shape == (310, 48)
    assert np.mean(problem.y_test > 0) == pytest.approx(6 / 20)
    with pytest.raises(OSError, match=r"absent\.npz"):
        digits.load(_config(data_path=str(tmp_path / "absent.npz")))


def test_divergence_is_named():
    config = _config(width=8)
    data = digits.load(config)
    schedule = {"learning_rate": 1e6, "regularization": np.full(2, 0.01)}
    with pytest.raises(NonFiniteError, match=r"not finite at T=96; lower config\.eta_sup_k"):
        digits._learn(config, data, "relu", 0, schedule, lambda: np.ones((656, 400)))


def test_warnings_name_the_bound(monkeypatch):
    said = []
    monkeypatch.setattr(digits.logging, "warning", lambda words, *values: said.append(words % values))
    index = np.arange(1, 401.0)
    decay = {"network": np.zeros((2, 40)), "sup_k": np.array(1.0)}
    schedule = digits._schedule(_config(), "relu", decay | {"kernel": index**-1.5})
    assert schedule["beta"] == pytest.approx(1.5)
    np.testing.assert_allclose(schedule["regularization"], [96**-0.6, 192**-0.6])
    assert said == [
        "relu: eta=0.25 = 0.25 / sup k is beyond Theorem 1's 4 (6 + lambda) eta <= 1; config.eta_sup_k=0.041 is within"
    ]
    said.clear()
    digits._schedule(_config(eta_sup_k=0.04), "relu", decay | {"kernel": index**-1.5})
    assert not said
    digits._schedule(_config(eta_sup_k=0.04), "relu", decay | {"kernel": index**-0.9})
    digits._schedule(_config(eta_sup_k=0.04), "erf", decay | {"kernel": np.exp(-index / 5)})
    assert [words.split(",")[0] for words in said] == ["relu: beta=0.9", "erf: no power law"]


def test_a_lambda_that_breaks_the_step_is_refused():
    decay = {"network": np.zeros((2, 40)), "kernel": np.arange(1, 401.0) ** -1.5, "sup_k": np.array(0.01)}
    with pytest.raises(UserError, match=r"config\.eta_sup_k=0\.25, relu: eta lambda = 1\.62 must be below 1"):
        digits._schedule(_config(), "relu", decay)  # eta = 25, lambda = 96^-0.6
    with pytest.raises(UserError, match=r"eta \(sup k \+ lambda\) = 2\.02 below 2"):
        digits._schedule(_config(eta_sup_k=1.9), "relu", decay | {"sup_k": np.array(1.0)})


def test_a_spectrum_that_is_no_power_law_is_shown_as_such(tmp_path):
    schedule = {"beta": 4.8, "fit_rms": 1.05, "learning_rate": 0.1, "regularization": np.array([0.01])}
    decay = {
        "network": np.ones((2, 40)),
        "kernel": np.exp(-np.arange(400) / 5.0),
        "sup_k": np.array(1.0),
        "mu": np.ones(2) / 400,
        "multiplicity": np.array([1.0, 64.0]),
    }
    for rms, is_power in ((1.05, False), (0.05, True)):
        schedule["fit_rms"] = rms
        assert digits._decay_figures(_config(), "erf", decay, schedule)["beta"]["power_law"] is is_power
        with Workdir(tmp_path / str(is_power), {}) as workdir:
            digits._log_decay(_config(), workdir, "erf", decay, schedule)
            axes = digits_plots.plot_eigenvalues(workdir.rows()).axes
        labels = [axis.get_legend_handles_labels()[1][-1] for axis in axes]
        assert [label.startswith("slope" if is_power else "no power law") for label in labels] == [True, True]


def test_tick_labels_do_not_touch():
    assert digits_plots._tick_labels([96, 192, 1_536, 1_920]) == ["96", "192", "", "1920"]
    assert digits_plots._tick_labels([96]) == ["96"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"width": 65}, "config.width=65"),
        ({"activations": ()}, "config.activations=()"),
        ({"activations": ("relu", "relu")}, "config.activations=('relu', 'relu')"),
        ({"activations": ("tanhh",)}, "config.activations: activation 'tanhh' is unknown"),
        ({"eta_sup_k": 2.0}, "config.eta_sup_k=2.0"),
        ({"r": 0.2}, "config.r=0.2"),
        ({"gamma": 0.0}, "config.gamma=0.0"),
        ({"scale": -1.0}, "config.scale=-1.0"),
        ({"num_seeds": 1}, "config.num_seeds=1"),
        ({"num_test": 1_797}, "config.num_test=1797: digits has 1797"),
        ({"num_train": 30_000}, "config.num_train=30000: must lie in 2..10000"),
        ({"num_train": 200}, "config.num_train=200: 200 training images"),
        ({"fit_first": 40}, "config.fit_first=40: must lie in 1..39"),
        ({"num_samples": (96, 100)}, "config.num_samples=(96, 100)"),
        ({"num_samples": (96, 480)}, "up to the 400 training images"),
        ({"num_samples": (192, 96)}, "config.num_samples=(192, 96)"),
        ({"positive_classes": (10,)}, "config.positive_classes=(10,): must name some of the classes 0 to 9"),
        ({"positive_classes": tuple(range(10))}, "config.positive_classes"),
    ],
)
def test_impossible_settings_are_refused_by_name(changes, field):
    with pytest.raises(ValueError, match=re.escape(field)):
        digits.load(_config(**changes))


def test_every_form_of_the_config_loads():
    for arg in ("", "runlocal", "smoke"):
        assert digits.load(FrozenConfigDict(config_file.get_config(arg)))
    for override in config_file.sweep():
        assert digits.load(_config(**override))
