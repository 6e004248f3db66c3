"""`cqd.answer` as a public function: order, batches, options, and what importing costs."""

import subprocess
import sys

import numpy as np
import pytest

import cqd
from cqd import enumeration, predictor, query

OPTIONS = {"beam_size": 6}


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


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_mixed_structures_in_any_batches_keep_their_order(params, batch_size):
    texts = ["#0(#1)", "#1(#0(#2))", "#0(#2)", "!#0(#1)", "#0(#3)", "#3(#0(#4))", "#0(#5)"]
    queries = [query.parse(text) for text in texts]
    scores = cqd.answer(params, queries, batch_size=batch_size, **OPTIONS)
    np.testing.assert_allclose(scores, [enumeration.truth(params, one) for one in queries], atol=2e-6)


def test_default_beam_covers_a_small_graph(params):
    one = query.from_benchmark("3p", (0, 1, 2, 3))
    np.testing.assert_array_equal(cqd.answer(params, one), cqd.answer(params, one, beam_size=6))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "exakt"}, "method='exakt': choose one of beam"),
        ({"tnorm": "godel"}, "tnorm='godel': choose one of lukasiewicz, min, product"),
        ({"beam_size": 0}, "beam_size=0: at least 1"),
        ({"normalize": "softmax"}, "normalize='softmax': choose one of sigmoid"),
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
