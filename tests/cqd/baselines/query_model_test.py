"""GQE, Query2Box and BetaE against float64 numpy written from the papers' equations, and their laws."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats

from cqd import query
from cqd.baselines import betae, forms, gqe, query2box, query_model

SIZES = {"num_entities": 7, "num_relations": 4, "dim": 5}
MODELS = {
    "gqe": gqe.GQE(**SIZES, gamma=6.0),
    "query2box": query2box.Query2Box(**SIZES, gamma=6.0, alpha=0.2),
    "betae": betae.BetaE(**SIZES, gamma=4.0, hidden=6, layers=2),
}
BRANCHES = np.array([[1, 2, 3], [4, 0, 6]])
PRESENT = np.array([[True, True, True], [True, True, False]])


@functools.cache
def parameters(name, scale=1.0):
    drawn = MODELS[name].init(jax.random.key(1), jnp.zeros((1, forms.WIDTH), jnp.int32), jnp.zeros((1, 1), jnp.int32))
    leaves, tree = jax.tree.flatten(drawn)
    keys = jax.random.split(jax.random.key(2), len(leaves))  # biases too are not zero
    return jax.tree.unflatten(
        tree, [scale * (leaf + 0.3 * jax.random.normal(key, leaf.shape)) for key, leaf in zip(keys, leaves)]
    )


def in_float64(name):
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), parameters(name))["params"]


def apply(name, method, *args):
    return MODELS[name].apply(parameters(name), *args, method=method)


def linear(layer, values):
    return values @ layer["kernel"] + layer["bias"]


def relu(values):
    return np.maximum(values, 0)


def weights(tables, branches, present):
    """Returns attention weights, a softmax over those branches [p, d] that are present."""
    logits = linear(tables["attention_outer"], relu(linear(tables["attention_inner"], branches[present])))
    return scipy.special.softmax(logits, axis=0)


class OfGQE:
    """Equations in float64: an embedding is a vector."""

    def __init__(self):
        self.tables = in_float64("gqe")

    def anchor(self, entity):
        return self.tables["entity"][entity]

    def project(self, embedding, relation):
        return embedding + self.tables["relation"][relation]

    def intersect(self, branches):
        branches = np.stack(branches)
        return np.sum(weights(self.tables, branches, [True] * len(branches)) * branches, axis=0)

    def distance(self, entity, embedding):
        return np.abs(self.tables["entity"][entity] - embedding).sum()


class OfQuery2Box:
    """Equations 1 to 3 of arXiv 2002.05969: an embedding is (centre, offset)."""

    def __init__(self):
        self.tables = in_float64("query2box")

    def anchor(self, entity):
        return self.tables["entity"][entity], np.zeros(5)

    def project(self, embedding, relation):
        return (
            embedding[0] + self.tables["relation_centre"][relation],
            embedding[1] + relu(self.tables["relation_offset"][relation]),
        )

    def intersect(self, branches):
        if len(branches) == 1:
            return branches[0]
        centres, offsets = map(np.stack, zip(*branches))
        centre = np.sum(weights(self.tables, centres, [True] * len(centres)) * centres, axis=0)
        pooled = relu(linear(self.tables["set_inner"], offsets)).mean(axis=0)
        return centre, offsets.min(axis=0) * scipy.special.expit(linear(self.tables["set_outer"], pooled))

    def distance(self, entity, embedding):
        centre, offset = embedding
        low, high, point = centre - offset, centre + offset, self.tables["entity"][entity]
        outside = np.abs(relu(point - high) + relu(low - point)).sum()
        inside = np.abs(centre - np.minimum(high, np.maximum(low, point))).sum()
        return outside + 0.2 * inside


class OfBetaE:
    """Equations of arXiv 2010.11465: an embedding is (alpha, beta), stacked."""

    def __init__(self):
        self.tables = in_float64("betae")

    def positive(self, raw):
        return np.clip(raw + 1, 0.05, 1e9).reshape(2, 5)

    def anchor(self, entity):
        return self.positive(self.tables["entity"][entity])

    def project(self, embedding, relation):
        values = np.concatenate([*embedding, self.tables["relation"][relation]])
        for name in ("projection_0", "projection_1"):
            values = relu(linear(self.tables[name], values))
        return self.positive(linear(self.tables["projection_out"], values))

    def intersect(self, branches):
        flat = np.stack([of.reshape(-1) for of in branches])
        chosen = weights(self.tables, flat, [True] * len(flat))
        return np.sum(chosen[:, None] * np.stack(branches), axis=0)

    def negate(self, embedding):
        return 1 / embedding

    def distance(self, entity, embedding):
        return sum(divergence(*of_entity, *of_query) for of_entity, of_query in zip(self.anchor(entity).T, embedding.T))


def divergence(alpha, beta, other_alpha, other_beta):
    """Returns KL(Beta(alpha, beta) || Beta(other_alpha, other_beta)), the closed form of float64 scipy."""
    psi, betaln = scipy.special.digamma, scipy.special.betaln
    return (
        betaln(other_alpha, other_beta)
        - betaln(alpha, beta)
        + (alpha - other_alpha) * psi(alpha)
        + (beta - other_beta) * psi(beta)
        + (other_alpha - alpha + other_beta - beta) * psi(alpha + beta)
    )


ORACLES = {"gqe": OfGQE, "query2box": OfQuery2Box, "betae": OfBetaE}


def enumerated(name, tree):
    """Returns [N] float64: gamma less the least distance over the disjuncts, walked over the tree as it stands."""
    oracle, gamma = ORACLES[name](), MODELS[name].gamma

    def walk(node):
        match node:
            case query.Entity(entity):
                return [oracle.anchor(entity)]
            case query.Projection(relation, child):
                return [oracle.project(one, relation) for one in walk(child)]
            case query.Not(child):
                return [oracle.negate(*walk(child))]
            case query.And(parts):
                return [oracle.intersect([one for part in parts for one in walk(part)])]
            case query.Or(parts):
                return [one for part in parts for one in walk(part)]

    found = walk(tree)
    return np.array([gamma - min(oracle.distance(entity, one) for one in found) for entity in range(7)])


@pytest.mark.parametrize("name", MODELS)
def test_every_type_is_the_float64_computation(name):
    model, rng = MODELS[name], np.random.default_rng(0)
    trees = []
    for template in query.TEMPLATES.values():
        tree = query.parse(template)
        ids = [int(rng.integers(4)) for _ in query.row(tree)]  # entities and relations alike
        if model.negates or "!" not in template:
            trees.append(query.fill(tree, ids))
    scores = query_model.scores(model, parameters(name), trees, batch_size=4)
    expected = np.stack([enumerated(name, tree) for tree in trees])
    assert scores.shape == (len(trees), 7)
    np.testing.assert_allclose(scores, expected, rtol=2e-5, atol=2e-4)


def test_the_divergence_is_the_integral():
    """KL(entity || query), in this order, by quadrature of densities."""
    one, other = (2.5, 1.5), (1.2, 3.0)
    p, q = scipy.stats.beta(*one), scipy.stats.beta(*other)
    integral = scipy.integrate.quad(lambda x: p.pdf(x) * (p.logpdf(x) - q.logpdf(x)), 0, 1)[0]
    found = betae.divergence(betae.statistics(jnp.array(one)), jnp.array(other))
    np.testing.assert_allclose(found, integral, rtol=1e-5)
    np.testing.assert_allclose(divergence(*one, *other), integral, rtol=1e-9)


def test_divergences_are_those_of_float64():
    rng = np.random.default_rng(1)
    p, q = np.exp(rng.uniform(np.log(0.05), np.log(50), size=(2, 200, 2)))
    found = betae.divergence(betae.statistics(jnp.asarray(p, jnp.float32)), jnp.asarray(q, jnp.float32))
    np.testing.assert_allclose(found, divergence(*p.T, *q.T), rtol=1e-4, atol=2e-3)
    itself = betae.divergence(betae.statistics(jnp.asarray(p, jnp.float32)), jnp.asarray(p, jnp.float32))
    np.testing.assert_allclose(itself, 0, atol=2e-3)


def test_gamma_functions_and_their_derivatives_are_scipys():
    x = np.exp(np.linspace(np.log(1e-9), np.log(1e9), 400)).astype(np.float32)
    exact = x.astype(np.float64)
    special = scipy.special
    for own, other, derivative in (
        (betae.digamma, special.digamma, lambda x: special.polygamma(1, x)),
        (betae.log_gamma, special.gammaln, special.digamma),
    ):
        np.testing.assert_allclose(own(x), other(exact), rtol=1e-6, atol=3e-6)
        slope = jax.vmap(jax.grad(own))(x)
        np.testing.assert_allclose(slope, derivative(exact), rtol=1e-5, atol=3e-6)


@pytest.mark.parametrize("name", MODELS)
def test_an_intersection_does_not_see_the_order_of_branches(name):
    branches = apply(name, "project", apply(name, "anchor", BRANCHES), BRANCHES % 4)
    order = np.array([2, 0, 1])
    met = apply(name, "intersect", branches, PRESENT)
    shuffled = jax.tree.map(lambda leaf: leaf[:, order], branches)
    for one, other in zip(jax.tree.leaves(met), jax.tree.leaves(apply(name, "intersect", shuffled, PRESENT[:, order]))):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_what_is_absent_has_no_say_and_one_branch_is_itself(name):
    branches = apply(name, "project", apply(name, "anchor", BRANCHES), BRANCHES % 4)
    other = jax.tree.map(lambda leaf: leaf.at[1, 2].add(3.0), branches)
    for one, changed in zip(*(jax.tree.leaves(apply(name, "intersect", of, PRESENT)) for of in (branches, other))):
        np.testing.assert_array_equal(one, changed)
    alone = apply(name, "intersect", branches, np.array([[True, False, False]] * 2))
    for one, first in zip(jax.tree.leaves(alone), jax.tree.leaves(branches)):
        np.testing.assert_allclose(one, first[:, 0], rtol=1e-6)


def test_boxes_shrink_where_they_meet_and_grow_by_projection():
    branches = apply("query2box", "project", apply("query2box", "anchor", BRANCHES), BRANCHES % 4)
    _, offset = apply("query2box", "intersect", branches, PRESENT)
    assert np.all(offset <= np.where(PRESENT[..., None], branches[1], np.inf).min(axis=1))
    _, grown = apply("query2box", "project", branches, BRANCHES % 4)
    assert np.all(grown >= branches[1])
    assert np.all(offset >= 0)


def test_a_negation_undoes_itself():
    embedding = apply("betae", "anchor", BRANCHES)
    twice = apply("betae", "negate", apply("betae", "negate", embedding))
    np.testing.assert_allclose(twice, embedding, rtol=1e-6)
    assert np.all((embedding > 1) == (apply("betae", "negate", embedding) < 1))


@pytest.mark.parametrize("name", MODELS)
def test_gradients_are_finite_at_extreme_parameters(name):
    model = MODELS[name]
    texts = ["#3(#1(#1) & !#2(#2))", "#3(#2(#1(#1)))"] if model.negates else ["#3(#1(#1) & #2(#2))", "#3(#2(#1(#1)))"]
    rows, _ = forms.encode([query.parse(text) for text in texts])
    entities = jnp.array([[0, 1], [2, 3]])

    @jax.jit
    def total(params):
        return jax.value_and_grad(lambda p: jnp.sum(jax.nn.log_sigmoid(model.apply(p, rows, entities))))(params)

    for scale in (0.0, 1e-6, 1e3, 1e8):
        value, grads = total(parameters(name, scale))
        assert np.isfinite(value)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))


def test_scores_say_what_they_cannot_do():
    with pytest.raises(ValueError, match="GQE has no negation; BetaE has"):
        query_model.scores(MODELS["gqe"], parameters("gqe"), [query.parse("#1(#1) & !#2(#2)")])
    with pytest.raises(ValueError, match="no queries"):
        query_model.scores(MODELS["gqe"], parameters("gqe"), [])
