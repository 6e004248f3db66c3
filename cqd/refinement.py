"""Refinement: a trained link predictor is told that some edges are true and others false.

Fine-tuning goes on with the objective it was trained by, with three terms more,

    L(theta) = replay + a mean over accepted edges of -log p(t | h, r)
                      + b mean over rejected edges of -log(1 - p(t | h, r))
                      + mu mean over random pairs (h, r) of KL(p_0(. | h, r), p(. | h, r))

where p is the softmax over the tails, p_0 that before, and replay is cross-entropy and N3 of training triples. Every
edge is judged in both directions. The last term holds all that was not judged where it was, in truths, not in
embeddings: random pairs are mostly none of the judged.

The alternative without any training, `overridden`, sets the scores of judged edges and leaves all others as they are.

Axes: b triples, n entities, k judged pairs of a head and a relation.

References:
    arXiv 2011.03459, section 5.2 (errors found by explanations); unlikelihood -log(1 - p): arXiv 1908.04319, eq. 4;
    learning without forgetting by KL to the former predictions: arXiv 1606.09282, eq. 2.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cqd import predictor
from cqd.graph import with_inverses

CERTAIN = 100.0  # added to the score of an accepted edge, subtracted from that of a rejected one


class Batch(NamedTuple):
    """Triples [b, 3] with inverses, and weights [b], 0 for a row that fills the batch up."""

    triples: jax.Array
    weights: jax.Array


class Weights(NamedTuple):
    """The weights of L: a, b, mu, and lambda of the N3 of replay."""

    accept: float
    reject: float
    keep: float
    regularization: float


def batch_of(edges, size):
    """Returns the Batch of edges [M, 3] and their inverses, filled up to 2 size: few shapes, few compilations."""
    triples = with_inverses(np.reshape(edges, (-1, 3)))
    filled = np.pad(triples, ((0, 2 * size - len(triples)), (0, 0)))
    return Batch(jnp.asarray(filled, jnp.int32), jnp.asarray(np.arange(2 * size) < len(triples), jnp.float32))


def loss(params, before, replay, pairs, accepted, rejected, weights):
    """Returns L(theta), a scalar.

    Args:
        params: a model of `predictor`.
        before: the same model with theta_0.
        replay, accepted, rejected: Batches.
        pairs: ([b] heads, [b] relations).
        weights: Weights.
    """
    entropy_b, _ = _surprise(params, replay.triples)
    wanted_b, _ = _surprise(params, accepted.triples)
    _, unwanted_b = _surprise(params, rejected.triples)
    new_bn, old_bn = (jax.nn.log_softmax(predictor.scores(model, *pairs)) for model in (params, before))
    return (
        _mean(replay, entropy_b + weights.regularization * predictor.n3(params, *replay.triples.T))
        + weights.accept * _mean(accepted, wanted_b)
        + weights.reject * _mean(rejected, unwanted_b)
        + weights.keep * jnp.mean(jnp.sum(jnp.exp(old_bn) * (old_bn - new_bn), axis=1))
    )


def _mean(batch, values_b):
    """Returns the mean of the rows that count, 0 where none does."""
    return jnp.sum(batch.weights * values_b) / jnp.maximum(jnp.sum(batch.weights), 1)


def _surprise(params, triples):
    """Returns ([b] -log p(t | h, r), [b] -log(1 - p(t | h, r)))."""
    head, relation, tail = triples.T
    scores_bn = predictor.scores(params, head, relation)
    own_b = jnp.take_along_axis(scores_bn, tail[:, None], axis=1)[:, 0]
    others_bn = jnp.where(jnp.arange(scores_bn.shape[1])[None] == tail[:, None], -jnp.inf, scores_bn)
    all_b, others_b = (jax.nn.logsumexp(values_bn, axis=1) for values_bn in (scores_bn, others_bn))
    return all_b - own_b, all_b - others_b


def fine_tune(params, key, triples, accepted, rejected, weights, *, epochs, batch_size, learning_rate):
    """Returns (params, {"loss": [epochs]}) after passes over the training triples in fresh random orders, by Adam.

    Every step sees all judged edges, a batch of the replay and as many random pairs; what is left of an epoch after its
    last whole batch waits for the next.

    Args:
        params: the trained model.
        key: typed key; epoch e draws from fold_in(key, e).
        triples: [M, 3] training triples with inverses.
        accepted, rejected: Batches.
        weights: Weights, may be traced.
        epochs, batch_size: static.
        learning_rate: may be traced.
    """
    num_triples = triples.shape[0]
    size = min(batch_size, num_triples)
    optimizer = optax.adam(learning_rate)

    def step(state, drawn):
        tuned, moments = state
        rows, pairs = drawn
        replay = Batch(triples[rows], jnp.ones(size))
        value, grads = jax.value_and_grad(loss)(tuned, params, replay, pairs, accepted, rejected, weights)
        updates, moments = optimizer.update(grads, moments)
        return (optax.apply_updates(tuned, updates), moments), value

    def epoch(state, number):
        order_key, pairs_key = jax.random.split(jax.random.fold_in(key, number))
        rows = jax.random.permutation(order_key, num_triples)[: num_triples // size * size].reshape(-1, size)
        state, values = jax.lax.scan(step, state, (rows, _random_pairs(pairs_key, params, rows.shape)))
        return state, jnp.mean(values)

    (tuned, _), values = jax.lax.scan(epoch, (params, optimizer.init(params)), jnp.arange(epochs))
    return tuned, {"loss": values}


def _random_pairs(key, params, shape):
    """Returns (heads, relations), each uniform."""
    head_key, relation_key = jax.random.split(key)
    heads = jax.random.randint(head_key, shape, 0, params.entity.shape[0])
    return heads, jax.random.randint(relation_key, shape, 0, params.relation.shape[0])


def overridden(params, judged, size):
    """Returns CP with the scores of a model, but CERTAIN more at accepted edges and less at rejected ones.

    A bilinear model is CP: Re <h, r, conj t> is a sum of four real products. Every judged pair (h, r), inverses among
    them, gets a dimension of its own, 1 in h's row and in r's row, and CERTAIN in the rows of its judged tails; so all
    other scores are what they were. Under a softmax the mass of a rejected tail goes to the others of its head.

    Args:
        params: ComplEx, DistMult or CP.
        judged: `judgements.Judged`.
        size: dimensions added, those that are not needed being 0: one shape for judged edges of any number.

    Raises:
        ValueError: RotatE; more pairs than size.
    """
    triples = np.concatenate([with_inverses(np.reshape(edges, (-1, 3))) for edges in judged])
    sign = np.repeat([CERTAIN, -CERTAIN], [2 * len(edges) for edges in judged])
    pairs, at_k = np.unique(triples[:, :2], axis=0, return_inverse=True)
    if len(pairs) > size:
        raise ValueError(f"size={size}: the judged edges have {len(pairs)} different heads and relations")
    tables = _as_cp(params)
    added = {name: np.zeros((len(table), size), np.float32) for name, table in tables.items()}
    added["subject"][pairs[:, 0], np.arange(len(pairs))] = 1
    added["relation"][pairs[:, 1], np.arange(len(pairs))] = 1
    added["entity"][triples[:, 2], at_k.reshape(-1)] = sign
    return predictor.CP(**{name: jnp.concatenate([table, added[name]], axis=1) for name, table in tables.items()})


def _as_cp(params):
    """Returns the tables of CP with the scores of a bilinear model."""
    if isinstance(params, predictor.RotatE):
        raise ValueError("params: RotatE compares distances, to which no term of one edge can be added")
    tables = {"subject": predictor.head_table(params), "relation": params.relation, "entity": params.entity}
    if not isinstance(params, predictor.ComplEx):
        return tables
    halves = {name: jnp.split(table, 2, axis=1) for name, table in tables.items()}
    rel_re, rel_im = halves["relation"]
    terms = {  # (h r)_re t_re + (h r)_im t_im
        "subject": 2 * halves["subject"],
        "relation": [rel_re, -rel_im, rel_im, rel_re],
        "entity": [halves["entity"][part] for part in (0, 0, 1, 1)],
    }
    return {name: jnp.concatenate(parts, axis=1) for name, parts in terms.items()}
