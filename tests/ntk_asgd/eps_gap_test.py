import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import FrozenConfigDict

from configs.ntk_asgd import eps_gap as config_file
from experiment.workdir import Workdir
from ntk_asgd import asgd, circle, empirical, infinite, network, rkhs
from ntk_asgd.runs import eps_gap


def _config(**changes):
    config = config_file.get_config("smoke")
    config.update(changes)
    return FrozenConfigDict(config)


def test_both_gaps_are_those_of_steps_and_kernel_expansions_in_float64():
    width, num_samples = 32, 40
    config = _config(num_samples=num_samples, num_seeds=2)
    with jax.enable_x64(True):
        problem = eps_gap.load(config)
        samples = eps_gap._reference(config, problem)
        measured = eps_gap._gaps(config, problem, width, samples)
        weights = _weights_of(config, width)
        grid = circle.on_circle(eps_gap._angles())
        rates = {"learning_rate": problem.learning_rate, "regularization": problem.regularization}
        fixed = {"activation": config.activation, "gamma": config.gamma}

        @jax.jit
        def step_fn(state, x, y):
            return asgd.step(state, x, y, apply_fn=lambda w, x: network.apply(w, x, **fixed), **rates)[0]

        for seed in range(2):
            params = jax.tree.map(lambda leaf, seed=seed: leaf[seed], weights)
            x, y = circle.on_circle(samples["angles"][seed]), samples["y"][seed]
            state = asgd.init(params)
            for one in zip(x, y):
                state = step_fn(state, *one)
            ours = network.apply(asgd.averaged_weights(state), grid, **fixed)
            linear = _expansion(functools.partial(empirical.two_layer_ntk, params, **fixed), x, y, grid, rates)
            limit = _expansion(functools.partial(infinite.ntk, scale=config.scale, **fixed), x, y, grid, rates)
            np.testing.assert_allclose(samples["limit"][seed], limit, atol=1e-9)
            expected = {"linearization": ours - linear, "sampling": linear - limit, "total": ours - limit}
            for gap, difference in expected.items():
                np.testing.assert_allclose(measured[gap][seed], np.abs(difference).max(), rtol=1e-6, atol=1e-9)


def _expansion(kernel_fn, x, y, grid, rates):
    return kernel_fn(grid, x) @ rkhs.kernel_coefficients(kernel_fn(x, x), y, **rates).averaged


def _weights_of(config, width):
    key = jax.random.fold_in(jax.random.split(jax.random.key(config.seed))[1], width)
    return jax.vmap(lambda key: network.init(key, width=width, dim=2, scale=config.scale))(
        jax.random.split(key, config.num_seeds)
    )


class _Stopping(Workdir):
    """A workdir that breaks down after its second finished stage."""

    stages_left = 2

    def stage(self, name, fn):
        if self.stages_left == 0:
            raise KeyboardInterrupt
        self.stages_left -= 1
        return super().stage(name, fn)


def test_slopes_of_both_gaps_and_a_resumed_run_that_equals_them(tmp_path):
    config = _config(widths=(64, 256, 1_024), num_seeds=12)
    data = eps_gap.load(config)
    with Workdir(tmp_path / "whole", {}) as workdir:
        figures = eps_gap.run(config, data, workdir)
    with pytest.raises(KeyboardInterrupt), _Stopping(tmp_path / "stopped", {}) as workdir:
        eps_gap.run(config, data, workdir)
    with Workdir(tmp_path / "stopped", {}) as workdir:
        resumed = eps_gap.run(config, data, workdir)
    jax.tree.map(np.testing.assert_array_equal, resumed, figures)
    one, other = ((tmp_path / name / "metrics.jsonl").read_bytes() for name in ("whole", "stopped"))
    assert one == other
    assert {path.name for path in (tmp_path / "whole" / "figures").iterdir()} == {"eps_gap.png", "eps_gap.csv"}
    for gap, theory in (("linearization", -1.0), ("sampling", -0.5), ("total", -0.5)):
        slope = figures[gap]["slope"]
        assert slope["value"] == pytest.approx(theory, abs=0.15)
        assert 0 < slope["se"] < 0.1
        assert figures[gap]["M1024"]["value"] < figures[gap]["M64"]["value"]
    assert figures["linearization"]["M64"]["value"] < figures["sampling"]["M64"]["value"]


def test_every_width_sees_the_same_samples_and_seeds_differ():
    config = _config()
    problem = eps_gap.load(config)
    samples = eps_gap._reference(config, problem)
    assert samples["y"].shape == (config.num_seeds, config.num_samples)
    assert len(np.unique(np.asarray(samples["angles"])[:, 0])) == config.num_seeds
    clean = jnp.abs(samples["y"]) <= config.sup_norm + config.noise
    assert bool(clean.all())  # Assumption A2


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"widths": (64, 65)}, "config.widths: width=65: the symmetric initialisation needs an even width"),
        ({"widths": (64,)}, "config.widths=(64,): must be at least 2"),
        ({"widths": (128, 64)}, "config.widths=(128, 64)"),
        ({"num_seeds": 1}, "config.num_seeds=1"),
        ({"num_samples": 0}, "config.num_samples=0"),
        ({"activation": "tanhh"}, "config.activation: activation 'tanhh' is unknown"),
        ({"gamma": 0.0}, "config.gamma=0.0"),
        ({"scale": -1.0}, "config.scale=-1.0"),
        ({"r": 0.4}, "config.r=0.4: r must"),
        ({"noise": -1.0}, "config.noise=-1.0"),
        ({"noise": 1e30}, "config.noise=1e+30: must lie in [0, 1000]"),
        ({"sup_norm": 1e30}, "config.sup_norm=1e+30: must lie in [0, 1000]"),
        ({"num_samples": 10**8}, "config.num_samples=100000000: times config.num_seeds=4 must be at most 20000000"),
        ({"eta_sup_k": 2.0}, "config.eta_sup_k=2.0: must lie in"),
        ({"eta_sup_k": 1.9, "num_samples": 5}, "config.num_samples=5 (lambda), config.eta_sup_k=1.9: eta lambda"),
    ],
)
def test_impossible_settings_are_refused_by_name(changes, field):
    with pytest.raises(ValueError, match=re.escape(field)):
        eps_gap.load(_config(**changes))


def test_an_activation_outside_the_assumption_is_named(caplog):
    eps_gap.load(_config(activation="relu"))
    assert "config.activation='relu': fails Assumption A1" in caplog.text


def test_outputs_beyond_the_assumption_are_named(caplog):
    eps_gap.load(_config())
    assert "Assumption A2" not in caplog.text
    eps_gap.load(_config(noise=0.6))
    assert "config.sup_norm=0.5, config.noise=0.6: |Y| may reach their sum" in caplog.text


def test_every_form_of_the_config_loads():
    for arg in ("", "runlocal", "smoke"):
        assert eps_gap.load(FrozenConfigDict(config_file.get_config(arg)))
    for override in config_file.sweep():
        assert eps_gap.load(_config(**override))
