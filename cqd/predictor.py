"""Link predictors: scores of (head, relation, ?) against every entity.

ComplEx scores a triple by Re <h, r, conj t> in C^rank. Its embeddings are stored as reals, real half first. An inverse
relation has an embedding of its own, so that one direction of scoring serves both.

Axes: b queries, n entities, d real dimensions (2 rank).

References:
    Trouillon et al., Complex embeddings for simple link prediction, arXiv 1606.06357, eq. 10.
    Lacroix et al., Canonical tensor decomposition for knowledge base completion, arXiv 1806.07297, section 4.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class ComplEx(NamedTuple):
    """Embeddings: entity [N, 2 rank], relation [R, 2 rank], real half first; R counts inverses."""

    entity: jax.Array
    relation: jax.Array


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


def init(key, *, num_entities, num_relations, rank, scale=1e-3):
    """Returns ComplEx parameters drawn from N(0, scale^2)."""
    entity_key, relation_key = jax.random.split(key)
    return ComplEx(
        scale * jax.random.normal(entity_key, (num_entities, 2 * rank)),
        scale * jax.random.normal(relation_key, (num_relations, 2 * rank)),
    )


def hop(head_bd, relation_bd):
    """Returns [b, d]: the complex product h r, whose real inner product with t is the score of (h, r, t)."""
    head_re, head_im = jnp.split(head_bd, 2, axis=-1)
    rel_re, rel_im = jnp.split(relation_bd, 2, axis=-1)
    return jnp.concatenate([head_re * rel_re - head_im * rel_im, head_re * rel_im + head_im * rel_re], axis=-1)


def scores(params, head, relation):
    """Returns the score of (head, relation, t) for every entity t: Re sum_k h_k r_k conj(t_k).

    Args:
        params: ComplEx.
        head: [...] entity ids.
        relation: [...] relation ids.

    Returns:
        [..., N].
    """
    return hop(params.entity[head], params.relation[relation]) @ params.entity.T


def cubed_moduli(embedding, *, eps=1e-12):
    """Returns [...]: sum_k |e_k|^3 of complex embeddings [..., 2 rank], as (x^2 + y^2 + eps)^1.5 summed.

    eps keeps the gradient finite at zero, where that of the modulus is not.
    """
    real, imaginary = jnp.split(embedding, 2, axis=-1)
    return jnp.sum((real**2 + imaginary**2 + eps) ** 1.5, axis=-1)


def n3(params, head, relation, tail):
    """Returns [b]: the nuclear 3-norm penalty of each triple, sum |h|^3 + sum |r|^3 + sum |t|^3.

    References:
        arXiv 1806.07297, eq. 4 with the weighting of its section 4.2.
    """
    factors = (params.entity[head], params.relation[relation], params.entity[tail])
    return sum(cubed_moduli(factor) for factor in factors)
