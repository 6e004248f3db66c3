"""One-vs-all cross-entropy over more entities than fit: the scores of a tile of the table at a time.

log sum exp runs over the tiles with its maximum so far; the gradient makes each tile's scores again. So the largest
array is [b, tile] where the plain way keeps [b, n], for a fourth matrix product beside three.

Over devices each runs through the tiles of its own rows, and the devices meet once a pass, not once a tile.

Axes: b points, s devices that the table lies on, m rows of each, t rows of a tile, d dimensions.
"""

import functools

import jax
import jax.numpy as jnp

_LOW = -1e30  # below every score, and finite: the maximum of no scores


def cross_entropy(point_bd, table_nd, target_bd, *, num_rows, tile_rows, num_parts=1, compute_dtype=jnp.float32):
    """Returns [b]: -log softmax(point . table^T) at each target, as `training.inner_product_cross_entropy`.

    Args:
        point_bd, table_nd, target_bd, num_rows, compute_dtype: as there.
        tile_rows: rows of a device's table that are scored at once, static.
        num_parts: devices that the table's leading axis is divided over, static.
    """
    table_smd = table_nd.reshape(num_parts, -1, table_nd.shape[1])
    shape = (num_rows, min(tile_rows, table_smd.shape[1]), jnp.dtype(compute_dtype).name)
    log_sum_b = _log_sum_exp(*shape, point_bd, table_smd)
    return log_sum_b - jnp.sum(point_bd * target_bd, axis=1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _log_sum_exp(num_rows, tile_rows, dtype, point_bd, table_smd):
    return _forward(num_rows, tile_rows, dtype, point_bd, table_smd)[0]


def _forward(num_rows, tile_rows, dtype, point_bd, table_smd):
    shape = (point_bd.shape[0], table_smd.shape[0])

    def step(number, state):
        top_bs, sum_bs = state
        scores_bst, _ = _scores(number, num_rows, tile_rows, dtype, point_bd, table_smd)
        new_bs = jnp.maximum(top_bs, scores_bst.max(axis=2))
        exp_bs = jnp.exp(scores_bst - new_bs[..., None]).sum(axis=2)
        return new_bs, sum_bs * jnp.exp(top_bs - new_bs) + exp_bs

    start = (jnp.full(shape, _LOW, jnp.float32), jnp.zeros(shape, jnp.float32))
    top_bs, sum_bs = jax.lax.fori_loop(0, _num_tiles(tile_rows, table_smd), step, start)
    top_b = top_bs.max(axis=1)
    log_sum_b = top_b + jnp.log(jnp.sum(sum_bs * jnp.exp(top_bs - top_b[:, None]), axis=1))
    return log_sum_b, (point_bd, table_smd, log_sum_b)


def _backward(num_rows, tile_rows, dtype, saved, cotangent_b):
    point_bd, table_smd, log_sum_b = saved
    pull_bd = cotangent_b[:, None] * point_bd

    def step(number, state):
        mean_sbd, table_grad_smd = state
        scores_bst, at = _scores(number, num_rows, tile_rows, dtype, point_bd, table_smd)
        share_bst = jnp.exp(scores_bst - log_sum_b[:, None, None])
        tile_std = jax.lax.dynamic_slice_in_dim(table_smd, at, tile_rows, axis=1)
        mean_sbd += _product("bst,std->sbd", dtype, share_bst, tile_std)
        grad_std = jax.lax.dynamic_slice_in_dim(table_grad_smd, at, tile_rows, axis=1)
        grad_std += _product("bst,bd->std", dtype, share_bst, pull_bd)
        return mean_sbd, jax.lax.dynamic_update_slice_in_dim(table_grad_smd, grad_std, at, axis=1)

    start = (jnp.zeros((table_smd.shape[0], *point_bd.shape), jnp.float32), jnp.zeros_like(table_smd))
    mean_sbd, table_grad_smd = jax.lax.fori_loop(0, _num_tiles(tile_rows, table_smd), step, start)
    return cotangent_b[:, None] * mean_sbd.sum(axis=0), table_grad_smd


_log_sum_exp.defvjp(_forward, _backward)


def _num_tiles(tile_rows, table_smd):
    return -(-table_smd.shape[1] // tile_rows)


def _scores(number, num_rows, tile_rows, dtype, point_bd, table_smd):
    """Returns ([b, s, t] scores of a tile, the row where it begins in each part).

    The last tile reaches back into the one before it where rows are no multiple of it; what was scored there, and rows
    from num_rows on, are -inf.
    """
    num_parts, size, _ = table_smd.shape
    at = jnp.minimum(number * tile_rows, size - tile_rows)
    tile_std = jax.lax.dynamic_slice_in_dim(table_smd, at, tile_rows, axis=1)
    row_1t = at + jnp.arange(tile_rows)[None]
    row_st = size * jnp.arange(num_parts)[:, None] + row_1t
    is_due_st = (row_1t >= number * tile_rows) & (row_st < num_rows)
    scores_bst = _product("bd,std->bst", dtype, point_bd, tile_std)
    return jnp.where(is_due_st[None], scores_bst, -jnp.inf), at


def _product(indices, dtype, left, right):
    return jnp.einsum(indices, left.astype(dtype), right.astype(dtype), preferred_element_type=jnp.float32)
