"""Training of a query model on queries of the training graph: negative sampling, subsampling weights, Adam.

For a query with answers A, one of them v drawn at random and k entities u_j that are none,

    loss = (-log sigma(gamma - d(v)) - mean_j log sigma(d(u_j) - gamma)) / 2

weighted over the batch by 1 / sqrt(|A| + 4). The learning rate falls to a fifth half-way, and again after three
quarters. All is pure functions of arrays; a pool may be filled up, so that pools of any size share a program.

References:
    Ren and Leskovec, arXiv 2010.11465, equation 10 and appendix; the schedule and weights are those of its public code.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cqd.baselines import forms

SMOOTHING = 4  # added to the number of answers
FALL, FALLS = 5.0, (0.5, 0.75)  # the learning rate is divided by FALL after these shares of the steps


class Pool(NamedTuple):
    """Training queries and their answers.

    Attributes:
        rows: [Q, WIDTH] of `forms`.
        starts: [Q] where the answers of each query begin.
        counts: [Q] how many they are, at least 1.
        answers: [A] entity ids, sorted within a query.
        weights: [Q] running sums of what each query is drawn in proportion to; of those that fill up, no more.
    """

    rows: jax.Array
    starts: jax.Array
    counts: jax.Array
    answers: jax.Array
    weights: jax.Array


class State(NamedTuple):
    """Parameters of the model and Adam's moments."""

    params: dict
    opt_state: optax.OptState


def pool(rows, answers, weights, *, num_queries, num_answers):
    """Returns the Pool of queries, filled up to a number of queries and of answers.

    Args:
        rows: [Q, WIDTH] of `forms`.
        answers: list of Q sorted arrays of entity ids, none empty.
        weights: [Q] what each query is drawn in proportion to.
        num_queries, num_answers: sizes of the arrays.

    Raises:
        ValueError: no query, or a query without an answer.
    """
    counts = np.array([len(of) for of in answers], np.int32)
    if not len(counts) or not counts.all():
        raise ValueError("a training query without an answer" if len(counts) else "no training queries")
    flat = np.concatenate(answers).astype(np.int32)
    filling = num_queries - len(counts)
    return Pool(
        np.pad(rows, ((0, filling), (0, 0)), mode="edge"),
        np.pad(np.cumsum(counts, dtype=np.int32) - counts, (0, filling), mode="edge"),
        np.pad(counts, (0, filling), mode="edge"),
        np.pad(flat, (0, num_answers - len(flat))),
        np.pad(np.cumsum(weights), (0, filling), mode="edge").astype(np.float32),
    )


def init(key, model):
    """Returns the State before the first step."""
    params = model.init(key, jnp.zeros((1, forms.WIDTH), jnp.int32), jnp.zeros((1, 1), jnp.int32))
    return State(params, optax.scale_by_adam().init(params))


def loss(params, model, rows_bf, entities_bk, is_answer_bk, weights_b):
    """Returns the weighted mean of the loss of queries.

    Args:
        params: of the model.
        model: a QueryModel.
        rows_bf: [b, WIDTH] of `forms`.
        entities_bk: [b, 1 + k]: an answer, then k entities drawn at random.
        is_answer_bk: [b, k] bool: which of the k are answers after all, and do not count.
        weights_b: [b].
    """
    scores = model.apply(params, rows_bf, entities_bk)
    negative = jnp.where(is_answer_bk, 0, jax.nn.log_sigmoid(-scores[:, 1:]))
    mean = jnp.sum(negative, axis=1) / jnp.maximum(jnp.sum(~is_answer_bk, axis=1), 1)
    of_query = -(jax.nn.log_sigmoid(scores[:, 0]) + mean) / 2
    return jnp.sum(weights_b * of_query) / jnp.sum(weights_b)


def draw(key, queries, *, num_entities, batch_size, num_negatives):
    """Returns (rows [b, WIDTH], entities [b, 1 + k], is_answer [b, k], weights [b]) of a random batch of a Pool."""
    query_key, answer_key, negative_key = jax.random.split(key, 3)
    at = jnp.searchsorted(
        queries.weights, jax.random.uniform(query_key, (batch_size,), maxval=queries.weights[-1]), side="right"
    )
    start, count = queries.starts[at], queries.counts[at]
    answer = queries.answers[start + jax.random.randint(answer_key, (batch_size,), 0, count)]
    others = jax.random.randint(negative_key, (batch_size, num_negatives), 0, num_entities)
    is_answer = _among(queries.answers, start[:, None], count[:, None], others, num_entities)
    return queries.rows[at], jnp.append(answer[:, None], others, axis=1), is_answer, 1 / jnp.sqrt(count + SMOOTHING)


def _among(values, start, count, wanted, most):
    """Returns [...]: which of wanted [...] are among the sorted values of their stretch, by binary search."""
    low, high = jnp.zeros_like(wanted), jnp.broadcast_to(count, wanted.shape)
    for _ in range(int(most).bit_length()):
        middle = (low + high) // 2
        is_below = (middle < high) & (values[start + middle] < wanted)
        low, high = jnp.where(is_below, middle + 1, low), jnp.where(is_below, high, middle)
    return (low < count) & (values[start + jnp.minimum(low, count - 1)] == wanted)


def step(key, state, queries, *, model, batch_size, num_negatives, learning_rate):
    """Returns (state, {"loss"}) after one step of Adam on a random batch.

    Args:
        key: of this step.
        state: State.
        queries: Pool.
        model: a QueryModel, static.
        batch_size, num_negatives: static.
        learning_rate: of this step.
    """
    sizes = {"batch_size": batch_size, "num_negatives": num_negatives}
    batch = draw(key, queries, num_entities=model.num_entities, **sizes)
    value, grads = jax.value_and_grad(loss)(state.params, model, *batch)
    updates, opt_state = optax.scale_by_adam().update(grads, state.opt_state)
    params = jax.tree.map(lambda param, update: param - learning_rate * update, state.params, updates)
    return State(params, opt_state), {"loss": value}


def steps(state, key, first, queries, *, num_steps, total_steps, learning_rate, **options):
    """Returns (state, {"loss": [num_steps]}) after steps first, first + 1, ..., each with fold_in(key, number).

    Args:
        state: State.
        key: of the whole training.
        first: number of the first step, traced.
        queries: Pool.
        num_steps: static.
        total_steps: of the whole training, for the schedule; may be traced.
        learning_rate: at the start; may be traced.
        **options: of `step`, static.
    """

    def one(state, number):
        falls = sum((number >= share * total_steps).astype(jnp.float32) for share in FALLS)
        rate = learning_rate / FALL**falls
        return step(jax.random.fold_in(key, number), state, queries, learning_rate=rate, **options)

    return jax.lax.scan(one, state, first + jnp.arange(num_steps))


def num_parameters(params):
    """Returns how many numbers a tree of parameters has."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
