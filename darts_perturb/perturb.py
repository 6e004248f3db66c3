"""Edge-removal scores: what the supernet loses when one operation is taken out.

The strength of an operation is the drop of the supernet's validation accuracy when its weight on one edge is set to 0,
the others being left as they are (Wang et al. 2021, arXiv:2108.04392, section 4.1). Every candidate sees the same
images in the same batches, augmented alike, so the comparison is paired: what the batches have in common cancels. The
public code compares candidates on different batches, where chance decides close calls; `official=True` does the same.

Letters: m masks, k batches, b batch, e edges, o operations.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from darts_perturb import edges as edges_
from darts_perturb import search, supernet

METHODS = ("auto", "vmap", "map")
# masks at once on an accelerator: memory grows with them
CHUNK = 8


class Scores(NamedTuple):
    """Accuracy and loss without one operation, [edges, ops], beside those of the whole supernet.

    The standard errors are of the difference to the whole supernet, over images.
    """

    accuracy: jax.Array
    loss: jax.Array
    accuracy_se: jax.Array
    loss_se: jax.Array
    baseline_accuracy: jax.Array
    baseline_loss: jax.Array


def removal_scores(params, weights, x, y, *, space, edges=None, official=False, **options):
    """Returns the Scores of removing each operation from each edge, one at a time.

    Removing `none` changes nothing and is not computed, but in the official way, where it meets other batches.

    Args:
        params: of `supernet.init`.
        weights: op weights after softmax and masks, as of `supernet.apply`: [edges, ops], or a dict by kind of cell.
        x: images in batches [k, b, H, W, C]; normalisation uses the statistics of a batch.
        y: labels [k, b].
        space: `space.Space`.
        edges: the edges wanted, rows of `edges.listed`, which may be traced; all of them if not given.
        official: whether every candidate sees the images in batches and an augmentation of its own.
        **options: of `masked`; or masked_fn, a function with its arguments and results that is called instead.

    Returns:
        Scores [len(edges), ops]; where there are several kinds of cell their edges follow one another, see `edges`.

    Raises:
        ValueError: unknown method, weights of another space, or no key where one is needed.
    """
    supernet.check_weights(weights, space)
    rows_eo = edges_.flat(weights)
    edges = jnp.arange(len(rows_eo)) if edges is None else jnp.asarray(edges)
    always_none = edges_.holding(space, "none").all(axis=0)
    live = np.arange(rows_eo.shape[1]) if official else np.flatnonzero(~always_none)
    pairs_e, pairs_o = jnp.repeat(edges, len(live)), jnp.tile(live, len(edges))
    masked_meo = jax.vmap(lambda edge, op: rows_eo.at[edge, op].set(0.0))(pairs_e, pairs_o)
    shape = len(edges), rows_eo.shape[1]

    def table(values, neutral):
        return jnp.full(shape, neutral).at[:, live].set(values.reshape(len(edges), len(live)))

    loss, correct = _with_baseline(params, rows_eo, masked_meo, x, y, space=space, official=official, **options)
    return _scores(loss, correct, table, paired=not official)


def edge_scores(params, weights, x, y, *, space, edges, official=False, **options):
    """Returns the Scores of taking out whole edges, one at a time, [len(edges)].

    Args:
        params: see `removal_scores`.
        weights: see `removal_scores`.
        x: see `removal_scores`.
        y: see `removal_scores`.
        space: `space.Space`.
        edges: rows of `edges.listed`, which may be traced.
        official: see `removal_scores`.
        **options: see `removal_scores`.

    Raises:
        ValueError: see `removal_scores`.
    """
    supernet.check_weights(weights, space)
    rows_eo = edges_.flat(weights)
    masked_meo = jax.vmap(lambda edge: rows_eo.at[edge].set(0.0))(jnp.asarray(edges))
    loss, correct = _with_baseline(params, rows_eo, masked_meo, x, y, space=space, official=official, **options)
    return _scores(loss, correct, lambda values, neutral: values, paired=not official)


def _with_baseline(params, rows_eo, masked_meo, x, y, *, space, masked_fn=None, **options):
    masks = jnp.concatenate([rows_eo[None], masked_meo])
    return (masked_fn or masked)(params, masks, x, y, space=space, **options)


def _scores(loss, correct, table, *, paired):
    """Returns Scores of per-image values [m, images], the whole supernet first."""

    def standard_error(values):
        if paired:
            variance = (values[1:] - values[:1]).var(axis=1, ddof=1)
        else:
            variance = values[1:].var(axis=1, ddof=1) + values[0].var(ddof=1)
        return table(jnp.sqrt(variance / values.shape[1]), 0.0)

    return Scores(
        accuracy=table(correct[1:].mean(axis=1), correct[0].mean()),
        loss=table(loss[1:].mean(axis=1), loss[0].mean()),
        accuracy_se=standard_error(correct),
        loss_se=standard_error(loss),
        baseline_accuracy=correct[0].mean(),
        baseline_loss=loss[0].mean(),
    )


def masked(
    params, masks, x, y, *, space, key=None, augment=None, official=False, method="auto", chunk=CHUNK, dtype=None
):
    """Returns loss and hits (1 or 0) of every image under every mask, float32 [m, k b].

    Args:
        params: of `supernet.init`.
        masks: op weights, flat, [m, edges of all kinds, ops].
        x: images [k, b, H, W, C].
        y: labels [k, b].
        space: `space.Space`.
        key: typed key of the augmentation and of the noise operation.
        augment: (key, x) -> x of a batch; the same for every mask unless official.
        official: whether every mask sees the images in another order and augmentation; values are then in that order.
        method: "vmap" runs `chunk` masks at once, "map" one after the other; "auto" is vmap on accelerators, map on a
            CPU, where vmap is no faster.
        chunk: masks at once, see method.
        dtype: see `supernet.apply`.

    Raises:
        ValueError: unknown method, or no key where one is needed.
    """
    one_by_one = maps(method)
    if key is None and (official or augment is not None):
        raise ValueError("key is missing: augmentation and official=True draw from it")
    images = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), (x, y))

    def per_image(mask, key):
        weights = edges_.by_cell(space, mask)
        batches = x, y
        if official:
            batches = jax.random.permutation(jax.random.fold_in(key, 0), y.size).reshape(y.shape)

        def batch(args):
            number, batch = args
            xs, ys = (leaf[batch] for leaf in images) if official else batch
            noise_key = None
            if key is not None:
                augment_key, noise_key = jax.random.split(jax.random.fold_in(key, 1 + number))
                xs = xs if augment is None else augment(augment_key, xs)
            return search.losses(params, weights, xs, ys, space=space, key=noise_key, dtype=dtype)

        loss, correct = lax.map(batch, (jnp.arange(len(y)), batches))
        return loss.ravel(), correct.ravel().astype(jnp.float32)

    chunk = 1 if one_by_one else min(chunk, len(masks))
    if official:
        return _in_chunks(per_image, (masks, jax.random.split(key, len(masks))), chunk)
    return _in_chunks(lambda mask: per_image(mask, key), (masks,), chunk)


def maps(method):
    """Returns whether masks are evaluated one by one by a method of METHODS; "auto" does so on a CPU.

    Raises:
        ValueError: unknown method.
    """
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; known: {', '.join(METHODS)}")
    return method == "map" or (method == "auto" and jax.default_backend() == "cpu")


def _in_chunks(fn, args, chunk):
    """Returns fn of every row of args, `chunk` rows at once; the last chunk is filled up, to be the same program."""
    count = len(args[0])
    if chunk == 1:
        return lax.map(lambda row: fn(*row), args)
    rows = jnp.arange(-(-count // chunk) * chunk).reshape(-1, chunk) % count
    found = lax.map(lambda rows: jax.vmap(fn)(*(leaf[rows] for leaf in args)), rows)
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:count], found)
