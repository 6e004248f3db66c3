"""GQE: a query is a point; a relation moves it, attention over the branches intersects, answers are near in L1.

References:
    Hamilton et al., arXiv 1806.01445, with translations and attention as in the comparison of arXiv 2010.11465.
"""

import jax.numpy as jnp
from flax import linen as nn

from cqd.baselines.query_model import QueryModel, attention, dense


class GQE(QueryModel):
    """Graph query embedding; an embedding is an array [..., d]."""

    def setup(self):
        self.entity = self.table("entity", self.num_entities, self.dim)
        self.relation = self.table("relation", self.num_relations, self.dim)
        self.inner, self.outer = dense(self.dim, "attention_inner"), dense(self.dim, "attention_outer")

    def anchor(self, entity):
        return self.entity[entity]

    def project(self, embedding, relation):
        return embedding + self.relation[relation]

    def intersect(self, embedding_bp, present_bp):
        """Returns sum_p w_p q_p, w = softmax over the branches of an MLP of each."""
        weights = attention(self.outer(nn.relu(self.inner(embedding_bp))), present_bp)
        return jnp.sum(weights * embedding_bp, axis=1)

    def points(self):
        return self.entity

    def distance(self, points, embedding):
        """Returns |v - q|_1."""
        return jnp.sum(jnp.abs(points - embedding), axis=-1)
