"""The claims: what a paper says, the config that re-measures it, the figure, and what would agree with it.

The accepted bands were not all set blind. Those of the decay exponents come from exact values, those of the rates and
gaps from the tolerance asked of this project before its first run. The thresholds of cqd and darts_perturb, and the
numbers of seeds at the laptop scale, were chosen after first runs of the same configs. A verdict there says that a
figure is reproduced, not that a prediction was tested. Sections and tables are cited from memory of the papers where
their text was not at hand. A claim that a run is too small for says so in `decided_at`.
"""

from reproduce.claims import cqd, darts_perturb, ntk_asgd
from reproduce.claims.claim import Claim, at

__all__ = ["CLAIMS", "Claim", "at"]

CLAIMS = (*ntk_asgd.CLAIMS, *cqd.CLAIMS, *darts_perturb.CLAIMS)
