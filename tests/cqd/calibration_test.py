"""The truth of atoms against plain numpy: normalizers, the out-degree, certain edges, hubs."""

import jax
import numpy as np
import pytest

from cqd import calibration, graph, predictor

NUM_ENTITIES, NUM_RELATIONS = 200, 4


@pytest.fixture(scope="module")
def params():
    rng = np.random.default_rng(0)
    tables = rng.normal(size=(NUM_ENTITIES, 4)), rng.normal(size=(NUM_RELATIONS, 4))
    return predictor.complex_params(*(table.astype(np.float32) for table in tables))


@pytest.fixture(scope="module")
def index():
    """Entity 7 has 150 tails by relation 0, more than one turn of the search takes; 3 to 6 have a few by relation 2."""
    hub = [(7, 0, tail) for tail in range(20, 170)]
    few = [(3, 2, 0), (3, 2, 199), (4, 2, 1), (5, 2, 2), (6, 2, 199)]
    return graph.build_index(np.array(hub + few), num_entities=NUM_ENTITIES, num_relations=NUM_RELATIONS)


HEADS = np.array([7, 3, 3, 0, 199, 20, 7, 5], np.int32)
RELATIONS = np.array([0, 2, 0, 2, 3, 1, 3, 2], np.int32)


def brute_force(params, index, normalize, certain):
    rows = []
    for head, relation in zip(HEADS, RELATIONS):
        scores = np.asarray(predictor.scores(params, head, relation), np.float64)
        tails = index.tails_of(head, relation)
        softmax = np.exp(scores) / np.exp(scores).sum()
        calibrated = np.minimum(softmax * max(1, len(tails)), 0.9999)
        row = {"sigmoid": 1 / (1 + np.exp(-scores)), "softmax": softmax, "calibrated": calibrated}[normalize]
        row[tails] = 1 if certain else row[tails]
        rows.append(row)
    return np.stack(rows)


@pytest.mark.parametrize("certain", [False, True])
@pytest.mark.parametrize("normalize", calibration.NORMALIZERS)
def test_truths_against_numpy(params, index, normalize, certain):
    truths = jax.jit(calibration.truths, static_argnames=("normalize", "certain"))
    edges = calibration.edges_of(index)
    found = truths(params, HEADS, RELATIONS, normalize=normalize, edges=edges, certain=certain)
    wanted = brute_force(params, index, normalize, certain)
    np.testing.assert_allclose(found, wanted, atol=2e-6)
    assert (np.asarray(found[0]) == 1).sum() >= 150 * certain


def test_calibrated_truths_stay_below_certainty(params, index):
    edges = calibration.edges_of(index)
    found = calibration.truths(params, HEADS, RELATIONS, normalize="calibrated", edges=edges)
    assert found.max() == np.float32(calibration.CAP)


def test_a_graph_without_edges_changes_nothing(params):
    empty = graph.build_index(np.zeros((0, 3), int), num_entities=NUM_ENTITIES, num_relations=NUM_RELATIONS)
    edges = calibration.edges_of(empty)
    plain = calibration.truths(params, HEADS, RELATIONS, normalize="softmax")
    found = calibration.truths(params, HEADS, RELATIONS, normalize="calibrated", edges=edges, certain=True)
    np.testing.assert_allclose(found, np.minimum(plain, calibration.CAP), rtol=1e-6)


def test_logits_are_the_scores(params):
    found = calibration.truths(params, HEADS, RELATIONS, normalize="logit")
    np.testing.assert_array_equal(found, predictor.scores(params, HEADS, RELATIONS))


def test_rows_that_do_not_fit_32_bits_are_refused(index):
    with pytest.raises(ValueError, match="1000000 relations of 10000 entities are too many"):
        calibration.edges_of(index._replace(num_relations=10**6, num_entities=10**4))
