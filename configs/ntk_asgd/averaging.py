"""Averaged SGD against its last iterate, at equal samples (arXiv 2006.12297, Algorithm 1 and Theorem 1).

    python -m ntk_asgd.main --config=configs/ntk_asgd/averaging.py:runlocal --workdir=out/averaging

Measures the excess risk over the number of samples T of four answers that one pass over the same samples gives: the
average of all iterates (Algorithm 1), the average of the second half, the last iterate, and the last iterate of a step
eta (1 + t)^{-1/2}; for the reference ASGD (beta = 2, r = 1/2; lambda as in rates.py) and for networks.

Expect at :runlocal, at T = 8,192, as multiples of the average's risk (standard error; 128 and 12 seeds):
                    last iterate   decreasing step   second half
    reference ASGD  53 (5)         2.1 (0.06)        1.6 (0.04)
    network         79 (13)        2.1 (0.2)         1.6 (0.2)
and slopes over T of -0.65 (average; prediction -0.68), -0.60 (second half), -0.55 (decreasing step) and 0.02 (last) for
the reference. The last iterate stays at a noise floor of 0.007. The second half pays for half the iterates with twice
the variance, less what the start's bias cost: it never leads here, as g_0 = 0 is near so small a target.

Time on 2 CPU cores: 25 s of CPU at :runlocal, half of it compilation, 11 s at :smoke.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg=""):
    """Returns the config; arg: "runlocal" or "smoke"."""
    args = common.parse_arg(arg, runlocal=False, smoke=False)
    config = ConfigDict()
    config.run = "averaging"
    config.seed = 0
    config.num_seeds = 128
    config.beta = 2.0
    config.r = 0.5
    config.num_samples = tuple(2**k for k in range(9, 18))
    config.num_functions = 512
    config.power = 0.5  # of the decreasing step eta (1 + t)^-power
    config.eta_sup_k = 0.25  # eta in units of 1 / sup_x k(x, x)
    config.sup_norm = 0.5  # bound on |g_rho|
    config.tail = 0.2  # g_i ~ lambda_i^r i^{-(1 + tail)/2}
    config.noise = 0.25
    config.bias_over_variance = 0.5  # of the expected risk at the middle T: sets C of lambda = C T^{-beta/(2 r beta+1)}
    config.steps_per_call = 256
    config.network = ConfigDict()
    config.network.num_seeds = 16
    config.network.width = 8_192
    config.network.activation = "swish:10"
    config.network.gamma = 1.0
    config.network.scale = 1.0  # R
    config.network.r = 0.5
    config.network.max_degree = 64
    config.network.num_samples = tuple(2**k for k in range(9, 15))
    if args.runlocal:
        config.num_functions, config.num_samples = 256, tuple(2**k for k in range(9, 15))
        config.network.num_seeds, config.network.width = 12, 1_024
        config.network.num_samples = (512, 2_048, 8_192)
    if args.smoke:
        config.num_seeds, config.num_functions, config.num_samples = 3, 64, (64, 128)
        config.network.num_seeds, config.network.width, config.network.num_samples = 2, 64, (64, 128)
        config.steps_per_call, config.bias_over_variance = 64, 2.0
    return config


def sweep():
    """Returns overrides that show what the step size does to the last iterate's floor, and its decrease."""
    return [{"eta_sup_k": eta, "power": power} for eta in (0.1, 0.25, 1.0) for power in (0.25, 0.5, 0.75)]
