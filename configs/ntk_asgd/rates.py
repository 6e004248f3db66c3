"""Convergence rates of averaged SGD in the NTK regime (arXiv 2006.12297, Theorem 1, Corollary 1, Proposition A).

    python -m ntk_asgd.main --config=configs/ntk_asgd/rates.py:runlocal --workdir=out/rates

Measures, first, the reference ASGD in the eigenbasis of an integral operator with lambda_i ~ i^{-beta}, on the circle:
the slope of the excess risk over the number of samples T for three pairs (beta, r), against -2 r beta / (2 r beta + 1).
Every T is a run of its own, for lambda = T^{-beta/(2 r beta + 1)} changes with it. Second, Algorithm 1 on a two-layer
network on the circle, beside the reference ASGD of its infinite-width kernel on the same samples.

Settings, by argument: eigenvalues sum to 1, about the trace 1 + 1/(2d) of the network's own kernel; |g_rho| and the
noise are at most 1/2, so that Y lies in [-1, 1] (Assumption A2); eta = 1/(4 sup k), for under the theorem's
eta <= 1/24 the term 1/(lambda eta^2 T^2) still leads at reachable T and the slopes come out too steep; the target sits
on the edge of the source condition, as an easier one would converge faster than the bound.

Expect at :runlocal (slope, standard error over 192 seeds; finite-T prediction; theory):
    beta 2,   r 0.5:  -0.61 (0.013); -0.62; -0.667
    beta 2,   r 1:    -0.79 (0.014); -0.78; -0.8
    beta 1.5, r 0.75: -0.78 (0.013); -0.76; -0.692
The last iterate stays at 0.01 to 0.015, 30 to 45 times the average at T = 8,192. The network's averaged risk is within
2% of its reference's, 4.8e-4 at T = 4,096, and its last weights' 80 times that.

Why the slopes are not yet the theory's: the prediction (theory.reference_error, no simulation) has them for these T and
tends to the theory's only slowly, to -0.66, -0.79 and -0.72 over T = 2^20 to 2^30. At r = 0.5 the variance leads, where
the degrees of freedom are a few and grow faster than lambda^{-1/beta}; at beta = 1.5 the bias leads, where the
1 / log^2 of the edge target adds to the slope (without it the prediction is -0.66 here).

Time on 2 CPU cores: 17 s at :runlocal, 7 s at :smoke.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg=""):
    """Returns the config; arg: "runlocal" or "smoke"."""
    args = common.parse_arg(arg, runlocal=False, smoke=False)
    config = ConfigDict()
    config.run = "rates"
    config.seed = 0
    config.num_seeds = 48
    config.beta = (2.0, 2.0, 1.5)
    config.r = (0.5, 1.0, 0.75)
    config.num_samples = tuple(2**k for k in range(10, 18))
    config.num_functions = 2_048
    config.eta_sup_k = 0.25  # eta in units of 1 / sup_x k(x, x)
    config.sup_norm = 0.5  # bound on |g_rho|
    config.noise = 0.5
    config.steps_per_call = 256
    config.network = ConfigDict()
    config.network.num_seeds = 10
    config.network.width = 8_192
    config.network.activation = "swish:10"
    config.network.gamma = 1.0
    config.network.scale = 1.0  # R
    config.network.r = 0.5
    config.network.max_degree = 64
    config.network.num_samples = tuple(2**k for k in range(8, 15))
    if args.runlocal:
        config.num_seeds, config.num_functions = 192, 512
        config.num_samples = tuple(2**k for k in range(8, 14))
        config.network.num_seeds, config.network.width = 4, 1_024
        config.network.num_samples = (256, 1_024, 4_096)
    if args.smoke:
        config.num_seeds, config.num_functions, config.num_samples = 3, 64, (64, 128, 256)
        config.network.num_seeds, config.network.width, config.network.num_samples = 2, 64, (64, 128)
        config.steps_per_call = 64
    return config


def sweep():
    """Returns overrides that show what the step size and the noise do to the slopes."""
    return [{"eta_sup_k": eta, "noise": noise} for eta in (1 / 24, 0.25, 1.0) for noise in (0.1, 0.5)]
