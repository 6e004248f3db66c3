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
placed_on = lambda leaf: len({str(shard.index) for shard in leaf.addressable_shards})
tree = {"even": jnp.arange(32.0).reshape(16, 2), "odd": jnp.arange(9.0), "key": jax.random.split(jax.random.key(0), 8)}
placed = mesh.shard_leading(tree)
assert placed_on(placed["even"]) == 8
assert placed["odd"].is_fully_replicated and not placed["key"].is_fully_replicated
assert len(placed["odd"].sharding.device_set) == 8
double = jax.jit(jax.vmap(lambda row: 2 * row))(placed["even"])
assert not double.is_fully_replicated
np.testing.assert_array_equal(double, 2 * np.arange(32.0).reshape(16, 2))

# ten rows over five of the eight devices, with what stands beside them; a part placed later meets them there
x, scalar, rows = mesh.shard_leading((jnp.arange(20.0).reshape(10, 2), jnp.float32(2), jnp.arange(3.0)))
later = mesh.shard_leading(jax.device_put(jnp.ones(10), jax.devices()[0]))
assert placed_on(x) == placed_on(later) == 5
assert x.sharding.device_set == later.sharding.device_set == scalar.sharding.device_set == rows.sharding.device_set
total = jax.jit(lambda x, later, scalar: scalar * x.sum(axis=1) + later)(x, later, scalar)
np.testing.assert_array_equal(total, 2 * (4 * np.arange(10) + 1) + 1)
for alone in (jnp.arange(11.0), jnp.zeros((0, 2)), jnp.float32(1)):
    assert mesh.shard_leading(alone) is alone
"""


def test_a_tree_stays_as_it_is_on_one_device():
    tree = {"x": jnp.arange(4.0)}
    assert jax.device_count() > 1 or mesh.shard_leading(tree) is tree
    assert mesh.data_mesh().axis_names == (mesh.AXIS,)


def test_the_leading_axis_is_spread_over_eight_devices():
    environment = binary.environment() | {"XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
