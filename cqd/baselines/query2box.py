"""Query2Box: a query is a box, a centre and an offset from 0 up; answers lie in it or near it.

References:
    Ren, Hu, Leskovec, arXiv 2002.05969, section 3.2 (operators) and equation 3 (distance).
"""

import jax.numpy as jnp
from flax import linen as nn

from cqd.baselines.query_model import QueryModel, attention, dense


class Query2Box(QueryModel):
    """Box embeddings; an embedding is (centre [..., d], offset [..., d]).

    Attributes:
        alpha: weight of the distance inside the box.
    """

    alpha: float = 0.02

    def setup(self):
        self.entity = self.table("entity", self.num_entities, self.dim)
        self.relation_centre = self.table("relation_centre", self.num_relations, self.dim)
        self.relation_offset = self.table("relation_offset", self.num_relations, self.dim, low=0.0)
        self.inner, self.outer = dense(self.dim, "attention_inner"), dense(self.dim, "attention_outer")
        self.set_inner, self.set_outer = dense(self.dim, "set_inner"), dense(self.dim, "set_outer")

    def anchor(self, entity):
        """Returns a box of size 0."""
        centre = self.entity[entity]
        return centre, jnp.zeros_like(centre)

    def project(self, embedding, relation):
        """Returns the box moved and grown; what is below 0 of a relation's offset counts as 0."""
        centre, offset = embedding
        return centre + self.relation_centre[relation], offset + nn.relu(self.relation_offset[relation])

    def intersect(self, embedding_bp, present_bp):
        """Returns attention over centres, and the least offset times sigmoid(DeepSets(offsets))."""
        centre_bpd, offset_bpd = embedding_bp
        weights = attention(self.outer(nn.relu(self.inner(centre_bpd))), present_bp)
        present_bp1 = present_bp[..., None]
        count_b1 = jnp.sum(present_bp1, axis=1)
        pooled = jnp.sum(jnp.where(present_bp1, nn.relu(self.set_inner(offset_bpd)), 0), axis=1) / count_b1
        gate = jnp.where(count_b1 > 1, nn.sigmoid(self.set_outer(pooled)), 1)  # one branch is not intersected
        least = jnp.min(jnp.where(present_bp1, offset_bpd, jnp.inf), axis=1)
        return jnp.sum(weights * centre_bpd, axis=1), least * gate

    def points(self):
        return self.entity

    def distance(self, points, embedding):
        """Returns |max(|v - c| - o, 0)|_1 + alpha |min(|v - c|, o)|_1."""
        centre, offset = embedding
        away = jnp.abs(points - centre)
        return jnp.sum(nn.relu(away - offset) + self.alpha * jnp.minimum(away, offset), axis=-1)
