"""Devices and hosts."""

import jax
import numpy as np

from experiment.errors import UserError

AXIS = "data"


def data_mesh():
    """Returns the mesh of all devices, with the one axis "data"."""
    return jax.sharding.Mesh(np.array(jax.devices()), (AXIS,))


def shard_leading(tree):
    """Returns the tree with the leading axis of every array spread over the devices.

    An array whose leading axis the devices do not divide, or that has none, is on all of them. On one device the tree
    comes back as it is. A compiled function of arrays so placed computes each part where it lies.
    """
    mesh = data_mesh()
    if mesh.size == 1:
        return tree

    def place(leaf):
        spread = leaf.ndim > 0 and leaf.shape[0] % mesh.size == 0
        spec = jax.sharding.PartitionSpec(AXIS) if spread else jax.sharding.PartitionSpec()
        return jax.device_put(leaf, jax.sharding.NamedSharding(mesh, spec))

    return jax.tree.map(place, tree)


def initialize_distributed():
    """Joins the processes of a cluster job through jax.distributed; call it before any computation.

    Raises:
        UserError: no cluster is found in the environment, or the job has more than one process.
    """
    try:
        jax.distributed.initialize()
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"--distributed: no cluster found ({reason}); leave the flag out on one machine") from error
    if jax.process_count() > 1:
        raise UserError(
            f"--distributed: this job has {jax.process_count()} processes and a run writes its workdir from one; "
            "start it as a single task"
        )


def describe_devices():
    """Returns what computes: {"platform", "kind", "count"}."""
    devices = jax.devices()
    return {"platform": devices[0].platform, "kind": devices[0].device_kind, "count": len(devices)}
