import re

import jax
import numpy as np
import pytest
from ml_collections import FrozenConfigDict

from configs.ntk_asgd import averaging as config_file
from experiment.workdir import Workdir
from ntk_asgd.runs import averaging


def _config(**changes):
    config = config_file.get_config("smoke")
    config.update_from_flattened_dict({name.replace("__", "."): value for name, value in changes.items()})
    return FrozenConfigDict(config)


def _run(config, path):
    with Workdir(path, {}) as workdir:
        return averaging.run(config, averaging.load(config), workdir)


def test_average_leads_every_other_method_at_equal_samples(tmp_path):
    """At T = 4,096: half the iterates average half the noise away, and one iterate none of it."""
    config = _config(num_samples=(256, 4_096), num_seeds=24, network__num_samples=(128,))
    figures = _run(config, tmp_path)
    at = figures["reference"]["T4096"]
    assert at["last_over_average"]["value"] > 15
    assert 1.2 < at["tail_over_average"]["value"] < 2.5
    assert at["decreasing_over_average"]["value"] > 1.2
    slopes = {method: slope["value"] for method, slope in figures["reference"]["slope"].items()}
    assert slopes["average"] < -0.5 < -0.2 < slopes["last"]
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"averaging.png", "averaging.csv"}


def test_same_seed_gives_the_same_figures(tmp_path):
    one, other = (_run(_config(), tmp_path / name) for name in ("one", "other"))
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"power": 1.0}, "config.power=1.0"),
        ({"r": -0.5}, "config.r=-0.5: r=-0.5 and beta=2.0 must be positive"),
        ({"network__width": 5}, "config.network.width=5"),
        ({"network__num_samples": (100,)}, "config.network.num_samples"),
    ],
)
def test_impossible_settings_are_refused_by_name(changes, field):
    with pytest.raises(ValueError, match=re.escape(field)):
        averaging.load(_config(**changes))


def test_every_form_of_the_config_loads():
    for arg in ("", "runlocal", "smoke"):
        assert averaging.load(FrozenConfigDict(config_file.get_config(arg)))
    for override in config_file.sweep():
        config = config_file.get_config("runlocal")
        config.update_from_flattened_dict(override)
        assert averaging.load(FrozenConfigDict(config))
