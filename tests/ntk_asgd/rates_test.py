import logging
import re
import signal

import jax
import numpy as np
import pytest
from ml_collections import FrozenConfigDict

from configs.ntk_asgd import rates as config_file
from experiment.signals import Interrupted
from experiment.workdir import Workdir
from ntk_asgd import theory
from ntk_asgd.runs import rates


def _config(**changes):
    config = config_file.get_config("smoke")
    config.update_from_flattened_dict({name.replace("__", "."): value for name, value in changes.items()})
    return FrozenConfigDict(config)


def _small():
    return _config(
        beta=(2.0, 1.5),
        r=(0.5, 1.0),
        num_samples=(64, 128),
        network__num_samples=(128,),
        network__width=16,
        network__sharpness=(),
    )


class _Stopping(Workdir):
    """A workdir whose loops get a SIGTERM at their first call that ends before the last step."""

    def loop(self, name, state, step_fn, *, num_steps, steps_per_call=1):
        def stopping_fn(state, step):
            if step == 0 and num_steps > steps_per_call:
                self.signals.pending = signal.SIGTERM
            return step_fn(state, step)

        return super().loop(name, state, stopping_fn, num_steps=num_steps, steps_per_call=steps_per_call)


def _run(path, kind=Workdir):
    config = _small()
    with kind(path, {}) as workdir:
        return rates.run(config, rates.load(config), workdir)


def test_interrupted_in_the_middle_of_loops_equals_uninterrupted(tmp_path):
    whole = _run(tmp_path / "whole")
    stops = 0
    while True:
        try:
            figures = _run(tmp_path / "stopped", _Stopping)
            break
        except Interrupted:
            stops += 1
    assert stops == 2  # one in the reference's T = 128, one in the network's
    jax.tree.map(np.testing.assert_array_equal, figures, whole)
    one, other = ((tmp_path / name / "metrics.jsonl").read_bytes() for name in ("whole", "stopped"))
    assert one == other
    assert {path.name for path in (tmp_path / "whole" / "figures").iterdir()} == {
        f"{name}.{kind}" for name in ("rates", "bound", "network") for kind in ("png", "csv")
    }


def test_average_beats_the_last_iterate_and_follows_its_prediction(tmp_path):
    config = _config(
        beta=(2.0, 2.0),
        r=(1.0, 0.4),
        num_samples=(256, 4_096),
        num_seeds=24,
        steps_per_call=256,
        network__num_samples=(256,),
        network__sharpness=(1, 50),
        network__width=32,
    )
    with Workdir(tmp_path, {}) as workdir:
        figures = rates.run(config, rates.load(config), workdir)
    case = figures["beta2_r1"]
    assert case["last_over_averaged"]["value"] > 10
    assert case["risk_over_bound"]["value"] < 1
    averaged = case["averaged_risk"]
    assert averaged["value"] == pytest.approx(averaged["predicted"], abs=4 * averaged["sd"] / np.sqrt(24))
    assert case["slope"]["value"] == pytest.approx(case["slope"]["predicted"], abs=4 * case["slope"]["se"])
    assert 0.01 < case["slope"]["se"] < 0.1
    assert case["slope"]["r_and_beta_within_theorem"]
    assert not figures["beta2_r0.4"]["slope"]["r_and_beta_within_theorem"]
    net = figures["network"]["T256"]
    assert net["averaged_risk"]["value"] == pytest.approx(net["reference_risk"]["value"], rel=0.3)
    assert net["sup_gap"]["value"] < 0.1
    sharp = figures["sharpness"]  # Corollary 2: swish_s nears ReLU as s grows
    assert sharp["s50"]["distance"]["value"] < 0.05 * sharp["s1"]["distance"]["value"]
    assert sharp["s50"]["risk"]["value"] == pytest.approx(sharp["relu"]["risk"]["value"], rel=0.05)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"network__width": 65}, "config.network.width=65"),
        ({"network__activation": "tanhh"}, "config.network.activation: activation 'tanhh' is unknown"),
        ({"network__r": 0.2}, "config.network.r=0.2: r must"),
        ({"network__gamma": -1.0}, "config.network.gamma=-1.0"),
        (
            {"network__gamma": 0.0, "network__activation": "relu"},
            "config.network.gamma=0.0: the kernel's eigenvalues are zero on degrees 3, 5, 7",
        ),
        ({"network__sharpness": (-2, 1)}, "config.network.sharpness: activation 'swish:-2'"),
        ({"eta_sup_k": 2.0}, "config.eta_sup_k=2.0: must lie in (0, 2), for the iterates diverge from 2 / sup k on"),
        ({"beta": (2.0, 1.5), "r": (0.5, 0.0)}, "config.r=(0.5, 0.0): r=0.0 and beta=1.5 must be positive"),
        ({"r": (0.5,)}, "must be numbers that pair up"),
        ({"num_samples": (64, 100)}, "config.num_samples"),
        ({"num_samples": (128, 64)}, "config.num_samples"),
        ({"num_seeds": 1}, "config.num_seeds=1"),
        ({"noise": 0.0}, "config.noise=0.0"),
        ({"tail": 0.0}, "config.tail=0.0"),
        ({"bias_over_variance": 1e-6}, "config.bias_over_variance=1e-06: no lambda gives"),
        ({"num_samples": ("64", "128")}, "config.num_samples"),
        ({"beta": ("2", "2")}, "config.beta"),
    ],
)
def test_impossible_settings_are_refused_by_name(changes, field):
    with pytest.raises(ValueError, match=re.escape(field)):
        rates.load(_config(**changes))


def test_settings_outside_the_theorem_warn_and_run(caplog):
    with caplog.at_level(logging.WARNING, logger="absl"):
        data = rates.load(_config(r=(0.4, 1.0), beta=(2.0, 0.9)))
    assert set(data) == {"beta2_r0.4", "beta0.9_r1", "network"}
    assert "beta=2, r=0.4; beta=0.9, r=1: outside the theorem" in caplog.text
    assert "4 (6 + lambda) eta <= 1" in caplog.text


def test_step_size_within_the_theorem_does_not_warn(caplog):
    with caplog.at_level(logging.WARNING, logger="absl"):
        rates.load(_config(eta_sup_k=0.03, num_samples=(2**16, 2**17), network__num_samples=(2**16,)))
    assert not caplog.text


def test_step_size_is_in_units_of_one_over_sup_k():
    data = rates.load(_config(network__activation="relu", network__max_degree=200))
    assert data["beta2_r0.5"].learning_rate == pytest.approx(0.25 / 1.11, rel=0.01)  # 1 + zeta(2) / 2, over zeta(2)
    assert data["network"].learning_rate == pytest.approx(0.25 / 1.25, rel=2e-3)  # k(1) = 1/4 + 1 at d = 2


def test_rate_is_expected_within_five_hundredths_at_every_pair():
    """The closed form alone, over the samples of :runlocal; what the simulation adds is its own error."""
    config = FrozenConfigDict(config_file.get_config("runlocal"))
    for case, problem in rates.load(config).items():
        if case != "network":
            risks = [sum(problem.expected_risk(num_samples)) for num_samples in config.num_samples]
            slope = np.polyfit(np.log(config.num_samples), np.log(risks), 1)[0]
            assert slope == pytest.approx(-theory.rate_exponent(problem.r, problem.beta), abs=0.03), case


def test_every_form_of_the_config_loads():
    for arg in ("", "runlocal", "smoke"):
        assert rates.load(FrozenConfigDict(config_file.get_config(arg)))
    for override in config_file.sweep():
        config = config_file.get_config("runlocal")
        config.update_from_flattened_dict(override)
        assert rates.load(FrozenConfigDict(config))
