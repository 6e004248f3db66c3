"""Link prediction ranked: the filtered rank of each triple's tail, counted where the scores are.

Axes: b triples of a batch, n entities, e known edges out of the batch's (head, relation) pairs.

References:
    Bordes et al., NIPS 2013 (the filtered setting); Berrendorf et al., arXiv 2002.06914 (the realistic rank).
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from cqd import predictor


def filtered_ranks(params, triples, known, *, batch_size=1000):
    """Returns [M] float: the rank of each triple's tail among the entities, ties at their middle; host code.

    Scores stay on the device, [batch_size, N] at a time. Those above a triple's own are counted over all entities and
    over the other known tails; the difference are those above it among the rest.

    Args:
        params: a model of `predictor`.
        triples: [M, 3] ids, with inverses (`graph.with_inverses`) for both directions.
        known: `graph.Index` of the edges to filter; only its entities are ranked.
        batch_size: triples scored at once.

    Raises:
        ValueError: a score that is not a number.
    """
    triples = np.asarray(triples)
    batches = [triples[start : start + batch_size] for start in range(0, len(triples), batch_size)]
    edges = [known.expand(batch[:, 0], batch[:, 1]) for batch in batches]
    width = max((len(tails) for _, tails in edges), default=0)
    ranks = [np.zeros(0)]
    for batch, (rows, tails) in zip(batches, edges):
        missing = (0, width - len(tails))
        counted = _ranks(
            params,
            np.pad(batch, ((0, batch_size - len(batch)), (0, 0))),
            np.pad(rows, missing, constant_values=batch_size),
            np.pad(tails, missing),
            num_entities=known.num_entities,
        )
        ranks.append(np.asarray(counted)[: len(batch)])
    ranks = np.concatenate(ranks)
    if np.isnan(ranks).any():
        raise ValueError("scores: not a number among them; ranks are undefined")
    return ranks


def mrr(params, triples, known, *, batch_size=1000):
    """Returns the mean reciprocal filtered rank of the triples' tails."""
    return float(np.mean(1 / filtered_ranks(params, triples, known, batch_size=batch_size)))


@functools.partial(jax.jit, static_argnames="num_entities")
def _ranks(params, triples, row_e, tail_e, *, num_entities):
    """Returns [b] ranks, given the known edges as a row of the batch, b for none, and a tail each."""
    head, relation, tail = triples.T
    scores_bn = predictor.scores(params, head, relation)
    if scores_bn.shape[1] > num_entities:  # rows of padding: a slice would bring the parts of all devices together
        scores_bn = jnp.where(jnp.arange(scores_bn.shape[1])[None] < num_entities, scores_bn, -jnp.inf)
    own_b1 = jnp.take_along_axis(scores_bn, tail[:, None], axis=1)
    places_b = jnp.sum(_places(scores_bn, own_b1), axis=1)
    places_e = jnp.where(tail_e == tail[row_e], 0.0, _places(scores_bn[row_e, tail_e], own_b1[row_e, 0]))
    known_b = jnp.zeros_like(places_b).at[row_e].add(places_e, mode="drop")
    ranks = 0.5 + places_b - known_b  # the tail itself is level with itself
    return jnp.where(jnp.isnan(scores_bn).any(axis=1), jnp.nan, ranks)


def _places(score, own):
    """Returns the places that scores take before one's own: 1 where above it, half where level."""
    return (score > own) + 0.5 * (score == own)
