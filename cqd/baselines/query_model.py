"""What GQE, Query2Box and BetaE share: a query is embedded step by step, its answers are the entities near by.

A model is a Flax module of five operators: the embedding of an anchor, projection by a relation, intersection, negation
(BetaE alone) and the distance of entities. An embedding is an array or a tuple of arrays, leading axes free. The score
of an entity is gamma less its distance to the query.

Axes: b rows of `forms`, p branches, k or n entities, d dimensions.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from cqd.baselines import forms

EPSILON = 2.0  # of the range of the initial embeddings, as in the public code


class QueryModel(nn.Module):
    """Base of the models.

    Attributes:
        num_entities: N.
        num_relations: number of relation ids, inverses counted.
        dim: d.
        gamma: margin, the score at distance 0.
    """

    num_entities: int
    num_relations: int
    dim: int
    gamma: float

    negates = False  # whether there is a `negate`

    def anchor(self, entity):
        """Returns the embedding of entity ids [...]."""
        raise NotImplementedError

    def project(self, embedding, relation):
        """Returns the embedding of what relations, ids [...], lead to."""
        raise NotImplementedError

    def intersect(self, embedding_bp, present_bp):
        """Returns the embedding [b] of what is in all branches present; of one branch, that branch."""
        raise NotImplementedError

    def negate(self, embedding):
        """Returns the embedding of the complement."""
        raise NotImplementedError

    def points(self):
        """Returns the tables [N, ...] that `distance` takes rows of."""
        raise NotImplementedError

    def distance(self, points, embedding):
        """Returns [...]: the distances of rows of `points` and embeddings, whose axes broadcast."""
        raise NotImplementedError

    def __call__(self, rows_bf, entities_bk):
        """Returns [b, k]: the scores of chosen entities as answers of rows of `forms`."""
        return self._score(jax.tree.map(lambda table: table[entities_bk], self.points()), rows_bf)

    def all_scores(self, rows_bf):
        """Returns [b, N]: the scores of all entities."""
        return self._score(jax.tree.map(lambda table: table[None], self.points()), rows_bf)

    def embed(self, rows_bf):
        """Returns the embedding [b] of rows of `forms`."""
        form = forms.split(rows_bf)
        branches = self.project(self.anchor(_id(form.anchor)), _id(form.first))
        first = _take(branches, 0)
        first = _where(form.second >= 0, self.project(first, _id(form.second)), first)
        branches = jax.tree.map(lambda all_bp, one_b: all_bp.at[:, 0].set(one_b), branches, first)
        if self.negates:
            branches = _where(form.negated > 0, self.negate(branches), branches)
        met = self.intersect(branches, form.anchor >= 0)
        return _where(form.last >= 0, self.project(met, _id(form.last)), met)

    def _score(self, points, rows_bf):
        embedding = jax.tree.map(lambda leaf: leaf[:, None], self.embed(rows_bf))
        return self.gamma - self.distance(points, embedding)

    def table(self, name, rows, width, low=-1.0):
        """Returns a parameter [rows, width] that starts uniform in (low, 1) times (gamma + 2) / dim."""
        spread = (self.gamma + EPSILON) / self.dim

        def start(key, shape):
            return jax.random.uniform(key, shape, minval=low * spread, maxval=spread)

        return self.param(name, start, (rows, width))


def dense(width, name):
    """Returns a layer with Xavier's uniform weights."""
    return nn.Dense(width, kernel_init=nn.initializers.xavier_uniform(), name=name)


def attention(logits_bpd, present_bp):
    """Returns [b, p, d]: weights of the branches present that sum to 1 in every dimension."""
    return jax.nn.softmax(jnp.where(present_bp[..., None], logits_bpd, -jnp.inf), axis=1)


def _id(ids):
    return jnp.maximum(ids, 0)  # what is absent is computed of id 0 and left out


def _take(tree, branch):
    return jax.tree.map(lambda leaf: leaf[:, branch], tree)


def _where(condition, yes, no):
    def choose(left, right):
        return jnp.where(condition.reshape(condition.shape + (1,) * (left.ndim - condition.ndim)), left, right)

    return jax.tree.map(choose, yes, no)


_all_scores = functools.partial(jax.jit, static_argnames="model")(
    lambda params, rows_bf, *, model: model.apply(params, rows_bf, method="all_scores")
)


def scores(model, params, queries, *, batch_size=64):
    """Returns [Q, N] float32: the score of every entity, the best over the disjuncts of a query. Host code.

    Args:
        model: a QueryModel.
        params: of the model.
        queries: list of Q queries with ids, of any types of the form.
        batch_size: disjuncts at a time.

    Raises:
        ValueError: no query, one that is not of the form, or one with a negation for a model that has none.
    """
    if not queries:
        raise ValueError("no queries")
    if not model.negates and forms.needs_negation(queries):
        raise ValueError(f"{type(model).__name__} has no negation; BetaE has")
    rows, owner = forms.encode(queries)
    filled = np.pad(rows, ((0, -len(rows) % batch_size), (0, 0)), mode="edge")
    parts = [_all_scores(params, part, model=model) for part in filled.reshape(-1, batch_size, forms.WIDTH)]
    first = np.searchsorted(owner, np.arange(len(queries)))
    return np.maximum.reduceat(np.concatenate([np.asarray(part) for part in parts])[: len(rows)], first)
