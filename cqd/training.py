"""Training of a link predictor: one-vs-all cross-entropy with reciprocal relations, N3, Adagrad, early stopping.

All is pure functions of arrays. Lay the tables' leading axis over devices and the scores, their
softmax and the updates are computed where each part lies; `pad_entities` makes any number of entities divisible.

References:
    arXiv 1806.07297, sections 3.3 (reciprocal relations) and 4 (N3); arXiv 2011.03459, section 5. Prediction of
    relations as an auxiliary objective: Chen et al., arXiv 2110.02834.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from cqd import predictor, tiled

_LARGEST = 2**28  # scores that a device holds at once: 1 GiB
_TILE = 2**26  # and where they would be more, those of a tile


class State(NamedTuple):
    """Parameters, of any model of `predictor`, and the running sums of squared gradients."""

    params: NamedTuple
    opt_state: optax.OptState


class Best(NamedTuple):
    """The parameters of the best evaluation to date, its MRR, and how many evaluations since were no better."""

    params: NamedTuple
    mrr: jax.Array
    stale: jax.Array


class Watched(NamedTuple):
    """A training whose best parameters are kept."""

    state: State
    best: Best


class SquaresState(NamedTuple):
    """Sum of squared gradients to date, shaped as the parameters."""

    sum_of_squares: optax.Updates


def adagrad(learning_rate, eps=1e-10):
    """Returns Adagrad as a gradient transformation: -learning_rate g / (sqrt(sum g^2) + eps).

    eps is added to the root and the sums start at zero, as in PyTorch, with which the recipe was made. optax.adagrad
    adds eps under the root, which for the first, tiny gradients of embeddings drawn at 1e-3 is another algorithm.

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


def init(key, *, num_entities, num_relations, rank, model="complex"):
    """Returns the State before the first step, embeddings drawn from N(0, 1) x 1e-3.

    Raises:
        ValueError: an unknown model.
    """
    params = predictor.init(key, num_entities=num_entities, num_relations=num_relations, rank=rank, model=model)
    return State(params, adagrad(0.0).init(params))


def pad_entities(tree, num_entities, multiple):
    """Returns a State or a model with rows of zeros after its N entities, up to a multiple of a number of devices.

    Train the result with `num_entities` given: the added rows then are no tails, and stay zero.
    """
    filling = -num_entities % multiple

    def fill(path, leaf):
        is_entity = path[-1].name in predictor.OF_ENTITIES
        return jnp.pad(leaf, ((0, filling), (0, 0))) if is_entity else leaf

    return jax.tree_util.tree_map_with_path(fill, tree)


def inner_product_cross_entropy(point_bd, table_nd, target_bd, *, num_rows=None, compute_dtype=jnp.float32):
    """Returns [b]: -log softmax(point . table^T) at each target.

    The gradient by hand: with e = exp(s - max s) and z = sum e, log z has the gradient (e / z) table in the points, and
    (e / z)^T points in the table. So e is the only array [b, n] kept, z divides the short sides of both products, and
    the target's part never touches [b, n].

    Args:
        point_bd: [b, d].
        table_nd: [n, d] rows of all candidates.
        target_bd: [b, d] the row of each point's target.
        num_rows: how many leading rows of the table are candidates, static; all where None.
        compute_dtype: of the operands of the three products, which add up in float32.
    """
    num_rows = table_nd.shape[0] if num_rows is None else num_rows
    return _cross_entropy(num_rows, jnp.dtype(compute_dtype).name, point_bd, table_nd, target_bd)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _cross_entropy(num_rows, dtype, point_bd, table_nd, target_bd):
    return _cross_entropy_forward(num_rows, dtype, point_bd, table_nd, target_bd)[0]


def _cross_entropy_forward(num_rows, dtype, point_bd, table_nd, target_bd):
    scores_bn = _product(dtype, point_bd, table_nd.T)
    if num_rows < table_nd.shape[0]:
        scores_bn = jnp.where(jnp.arange(table_nd.shape[0])[None] < num_rows, scores_bn, -jnp.inf)
    top_b1 = jnp.max(scores_bn, axis=1, keepdims=True)
    exp_bn = jnp.exp(scores_bn - top_b1).astype(dtype)
    sum_b1 = jnp.sum(exp_bn, axis=1, keepdims=True, dtype=jnp.float32)
    target_score_b1 = jnp.sum(point_bd * target_bd, axis=1, keepdims=True)
    return (top_b1 + jnp.log(sum_b1) - target_score_b1)[:, 0], (point_bd, table_nd, target_bd, exp_bn, sum_b1)


def _cross_entropy_backward(num_rows, dtype, saved, cotangent_b):
    del num_rows
    point_bd, table_nd, target_bd, exp_bn, sum_b1 = saved
    slope_b1 = cotangent_b[:, None]
    mean_bd = _product(dtype, exp_bn, table_nd) / sum_b1
    return (
        slope_b1 * (mean_bd - target_bd),
        _product(dtype, exp_bn.T, point_bd * (slope_b1 / sum_b1)),
        -slope_b1 * point_bd,
    )


_cross_entropy.defvjp(_cross_entropy_forward, _cross_entropy_backward)


def _product(dtype, left, right):
    return jnp.matmul(left.astype(dtype), right.astype(dtype), preferred_element_type=jnp.float32)


def loss(
    params,
    triples,
    weights,
    regularization,
    *,
    relation_weight=None,
    num_entities=None,
    compute_dtype=jnp.float32,
    num_parts=1,
    tile_rows=None,
):
    """Returns the mean over weighted triples of -log softmax(scores of (h, r, .))[t] + regularization N3(h, r, t).

    Args:
        params: a model of `predictor`.
        triples: [b, 3] ids.
        weights: [b], 0 for a row that fills the batch up.
        regularization: lambda.
        relation_weight: w of another term, w times -log softmax(scores of (h, ., t))[r]; None leaves it out.
        num_entities: how many leading rows of the tables are entities, static; None: all.
        compute_dtype: float32 or bfloat16, of the large products' operands.
        num_parts: devices that the rows of entities are divided over, static.
        tile_rows: of how many entities a device holds the scores at once, static; None: of all, where it has 2^28
            numbers or fewer, else of as many as make 2^26. RotatE's are never divided.
    """
    head, relation, tail = triples.T
    head_bd, relation_bd, tail_bd = predictor.rows(params, head, relation, tail)
    point_bd = predictor.project(params, head_bd, relation_bd)
    if isinstance(params, predictor.RotatE):
        cross_entropy = _distance_cross_entropy(params, point_bd, tail, num_entities)
    else:
        num_rows = params.entity.shape[0] if num_entities is None else num_entities
        choice = {"num_rows": num_rows, "compute_dtype": compute_dtype}
        tile_rows = tile_rows or _fitting_rows(len(triples), params.entity.shape[0] // num_parts)
        cross_entropy_fn = inner_product_cross_entropy
        if tile_rows:
            cross_entropy_fn = functools.partial(tiled.cross_entropy, tile_rows=tile_rows, num_parts=num_parts)
        cross_entropy = cross_entropy_fn(point_bd, params.entity, tail_bd, **choice)
    terms = cross_entropy + regularization * predictor.penalty(params, head_bd, relation_bd, tail_bd)
    if relation_weight is not None:
        scores_br = predictor.relation_scores(params, head_bd, tail_bd)
        terms += relation_weight * optax.softmax_cross_entropy_with_integer_labels(scores_br, relation)
    return jnp.sum(weights * terms) / jnp.sum(weights)


def _fitting_rows(batch_size, num_rows):
    """Returns how many of its rows a device scores at once, None for all."""
    return max(1, _TILE // batch_size) if batch_size * num_rows > _LARGEST else None


def _distance_cross_entropy(params, point_bd, tail, num_entities):
    scores_bn = predictor.compare(params, point_bd, params.entity)
    if num_entities is not None:
        scores_bn = jnp.where(jnp.arange(scores_bn.shape[1])[None] < num_entities, scores_bn, -jnp.inf)
    return optax.softmax_cross_entropy_with_integer_labels(scores_bn, tail)


def step(state, triples, weights, *, learning_rate, regularization, **loss_options):
    """Returns (the State after one step, the loss before it).

    Args:
        state: State.
        triples: [b, 3] ids.
        weights: [b], 0 for a row that fills the batch up.
        learning_rate, regularization, **loss_options: as in `epochs`.
    """
    objective = functools.partial(loss, **loss_options)
    value, grads = jax.value_and_grad(objective)(state.params, triples, weights, regularization)
    updates, opt_state = adagrad(learning_rate).update(grads, state.opt_state)
    return State(optax.apply_updates(state.params, updates), opt_state), value


def epochs(state, key, first_epoch, triples, *, num_epochs, batch_size, learning_rate, regularization, **loss_options):
    """Returns (state, {"loss": [num_epochs]}) after passes over the triples in fresh random orders.

    Epoch e shuffles with fold_in(key, e); the last batch of an epoch is filled up with rows of weight zero.

    Args:
        state: State.
        key: typed key of the whole training.
        first_epoch: number of the first epoch, traced.
        triples: [M, 3] with inverses (`graph.with_inverses`).
        num_epochs, batch_size: static.
        learning_rate, regularization: may be traced.
        **loss_options: options of `loss`; num_entities, compute_dtype, num_parts and tile_rows static.
    """
    num_triples = triples.shape[0]
    num_batches = -(-num_triples // batch_size)
    filling = num_batches * batch_size - num_triples
    weights = jnp.concatenate([jnp.ones(num_triples), jnp.zeros(filling)]).reshape(num_batches, batch_size)
    take = functools.partial(step, learning_rate=learning_rate, regularization=regularization, **loss_options)

    def epoch(state, number):
        order = jax.random.permutation(jax.random.fold_in(key, number), num_triples)
        rows = jnp.concatenate([order, jnp.zeros(filling, order.dtype)]).reshape(num_batches, batch_size)
        state, losses = jax.lax.scan(
            lambda state, batch: take(state, triples[batch[0]], batch[1]), state, (rows, weights)
        )
        return state, jnp.mean(losses)

    state, losses = jax.lax.scan(epoch, state, first_epoch + jnp.arange(num_epochs))
    return state, {"loss": losses}


def no_best(params):
    """Returns the Best before any evaluation."""
    return Best(jax.tree.map(jnp.copy, params), jnp.float32(0.0), jnp.int32(0))


def keep_best(best, params, mrr):
    """Returns the Best after one more evaluation. Its arrays are its own, so that a step may consume the params."""
    better = mrr > best.mrr
    kept = jax.tree.map(lambda new, old: jnp.where(better, new, old), params, best.params)
    return Best(kept, jnp.maximum(best.mrr, mrr), jnp.where(better, 0, best.stale + 1))


def has_stopped(best, patience):
    """Returns whether the last `patience` evaluations were no better than the best before them."""
    return best.stale >= patience


def watched(state):
    """Returns the Watched before the first step."""
    return Watched(state, no_best(state.params))


def with_early_stopping(step_fn, mrr_fn, *, patience):
    """Returns the step (Watched, number) -> (Watched, info) that trains on, evaluates, and keeps the best.

    Once `patience` evaluations in a row are no better it leaves the Watched as it is: when to stop is told by that
    alone, so a resumed training stops where an uninterrupted one does. Host code.

    Args:
        step_fn: (State, number) -> (State, info), such as `epochs` given the rest.
        mrr_fn: params -> MRR of the validation triples, such as `link_ranking.mrr` given the rest.
        patience: evaluations.
    """

    def step(watched, number):
        if has_stopped(watched.best, patience):
            return watched, {"valid_mrr": watched.best.mrr}
        state, info = step_fn(watched.state, number)
        mrr = mrr_fn(state.params)
        return Watched(state, keep_best(watched.best, state.params, mrr)), {**info, "valid_mrr": mrr}

    return step
