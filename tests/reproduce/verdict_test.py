import math

import numpy as np
import pytest
from scipy import stats

from reproduce.verdict import FAILS, HOLDS, NOT_DECIDED, Accepted, Measured, decide, shortfall, words


@pytest.mark.parametrize(
    ("measured", "accepted", "verdict"),
    [
        (Measured(0.5), Accepted(0.4, 0.6), HOLDS),
        (Measured(0.6), Accepted(0.4, 0.6), HOLDS),
        (Measured(0.61), Accepted(0.4, 0.6), FAILS),
        (Measured(0.5, 0.01, 12), Accepted(0.4, 0.6), HOLDS),
        (Measured(0.5, 0.2, 12), Accepted(0.4, 0.6), NOT_DECIDED),  # the interval reaches past both ends
        (Measured(0.59, 0.01, 12), Accepted(0.4, 0.6), NOT_DECIDED),
        (Measured(0.9, 0.01, 12), Accepted(0.4, 0.6), FAILS),
        (Measured(0.5, 0.01, 1), Accepted(0.4, 0.6), NOT_DECIDED),  # one seed has no error
        (Measured(0.5), Accepted(low=0.4), HOLDS),
        (Measured(0.5), Accepted(high=0.4), FAILS),
        (Measured(math.nan), Accepted(0.4, 0.6), NOT_DECIDED),
    ],
)
def test_a_verdict_compares_the_interval_with_what_is_accepted(measured, accepted, verdict):
    assert decide(measured, accepted) == verdict
    assert decide(measured, accepted, scale_decides=False) == NOT_DECIDED


def test_the_interval_covers_the_truth_in_95_of_100_samples():
    rng = np.random.default_rng(0)
    samples = rng.normal(3.0, 1.0, size=(2000, 4))
    covered = 0
    for sample in samples:
        low, high = Measured(sample.mean(), stats.sem(sample), 4).interval()
        covered += low <= 3.0 <= high
    assert 0.935 < covered / 2000 < 0.965


def test_words():
    assert Accepted(0.1, 0.2).words() == "0.1 to 0.2"
    assert Accepted(low=0.1).words() == "at least 0.1"
    assert Accepted(high=0.1).words() == "at most 0.1"


def test_a_failing_claim_says_by_how_much():
    assert words(Measured(0.5), Accepted(high=0.4), FAILS) == "fails by 0.1"
    assert words(Measured(0.2, 0.05, 9), Accepted(0.4, 0.6), FAILS) == "fails by 0.2, 4.0 standard errors"
    assert words(Measured(0.5), Accepted(high=0.4), NOT_DECIDED) == NOT_DECIDED
    assert [shortfall(Measured(value), Accepted(0.25, 0.5)) for value in (0.0, 0.25, 0.4, 0.75)] == [0.25, 0, 0, 0.25]
