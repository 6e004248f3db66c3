"""A search and a selection on four devices, in a process of its own: as on one device, and the same when resumed."""

import os
import pathlib
import subprocess
import sys

SCRIPT = """
import pathlib, sys
import jax, numpy as np
from ml_collections import FrozenConfigDict
from configs.darts_perturb import digits
from darts_perturb import edges, perturb, search
from darts_perturb.runs import datasets, jobs
from experiment.signals import Interrupted
from experiment.workdir import Workdir
from tests.darts_perturb import tiny
from tests.experiment.stopping import Stopping

config = digits.get_config("smoke")
config.search.epochs = 2
config.shift = 1
config = FrozenConfigDict(config)
dataset = datasets.load(config)

def run(folder, kind=Workdir):
    with kind(pathlib.Path(sys.argv[1]) / folder, {}) as workdir:
        found = jobs.Jobs(config, tiny.STAGES_SPACE, dataset, workdir)
        state = found.search("first_order", 0)
        scores = found.strengths("first_order", 0, state)
        cell = found.select("perturbation", "first_order", 0, state, scores)
        return found, jax.device_get(state), jax.device_get(scores._asdict()), cell

assert jax.device_count() == 4
found, state, scores, cell = run("four")
assert found.mesh.devices.size == 4
assert len(found._plan(jax.random.key(0), 2, True, learning_rate=.1, final_learning_rate=.1).index.devices()) == 4
while True:
    try:
        _, resumed, again, same_cell = run("resumed", Stopping)
        break
    except Interrupted:
        print("stopped")
jax.tree.map(np.testing.assert_array_equal, (resumed, again), (state, scores))
assert same_cell == cell
jobs._mesh = lambda *sizes: None
one, expected, told, _ = run("one")
assert one.mesh is None
close = lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4)
jax.tree.map(close, (state.params, state.alpha, scores), (expected.params, expected.alpha, told))
weights = np.asarray(edges.flat(search.op_weights(expected.alpha, expected.choice)))
assert np.ptp(weights, axis=1).min() > 0
print("same")
"""


def test_four_devices_give_the_figures_of_one(tmp_path):
    env = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    root = pathlib.Path(__file__).parents[3]
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    done = subprocess.run(command, env=env, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == ["stopped", "stopped", "same"], done.stdout
