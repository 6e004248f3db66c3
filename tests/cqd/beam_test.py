"""Beam search against the enumeration of all variable assignments in float64 numpy."""

import itertools

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cqd
from cqd import beam, explain, predictor, query
from cqd.query import And, Entity, Not, Or, Projection

TOLERANCE = 2e-6
TWO = {
    "product": (lambda a, b: a * b, lambda a, b: a + b - a * b),
    "min": (min, max),
    "lukasiewicz": (lambda a, b: max(0.0, a + b - 1.0), lambda a, b: min(1.0, a + b)),
}


def make_params(num_entities=5, num_relations=6, rank=3, seed=0):
    rng = np.random.default_rng(seed)
    entity = rng.normal(size=(num_entities, 2 * rank)).astype(np.float32)
    relation = rng.normal(size=(num_relations, 2 * rank)).astype(np.float32)
    return predictor.complex_params(entity, relation)


def truth_table(params):
    """Returns [R, N, N] float64: sigmoid(Re <h, r, conj t>) from complex arithmetic."""
    entity, relation = (np.asarray(table, np.float64) for table in params)
    rank = entity.shape[1] // 2
    e = entity[:, :rank] + 1j * entity[:, rank:]
    r = relation[:, :rank] + 1j * relation[:, rank:]
    return 1 / (1 + np.exp(-np.einsum("hk,rk,tk->rht", e, r, e.conj()).real))


def num_variables(node):
    """Returns the number of existential variables outside negations."""
    match node:
        case Entity() | Not():
            return 0
        case Projection(_, Entity()):
            return 0
        case Projection(_, child):
            return 1 + num_variables(child)
        case And(parts) | Or(parts):
            return sum(num_variables(part) for part in parts)


def brute_force(table, node, y, tnorm):
    """Returns the best truth at y over every assignment of all variables at once."""
    size = table.shape[1]
    assignments = itertools.product(range(size), repeat=num_variables(node))
    return max(formula(table, node, y, iter(values), tnorm) for values in assignments)


def formula(table, node, y, values, tnorm):
    """Returns the truth of the formula without quantifiers; a negated part enumerates its own variables."""
    conjoin, disjoin = TWO[tnorm]
    match node:
        case Entity(name):
            return float(y == name)
        case Projection(relation, Entity(name)):
            return table[relation, name, y]
        case Projection(relation, child):
            x = next(values)
            return conjoin(formula(table, child, x, values, tnorm), table[relation, x, y])
        case Not(child):
            return 1 - brute_force(table, child, y, tnorm)
        case And(parts) | Or(parts):
            truths = [formula(table, part, y, values, tnorm) for part in parts]
            result = truths[0]
            for truth in truths[1:]:
                result = conjoin(result, truth) if isinstance(node, And) else disjoin(result, truth)
            return result


def expected(params, node, tnorm):
    table = truth_table(params)
    return np.array([brute_force(table, node, y, tnorm) for y in range(table.shape[1])])


@pytest.mark.parametrize("tnorm", ["product", "min", "lukasiewicz"])
@pytest.mark.parametrize("type_name", query.TEMPLATES)
def test_whole_beam_is_the_optimum_for_every_type(type_name, tnorm):
    params = make_params()
    rng = np.random.default_rng(7)
    length = len(query.row(query.parse(query.TEMPLATES[type_name])))
    queries = [query.from_benchmark(type_name, rng.integers(5, size=length)) for _ in range(3)]
    scores = cqd.answer(params, queries, tnorm=tnorm, beam_size=5)
    wanted = np.stack([expected(params, one, tnorm) for one in queries])
    np.testing.assert_allclose(scores, wanted, atol=TOLERANCE)


ANCHORS = st.builds(Entity, st.integers(0, 3))
TREES = st.recursive(
    st.builds(Projection, st.integers(0, 5), ANCHORS),
    lambda trees: st.one_of(
        st.builds(Projection, st.integers(0, 5), trees),
        st.builds(And, st.lists(trees | ANCHORS, min_size=2, max_size=3).map(tuple)),
        st.builds(Or, st.lists(trees | ANCHORS, min_size=2, max_size=3).map(tuple)),
        st.builds(Not, trees),
    ),
    max_leaves=4,
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(tree=TREES.filter(lambda tree: num_variables(tree) <= 4), tnorm=st.sampled_from(sorted(TWO)))
def test_whole_beam_is_the_optimum_for_random_trees(tree, tnorm):
    params = make_params(num_entities=4)
    with jax.disable_jit():
        scores = cqd.answer(params, tree, tnorm=tnorm, beam_size=4)
    np.testing.assert_allclose(scores, expected(params, tree, tnorm), atol=TOLERANCE)


@pytest.mark.parametrize("type_name", ["2p", "3p", "ip", "up", "pi"])
def test_wider_beams_never_lower_a_positive_answer(type_name):
    params = make_params(num_entities=30, seed=3)
    length = len(query.row(query.parse(query.TEMPLATES[type_name])))
    queries = [query.from_benchmark(type_name, row) for row in np.random.default_rng(1).integers(6, size=(8, length))]
    narrow, middle, whole = (np.asarray(cqd.answer(params, queries, beam_size=k)) for k in (1, 5, 30))
    assert (narrow <= middle + 1e-6).all()
    assert (middle <= whole + 1e-6).all()
    assert (narrow < whole - 1e-3).any()


def test_a_beam_of_one_follows_the_best_candidate():
    params = make_params(num_entities=6, seed=5)
    table = truth_table(params)
    best = int(np.argmax(table[2, 1]))
    scores = cqd.answer(params, query.from_benchmark("2p", (1, 2, 3)), beam_size=1)
    np.testing.assert_allclose(scores, table[2, 1, best] * table[3, best], atol=TOLERANCE)


def make_reversible_params():
    """Returns parameters by which an inverse relation scores as its relation read backwards."""
    params = make_params(num_entities=7, seed=2)
    relation = np.array(params.relation)
    relation[1::2] = relation[::2] * [1, 1, 1, -1, -1, -1]
    return predictor.complex_params(params.entity, relation)


@pytest.mark.parametrize("type_name", query.POSITIVE_TYPES)
def test_proof_attains_the_value(type_name):
    params = make_reversible_params()
    table = truth_table(params)
    length = len(query.row(query.parse(query.TEMPLATES[type_name])))
    row = np.random.default_rng(4).integers(6, size=length)
    one = query.from_benchmark(type_name, row)
    scores = np.asarray(cqd.answer(params, one, beam_size=7))
    for proof in explain.prove(params, [one] * 7, range(7), beam_size=7):
        heads, relations, tails = proof.triples.T
        np.testing.assert_allclose(proof.truth, table[relations, heads, tails], atol=TOLERANCE)
        assert tails[-1] == proof.answer or heads[-1] == proof.answer
        np.testing.assert_allclose(proof.value, scores[proof.answer], atol=TOLERANCE)
        if type_name not in ("2u", "up"):
            assert proof.needed.all()
            np.testing.assert_allclose(np.prod(proof.truth.astype(np.float64)), proof.value, atol=TOLERANCE)


def test_proof_of_a_disjunction_needs_its_strongest_branch_alone():
    params = make_params(num_entities=7, seed=2)
    table = truth_table(params)
    one = query.from_benchmark("up", (0, 1, 2, 3, 4))
    for proof in explain.prove(params, [one] * 7, range(7), beam_size=7):
        x = proof.triples[2][0]
        first, second = table[1, 0, x], table[3, 2, x]
        assert proof.needed.tolist() == [first >= second, second > first, True]


def test_memory_does_not_grow_with_the_beam():
    params = make_params(num_entities=400)
    structure = query.structure(query.from_benchmark("3p", (0, 0, 0, 0)))
    rows = np.zeros((8, 4), np.int32)
    sizes = []
    for beam_size in (4, 400):
        run = jax.jit(lambda p, r, k=beam_size: beam.truth(p, r, structure=structure, tnorm="min", beam_size=k))
        sizes.append(run.lower(params, rows).compile().memory_analysis().temp_size_in_bytes)
    assert sizes[1] < 3 * sizes[0]
    assert sizes[1] < 16 * 8 * 400 * 4
