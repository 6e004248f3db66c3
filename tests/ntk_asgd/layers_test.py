import re
import signal

import jax
import numpy as np
import pytest
from ml_collections import FrozenConfigDict

from configs.ntk_asgd import layers as config_file
from experiment.signals import Interrupted
from experiment.workdir import Workdir
from ntk_asgd import theory
from ntk_asgd.runs import layers

_R, _GAMMA = 1 / (20 * np.sqrt(2)), 10 * np.sqrt(2)
_ORDERS = (0.5, 0.75, 1.0)
_TABLE = {  # Figure 2 (top) for eigenfunctions 3..12, to the digits that were written down
    "output": {
        "output": ("45.2", "696", "1.13e4"),
        "input": ("158", "4.1e3", "1.1e5"),
        "both": ("43.1", "645", "1.01e4"),
    },
    "input": {"output": ("inf",) * 3, "input": ("13.3", "96.8", "728"), "both": ("13.3", "96.8", "728")},
    "both": {"output": ("inf",) * 3, "input": ("37.4", "612", "1.06e4"), "both": ("9.44", "59", "380")},
}


def _config(**changes):
    config = config_file.get_config("smoke")
    config.network.width = 32
    config.update_from_flattened_dict({name.replace("__", "."): value for name, value in changes.items()})
    return FrozenConfigDict(config)


def _closed_form_eigenvalues(degree):
    """Returns (Sigma_a, Sigma_b) of ReLU on the circle from E[cos_+ cos ka] and E[1_+ cos ka], written out."""
    k = np.arange(degree + 2)
    step = np.where(k == 0, 0.5, np.sin(k * np.pi / 2) / (np.pi * np.maximum(k, 1)))
    step[2::2] = 0
    output = np.zeros(degree + 2)
    output[::2] = np.cos(k[::2] * np.pi / 2) / (np.pi * (1 - k[::2] ** 2.0))
    output[1] = 0.25
    below = np.abs(np.concatenate([[step[1]], step[:-2]]))  # cos(-a) = cos(a)
    inner = _R**2 * (_GAMMA**2 * step[:-1] ** 2 + (below**2 + step[1:] ** 2) / 2)
    return output[:-1] ** 2, inner


def _closed_form_norms():
    """Returns {(target, operator): norms at r = .5, .75, 1}, by ranking the closed-form eigenvalues."""
    output, inner = _closed_form_eigenvalues(30)
    operators = {"output": output, "input": inner, "both": output + inner}
    degree = np.r_[0, np.repeat(np.arange(1, 31), 2)]
    norms = {}
    for target, own in operators.items():
        chosen = degree[np.argsort(-own[degree], kind="stable")[2:12]]
        for operator, values in operators.items():
            with np.errstate(divide="ignore"):
                norms[target, operator] = [np.sqrt(np.sum((0.1 / values[chosen] ** r) ** 2)) for r in _ORDERS]
    return norms


def _norms():
    config = _config()
    data = layers.load(config)
    return {
        (target, operator): [theory.source_norm(data.eigenvalues[operator], data.targets[target], r) for r in _ORDERS]
        for target in layers.LAYERS
        for operator in layers.LAYERS
    }


def test_norms_of_figure_2_are_the_closed_form_and_the_table():
    norms, expected = _norms(), _closed_form_norms()
    count = 0
    for target, of_target in _TABLE.items():
        for operator, written in of_target.items():
            np.testing.assert_allclose(norms[target, operator], expected[target, operator], rtol=1e-9)
            for norm, digits in zip(norms[target, operator], written):
                if digits == "inf":
                    assert norm == np.inf
                else:  # within 1e-3, and half a unit of the last digit written
                    mantissa, _, power = digits.partition("e")
                    half_unit = 0.5 * 10.0 ** (int(power or 0) - len(mantissa.partition(".")[2]))
                    assert abs(norm - float(digits)) <= half_unit + 1e-3 * norm
                count += 1
    assert count == 27


def test_norms_tell_relu_from_its_smooth_approximation():
    relu = layers.load(_config())
    smooth = layers.load(_config(activation="swish:10"))
    norm = [theory.source_norm(data.eigenvalues["both"], data.targets["both"], 1.0) for data in (relu, smooth)]
    assert norm[0] == pytest.approx(379.85, rel=1e-4)
    assert norm[1] == pytest.approx(301.22, rel=1e-4)


class _Stopping(Workdir):
    """A workdir whose loops get a SIGTERM at their first call that ends before the last step."""

    def loop(self, name, state, step_fn, *, num_steps, steps_per_call=1):
        def stopping_fn(state, step):
            if step == 0:
                self.signals.pending = signal.SIGTERM
            return step_fn(state, step)

        return super().loop(name, state, stopping_fn, num_steps=num_steps, steps_per_call=steps_per_call)


def _run(path, config, kind=Workdir):
    with kind(path, {}) as workdir:
        return layers.run(config, layers.load(config), workdir)


def test_interrupted_in_the_middle_of_every_training_equals_uninterrupted(tmp_path):
    config = _config()
    whole = _run(tmp_path / "whole", config)
    stops = 0
    while True:
        try:
            figures = _run(tmp_path / "stopped", config, _Stopping)
            break
        except Interrupted:
            stops += 1
    assert stops == 3
    jax.tree.map(np.testing.assert_array_equal, figures, whole)
    one, other = ((tmp_path / name / "metrics.jsonl").read_bytes() for name in ("whole", "stopped"))
    assert one == other
    assert {path.name for path in (tmp_path / "whole" / "figures").iterdir()} == {"layers.png", "layers.csv"}
    blind = whole["target_input"]["norms"]["output"]["r0.5"]
    assert blind["value"] == np.inf
    assert blind["infinite"]
    assert blind["unseen_degrees"].tolist() == [3, 5, 7, 9, 11]


def test_reference_risks_are_the_expected_ones_and_the_own_layers_lead(tmp_path):
    num_samples, seeds = 512, 10
    config = _config(network__num_samples=(64, num_samples), network__num_seeds=seeds, network__noise=0.3)
    data, figures = layers.load(config), _run(tmp_path, config)
    for target in layers.LAYERS:
        reference = figures[f"target_{target}"]["reference"]
        assert reference["own_fastest_until"]["value"] == num_samples
        for trained in layers.LAYERS:
            eigenvalues = data.trained[trained]
            expected = theory.reference_error(
                eigenvalues,
                data.targets[target],
                num_samples=num_samples,
                learning_rate=config.network.eta_sup_k / eigenvalues.sum(),
                regularization=config.network.regularization,
                noise=config.network.noise,
            )
            risk = reference[f"risk_{trained}"]
            # the closed form lacks the noise of the random design: 5% here
            assert risk["value"] == pytest.approx(sum(expected), abs=4 * risk["sd"] / np.sqrt(seeds), rel=0.1)
            if trained != target:
                lead = reference[f"{trained}_minus_own"]
                difference = risk["value"] - reference[f"risk_{target}"]["value"]
                assert lead["value"] == pytest.approx(difference, rel=1e-5)
                assert lead["value"] > 3 * lead["se"]
    blind = figures["target_input"]
    for model in ("network", "reference"):  # the output layer alone learns one of ten functions
        assert blind[model]["risk_output"]["value"] > 0.09 * 0.99


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"network__width": 33}, "config.network.width=33: the symmetric initialisation needs an even width"),
        ({"eigenfunctions": (5, 4)}, "config.eigenfunctions: places 5..4"),
        ({"eigenfunctions": (0, 4)}, "config.eigenfunctions: places 0..4"),
        ({"eigenfunctions": (3, 500)}, "config.eigenfunctions: places 3..500"),
        ({"eigenfunctions": (3,)}, "config.eigenfunctions=(3,): must be two places"),
        ({"eigenfunctions": (3, 125)}, "config.max_degree=64"),
        ({"network__activation": "erf"}, "config.network.activation, target of the output operator: the kernel's"),
        ({"max_degree": 6}, "config.max_degree=6"),
        ({"activation": "tanhh"}, "config.activation: activation 'tanhh' is unknown"),
        ({"network__activation": "swish:x"}, "config.network.activation: activation 'swish:x'"),
        ({"scale": 0.0}, "config.scale=0.0"),
        ({"gamma": -1.0}, "config.gamma=-1.0"),
        ({"r": (0.0, 1.0)}, "config.r=(0.0, 1.0)"),
        ({"r": (0.5, 1.0, 0.5)}, "config.r=(0.5, 1.0, 0.5): must name each order once"),
        ({"network__eta_sup_k": 2.0}, "config.network.eta_sup_k=2.0: must lie in"),
        ({"network__regularization": 0.0}, "config.network.regularization=0.0"),
        (
            {"network__regularization": 10.0},
            "config.network.regularization=10.0, config.network.eta_sup_k=0.25 (output layer): eta lambda = 10 must",
        ),
        ({"network__regularization": 0.1, "network__eta_sup_k": 1.9}, "(output layer): eta lambda"),
        ({"network__noise": -0.1}, "config.network.noise=-0.1"),
        ({"network__noise": 1e30}, "config.network.noise=1e+30: must lie in [0, 1000.0]"),
        ({"network__num_seeds": 1}, "config.network.num_seeds=1"),
        ({"network__num_samples": (64, 100)}, "config.network.num_samples"),
    ],
)
def test_impossible_settings_are_refused_by_name(changes, field):
    with pytest.raises(ValueError, match=re.escape(field)):
        layers.load(_config(**changes))


def test_without_a_bias_the_run_says_what_the_input_layer_cannot_see(caplog):
    data = layers.load(_config(gamma=0.0))
    assert "config.gamma=0: without a bias" in caplog.text
    assert data.eigenvalues["input"][5] == 0  # cosine of degree 3
    assert layers.load(_config()).eigenvalues["input"][5] > 0


def test_outputs_beyond_the_assumption_are_named(caplog):
    layers.load(_config(network__noise=0.05))
    assert "Assumption A2" not in caplog.text
    layers.load(_config(network__noise=0.5))
    assert "config.network.noise=0.5: a target reaches" in caplog.text


def test_every_form_of_the_config_loads():
    for arg in ("", "runlocal", "smoke"):
        assert layers.load(FrozenConfigDict(config_file.get_config(arg)))
    for override in config_file.sweep():
        config = config_file.get_config()
        config.update_from_flattened_dict(override)
        assert layers.load(FrozenConfigDict(config))
