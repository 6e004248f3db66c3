"""One mesh of devices for all systems, and how arrays come to lie on it.

The mesh has two named axes: "data" (samples, seeds, queries, images of a batch, rows of a Gram matrix) and "model"
(rows of tables of entities). --mesh=data:4,model:2 says how many devices lie along each; without it, whatever is spread
along an axis has all devices along it. Axis types are Auto: the compiler follows the arrays.

Several processes (`experiment.hosts`) share one mesh of all their devices. Each calls these functions at the same
point of the same program, with the same values.
"""

import functools
import re

import jax
import numpy as np

from experiment.errors import UserError

DATA, MODEL = "data", "model"
AXES = (DATA, MODEL)

_chosen = {}  # axis -> devices along it; empty where --mesh was not given


def choose(text):
    """Makes --mesh=TEXT the mesh of this process from now on; an empty text, all devices along whatever axis is used.

    Raises:
        UserError: not of the form data:4,model:2, an unknown axis, or a product that is not the number of devices.
    """
    sizes = _parsed(text)
    product = int(np.prod([*sizes.values()]))
    if sizes and product != jax.device_count():
        raise UserError(f"--mesh={text}: has {product} devices, this run has {jax.device_count()}; name as many")
    _chosen.clear()
    _chosen.update(sizes)


def over(axis=DATA, count=None):
    """Returns the `Mesh` of a use that is spread along an axis.

    Args:
        axis: of AXES.
        count: devices along that axis, as `most` finds it; all where left out.
    """
    grid = _grid(axis)
    along = grid.shape[AXES.index(axis)]
    count = along if count is None else count
    picked = np.arange(count) * (along // count)  # evenly, so that every process has its part
    mesh = jax.sharding.Mesh(grid.take(picked, AXES.index(axis)), AXES)
    if not _has_all_processes(mesh):
        return jax.sharding.Mesh([jax.local_devices()[:1]], AXES)
    if jax.process_count() > 1:
        _connect(mesh)
    return mesh


def most(fits, axis=DATA):
    """Returns the largest number of devices along an axis that fits(number) allows, 1 where none does.

    Numbers that would leave out a process of the job do not count.
    """
    along = _grid(axis).shape[AXES.index(axis)]
    return next((n for n in range(along, 1, -1) if fits(n) and over(axis, n).shape[axis] == n), 1)


def put(tree, mesh, *spec):
    """Returns the tree with every array placed on a mesh, its axes along those that spec names (None: not spread)."""
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*spec))
    return jax.tree.map(lambda leaf: put_like(leaf, sharding), tree)


def put_like(leaf, sharding):
    """Returns an array, the same on every process, placed as a sharding says."""
    if jax.process_count() == 1:
        return jax.device_put(leaf, sharding)
    if isinstance(leaf, jax.Array) and leaf.committed and leaf.sharding.is_equivalent_to(sharding, leaf.ndim):
        return leaf
    if isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(put_like(jax.random.key_data(leaf), sharding), impl=jax.random.key_impl(leaf))
    whole = np.asarray(gather(leaf))
    return jax.make_array_from_callback(whole.shape, sharding, lambda index: whole[index])


def shard_leading(tree, axis=DATA):
    """Returns the tree with the leading axes of its arrays spread evenly over devices.

    The devices used are as many as divide the leading axis of at least one array: ten rows take five of eight. An
    array whose leading axis their number does not divide, or that has none, is on each of them as a copy. Trees of one
    leading axis, placed one by one, lie on the same devices and may meet in one computation. Where one device is used
    the tree comes back as it is. A compiled function of arrays so placed computes each part where it lies.

    Args:
        tree: pytree of arrays.
        axis: of AXES, along which the leading axes are spread.
    """
    lengths = {leaf.shape[0] for leaf in jax.tree.leaves(tree) if leaf.ndim and leaf.size}
    count = most(lambda n: any(length % n == 0 for length in lengths), axis)
    if count == 1:
        return tree
    mesh = over(axis, count)

    def place(leaf):
        return put(leaf, mesh, *([axis] if leaf.ndim and leaf.shape[0] % count == 0 else []))

    return jax.tree.map(place, tree)


def gather(tree):
    """Returns the tree as it is; of several processes, with the arrays that they share whole, as numpy arrays, in each.

    What was computed from spread arrays is gathered before host code looks into it.
    """
    return tree if jax.process_count() == 1 else jax.tree.map(_whole, tree)


def describe_devices():
    """Returns what computes: {"platform", "kind", "count"}, and "mesh" and "processes" where there is more to say."""
    devices = jax.devices()
    about = {"platform": devices[0].platform, "kind": devices[0].device_kind, "count": len(devices)}
    if _chosen:
        about["mesh"] = dict(_chosen)
    if jax.process_count() > 1:
        about["processes"] = jax.process_count()
    return about


def _parsed(text):
    """Returns {axis: devices} of a text such as data:4,model:2."""
    sizes = {}
    for part in text.split(",") if text else ():
        found = re.fullmatch(r"\s*(\w+)\s*:\s*(\d+)\s*", part, re.ASCII)
        if not found:
            raise UserError(f"--mesh={text}: {part!r} is not AXIS:DEVICES; write --mesh=data:4,model:2")
        axis, size = found[1], int(found[2])
        if axis not in AXES or axis in sizes:
            wrong = "is there twice" if axis in sizes else "is no axis"
            raise UserError(f"--mesh={text}: {axis!r} {wrong}; the axes are {' and '.join(AXES)}")
        if size < 1:
            raise UserError(f"--mesh={text}: {axis} has {size} devices; give it at least 1")
        sizes[axis] = size
    return sizes


def _grid(axis):
    """Returns the devices [data, model] of a use along an axis."""
    devices = np.array(jax.devices())
    sizes = _chosen or {axis: len(devices)}
    return devices.reshape([sizes.get(name, 1) for name in AXES])


def _has_all_processes(mesh):
    return len({device.process_index for device in mesh.devices.flat}) == jax.process_count()


@functools.cache
def _connect(mesh):
    """Lets the devices along every axis of a mesh meet: gloo gives late ones half a minute, less than some compile."""
    for axes in (*AXES, AXES):
        sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(axes))
        ones = jax.make_array_from_callback((mesh.size,), sharding, lambda index: np.ones(mesh.size)[index])
        jax.block_until_ready(_sum(ones))


_sum = jax.jit(jax.numpy.sum)


def _whole(leaf):
    if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable:
        return leaf
    if leaf.is_fully_replicated:
        return np.asarray(leaf.addressable_data(0))
    from jax.experimental import multihost_utils

    return multihost_utils.process_allgather(leaf, tiled=True)
