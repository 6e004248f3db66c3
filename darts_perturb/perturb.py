"""Edge-removal scores: what the supernet loses when one operation is taken out.

The strength of an operation is the drop of the supernet's validation accuracy when its weight on one edge is set to 0,
the others being left as they are (Wang et al. 2021, arXiv:2108.04392, section 4.1). Every candidate sees the same
images in the same batches, so the comparison is paired: what the batches have in common cancels.

Letters: m masks, k batches, b batch, e edges, o operations.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from darts_perturb import search

METHODS = ("auto", "vmap", "map")


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


def removal_scores(params, weights, x, y, *, space, edges=None, method="auto"):
    """Returns the Scores of removing each operation from each edge, one at a time.

    Removing `none` changes nothing and is not computed. Augment the images before the call: then every mask sees the
    same augmented images.

    Args:
        params: of `supernet.init`.
        weights: op weights [edges, ops], after softmax and masks.
        x: images in batches [k, b, H, W, C]; normalisation uses the statistics of a batch.
        y: labels [k, b].
        space: `space.Space`.
        edges: indices of the edges wanted, which may be traced; all of them if not given.
        method: "vmap" runs all masks at once, "map" one after the other in a third of the memory; "auto" is vmap on
            accelerators, map on a CPU, where vmap is no faster.

    Returns:
        Scores [len(edges), ops].

    Raises:
        ValueError: unknown method.
    """
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; known: {', '.join(METHODS)}")
    if method == "auto":
        method = "map" if jax.default_backend() == "cpu" else "vmap"
    edges = jnp.arange(len(space.edges)) if edges is None else edges
    live = jnp.asarray([index for index, op in enumerate(space.ops) if op != "none"])
    pairs_e, pairs_o = jnp.repeat(edges, len(live)), jnp.tile(live, len(edges))
    masked_meo = jax.vmap(lambda edge, op: weights.at[edge, op].set(0.0))(pairs_e, pairs_o)
    masked_meo = jnp.concatenate([weights[None], masked_meo])

    def per_image(masked):
        loss, correct = lax.map(lambda xy: search.losses(params, masked, *xy, space=space), (x, y))
        return loss.ravel(), correct.ravel().astype(jnp.float32)

    loss, correct = jax.vmap(per_image)(masked_meo) if method == "vmap" else lax.map(per_image, masked_meo)

    def table(values, neutral):
        return jnp.full((len(edges), len(space.ops)), neutral).at[:, live].set(values.reshape(len(edges), len(live)))

    def standard_error(values):
        difference = values[1:] - values[:1]
        return table(difference.std(axis=1, ddof=1) / jnp.sqrt(values.shape[1]), 0.0)

    return Scores(
        accuracy=table(correct[1:].mean(axis=1), correct[0].mean()),
        loss=table(loss[1:].mean(axis=1), loss[0].mean()),
        accuracy_se=standard_error(correct),
        loss_se=standard_error(loss),
        baseline_accuracy=correct[0].mean(),
        baseline_loss=loss[0].mean(),
    )
