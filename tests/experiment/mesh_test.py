import subprocess
import sys

import jax
import jax.numpy as jnp

from experiment import mesh
from tests.experiment import binary

PROGRAM = """
import jax, jax.numpy as jnp, numpy as np
from experiment import mesh
assert jax.device_count() == 8
tree = {"even": jnp.arange(32.0).reshape(16, 2), "odd": jnp.arange(9.0), "key": jax.random.split(jax.random.key(0), 8)}
placed = mesh.shard_leading(tree)
assert len({str(shard.index) for shard in placed["even"].addressable_shards}) == 8
assert placed["odd"].is_fully_replicated and not placed["key"].is_fully_replicated
double = jax.jit(jax.vmap(lambda row: 2 * row))(placed["even"])
assert not double.is_fully_replicated
np.testing.assert_array_equal(double, 2 * np.arange(32.0).reshape(16, 2))
"""


def test_a_tree_stays_as_it_is_on_one_device():
    tree = {"x": jnp.arange(4.0)}
    assert jax.device_count() > 1 or mesh.shard_leading(tree) is tree
    assert mesh.data_mesh().axis_names == (mesh.AXIS,)


def test_the_leading_axis_is_spread_over_eight_devices():
    environment = binary.environment() | {"XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
