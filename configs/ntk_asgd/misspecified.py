"""Outside the theory of arXiv 2006.12297: targets rougher than the RKHS (r < 1/2) and narrow networks.

    python -m ntk_asgd.main --config=configs/ntk_asgd/misspecified.py:runlocal --workdir=out/misspecified

Measures, first, the slope of the reference ASGD's excess risk over T for targets outside the RKHS, at the theory's own
lambda = T^{-beta/(2 r beta + 1)}, beta = 2. Below r = (beta-1)/(2 beta) = 1/4 that lambda falls faster than 1/T: one
pass at a constant step then ends before lambda matters and can reach T^{-2r} only, which is slower than the formula's
rate. The targets' coefficients are lambda_i^r i^{-0.525}, so their order is r + 0.0125; what they have beyond the
simulated eigenfunctions is added to the risk as never learned. Second, Algorithm 1 on networks of growing width, all on
the same samples, beside the reference ASGD: a network of width M' has the first M'/2 units of each half of the widest.

Expect at :runlocal, slopes (standard error over 64 seeds; prediction at finite T; and at the targets' own order
q = r + 0.0125 the formula 2 q beta/(2 q beta + 1), and 2q):
    r 0.1: -0.236 (0.002); -0.238; -0.310; -0.225
    r 0.2: -0.428 (0.004); -0.431; -0.459; -0.425
    r 0.3: -0.580 (0.006); -0.587; -0.556; -0.625
    r 0.4: -0.656 (0.009); -0.667; -0.623; -0.825
    r 0.5: -0.702 (0.012); -0.710; -0.672; -1.025
All are as predicted at these T. The formula is off by 0.07 at r = 0.1, where the slope is that of one pass, and by 0.03
either way above, where lower-order terms of that size are left.
Risk of the averaged network over its reference's at T = 2,048 (16 seeds): 32 at M = 2, 17 at 4, 4.8 at 8, 1.7 at 16,
1.23 (0.04) at 32, 1.10 (0.04) at 64, 1.03 (0.01) at 1,024: a narrow network is worse than its kernel for this target,
a wide one as good. The largest gap of the two functions falls as M^{-1/2} from M = 64 on. Averaging gains nothing at
M = 2 and a factor of 20 from M = 64 on.

Time on 2 CPU cores: 25 s of CPU at :runlocal, half of it compilation, 10 s at :smoke.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg=""):
    """Returns the config; arg: "runlocal" or "smoke"."""
    args = common.parse_arg(arg, runlocal=False, smoke=False)
    config = ConfigDict()
    config.run = "misspecified"
    config.seed = 0
    config.num_seeds = 64
    config.beta = 2.0
    config.r = (0.1, 0.2, 0.3, 0.4, 0.5)
    config.num_samples = tuple(2**k for k in range(11, 18))
    config.num_functions = 1_024  # simulated; what the target has beyond them counts as never learned
    config.constant = 1.0  # C of lambda = C T^{-beta/(2 r beta+1)}
    config.norm = 0.25  # ||g_rho|| in L2(rho_X); its maximum has no bound for r <= 1/4
    config.tail = 0.05  # g_i ~ lambda_i^r i^{-(1 + tail)/2}
    config.eta_sup_k = 0.25  # eta in units of 1 / sup_x k(x, x)
    config.noise = 0.25
    config.steps_per_call = 256
    config.sup_norm = 0.5  # bound on |g_rho| of the networks' target
    config.bias_over_variance = 0.5  # of the networks' reference
    config.widths = tuple(2**k for k in range(1, 13))
    config.network = ConfigDict()
    config.network.num_seeds = 32
    config.network.width = 1_024
    config.network.activation = "swish:10"
    config.network.gamma = 1.0
    config.network.scale = 1.0  # R
    config.network.r = 0.5
    config.network.max_degree = 64
    config.network.num_samples = (8_192,)
    if args.runlocal:
        config.num_functions, config.num_samples = 512, tuple(2**k for k in range(9, 15))
        config.widths, config.network.num_seeds = tuple(2**k for k in range(1, 11)), 16
        config.network.num_samples = (2_048,)
    if args.smoke:
        config.num_seeds, config.num_functions, config.num_samples = 3, 64, (64, 128)
        config.r, config.widths = (0.2, 0.3, 0.5), (4, 32)
        config.network.num_seeds, config.network.num_samples = 2, (128,)
        config.steps_per_call, config.bias_over_variance = 64, 2.0
    return config


def sweep():
    """Returns overrides that show what the size of the target does to the slopes."""
    return [{"norm": norm, "constant": constant} for norm in (0.1, 0.25, 0.5) for constant in (0.3, 1.0)]
