"""`cqd.answer` as a public function: order, batches, options, and what importing costs."""

import subprocess
import sys

import numpy as np
import pytest

import cqd
from cqd import answering, enumeration, graph, predictor, query

OPTIONS = {"beam_size": 6}
EMPTY = graph.build_index(np.zeros((0, 3), int), num_entities=2, num_relations=2)


@pytest.fixture(scope="module")
def params():
    rng = np.random.default_rng(0)
    return predictor.complex_params(rng.normal(size=(6, 8)), rng.normal(size=(4, 8)))


def test_one_query_and_a_list(params):
    one = query.parse("#1(#0(#5))")
    scores = cqd.answer(params, one, **OPTIONS)
    assert scores.shape == (6,)
    np.testing.assert_allclose(scores, enumeration.truth(params, one), atol=2e-6)
    assert cqd.answer(params, [one], **OPTIONS).shape == (1, 6)
    assert cqd.answer(params, [], **OPTIONS).shape == (0, 6)


@pytest.mark.parametrize("options", [{"beam_size": 6}, {"method": "exact"}, {"beam_size": 3, "tnorm": "lukasiewicz"}])
def test_top_answers_are_the_first_of_the_ranking(params, options):
    queries = [query.parse(text) for text in ("#0(#1)", "#1(#0(#2))", "!#0(#1)", "#0(#3)", "#1")]
    scores = np.asarray(cqd.answer(params, queries, **options))
    order = np.argsort(-scores, axis=1, kind="stable")
    top = cqd.top_answers(params, queries, num_answers=4, batch_size=2, **options)
    np.testing.assert_array_equal(top.ids, order[:, :4])  # of equal truths, as those of the anchor alone, the lower id
    np.testing.assert_array_equal(top.truths, np.take_along_axis(scores, order[:, :4], axis=1))
    alone = cqd.top_answers(params, queries[1], num_answers=6, **options)
    np.testing.assert_array_equal(alone.ids, order[1])


def test_how_many_top_answers(params):
    assert [part.shape for part in cqd.top_answers(params, [], num_answers=3)] == [(0, 3), (0, 3)]
    for wrong in (0, 7):
        with pytest.raises(ValueError, match=f"num_answers={wrong}: from 1 to 6, the entities, are due"):
            cqd.top_answers(params, query.parse("#0(#1)"), num_answers=wrong)
    with pytest.raises(ValueError, match="tnorm='max'"):
        cqd.top_answers(params, query.parse("#0(#1)"), tnorm="max")


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_mixed_structures_in_any_batches_keep_their_order(params, batch_size):
    texts = ["#0(#1)", "#1(#0(#2))", "#0(#2)", "!#0(#1)", "#0(#3)", "#3(#0(#4))", "#0(#5)"]
    queries = [query.parse(text) for text in texts]
    scores = cqd.answer(params, queries, batch_size=batch_size, **OPTIONS)
    np.testing.assert_allclose(scores, [enumeration.truth(params, one) for one in queries], atol=2e-6)


@pytest.mark.parametrize("batch_size", [2, 64])
def test_exact_in_any_batches_keeps_the_order(params, batch_size):
    texts = ["#0(#1)", "#1(#0(#2))", "#0(#2)", "#3(#0(#4))", "!#0(#1)", "#1(#0(#5))", "#3(#1(#0))"]
    queries = [query.parse(text) for text in texts]
    scores = cqd.answer(params, queries, batch_size=batch_size, method="exact")
    np.testing.assert_allclose(scores, [enumeration.truth(params, one) for one in queries], atol=2e-6)
    assert cqd.answer(params, queries[1], method="exact").shape == (6,)
    assert cqd.answer(params, [], method="exact").shape == (0, 6)


def test_official_mode_against_a_literal_loop(params):
    """Raw logits multiplied along each of the beam's candidates, which are those of the highest logits."""
    first, second = (np.asarray(predictor.scores(params, np.arange(6), np.full(6, r)), np.float64) for r in (2, 1))
    wanted = np.full(6, -np.inf)
    for x in np.argsort(-first[3])[:4]:
        for y in range(6):
            wanted[y] = max(wanted[y], first[3, x] * second[x, y])
    one = query.from_benchmark("2p", (3, 2, 1))
    scores = cqd.answer(params, one, official=True, beam_size=4)
    np.testing.assert_allclose(scores, wanted, rtol=1e-4)
    both = query.from_benchmark("2i", (3, 2, 4, 1))
    scores = np.asarray(cqd.answer(params, both, official=True))
    np.testing.assert_allclose(scores, first[3] * second[4], rtol=1e-4)
    defect = (first[3] < 0) & (second[4] < 0)
    assert defect.any()
    assert (scores[defect] > 0).all()


def test_certificate_of_a_beam(params):
    one = query.from_benchmark("3p", (1, 1, 2, 3))
    optimum = enumeration.truth(params, one)
    narrow = answering.certificate(params, one, num_answers=3, beam_size=1)
    np.testing.assert_allclose(narrow.truth, np.sort(cqd.answer(params, one, beam_size=1))[::-1][:3], rtol=1e-6)
    np.testing.assert_allclose(narrow.optimum, optimum[narrow.answers], atol=2e-6)
    np.testing.assert_allclose(narrow.gap, narrow.optimum - narrow.truth)
    assert narrow.gap.max() > 1e-3
    assert narrow.gap.min() > -2e-6
    assert narrow.best.tolist() == np.argsort(-optimum)[:3].tolist()
    np.testing.assert_allclose(narrow.best_truth, np.sort(optimum)[::-1][:3], atol=2e-6)
    whole = answering.certificate(params, one, beam_size=6)
    np.testing.assert_allclose(whole.gap, np.zeros(6), atol=2e-6)
    with pytest.raises(ValueError, match="a certificate is of a beam"):
        answering.certificate(params, one, method="exact")
    with pytest.raises(ValueError, match="num_answers=0"):
        answering.certificate(params, one, num_answers=0)


def test_default_beam_covers_a_small_graph(params):
    one = query.from_benchmark("3p", (0, 1, 2, 3))
    np.testing.assert_array_equal(cqd.answer(params, one), cqd.answer(params, one, beam_size=6))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "exakt"}, "method='exakt': choose one of beam"),
        ({"tnorm": "godel"}, "tnorm='godel': choose one of lukasiewicz, min, product"),
        ({"beam_size": 0}, "beam_size=0: at least 1"),
        ({"normalize": "rescale"}, "normalize='rescale': choose one of sigmoid, softmax, calibrated"),
        ({"aggregate": "mean"}, "aggregate='mean': choose one of max, sum"),
        ({"aggregate": "sum"}, "aggregate='sum': method='exact' is due"),
        ({"known": "all"}, "known='all': None or 'certain' is due"),
        ({"known": "certain"}, "observed= is due"),
        ({"normalize": "calibrated"}, "observed= is due"),
        ({"normalize": "calibrated", "observed": EMPTY}, "2 entities and 2 relations, the predictor has 6 and 4"),
        ({"official": True, "method": "exact"}, "official=True: raw scores have method='beam'"),
        ({"official": True, "normalize": "softmax"}, "official=True: raw scores"),
        ({"official": True, "tnorm": "lukasiewicz"}, "official=True: the public code"),
        ({"batch_size": 0}, "batch_size=0"),
    ],
)
def test_options_that_do_not_exist(params, options, message):
    with pytest.raises(ValueError, match=message):
        cqd.answer(params, query.parse("#0(#1)"), **options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("#0(#6)", "entity #6: ids run from 0 to 5"),
        ("#4(#0)", "relation #4: ids run from 0 to 3"),
        ("#0(China)", "entity 'China' is a label"),
        ("borders(#0)", "relation 'borders' is a label"),
    ],
)
def test_queries_outside_the_tables(params, text, message):
    with pytest.raises(ValueError, match=message):
        cqd.answer(params, query.parse(text))
    with pytest.raises(ValueError, match="is no query"):
        cqd.answer(params, "#0(#1)")


def test_importing_the_package_runs_nothing():
    code = "import sys, cqd; assert 'jax' not in sys.modules; cqd.query.parse; assert 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_is_no_predictor_and_no_index_is_named(params):
    one = query.parse("#0(#1)")
    with pytest.raises(ValueError, match=r"params: a tuple is no link predictor; predictor\.complex_params makes one"):
        cqd.answer(tuple(params), one)
    with pytest.raises(ValueError, match=r"observed: a ndarray, not a graph\.Index, as graph\.build_index makes"):
        cqd.answer(params, one, known="certain", observed=np.array([[0, 0, 1]]))


def test_public_names_are_listed():
    assert {"answer", "predictor", "query"} <= set(dir(cqd))
