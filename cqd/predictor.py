"""Link predictors: scores of (head, relation, ?) against every entity.

A model is a NamedTuple of tables, and its type says which. Each takes a head's row and a relation's row to a point, and
scores a tail by comparing its row with that point: `project`, then `compare`.

    ComplEx   Re <h, r, conj t> in C^rank    the point is h r, compared by the real inner product
    DistMult  <h, r, t> in R^rank            the point is h r, by the inner product
    CP        <h, r, t> in R^rank            the same, with tables of their own for heads and for tails
    RotatE    -sum_k |h_k e^(i r_k) - t_k|   the point is h turned by the relation's angles, by minus the distance

Complex numbers are stored as reals, real half first. An inverse relation has a row of its own, so that one direction of
scoring serves both. Everything but `init` and `complex_params` may be jitted, differentiated and sharded: with the
tables' leading axis over devices, so is the entity axis of the scores.

Axes: b queries, n entities, d real dimensions of a row (2 rank where it is complex, else rank).

References:
    ComplEx: Trouillon et al., arXiv 1606.06357, eq. 10. DistMult: Yang et al., arXiv 1412.6575. CP and N3: Lacroix et
    al., arXiv 1806.07297, sections 2 and 4. RotatE: Sun et al., arXiv 1902.10197, eq. 3.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class ComplEx(NamedTuple):
    """Embeddings: entity [N, 2 rank], relation [R, 2 rank], real half first; R counts inverses."""

    entity: jax.Array
    relation: jax.Array


class DistMult(NamedTuple):
    """Embeddings: entity [N, rank], relation [R, rank]."""

    entity: jax.Array
    relation: jax.Array


class CP(NamedTuple):
    """Embeddings: entity [N, rank] of tails, relation [R, rank], subject [N, rank] of heads."""

    entity: jax.Array
    relation: jax.Array
    subject: jax.Array


class RotatE(NamedTuple):
    """Embeddings: entity [N, 2 rank], real half first; relation [R, rank], angles in radians."""

    entity: jax.Array
    relation: jax.Array


_BLOCK = 2**20  # numbers of RotatE's differences held at once, where one dimension has no more

OF_ENTITIES = ("entity", "subject")  # names of the tables with a row an entity
MODELS = {"complex": ComplEx, "distmult": DistMult, "cp": CP, "rotate": RotatE}


def complex_params(entity, relation):
    """Returns ComplEx parameters of given embeddings.

    Args:
        entity: [N, 2 rank], real half first.
        relation: [R, 2 rank], real half first; id 2 i is the i-th relation, 2 i + 1 its inverse.

    Raises:
        ValueError: shapes that do not fit.
    """
    entity, relation = jnp.asarray(entity), jnp.asarray(relation)
    fits = entity.ndim == relation.ndim == 2 and entity.shape[1] == relation.shape[1] and entity.shape[1] % 2 == 0
    if not fits:
        raise ValueError(
            f"entity {entity.shape} and relation {relation.shape}: two tables [N, 2 rank] and [R, 2 rank] are due"
        )
    return ComplEx(entity, relation)


def init(key, *, num_entities, num_relations, rank, model="complex", scale=1e-3):
    """Returns a model's parameters drawn from N(0, scale^2); RotatE's angles uniformly from the circle.

    Raises:
        ValueError: an unknown model.
    """
    if model not in MODELS:
        raise ValueError(f"model={model!r}: choose among {', '.join(MODELS)}")
    entity_key, relation_key = jax.random.split(key)
    width = 2 * rank if model in ("complex", "rotate") else rank
    if model == "rotate":
        entity = scale * jax.random.normal(entity_key, (num_entities, width))
        return RotatE(entity, jax.random.uniform(relation_key, (num_relations, rank), minval=-jnp.pi, maxval=jnp.pi))
    relation = scale * jax.random.normal(relation_key, (num_relations, width))
    if model == "cp":
        entity, subject = scale * jax.random.normal(entity_key, (2, num_entities, width))
        return CP(entity, relation, subject)
    return MODELS[model](scale * jax.random.normal(entity_key, (num_entities, width)), relation)


def hop(head_bd, relation_bd):
    """Returns [b, d]: the complex product h r, whose real inner product with t is ComplEx's score of (h, r, t)."""
    head_re, head_im = jnp.split(head_bd, 2, axis=-1)
    rel_re, rel_im = jnp.split(relation_bd, 2, axis=-1)
    return jnp.concatenate([head_re * rel_re - head_im * rel_im, head_re * rel_im + head_im * rel_re], axis=-1)


def head_table(params):
    """Returns [N, d]: the table whose rows stand for entities as heads. As tails they are rows of `params.entity`."""
    return params.subject if isinstance(params, CP) else params.entity


def rows(params, head, relation, tail):
    """Returns ([..., d], [..., d'], [..., d]): the rows of heads, relations and tails."""
    return head_table(params)[head], params.relation[relation], params.entity[tail]


def project(params, head_bd, relation_bd):
    """Returns [..., d]: the point with which the row of a tail is compared.

    Args:
        params: a model.
        head_bd: [..., d] rows of heads, or vectors that stand for a head.
        relation_bd: [..., d'] rows of relations.
    """
    match params:
        case ComplEx():
            return hop(head_bd, relation_bd)
        case DistMult() | CP():
            return head_bd * relation_bd
        case RotatE():
            return hop(head_bd, jnp.concatenate([jnp.cos(relation_bd), jnp.sin(relation_bd)], axis=-1))
    raise TypeError(f"{type(params).__name__} is not a model: {', '.join(kind.__name__ for kind in MODELS.values())}")


def compare(params, point_bd, table_nd):
    """Returns [..., n]: the scores of every row of a table as the tail at points [..., d]."""
    if isinstance(params, RotatE):
        return _minus_distances(point_bd, table_nd)
    return point_bd @ table_nd.T


def scores(params, head, relation):
    """Returns the score of (head, relation, t) for every entity t.

    Args:
        params: a model.
        head: [...] entity ids.
        relation: [...] relation ids.

    Returns:
        [..., N].
    """
    return compare(params, project(params, head_table(params)[head], params.relation[relation]), params.entity)


def row_scores(params, head_bd, relation_bd, tail_bd):
    """Returns [...]: the score of each triple of rows, or of vectors in their place."""
    point_bd = project(params, head_bd, relation_bd)
    if isinstance(params, RotatE):
        return -jnp.sum(_modulus(*jnp.split(point_bd - tail_bd, 2, axis=-1)), axis=-1)
    return jnp.sum(point_bd * tail_bd, axis=-1)


def triple_scores(params, head, relation, tail):
    """Returns [...]: the score of each triple of ids."""
    return row_scores(params, *rows(params, head, relation, tail))


def relation_point(params, head_bd, tail_bd):
    """Returns [..., d]: the point whose inner product with a relation's row is the score; not for RotatE."""
    if isinstance(params, ComplEx):
        head_re, head_im = jnp.split(head_bd, 2, axis=-1)
        return hop(jnp.concatenate([head_re, -head_im], axis=-1), tail_bd)
    return head_bd * tail_bd


def relation_scores(params, head_bd, tail_bd):
    """Returns [b, R]: the score of every relation between rows of heads and of tails [b, d]."""
    if not isinstance(params, RotatE):
        return relation_point(params, head_bd, tail_bd) @ params.relation.T

    def difference(head_b2, tail_b2, angle_r):
        point = project(params, head_b2[:, None, :], angle_r[None, :, None])
        return tuple(jnp.moveaxis(point - tail_b2[:, None, :], -1, 0))

    return _minus_moduli(difference, _by_dimension(head_bd), _by_dimension(tail_bd), params.relation.T)


def cubed_moduli(embedding, *, eps=1e-12):
    """Returns [...]: sum_k |e_k|^3 of complex embeddings [..., 2 rank], as (x^2 + y^2 + eps)^1.5 summed.

    eps keeps the gradient finite at zero, where that of the modulus is not.
    """
    real, imaginary = jnp.split(embedding, 2, axis=-1)
    return jnp.sum((real**2 + imaginary**2 + eps) ** 1.5, axis=-1)


def penalty(params, head_bd, relation_bd, tail_bd):
    """Returns [...]: the cubed moduli of a triple's rows, summed; RotatE's relations, all of modulus 1, left out.

    References:
        arXiv 1806.07297, eq. 4 with the weighting of its section 4.2.
    """
    match params:
        case ComplEx():
            return cubed_moduli(head_bd) + cubed_moduli(relation_bd) + cubed_moduli(tail_bd)
        case RotatE():
            return cubed_moduli(head_bd) + cubed_moduli(tail_bd)
    return sum(jnp.sum(jnp.abs(row) ** 3, axis=-1) for row in (head_bd, relation_bd, tail_bd))


def n3(params, head, relation, tail):
    """Returns [b]: the nuclear 3-norm penalty of each triple of ids, sum |h|^3 + sum |r|^3 + sum |t|^3."""
    return penalty(params, *rows(params, head, relation, tail))


def _modulus(real, imaginary, eps=1e-12):
    return jnp.sqrt(real**2 + imaginary**2 + eps)  # eps keeps the gradient finite at zero


def _by_dimension(row_bd):
    """Returns [rank, ..., 2]: the complex numbers of rows [..., 2 rank], dimension first."""
    real, imaginary = jnp.split(row_bd, 2, axis=-1)
    return jnp.moveaxis(jnp.stack([real, imaginary], axis=-1), -2, 0)


def _minus_distances(point_bd, table_nd):
    """Returns [..., n]: -sum_k |p_k - t_k| of points [..., d] and the rows of a table."""
    flat = point_bd.reshape(-1, point_bd.shape[-1])

    def difference(point_b2, row_n2):
        return tuple(point_b2[:, None, part] - row_n2[None, :, part] for part in (0, 1))

    distances = _minus_moduli(difference, _by_dimension(flat), _by_dimension(table_nd))
    return distances.reshape(*point_bd.shape[:-1], table_nd.shape[0])


def _minus_moduli(difference_fn, *by_dimension):
    """Returns [b, n]: minus the sum over dimensions of the moduli of difference_fn(arrays of one dimension).

    A few dimensions at a time, and again for the gradient, so that no array [b, n, rank] is ever held; the axis n stays
    whole, so that it may lie over several devices.
    """
    rank = by_dimension[0].shape[0]
    one = jax.eval_shape(difference_fn, *(leaf[0] for leaf in by_dimension))[0]
    fitting = [size for size in range(1, rank + 1) if rank % size == 0 and size * one.size <= _BLOCK]
    blocks = [leaf.reshape(-1, max(fitting, default=1), *leaf.shape[1:]) for leaf in by_dimension]

    @jax.checkpoint
    def subtract(total, arrays):
        return total - jnp.sum(_modulus(*jax.vmap(difference_fn)(*arrays)), axis=0), None

    return jax.lax.scan(subtract, jnp.zeros(one.shape, one.dtype), blocks)[0]
