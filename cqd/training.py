"""Training of a link predictor: one-vs-all cross-entropy with reciprocal relations, N3, Adagrad.

References:
    arXiv 1806.07297, sections 3.3 (reciprocal relations) and 4 (N3); arXiv 2011.03459, section 5.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from cqd import predictor


class State(NamedTuple):
    """Parameters and the running sums of squared gradients."""

    params: predictor.ComplEx
    opt_state: optax.OptState


class SquaresState(NamedTuple):
    """Sum of squared gradients to date, shaped as the parameters."""

    sum_of_squares: optax.Updates


def adagrad(learning_rate, eps=1e-10):
    """Returns Adagrad as a gradient transformation: -learning_rate g / (sqrt(sum g^2) + eps).

    eps is added to the root and the sums start at zero. optax.adagrad adds eps under the root, which for the first,
    tiny gradients of embeddings drawn at 1e-3 is another algorithm.

    References:
        Duchi, Hazan, Singer, JMLR 12 (2011), figure 1, diagonal form.
    """

    def init_fn(params):
        return SquaresState(jax.tree.map(jnp.zeros_like, params))

    def update_fn(updates, state, params=None):
        del params
        squares = jax.tree.map(lambda total, grad: total + grad**2, state.sum_of_squares, updates)
        steps = jax.tree.map(lambda g, total: -learning_rate * g / (jnp.sqrt(total) + eps), updates, squares)
        return steps, SquaresState(squares)

    return optax.GradientTransformation(init_fn, update_fn)


def init(key, *, num_entities, num_relations, rank):
    """Returns the State before the first step, embeddings drawn from N(0, 1) x 1e-3."""
    params = predictor.init(key, num_entities=num_entities, num_relations=num_relations, rank=rank)
    return State(params, adagrad(0.0).init(params))


def loss(params, triples, weights, regularization):
    """Returns the mean over weighted triples of -log softmax(scores of (h, r, .))[t] + regularization N3(h, r, t).

    Args:
        params: ComplEx.
        triples: [b, 3] ids.
        weights: [b], 0 for a row that fills the batch up.
        regularization: lambda.
    """
    head, relation, tail = triples.T
    scores_bn = predictor.scores(params, head, relation)
    cross_entropy = optax.softmax_cross_entropy_with_integer_labels(scores_bn, tail)
    penalty = predictor.n3(params, head, relation, tail)
    return jnp.sum(weights * (cross_entropy + regularization * penalty)) / jnp.sum(weights)


def epochs(state, key, first_epoch, triples, *, num_epochs, batch_size, learning_rate, regularization):
    """Returns (state, {"loss": [num_epochs]}) after passes over the triples in fresh random orders.

    Epoch e shuffles with fold_in(key, e); the last batch of an epoch is filled up with rows of weight zero.

    Args:
        state: State.
        key: typed key of the whole training.
        first_epoch: number of the first epoch, traced.
        triples: [M, 3] with inverses (`graph.with_inverses`).
        num_epochs, batch_size: static.
        learning_rate, regularization: may be traced.
    """
    num_triples = triples.shape[0]
    num_batches = -(-num_triples // batch_size)
    filling = num_batches * batch_size - num_triples
    weights = jnp.concatenate([jnp.ones(num_triples), jnp.zeros(filling)]).reshape(num_batches, batch_size)
    optimizer = adagrad(learning_rate)

    def step(state, batch):
        rows, weights_b = batch
        value, grads = jax.value_and_grad(loss)(state.params, triples[rows], weights_b, regularization)
        updates, opt_state = optimizer.update(grads, state.opt_state)
        return State(optax.apply_updates(state.params, updates), opt_state), value

    def epoch(state, number):
        order = jax.random.permutation(jax.random.fold_in(key, number), num_triples)
        rows = jnp.concatenate([order, jnp.zeros(filling, order.dtype)]).reshape(num_batches, batch_size)
        state, losses = jax.lax.scan(step, state, (rows, weights))
        return state, jnp.mean(losses)

    state, losses = jax.lax.scan(epoch, state, first_epoch + jnp.arange(num_epochs))
    return state, {"loss": losses}
