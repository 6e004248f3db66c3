"""Devices and hosts."""

import jax
import numpy as np

from experiment.errors import UserError

AXIS = "data"


def data_mesh(count=None):
    """Returns the mesh of the first `count` devices, all where left out, with the one axis "data"."""
    return jax.sharding.Mesh(np.array(jax.devices()[:count]), (AXIS,))


def shard_leading(tree):
    """Returns the tree with the leading axes of its arrays spread evenly over devices.

    The devices used are as many as divide the leading axis of at least one array: ten rows take five of eight. An
    array whose leading axis their number does not divide, or that has none, is on each of them as a copy. Trees of one
    leading axis, placed one by one, lie on the same devices and may meet in one computation. Where one device is used
    the tree comes back as it is. A compiled function of arrays so placed computes each part where it lies.
    """
    axes = {leaf.shape[0] for leaf in jax.tree.leaves(tree) if leaf.ndim and leaf.size}
    dividing = (n for n in range(2, jax.device_count() + 1) if any(axis % n == 0 for axis in axes))
    count = max(dividing, default=1)
    if count == 1:
        return tree
    mesh = data_mesh(count)

    def place(leaf):
        spread = leaf.ndim and leaf.shape[0] % count == 0
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
