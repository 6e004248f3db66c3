"""Kernels on eight devices, in a process of its own."""

import os
import subprocess
import sys

SCRIPT = """
import functools
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import Mesh
from ntk_asgd import empirical, network

assert jax.device_count() == 8
params = network.init(jax.random.key(0), width=16, dim=3)
x1, x2 = jax.random.normal(jax.random.key(1), (19, 3)), jax.random.normal(jax.random.key(2), (6, 3))
one = Mesh(np.array(jax.devices()[:1]), ("rows",))
grid = Mesh(np.array(jax.devices()).reshape(2, 4), ("a", "b"))
apply_fn = functools.partial(network.apply, activation="relu", gamma=0.5)
kernels = [functools.partial(empirical.two_layer_ntk, activation="relu", gamma=0.5)]
kernels += [functools.partial(empirical.ntk, apply_fn, method=method) for method in ("structured", "jacfwd")]
for kernel in kernels:
    for other in (x2, None):
        expected = jax.jit(functools.partial(kernel, mesh=one))(params, x1, other)
        for mesh, block_size in ((None, None), (grid, 2)):
            fn = jax.jit(functools.partial(kernel, mesh=mesh, block_size=block_size))
            np.testing.assert_allclose(fn(params, x1, other), expected, rtol=1e-5, atol=1e-6)
    rows = jax.jit(kernel)(params, jnp.concatenate([x1, x1[:5]]))
    assert len(rows.sharding.device_set) == 8 and rows.addressable_shards[0].data.shape == (3, 24), rows.sharding

def mapped(params, x):  # within a shard_map the devices are taken
    return empirical.two_layer_ntk(params, x, x1, activation="relu", gamma=0.5)

spec = jax.sharding.PartitionSpec
mesh = Mesh(np.array(jax.devices()[:2]), ("rows",))
fn = jax.shard_map(mapped, mesh=mesh, in_specs=(spec(), spec("rows")), out_specs=spec("rows"), check_vma=False)
expected = empirical.two_layer_ntk(params, x2, x1, activation="relu", gamma=0.5, mesh=one)
np.testing.assert_allclose(jax.jit(fn)(params, x2), expected, rtol=1e-5, atol=1e-6)
print("agree")
"""


def test_rows_over_eight_devices_give_the_same_kernels():
    env = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    result = subprocess.run([sys.executable, "-c", SCRIPT], env=env, capture_output=True, text=True)
    assert result.stdout.split() == ["agree"], result.stderr
