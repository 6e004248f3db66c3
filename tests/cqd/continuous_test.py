"""Gradient search: its objective in numpy, gradients, the stop rule, and cases with a known optimum."""

import functools

import jax
import numpy as np
import pytest
from jax.test_util import check_grads

import cqd
from cqd import continuous, enumeration, graph, predictor, query
from cqd.continuous import Search

SIZE = 7


def make_params(num_entities=6, num_relations=6, rank=3, seed=0):
    rng = np.random.default_rng(seed)
    tables = rng.normal(size=(num_entities, 2 * rank)), rng.normal(size=(num_relations, 2 * rank))
    return predictor.complex_params(*(table.astype(np.float32) for table in tables))


def make_ring():
    """Returns parameters of a ring: relation s holds from i to i + s alone, score 5.6 there and 0 elsewhere.

    Entities are the characters of the cyclic group, e_i = (w^(i k))_k with w = exp(2 pi i / 7).
    """
    phases = np.exp(2j * np.pi * np.outer(np.arange(SIZE), np.arange(SIZE)) / SIZE)
    scale = np.sqrt(0.8)
    table = np.concatenate([phases.real, phases.imag], axis=1).astype(np.float32)
    return predictor.complex_params(scale * table, table)


def compiled(structure, tnorm="product"):
    return jax.jit(functools.partial(continuous.find, structure=structure, tnorm=tnorm))


def draw(type_name, count=3, seed=7):
    length = len(query.row(query.parse(query.TEMPLATES[type_name])))
    rows = np.random.default_rng(seed).integers(6, size=(count, length))
    return query.structure(query.from_benchmark(type_name, rows[0])), rows


def test_objective_in_numpy():
    params = make_params()
    (structure, rows), rng = draw("up", 1), np.random.default_rng(0)
    answer, variable = rng.normal(size=(2, 6)).astype(np.float32)
    entity, relation = (table[:, :3] + 1j * table[:, 3:] for table in map(np.asarray, params))
    y, z = (vector[:3] + 1j * vector[3:] for vector in (answer, variable))

    def atom(head, number, tail):
        return 1 / (1 + np.exp(-(head * relation[number] * tail.conj()).sum().real))

    a, r, b, s, last = rows[0]
    first, second = atom(entity[a], r, z), atom(entity[b], s, z)
    wanted = (first + second - first * second) * atom(z, last, y)
    variables = np.stack([answer, variable])[None]
    found = continuous.query_truth(params, rows, variables, structure=structure, tnorm="product")
    np.testing.assert_allclose(found, [wanted], rtol=1e-5)


@pytest.mark.parametrize("type_name", ["3p", "pin", "up"])
def test_gradient(type_name):
    structure, rows = draw(type_name, 1)
    shape = (1, continuous.num_variables(structure), 6)
    variables = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    truth = functools.partial(continuous.query_truth, make_params(), rows, structure=structure, tnorm="product")
    check_grads(truth, (variables,), order=1, modes=["rev"], atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize(
    ("text", "count"),
    [("#0(#1)", 1), ("#0(#1(#2(#3))) & !#1(#2)", 3), ("#0(#1) & !#0(#1(#3))", 3), ("!#0(#1(!#2(#1(#3))))", 6)],
)
def test_number_of_variables(text, count):
    """The answer, one a hop, and an answer of its own for every negation with a hop inside."""
    assert continuous.num_variables(query.parse(text)) == count


@pytest.mark.parametrize("type_name", ["1p", "2i", "3i", "2u", "2in", "3in"])
def test_types_without_a_variable_need_no_search(type_name):
    params, (_, rows) = make_params(), draw(type_name)
    queries = [query.from_benchmark(type_name, row) for row in rows]
    index = graph.build_index(np.array([[0, 0, 1], [2, 2, 3], [4, 4, 5]]), num_entities=6, num_relations=6)
    for options in ({}, {"normalize": "calibrated", "known": "certain", "observed": index}):
        wanted = np.stack([enumeration.truth(params, one, tnorm="min", **options) for one in queries])
        scores = cqd.answer(params, queries, method="continuous", tnorm="min", **options)
        np.testing.assert_allclose(scores, wanted, atol=2e-6)


@pytest.mark.parametrize(
    ("type_name", "row", "answers"),
    [
        ("2p", (1, 2, 3), [6]),
        ("3p", (1, 2, 3, 5), [4]),
        ("ip", (1, 2, 0, 3, 5), [1]),
        ("pi", (1, 2, 3, 0, 6), [6]),
        ("inp", (1, 2, 0, 2, 5), [1]),
    ],
)
def test_finds_the_answer_on_a_ring(type_name, row, answers):
    search = Search(regularization=0.001, max_steps=300)
    scores = cqd.answer(make_ring(), query.from_benchmark(type_name, row), method="continuous", search=search)
    assert np.argsort(-np.asarray(scores))[: len(answers)].tolist() == answers
    assert np.sort(scores)[-1] > 1.2 * np.sort(scores)[-2]


def test_a_variable_under_not_makes_its_own_part_true():
    """The path 1 -> 3 -> 1 refutes entity 1, which the other branch asserts as much as entity 6."""
    search = Search(regularization=0.001, max_steps=300)
    asserted, refuted = "#0(#6) | #2(#6)", "#5(#2(#1))"
    scores = np.asarray(cqd.answer(make_ring(), query.parse(f"({asserted}) & !{refuted}"), method="continuous"))
    found = compiled(query.structure(query.parse(f"!{refuted}")))(make_ring(), np.array([[1, 2, 5]]), search)
    assert scores.argmin() == 1
    assert scores[1] < 0.05 < 0.3 < scores[6]
    variable = found.variables[0, 2]
    towards = predictor.row_scores(make_ring(), make_ring().entity[1], make_ring().relation[2], variable)
    assert jax.nn.sigmoid(towards) > 0.99


def test_a_variable_that_may_be_anything_or_is_given():
    params, free = make_params(), np.random.default_rng(0).normal(size=(1, 1, 6)).astype(np.float32)
    truth = functools.partial(continuous.query_truth, params, tnorm="product")
    anything = truth([[2, 2]], free, structure=query.structure(query.ANYTHING))
    np.testing.assert_array_equal(anything, [1])
    either = query.structure(query.parse("#0 | !#1"))
    value = np.exp(-np.sum((free[0] - np.asarray(params.entity)[[2, 3]]) ** 2, axis=1))
    np.testing.assert_allclose(truth([[2, 3]], free, structure=either), [1 - (1 - value[0]) * value[1]], rtol=1e-5)
    scores = cqd.answer(params, query.parse("#0 | !#0"), method="continuous")
    np.testing.assert_array_equal(scores, np.ones(6))
    np.testing.assert_array_equal(truth([[2]], params.entity[2][None, None], structure=query.Entity(0)), [1])


@pytest.mark.parametrize("tnorm", ["product", "min"])
@pytest.mark.parametrize("type_name", ["2p", "up"])
def test_the_objective_rises(type_name, tnorm):
    structure, rows = draw(type_name)
    found = compiled(structure, tnorm)(make_params(), rows, Search(max_steps=200))
    assert (found.objective > found.start + 1e-3).all()


def test_stop_rule():
    structure, rows = draw("2p")
    find, params = compiled(structure), make_params()
    assert find(params, rows, Search(tolerance=1.0)).steps.tolist() == [1, 1, 1]
    assert find(params, rows, Search(max_steps=5)).steps.tolist() == [5, 5, 5]
    loose, tight = (find(params, rows, Search(tolerance=each)) for each in (1e-3, 1e-5))
    assert (loose.steps < tight.steps).all()
    assert len(set(loose.steps.tolist())) > 1
    np.testing.assert_array_equal(find(params, rows, Search(max_steps=0)).objective, loose.start)


def test_a_batch_changes_no_answer():
    structure, rows = draw("2p")
    find, search = compiled(structure), Search(tolerance=1e-3)
    together = find(make_params(), rows, search)
    for number, row in enumerate(rows):
        alone = find(make_params(), row[None], search)
        np.testing.assert_allclose(alone.variables[0], together.variables[number], atol=1e-4)


def test_regularization_keeps_variables_short():
    structure, rows = draw("2p")
    free, bound = (compiled(structure)(make_params(), rows, Search(regularization=w)) for w in (0.01, 0.2))
    assert np.linalg.norm(bound.variables) < 0.8 * np.linalg.norm(free.variables)


def test_one_vector_an_entity_is_due():
    params = predictor.init(jax.random.key(0), num_entities=4, num_relations=2, rank=2, model="cp")
    with pytest.raises(ValueError, match="CP gives an entity two vectors"):
        cqd.answer(params, query.parse("#0(#1)"), method="continuous")
    with pytest.raises(ValueError, match="learning_rate=-1: a number from 0 up"):
        cqd.answer(make_params(), query.parse("#0(#1)"), method="continuous", search=Search(learning_rate=-1))
