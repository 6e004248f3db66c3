import re

import jax
import numpy as np
import pytest
from ml_collections import FrozenConfigDict

from configs.ntk_asgd import misspecified as config_file
from experiment.workdir import Workdir
from ntk_asgd.runs import misspecified


def _config(**changes):
    config = config_file.get_config("smoke")
    config.update_from_flattened_dict({name.replace("__", "."): value for name, value in changes.items()})
    return FrozenConfigDict(config)


def _run(config, path):
    with Workdir(path, {}) as workdir:
        return misspecified.run(config, misspecified.load(config), workdir)


def test_rough_targets_follow_their_prediction_and_narrow_networks_fail(tmp_path):
    config = _config(
        r=(0.1, 0.5), num_samples=(256, 2_048), num_seeds=16, num_functions=128, widths=(2, 64), network__num_seeds=4
    )
    figures = _run(config, tmp_path)
    for case in ("r0.1", "r0.5"):
        slope = figures[case]["slope"]
        assert slope["value"] == pytest.approx(slope["predicted"], abs=4 * slope["se"])
    assert figures["r0.1"]["slope"]["value"] > -0.3  # one pass at a constant step: 2 r, below 2 r beta / (2 r beta + 1)
    assert figures["width"]["M2"]["over_reference"]["value"] > 3 * figures["width"]["M64"]["over_reference"]["value"]
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {
        f"{name}.{kind}" for name in ("rough", "narrow") for kind in ("png", "csv")
    }


def test_functions_left_out_count_as_never_learned():
    """More functions simulated, the same expected risk: what they learn past the first 128 is next to nothing."""
    risks = []
    for count in (128, 1_024):
        problem, beyond = misspecified.load(_config(r=(0.2,), num_functions=count))["r0.2"]
        assert np.sum(problem.coefficients**2) + beyond == pytest.approx(0.25**2)
        risks.append(sum(problem.expected_risk(256)) + beyond)
    assert risks[0] == pytest.approx(risks[1], rel=0.01)


def test_same_seed_gives_the_same_figures(tmp_path):
    one, other = (_run(_config(), tmp_path / name) for name in ("one", "other"))
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"r": (0.2, 1.5)}, "config.r=(0.2, 1.5)"),
        ({"beta": 1.0}, "config.beta=1.0"),
        ({"widths": (4, 7)}, "config.widths=7"),
        ({"norm": 0.0}, "config.norm=0.0"),
        ({"network__activation": "relu"}, "config.network.activation='relu'"),
        ({"network__num_samples": (64, 128)}, "config.network.num_samples=(64, 128)"),
        ({"num_functions": 2**17}, "config.num_functions=131072"),
    ],
)
def test_impossible_settings_are_refused_by_name(changes, field):
    with pytest.raises(ValueError, match=re.escape(field)):
        misspecified.load(_config(**changes))


def test_every_form_of_the_config_loads():
    for arg in ("", "runlocal", "smoke"):
        assert misspecified.load(FrozenConfigDict(config_file.get_config(arg)))
    for override in config_file.sweep():
        assert misspecified.load(_config(**override))
