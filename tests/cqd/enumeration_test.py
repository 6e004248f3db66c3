"""The float64 yardstick against one worked by hand."""

import numpy as np

from cqd import enumeration, predictor, query


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
