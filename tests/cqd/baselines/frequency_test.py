"""Relation frequency by hand."""

import numpy as np

from cqd import graph, query
from cqd.baselines.frequency import frequency

INDEX = graph.build_index(
    np.array([(0, 0, 1), (2, 0, 1), (3, 0, 4), (3, 0, 1), (0, 2, 4)]), num_entities=5, num_relations=4
)


def scores(text):
    return frequency(INDEX, [query.parse(text)])[0]


def test_shares_of_the_last_relation():
    np.testing.assert_allclose(scores("#0(#3)"), [0, 0.75, 0, 0, 0.25])
    np.testing.assert_allclose(scores("#0(#2(#3))"), [0, 0.75, 0, 0, 0.25])
    np.testing.assert_allclose(scores("#1(#4)"), [0.25, 0, 0.25, 0.5, 0])


def test_branches():
    np.testing.assert_allclose(scores("#0(#0) & #2(#1)"), [0, 0, 0, 0, 0.25])
    np.testing.assert_allclose(scores("#0(#0) | #2(#1)"), [0, 0.75, 0, 0, 1])
    np.testing.assert_allclose(scores("!#0(#0) & #0"), [1, 0.25, 1, 1, 0.75])
