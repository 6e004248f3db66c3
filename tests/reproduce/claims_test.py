"""The table of claims is whole: every claim names a config that exists and a figure that its smallest run measures."""

import pathlib
import re

import pytest

from reproduce import claims, report, scales

ROOT = pathlib.Path(__file__).parents[2]


def test_names_are_unique_and_fit_an_anchor():
    names = [claim.name for claim in claims.CLAIMS]
    assert len(set(names)) == len(names)
    for name in names:
        assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name)


def test_every_system_has_at_least_two_claims():
    for system in report.TITLES:
        assert sum(claim.system == system for claim in claims.CLAIMS) >= 2


@pytest.mark.parametrize("claim", claims.CLAIMS, ids=lambda claim: claim.name)
def test_a_claim_is_complete(claim):
    assert (ROOT / "configs" / claim.system / f"{claim.run}.py").is_file()
    assert claim.statement
    assert claim.source
    assert claim.published
    assert claim.plots
    assert claim.accepted.low is not None or claim.accepted.high is not None
    (run,) = (run for run in scales.RUNS if (run.system, run.name) == (claim.system, claim.run))
    assert set(claim.decided_at) & set(run.scales)
    assert set(claim.decided_at) <= set(scales.ARGUMENTS) - {"smoke"}
