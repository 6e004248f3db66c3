"""The eps-gap of Proposition A (arXiv 2006.12297) in its two parts, over the width M, on the circle.

    python -m ntk_asgd.main --config=configs/ntk_asgd/eps_gap.py:runlocal --workdir=out/eps_gap

Measures sup_x of the distance between averages after T = 1,000 steps on the same samples: "linearization", the trained
network to its own linearisation from the same initial weights; "sampling", that linearisation to the reference ASGD of
the infinite-width kernel, whose randomness is that of the initial weights; and "total", network to infinite width.
Slopes are least squares of the log mean gap over log M, standard errors a bootstrap over seeds.

Settings: swish:2, which meets Assumption A1 (sup |sigma'| = 1.1); R = gamma = 1; eta = 1/(4 sup k); lambda = T^{-2/3},
Corollary 1's for r = 1/2 and beta = 2; |g_rho| and the noise at most 1/2.

Expect at :runlocal (M = 64 to 4,096, 40 seeds; standard error):
    linearization: slope -1.007 (0.004), 3.9e-5 at M = 4,096; theory -1
    sampling:      slope -0.529 (0.018), 1.1e-3 at M = 4,096; theory -1/2
    total:         slope -0.554 (0.018), the sampling gap but for the smallest widths.

Time on 2 CPU cores: 24 s of processor time at :runlocal, most of it compilation, one for every width.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg=""):
    """Returns the config; arg: "runlocal" or "smoke"."""
    args = common.parse_arg(arg, runlocal=False, smoke=False)
    config = ConfigDict()
    config.run = "eps_gap"
    config.seed = 0
    config.num_seeds = 100
    config.widths = tuple(2**k for k in range(6, 16))
    config.num_samples = 1_000  # T
    config.activation = "swish:2"
    config.scale = 1.0  # R
    config.gamma = 1.0
    config.max_degree = 64
    config.r = 0.5
    config.sup_norm = 0.5  # bound on |g_rho|
    config.noise = 0.5
    config.eta_sup_k = 0.25  # eta in units of 1 / sup_x k(x, x)
    if args.runlocal:
        config.num_seeds, config.widths = 40, tuple(2**k for k in range(6, 13))
    if args.smoke:
        config.num_seeds, config.widths, config.num_samples = 4, (64, 256), 200
    return config


def sweep():
    """Returns overrides that show what the activation's bend and the number of samples do to both gaps."""
    return [{"activation": f"swish:{s}", "num_samples": t} for s in (1, 2, 10) for t in (250, 1_000, 4_000)]
