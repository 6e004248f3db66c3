"""Runs on eight devices, in a process of their own: the figures of one device, and the same when resumed."""

import os
import pathlib
import subprocess
import sys

SCRIPT = """
import pathlib, sys
from unittest import mock
import jax, numpy as np
from ml_collections import FrozenConfigDict
import configs.ntk_asgd.layers, configs.ntk_asgd.rates
from experiment import mesh
from experiment.signals import Interrupted
from experiment.workdir import Workdir
from ntk_asgd.runs import layers, rates
from tests.experiment.stopping import Stopping

def small(config, **changes):
    config.update_from_flattened_dict({"steps_per_call": 32, "network.num_seeds": 8, "network.width": 8, **changes})
    return FrozenConfigDict(config)

def run(module, config, path, kind=Workdir):
    with kind(path, {}) as workdir:
        return module.run(config, module.load(config), workdir)

assert jax.device_count() == 8
cases = {
    layers: small(configs.ntk_asgd.layers.get_config("smoke"), **{"network.num_samples": (32, 64)}),
    rates: small(
        configs.ntk_asgd.rates.get_config("smoke"),
        **{"beta": (2.0,), "r": (0.5,), "num_samples": (64, 128), "num_seeds": 8},
        **{"network.num_samples": (64, 128), "network.sharpness": ()},
    ),
}
for module, config in cases.items():
    folder = pathlib.Path(sys.argv[1]) / module.__name__
    with mock.patch.object(mesh, "shard_leading", lambda tree: tree):
        one = run(module, config, folder / "one")
    with mock.patch.object(mesh, "shard_leading", side_effect=mesh.shard_leading) as placed:
        eight = run(module, config, folder / "eight")
    assert placed.called
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=1e-5), eight, one)
    stops = 0
    while True:
        try:
            resumed = run(module, config, folder / "resumed", Stopping)
            break
        except Interrupted:
            stops += 1
    assert stops >= 2, stops
    jax.tree.map(np.testing.assert_array_equal, resumed, eight)
    rows = [(folder / name / "metrics.jsonl").read_bytes() for name in ("eight", "resumed")]
    assert rows[0] == rows[1]
print("agree")
"""


def test_runs_on_eight_devices_are_those_of_one_and_resume(tmp_path):
    env = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", SCRIPT, tmp_path]
    result = subprocess.run(command, env=env, cwd=pathlib.Path(__file__).parents[2], capture_output=True, text=True)
    assert result.stdout.split() == ["agree"], result.stderr
