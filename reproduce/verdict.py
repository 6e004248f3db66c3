"""A verdict is computed: the 95% interval of a measured figure against the interval that the claim accepts."""

import math
from typing import NamedTuple

HOLDS = "holds"
FAILS = "fails"
NOT_DECIDED = "not decided at this scale"
NOT_MEASURED = "not measured"


class Measured(NamedTuple):
    """A measured figure.

    Attributes:
        value: the mean over seeds.
        standard_error: of that mean; 0 where the figure is exact, infinite where it is unknown.
        num_seeds: how many seeds the standard error comes from.
    """

    value: float
    standard_error: float = 0.0
    num_seeds: int = 1

    def interval(self):
        """Returns (low, high), the 95% Student interval; the whole line where the error is unknown."""
        if self.standard_error == 0.0:
            return self.value, self.value
        if self.num_seeds < 2 or math.isinf(self.standard_error):
            return -math.inf, math.inf
        from scipy import stats

        margin = float(stats.t.ppf(0.975, self.num_seeds - 1)) * self.standard_error
        return self.value - margin, self.value + margin


class Accepted(NamedTuple):
    """The closed interval of figures that agree with a claim; None leaves a side open."""

    low: float | None = None
    high: float | None = None

    def words(self):
        """Returns the interval as a reader writes it."""
        if self.low is None:
            return f"at most {self.high:.3g}"
        if self.high is None:
            return f"at least {self.low:.3g}"
        return f"{self.low:.3g} to {self.high:.3g}"


def shortfall(measured, accepted):
    """Returns by how much a figure misses what a claim accepts, 0 inside."""
    floor = -math.inf if accepted.low is None else accepted.low
    ceiling = math.inf if accepted.high is None else accepted.high
    return max(floor - measured.value, measured.value - ceiling, 0.0)


def words(measured, accepted, verdict):
    """Returns a verdict as a reader meets it: a failing one says by how much, and how sure that is."""
    if verdict != FAILS:
        return verdict
    missed = shortfall(measured, accepted)
    sure = f", {missed / measured.standard_error:.1f} standard errors" if measured.standard_error else ""
    return f"{verdict} by {missed:.2g}{sure}"


def decide(measured, accepted, *, scale_decides=True):
    """Returns HOLDS, FAILS, NOT_DECIDED or NOT_MEASURED.

    Args:
        measured: Measured, or None where the run has stopped before.
        accepted: Accepted.
        scale_decides: False where the run was too small to bear on the claim, whatever came out.
    """
    if measured is None:
        return NOT_MEASURED
    low, high = measured.interval()
    floor = -math.inf if accepted.low is None else accepted.low
    ceiling = math.inf if accepted.high is None else accepted.high
    if not scale_decides or math.isnan(measured.value):
        return NOT_DECIDED
    if floor <= low and high <= ceiling:
        return HOLDS
    if high < floor or low > ceiling:
        return FAILS
    return NOT_DECIDED
