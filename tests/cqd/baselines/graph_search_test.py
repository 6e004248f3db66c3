"""Graph search by hand on a chain with a fork."""

import numpy as np

from cqd import graph, query
from cqd.baselines import graph_search

# 0 -r0-> 1 -r0-> 2, 0 -r2-> 2, 3 -r2-> 4
INDEX = graph.build_index(np.array([(0, 0, 1), (1, 0, 2), (0, 2, 2), (3, 2, 4)]), num_entities=5, num_relations=4)


def scores(search, *texts):
    return search(INDEX, [query.parse(text) for text in texts]).tolist()


def test_exact():
    assert scores(graph_search.exact, "#0(#0(#0))", "#0(#0) & #2(#0)", "#0(#0) | #2(#3)") == [
        [0, 0, 1, 0, 0],
        [0, 0, 0, 0, 0],
        [0, 1, 0, 0, 1],
    ]


def test_relaxed_counts_the_branches_that_hold():
    assert scores(graph_search.relaxed, "#0(#0) & #2(#0)", "#0(#0(#0)) & #2(#0)", "#0(#0(#0) & #2(#3))") == [
        [0, 0.5, 0.5, 0, 0],
        [0, 0, 1, 0, 0],
        [0, 0, 0.5, 0, 0],
    ]
    assert scores(graph_search.relaxed, "#0(#0) | #2(#3)", "#1(#1)") == [[0, 1, 0, 0, 1], [1, 0, 0, 0, 0]]
    assert scores(graph_search.relaxed, "#2(#0) & !#0(#0)") == [[0.5, 0, 1, 0.5, 0.5]]


def test_relaxed_carries_the_best_of_several_ways():
    triples = np.array([(0, 0, 1), (0, 2, 1), (0, 0, 2), (1, 4, 4), (2, 4, 4)])
    index = graph.build_index(triples, num_entities=5, num_relations=6)
    found = graph_search.relaxed(index, [query.parse("#4(#0(#0) & #2(#0))")])
    assert found.tolist() == [[0, 0, 0, 0, 1]]
