import itertools

import numpy as np
import pytest

from darts_perturb import isomorphism, tabular

PRIME = 2**61 - 1
OPS = isomorphism.SPACE.ops


def brute_force():
    """Returns a number for every cell, equal for equal sums of equal operations: cells evaluated over integers mod a
    prime, a copy as the identity and the other operations as random polynomials that map 0 to 0."""
    rng = np.random.default_rng(0)
    factors = {op: [int(value) for value in rng.integers(1, PRIME, 3)] for op in OPS[2:]}

    def operation(op, value):
        if op in OPS[:2]:
            return 0 if op == "none" else value
        a, b, c = factors[op]
        return value * (a + value * (b + value * c)) % PRIME

    found = []
    for ops in itertools.product(OPS, repeat=6):
        nodes = [12345678901234567, 0, 0, 0]
        for (source, target), op in zip(isomorphism.SPACE.edges, ops):
            nodes[target] = (nodes[target] + operation(op, nodes[source])) % PRIME
        found.append(nodes[-1])
    return found


def test_classes_are_those_of_brute_force():
    members, cells = isomorphism.classes()
    numbers = brute_force()
    assert len(set(numbers)) == len(cells) == 4930
    # one number a class and one class a number
    assert len(set(zip(numbers, members.tolist()))) == 4930
    assert numbers.count(0) == (members == isomorphism.zero_class()).sum() == 341


def test_the_benchmark_s_rule_counts_what_its_authors_do():
    every = itertools.product(OPS, repeat=6)
    assert len({isomorphism.benchmark_form(ops) for ops in every}) == 6466


def test_the_cell_of_a_class_is_of_that_class_and_has_no_dead_edge():
    members, cells = isomorphism.classes()
    rows = cells @ 5 ** np.arange(5, -1, -1)
    np.testing.assert_array_equal(members[rows], np.arange(4930))
    for choice in cells[::97]:
        np.testing.assert_array_equal(isomorphism.pruned(choice), choice)
        for edge in np.flatnonzero(choice):
            less = choice.copy()
            less[edge] = 0
            assert members[less @ 5 ** np.arange(5, -1, -1)] != members[choice @ 5 ** np.arange(5, -1, -1)]


@pytest.mark.parametrize(("row", "same"), [("333000", "000000"), ("100001", "010010"), ("330003", "330003")])
def test_edges_that_carry_nothing_are_pruned(row, same):
    pruned = isomorphism.pruned([int(digit) for digit in row])
    members = isomorphism.classes()[0]
    assert members[int(row, 5)] == members[int("".join(map(str, pruned)), 5)]
    if same == "000000":
        assert not pruned.any()


def test_cells_are_in_the_order_of_a_table():
    members, _ = isomorphism.classes()
    for row, cell in itertools.islice(enumerate(tabular.cells()), 0, 15625, 501):
        assert isomorphism.form(cell.ops) == isomorphism.form(
            [OPS[op] for op in isomorphism.classes()[1][members[row]]]
        )
