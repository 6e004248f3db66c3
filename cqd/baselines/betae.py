"""BetaE: entities and queries are products of Beta distributions; answers are near in the KL divergence.

References:
    Ren and Leskovec, arXiv 2010.11465, section 4: projection, intersection, negation and distance (equations 4 to 9).
"""

import math

import jax.numpy as jnp
from flax import linen as nn

from cqd.baselines.query_model import QueryModel, attention, dense

LEAST, MOST = 0.05, 1e9  # of a parameter of a Beta distribution
SHIFT = 1.0  # a raw 0 is the uniform distribution


class BetaE(QueryModel):
    """Beta embeddings; an embedding is an array [..., 2 d], alpha first.

    Attributes:
        hidden: width of the projection's layers.
        layers: their number.
    """

    hidden: int = 1600
    layers: int = 2

    negates = True

    def setup(self):
        self.entity = self.table("entity", self.num_entities, 2 * self.dim)
        self.relation = self.table("relation", self.num_relations, self.dim)
        self.steps = [dense(self.hidden, f"projection_{number}") for number in range(self.layers)]
        self.step_out = dense(2 * self.dim, "projection_out")
        self.inner, self.outer = dense(2 * self.dim, "attention_inner"), dense(self.dim, "attention_outer")

    def anchor(self, entity):
        return positive(self.entity[entity])

    def project(self, embedding, relation):
        """Returns an MLP of the parameters and the relation's vector, made positive."""
        values = jnp.concatenate([embedding, self.relation[relation]], axis=-1)
        for step in self.steps:
            values = nn.relu(step(values))
        return positive(self.step_out(values))

    def intersect(self, embedding_bp, present_bp):
        """Returns the parameters' means, weighted by attention: the weighted product of the densities."""
        weights = attention(self.outer(nn.relu(self.inner(embedding_bp))), present_bp)
        return jnp.sum(jnp.concatenate([weights, weights], axis=-1) * embedding_bp, axis=1)

    def negate(self, embedding):
        """Returns the reciprocals: where the density was high it is low."""
        return 1 / embedding

    def points(self):
        """Returns what `divergence` wants of entities, computed once an entity and not once a query."""
        return statistics(positive(self.entity))

    def distance(self, points, embedding):
        """Returns the sum over dimensions of KL(entity || query)."""
        return divergence(points, embedding)


def positive(raw):
    """Returns parameters of Beta distributions, between LEAST and MOST, of any numbers."""
    return jnp.clip(raw + SHIFT, LEAST, MOST)


def statistics(parameters):
    """Returns (expectations [..., 2 d] of log x and log(1 - x), entropy [..., 1] summed with its sign turned).

    E log x = psi(alpha) - psi(alpha + beta), and E log p = (alpha - 1) E log x + (beta - 1) E log(1 - x) - log B.
    """
    total = digamma(sum(jnp.split(parameters, 2, axis=-1)))
    expected = digamma(parameters) - jnp.concatenate([total, total], axis=-1)
    negentropy = jnp.sum((parameters - 1) * expected, axis=-1, keepdims=True) - _log_beta(parameters)
    return expected, negentropy


def divergence(points, parameters):
    """Returns [...]: KL(p || q) = E_p log p - E_p log q, summed over dimensions.

    Args:
        points: `statistics` of p.
        parameters: [..., 2 d] of q.
    """
    expected, negentropy = points
    cross = jnp.sum((parameters - 1) * expected, axis=-1, keepdims=True) - _log_beta(parameters)
    return (negentropy - cross)[..., 0]


def _log_beta(parameters):
    """Returns [..., 1]: log B(alpha, beta) summed over dimensions."""
    logs = jnp.sum(log_gamma(parameters), axis=-1, keepdims=True)
    return logs - jnp.sum(log_gamma(sum(jnp.split(parameters, 2, axis=-1))), axis=-1, keepdims=True)


# Both functions go up by 6 along the recurrence gamma(x + 1) = x gamma(x) and take an asymptotic series there: to
# float32's precision, many times faster than jax.scipy.special's, and so are the derivatives that follow from it.


def digamma(x):
    """Returns psi(x), x > 0."""
    inverse = 1 / (x + 6)
    square = inverse**2
    series = jnp.log(x + 6) - inverse / 2 - square * (1 / 12 - square * (1 / 120 - square / 252))
    return series - sum(1 / (x + step) for step in range(6))


def log_gamma(x):
    """Returns log gamma(x), 0 < x < 1e12."""
    inverse = 1 / (x + 6)
    square = inverse**2
    series = (x + 5.5) * jnp.log(x + 6) - (x + 6) + 0.5 * math.log(2 * math.pi)
    series += inverse * (1 / 12 - square * (1 / 360 - square / 1260))
    return series - jnp.log(x * (x + 1) * (x + 2)) - jnp.log((x + 3) * (x + 4) * (x + 5))
