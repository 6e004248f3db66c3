"""CQD-A: link scores adapted to complex queries by an affine map, learnt from a few of these.

The score s of an atom (x, r, y) becomes (1 + alpha_r) s + beta_r with (alpha_r, beta_r) = e_r W / d + b, e_r the
relation's row of d numbers; W = 0 gives one map for all relations. The predictor stays as it is; training starts at
W = 0, b = 0. Without the d a step of Adam would move alpha of W's d numbers by far more than that of b.

For scores that are linear in the relation's row (all models but RotatE) the map can be folded into the tables: the row
is scaled by 1 + alpha_r, and one coordinate more, 1 for every entity, adds beta_r. The result is a predictor as any
other, for `cqd.answer`, proofs and files.

The loss is of the truth of whole queries, by `beam`, differentiated through t-norm and beam:

    softmax    - truth of a hard answer + log sum over all entities of exp(truth), as in the paper
    binary     - log truth of the hard answers, - log (1 - truth) of what is no answer

The first is of ranks; the second is least where truths are probabilities. Answers that observed edges give are left
out of both, and so are a query's other hard answers of the first.

Axes: q queries of one structure, n entities, d a relation's row.

References:
    Arakelyan et al., Adapting neural link predictors for data-efficient complex query answering, arXiv 2301.12313,
    section 4 (the map and its loss; trained on 2i, 3i, 2in and 3in).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cqd import beam, predictor
from cqd.query import row
from cqd.symbolic import by_structure

LOSSES = ("softmax", "binary")
_SMALLEST = 1e-30  # truths of float32 may be 0, and their logarithm is not wanted


class Adapter(NamedTuple):
    """The affine map: weight [d, 2] and bias [2], columns alpha and beta."""

    weight: jax.Array
    bias: jax.Array


class State(NamedTuple):
    """What training carries from step to step."""

    adapter: Adapter
    moments: tuple


class Examples(NamedTuple):
    """Queries of one structure.

    Attributes:
        rows: [q, L] as `query.row`.
        hard: [q, n] bool, answers that need a missing edge.
        easy: [q, n] bool, answers that observed edges give.
    """

    rows: jax.Array
    hard: jax.Array
    easy: jax.Array


def identity(params):
    """Returns the Adapter that changes nothing."""
    width = params.relation.shape[1]
    return Adapter(jnp.zeros((width, 2), params.relation.dtype), jnp.zeros(2, params.relation.dtype))


def coefficients(adapter, params):
    """Returns [R, 2]: alpha and beta of every relation."""
    return params.relation @ adapter.weight / params.relation.shape[1] + adapter.bias[None]


def adapted(params, adapter):
    """Returns a predictor of the same model whose score of every triple is (1 + alpha_r) s + beta_r.

    Raises:
        ValueError: RotatE, whose distances no table can scale.
    """
    if isinstance(params, predictor.RotatE):
        models = ", ".join(name for name, kind in predictor.MODELS.items() if kind is not predictor.RotatE)
        raise ValueError(f"rotate: its scores are no inner products that an affine map folds into; choose {models}")
    alpha_r, beta_r = coefficients(adapter, params).T
    added = {"relation": beta_r, **{name: jnp.ones(len(table)) for name, table in _entities(params).items()}}
    tables = {"relation": params.relation * (1 + alpha_r)[:, None], **_entities(params)}
    widen = _with_complex if isinstance(params, predictor.ComplEx) else _with_real
    return type(params)(**{name: widen(table, added[name].astype(table.dtype)) for name, table in tables.items()})


def examples(queries, hard, easy, num_entities):
    """Returns ({structure: Examples}) of queries with their answers; host code.

    Args:
        queries: list of trees.
        hard, easy: lists of arrays of entity ids, one a query.
        num_entities: N.
    """
    found = {}
    for shape, positions in by_structure(queries).items():
        rows = np.array([row(queries[i]) for i in positions], np.int32)
        masks = [_masks([of[i] for i in positions], num_entities) for of in (hard, easy)]
        found[shape] = Examples(jnp.asarray(rows), *map(jnp.asarray, masks))
    return found


def loss(adapter, params, of, *, shape, kind="binary", tnorm="product", beam_size=8):
    """Returns the mean loss of queries of one structure.

    Args:
        adapter: Adapter.
        params: link predictor, not RotatE.
        of: Examples.
        shape: static, their `query.structure`.
        kind: static, one of LOSSES.
        tnorm, beam_size: static, as in `beam.truth`.
    """
    truth_qn = beam.truth(adapted(params, adapter), of.rows, structure=shape, tnorm=tnorm, beam_size=beam_size)
    num_hard = jnp.maximum(of.hard.sum(axis=1), 1)
    if kind == "binary":
        apart_qn = jnp.where(of.hard, truth_qn, 1 - truth_qn)
        inside = jnp.log(jnp.maximum(jnp.where(of.easy, 1, apart_qn), _SMALLEST))
        return -jnp.mean(inside.sum(axis=1) / num_hard)
    others_q1 = jnp.sum(jnp.where(of.hard | of.easy, 0, jnp.exp(truth_qn)), axis=1, keepdims=True)
    each_qn = jnp.log(others_q1 + jnp.exp(truth_qn)) - truth_qn
    return jnp.mean(jnp.where(of.hard, each_qn, 0).sum(axis=1) / num_hard)


def init(params, *, learning_rate):
    """Returns the State before the first step."""
    start = identity(params)
    return State(start, _optimizer(learning_rate).init(start))


def step(state, params, sets, *, shapes, by_relation, learning_rate, kind="binary", tnorm="product", beam_size=8):
    """Returns (State, {"loss"}) after one step of Adam on all queries.

    Args:
        state: State.
        params: link predictor, which stays as it is.
        sets: tuple of Examples, one a structure; their losses weigh alike.
        shapes: static, their structures.
        by_relation: whether alpha and beta may differ between relations; a traced bool or a static one.
        learning_rate: of Adam.
        kind, tnorm, beam_size: as in `loss`.
    """

    def total(adapter):
        options = {"kind": kind, "tnorm": tnorm, "beam_size": beam_size}
        return sum(loss(adapter, params, of, shape=shape, **options) for shape, of in zip(shapes, sets)) / len(sets)

    value, gradient = jax.value_and_grad(total)(state.adapter)
    gradient = gradient._replace(weight=gradient.weight * by_relation)
    updates, moments = _optimizer(learning_rate).update(gradient, state.moments)
    return State(optax.apply_updates(state.adapter, updates), moments), {"loss": value}


def steps(state, params, sets, *, num_steps, **options):
    """Returns (State, {"loss" [num_steps]}) after num_steps (static) of `step`."""
    return jax.lax.scan(lambda state, _: step(state, params, sets, **options), state, length=num_steps)


def _optimizer(learning_rate):
    return optax.adam(learning_rate)


def _entities(params):
    """Returns {name: table} of the tables whose rows stand for entities."""
    return {name: table for name, table in params._asdict().items() if name != "relation"}


def _with_real(table, column):
    return jnp.concatenate([table, column[:, None]], axis=1)


def _with_complex(table, column):
    """Returns a table of complex rows, real half first, with a real number more in each."""
    real, imaginary = jnp.split(table, 2, axis=1)
    return jnp.concatenate([real, column[:, None], imaginary, jnp.zeros_like(column)[:, None]], axis=1)


def _masks(ids, num_entities):
    """Returns [q, n] bool: which entities each query has."""
    mask = np.zeros((len(ids), num_entities), bool)
    for number, of_query in enumerate(ids):
        mask[number, of_query] = True
    return mask
