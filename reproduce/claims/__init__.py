"""The claims: what a paper says, the config that re-measures it, the figure, and what would agree with it.

The accepted bands were not all set blind. Those of the decay exponents come from exact values, those of the rates, the
averaging and the gaps in width from what this project was held to before its first run. The thresholds of cqd and
darts_perturb, of relu-through-swish, below-one-half, network-follows-rkhs and digits-follow-rkhs, and the numbers of
seeds at the laptop scale, were chosen after first runs of the same configs. A verdict there says that a figure is
reproduced, not that a prediction was tested. Sections and tables are cited from memory of the papers where their text
was not at hand. A claim that a run is too small for says so in `decided_at`.
"""

from reproduce.claims import cqd, darts_perturb, ntk_asgd
from reproduce.claims.claim import Claim, at

__all__ = ["CLAIMS", "Claim", "at"]

CLAIMS = (*ntk_asgd.CLAIMS, *cqd.CLAIMS, *darts_perturb.CLAIMS)
