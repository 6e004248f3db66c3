"""The float64 yardstick against one worked by hand."""

import numpy as np

from cqd import enumeration, graph, predictor, query


def test_a_graph_of_three_by_hand():
    """Rank 1, imaginary parts zero: score(h, r, t) = h r t."""
    entity, relation = np.array([0.5, -1.0, 2.0]), np.array([1.0, 3.0])
    params = predictor.complex_params(
        np.stack([entity, 0 * entity], axis=1), np.stack([relation, 0 * relation], axis=1)
    )

    def atom(h, r, t):
        return 1 / (1 + np.exp(-entity[h] * relation[r] * entity[t]))

    two_hops = enumeration.truth(params, query.parse("#1(#0(#2))"), tnorm="min")
    wanted = [max(min(atom(2, 0, x), atom(x, 1, y)) for x in range(3)) for y in range(3)]
    np.testing.assert_allclose(two_hops, wanted, rtol=1e-6)
    either = enumeration.truth(params, query.parse("#0(#0) | #1(#1) | !#0(#2)"), tnorm="lukasiewicz")
    wanted = [min(1, atom(0, 0, y) + atom(1, 1, y) + 1 - atom(2, 0, y)) for y in range(3)]
    np.testing.assert_allclose(either, wanted, rtol=1e-6)
    both = enumeration.truth(params, query.parse("#0(#0) & #1(#1) & #2"), tnorm="product")
    np.testing.assert_allclose(both, [0, 0, atom(0, 0, 2) * atom(1, 1, 2)], rtol=1e-6)


def test_calibration_certain_edges_and_sums_by_hand():
    """Scores 0 everywhere: softmax is 1/3, an entity with two tails has .6666 a tail, one without 1/3."""
    params = predictor.complex_params(np.zeros((3, 2)), np.zeros((2, 2)))
    observed = graph.build_index(np.array([[0, 0, 1], [0, 0, 2]]), num_entities=3, num_relations=2)
    one_hop, two_hops = query.parse("#0(#0)"), query.parse("#0(#0(#0))")
    options = {"normalize": "calibrated", "observed": observed}
    np.testing.assert_allclose(enumeration.truth(params, one_hop, **options), [2 / 3] * 3)
    np.testing.assert_allclose(enumeration.truth(params, one_hop, known="certain", **options), [2 / 3, 1, 1])
    np.testing.assert_allclose(enumeration.truth(params, two_hops, known="certain", **options), [4 / 9, 2 / 3, 2 / 3])
    summed = enumeration.truth(params, two_hops, aggregate="sum", **options)
    np.testing.assert_allclose(summed, [1 - (1 - 4 / 9) * (1 - 2 / 9) ** 2] * 3)
    np.testing.assert_allclose(enumeration.truth(params, one_hop, normalize="softmax"), [1 / 3] * 3)
