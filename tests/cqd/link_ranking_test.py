"""Ranks of link prediction against the host's filtered ranks, ties and batches included."""

import jax.numpy as jnp
import numpy as np
import pytest

from cqd import graph, link_ranking, predictor, ranking

SIZE, RELATIONS = 9, 4


def example(seed):
    """Returns (ComplEx, triples, Index of known edges): small whole numbers, so that many scores are level."""
    rng = np.random.default_rng(seed)
    params = predictor.complex_params(
        rng.integers(-1, 2, (SIZE, 4)).astype(np.float32), rng.integers(-1, 2, (RELATIONS, 4)).astype(np.float32)
    )
    forward = np.stack([rng.integers(SIZE, size=40), 2 * rng.integers(2, size=40), rng.integers(SIZE, size=40)], axis=1)
    known = graph.build_index(forward, num_entities=SIZE, num_relations=RELATIONS)
    return params, graph.with_inverses(forward[:11]), known


@pytest.mark.parametrize("batch_size", [1, 5, 22, 100])
@pytest.mark.parametrize("seed", range(3))
def test_ranks_are_the_hosts(seed, batch_size):
    params, triples, known = example(seed)
    scores = np.asarray(predictor.scores(params, triples[:, 0], triples[:, 1]))
    wanted = [
        1
        + sum(row[other] > row[t] for other in range(SIZE) if other not in known.tails_of(h, r))
        + sum(row[other] == row[t] for other in range(SIZE) if other not in known.tails_of(h, r)) / 2
        for row, (h, r, t) in zip(scores, triples)
    ]
    ranks = link_ranking.filtered_ranks(params, triples, known, batch_size=batch_size)
    np.testing.assert_array_equal(ranks, wanted)
    assert len(set(ranks % 1)) == 2, "no ties in the example"
    by_query = [ranking.filtered_ranks(row, known.tails_of(h, r), [t])[0] for row, (h, r, t) in zip(scores, triples)]
    np.testing.assert_array_equal(ranks, by_query)
    assert link_ranking.mrr(params, triples, known) == pytest.approx(np.mean(1 / np.array(wanted)))


def test_a_tail_that_is_not_known_is_ranked_all_the_same():
    params = predictor.DistMult(jnp.array([[1.0], [2.0], [3.0]]), jnp.ones((2, 1)))
    nothing = graph.build_index(np.zeros((0, 3), np.int32), num_entities=3, num_relations=2)
    np.testing.assert_array_equal(link_ranking.filtered_ranks(params, [(0, 0, 1), (0, 0, 2)], nothing), [2, 1])
    assert link_ranking.filtered_ranks(params, np.zeros((0, 3), np.int32), nothing).shape == (0,)


def test_rows_that_are_no_entities_are_not_ranked():
    params, triples, known = example(0)
    padded = params._replace(entity=jnp.pad(params.entity, ((0, 3), (0, 0)), constant_values=100.0))
    np.testing.assert_array_equal(
        link_ranking.filtered_ranks(padded, triples, known), link_ranking.filtered_ranks(params, triples, known)
    )


def test_a_score_that_is_not_a_number():
    params, triples, known = example(0)
    broken = params._replace(entity=params.entity.at[3, 0].set(jnp.nan))
    with pytest.raises(ValueError, match="not a number"):
        link_ranking.filtered_ranks(broken, triples, known)
