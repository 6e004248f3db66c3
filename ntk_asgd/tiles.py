"""Gram matrices tile by tile: bounded memory, half the tiles where the Gram is symmetric, rows over the devices.

Axes: n1, n2 examples; a tile is a block of rows by a block of columns.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

# Past a few hundred examples a block is no faster (two_layer_ntk, n = 2000, M = 4096, 2 CPU cores: 0.17 s at 250 and at
# 500, 0.20 s at 1000), and the smaller the blocks, the more tiles a symmetric Gram leaves out.
_MOST_EXAMPLES = 512
_BLOCK_BYTES = 256 * 2**20


def gram(left, right, contract, operands, x1, x2, *, block_size=None, mesh=None):
    """Returns K [n1, n2, ...], block by block contract(operands, left(operands, x1 block), right(operands, x2 block)).

    Besides K, memory holds what `left` and `right` return for two blocks, and one tile. Where x2 is left out, K must
    be symmetric, K[j, i] = K[i, j]^T over trailing axes [k, k]: one device then computes the upper tiles only and
    mirrors them. More than one device share the rows.

    Args:
        left: of (operands, block [s1, ...]) -> a pytree with leading axis s1.
        right: likewise, of blocks of x2.
        contract: of (operands, what `left` and `right` return) -> tile [s1, s2, ...].
        operands: pytree of arrays that the three need.
        x1: inputs [n1, ...].
        x2: inputs [n2, ...]; None for x1.
        block_size: the most examples a block; where left out, so many that two blocks and their tile stay below
            256 MB, and no more than 512.
        mesh: a `jax.sharding.Mesh` whose devices share the rows; all devices where left out. Where they belong to more
            than one process, each device gets all of K, so that every process can read it.

    Raises:
        ValueError: a block size below 1.
    """
    if block_size is None:
        block_size = _automatic_size(left, right, contract, operands, x1, x1 if x2 is None else x2)
    elif block_size < 1:
        raise ValueError(f"block_size must be at least 1, not {block_size}")
    if mesh is None and not jax.sharding.get_abstract_mesh().manual_axes:  # inside a shard_map, devices are taken
        mesh = Mesh(np.array(jax.devices()), ("data",))
    if mesh is None or mesh.size == 1:
        return _serial(left, right, contract, operands, x1, x2, block_size)

    def share(operands, rows, columns):
        return _serial(left, right, contract, operands, rows, columns, block_size)

    rows, whole = PartitionSpec(mesh.axis_names), PartitionSpec()
    share = jax.shard_map(share, mesh=mesh, in_specs=(whole, rows, whole), out_specs=rows, check_vma=False)
    padded = jnp.pad(x1, [(0, -x1.shape[0] % mesh.size)] + [(0, 0)] * (x1.ndim - 1), mode="edge")
    kernel = share(operands, padded, x1 if x2 is None else x2)[: x1.shape[0]]
    return jax.lax.with_sharding_constraint(kernel, NamedSharding(mesh, whole)) if mesh.is_multi_process else kernel


def _serial(left, right, contract, operands, x1, x2, block_size):
    """Returns K, one tile after another."""
    symmetric = x2 is None
    x2 = x1 if symmetric else x2
    (num_blocks1, size1), (num_blocks2, size2) = (_cut(x.shape[0], block_size) for x in (x1, x2))
    if num_blocks1 == num_blocks2 == 1:
        return _tile(left, right, contract)(operands, x1, x2)[1]

    # The last block ends with the last example and may overlap the one before: no copy with padding cut off.
    def block(x, number, size):
        start = jnp.minimum(number * size, x.shape[0] - size)
        return start, jax.lax.dynamic_slice_in_dim(x, start, size)

    def row(number1, kernel):
        start1, block1 = block(x1, number1, size1)
        features = left(operands, block1)

        def column(number2, kernel):
            start2, block2 = block(x2, number2, size2)
            tile = contract(operands, features, right(operands, block2))
            rest = (0,) * (tile.ndim - 2)
            if symmetric:
                kernel = jax.lax.dynamic_update_slice(kernel, _mirrored(tile), (start2, start1, *rest))
            return jax.lax.dynamic_update_slice(kernel, tile, (start1, start2, *rest))

        return jax.lax.fori_loop(number1 if symmetric else 0, num_blocks2, column, kernel)

    tile = jax.eval_shape(_tile(left, right, contract), operands, x1[:size1], x2[:size2])[1]
    kernel = jnp.zeros((x1.shape[0], x2.shape[0], *tile.shape[2:]), tile.dtype)
    return jax.lax.fori_loop(0, num_blocks1, row, kernel)


def _tile(left, right, contract):
    """Returns the function of (operands, block1, block2) that gives the features of both blocks, and their tile."""

    def tile(operands, block1, block2):
        first = left(operands, block1)
        features = first, (first if right is left and block2 is block1 else right(operands, block2))
        return features, contract(operands, *features)

    return tile


def _mirrored(tile):
    """Returns tile [s1, s2, ...] as [s2, s1, ...], the trailing axes transposed likewise."""
    return tile.transpose(1, 0, *range(tile.ndim - 1, 1, -1))


def _cut(num_examples, block_size):
    """Returns how many blocks there are, and the examples in each, as even as may be."""
    num_blocks = max(1, -(-num_examples // block_size))
    return num_blocks, -(-num_examples // num_blocks)


def _automatic_size(left, right, contract, operands, x1, x2):
    """Returns the most examples s with s (left + right) + s^2 tile below the budget, in bytes, from 1 to 512."""
    features, tile = map(_num_bytes, jax.eval_shape(_tile(left, right, contract), operands, x1[:1], x2[:1]))
    size = (np.sqrt(features**2 + 4 * tile * _BLOCK_BYTES) - features) / (2 * tile)
    return int(np.clip(size, 1, _MOST_EXAMPLES))


def _num_bytes(tree):
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
