import re
import signal

import jax
import numpy as np
import pytest
from ml_collections import FrozenConfigDict

from configs.ntk_asgd import rates as config_file
from experiment.signals import Interrupted
from experiment.workdir import Workdir
from ntk_asgd.runs import rates


def _config(**changes):
    config = config_file.get_config("smoke")
    config.update_from_flattened_dict({name.replace("__", "."): value for name, value in changes.items()})
    return FrozenConfigDict(config)


def _small():
    return _config(beta=(2.0,), r=(0.5,), num_samples=(64, 128), network__num_samples=(128,), network__width=16)


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
        f"{name}.{kind}" for name in ("rates", "network") for kind in ("png", "csv")
    }


def test_average_beats_the_last_iterate_and_follows_its_prediction(tmp_path):
    config = _config(
        beta=(2.0,), r=(1.0,), num_samples=(256, 4_096), num_seeds=24, steps_per_call=256, network__num_samples=(256,)
    )
    with Workdir(tmp_path, {}) as workdir:
        figures = rates.run(config, rates.load(config), workdir)
    case = figures["beta2_r1"]
    assert case["last_over_averaged"]["value"] > 10
    averaged = case["averaged_risk"]
    assert averaged["value"] == pytest.approx(averaged["predicted"], abs=4 * averaged["sd"] / np.sqrt(24))
    assert case["slope"]["value"] == pytest.approx(case["slope"]["predicted"], abs=4 * case["slope"]["se"])
    assert 0.01 < case["slope"]["se"] < 0.1
    net = figures["network"]["T256"]
    assert net["averaged_risk"]["value"] == pytest.approx(net["reference_risk"]["value"], rel=0.3)
    assert net["sup_gap"]["value"] < 0.1


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"network__width": 65}, "config.network.width=65"),
        ({"network__activation": "tanhh"}, "config.network.activation: activation 'tanhh' is unknown"),
        ({"network__r": 0.2}, "config.network.r=0.2: r must"),
        ({"network__gamma": 0.0}, "config.network.gamma=0.0"),
        ({"eta_sup_k": 2.0}, "config.eta_sup_k=2.0: must lie in"),
        ({"r": (0.5, 1.2, 0.75)}, "config.r=(0.5, 1.2, 0.75): r must"),
        ({"beta": (2.0, 2.0, 1.0)}, "config.beta=(2.0, 2.0, 1.0), config.r=(0.5, 1.0, 0.75): beta must"),
        ({"r": (0.5,)}, "must be numbers that pair up"),
        ({"num_samples": (64, 100)}, "config.num_samples"),
        ({"num_samples": (128, 64)}, "config.num_samples"),
        ({"num_seeds": 1}, "config.num_seeds=1"),
        ({"noise": -1.0}, "config.noise=-1.0"),
        ({"num_samples": ("64", "128")}, "config.num_samples"),
        ({"beta": ("2", "2", "2")}, "config.beta"),
    ],
)
def test_impossible_settings_are_refused_by_name(changes, field):
    with pytest.raises(ValueError, match=re.escape(field)):
        rates.load(_config(**changes))


def test_step_size_is_in_units_of_one_over_sup_k():
    data = rates.load(_config(network__activation="relu", network__max_degree=200))
    for case in ("beta2_r0.5", "beta1.5_r0.75"):
        assert data[case].learning_rate == pytest.approx(0.25 / 2)  # k(x, x) <= 2 sum_i lambda_i = 2
    assert data["network"].learning_rate == pytest.approx(0.25 / 1.25, rel=2e-3)  # k(1) = 1/4 + 1 at d = 2


def test_every_form_of_the_config_loads():
    for arg in ("", "runlocal", "smoke"):
        assert rates.load(FrozenConfigDict(config_file.get_config(arg)))
    for override in config_file.sweep():
        assert rates.load(_config(**override))
