import re

import jax
import numpy as np
import pytest
from ml_collections import FrozenConfigDict

from configs.ntk_asgd import eigen_decay as config_file
from experiment.workdir import Workdir
from ntk_asgd.runs import eigen_decay


def _config(**changes):
    config = config_file.get_config("smoke")
    config.update(changes)
    return FrozenConfigDict(config)


class _Stopping(Workdir):
    """A workdir that breaks down after its second finished stage."""

    stages_left = 2

    def stage(self, name, fn):
        if self.stages_left == 0:
            raise KeyboardInterrupt
        self.stages_left -= 1
        return super().stage(name, fn)


def test_measures_the_exact_spectrum_and_resumes_to_the_same_figures(tmp_path):
    config = _config(dims=(3,), num_seeds=3)
    data = eigen_decay.load(config)
    with Workdir(tmp_path / "whole", {}) as workdir:
        figures = eigen_decay.run(config, data, workdir)
    with pytest.raises(KeyboardInterrupt), _Stopping(tmp_path / "stopped", {}) as workdir:
        eigen_decay.run(config, data, workdir)
    with Workdir(tmp_path / "stopped", {}) as workdir:
        resumed = eigen_decay.run(config, data, workdir)
    jax.tree.map(np.testing.assert_array_equal, resumed, figures)
    one, other = ((tmp_path / name / "metrics.jsonl").read_bytes() for name in ("whole", "stopped"))
    assert one == other
    assert (tmp_path / "whole" / "figures" / "eigen_decay.png").stat().st_size > 10_000
    assert figures["d3"]["kernel_top30_median_deviation"]["value"] < 0.15
    assert figures["d3"]["network_top30_median_deviation"]["value"] < 0.2
    assert figures["d3"]["network_slope"]["value"] == pytest.approx(figures["d3"]["exact_slope"]["value"], abs=0.1)
    assert figures["d3"]["exact_tail_slope"]["value"] == pytest.approx(-1.5, abs=0.01)


def test_no_slope_where_the_window_spans_too_few_levels(tmp_path):
    config = _config(dims=(10,), num_seeds=1, width=64, num_points=300, fit_first=5)
    with Workdir(tmp_path, {}) as workdir:
        figures = eigen_decay.run(config, eigen_decay.load(config), workdir)["d10"]
    assert figures["exact_slope"]["value"] is None
    assert "network_slope" not in figures
    assert figures["network_top30_max_deviation"]["sd"] is None


def test_a_smooth_activation_has_its_exact_values_and_no_theory(tmp_path):
    config = _config(dims=(3,), num_seeds=1, width=64, num_points=300, activation="swish:10", fit_first=5)
    with Workdir(tmp_path, {}) as workdir:
        figures = eigen_decay.run(config, eigen_decay.load(config), workdir)
    assert figures["assumption_a1"]["holds"]
    assert "exact_tail_slope" not in figures["d3"]
    assert figures["d3"]["kernel_degree_max_deviation"]["value"] < 0.15
    assert figures["d3"]["kernel_degrees_of_freedom_ratio"]["value"] == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"dims": (1, 3)}, "config.dims"),
        ({"dims": ()}, "config.dims"),
        ({"width": 513}, "config.width=513"),
        ({"activation": "cube"}, "config.activation='cube'"),
        ({"gamma": 0.0}, "config.gamma=0.0"),
        ({"num_points": 299}, "config.num_points=299"),
        ({"fit_first": 40}, "config.fit_first=40"),
        ({"exact_window": (10, 10)}, "config.exact_window"),
        ({"num_seeds": 0}, "config.num_seeds=0"),
    ],
)
def test_impossible_settings_are_refused_by_name(changes, field):
    with pytest.raises(ValueError, match=re.escape(field)):
        eigen_decay.load(_config(**changes))


def test_every_form_of_the_config_loads():
    for arg in ("", "runlocal", "smoke"):
        assert eigen_decay.load(FrozenConfigDict(config_file.get_config(arg)))
    for override in config_file.sweep():
        assert eigen_decay.load(_config(**override))
