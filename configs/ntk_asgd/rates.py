"""Convergence rates of averaged SGD in the NTK regime (arXiv 2006.12297, Theorem 1, its corollaries, Proposition A).

    python -m ntk_asgd.main --config=configs/ntk_asgd/rates.py:runlocal --workdir=out/rates

Measures, first, the reference ASGD in the eigenbasis of an integral operator with lambda_i ~ i^{-beta}, on the circle:
the slope of the excess risk over the number of samples T for nine pairs (beta, r), against -2 r beta / (2 r beta + 1),
and the risk under Theorem 1's bound, term by term, for alpha = 1. Every T is a run of its own, for lambda = C
T^{-beta/(2 r beta + 1)} changes with it; the nine pairs of a T see the same samples, so their errors are correlated.
Second, Algorithm 1 on a two-layer network on the circle, beside the reference ASGD of its infinite-width kernel on the
same samples. Third, networks with swish_s for growing s beside the ReLU network (Corollary 2), on the same samples and
initial weights. The network's target is made for the ReLU kernel, whose rate its plot shows: at a fixed s the swish
kernel leaves that rate in the end (past T of about 65,000 at s = 10, by the closed form).

Settings, one rule for all pairs: the target's coefficients are lambda_i^r i^{-0.6}, which puts it inside the edge by
0.1 / beta in r ("theory_at_own_order" has the slope there, up to 0.03 steeper), without the logarithm of the very edge;
eigenvalues sum to 1; noise 1/4 and |g_rho| at most 1/2, so that Y lies in [-1, 1] (Assumption A2); C makes the expected
bias half the expected variance at the middle T, as any constant keeps the rate; eta = 1/(4 sup k), six times what the
theorem allows (a warning says so), for below that the term 1/(lambda eta^2 T^2) leads at reachable T and the slopes
come out too steep. These were chosen from the closed form (theory.reference_error) for slopes near the theory's, before
any simulation, so the simulation is a test of them. Only the window of :runlocal moved after a first one: over T = 2^9
to 2^14 eight pairs were within 0.05 of the theory, and beta 1.5, r 1 was off by 0.052 (standard error 0.011). Twice the
eigenfunctions move no predicted slope by over 0.002.

Expect slopes (standard error; finite-T prediction; theory), over 128 seeds, T = 2^10 to 2^15 at :runlocal, and over 64
seeds, T = 2^11 to 2^17 in full:
    beta 1.5, r 0.5:  -0.596 (0.008); -0.619    -0.613 (0.008); -0.622    -0.600
    beta 1.5, r 0.75: -0.672 (0.010); -0.697    -0.694 (0.009); -0.699    -0.692
    beta 1.5, r 1:    -0.703 (0.011); -0.726    -0.728 (0.010); -0.727    -0.750
    beta 2,   r 0.5:  -0.657 (0.010); -0.682    -0.670 (0.010); -0.684    -0.667
    beta 2,   r 0.75: -0.729 (0.013); -0.758    -0.747 (0.012); -0.758    -0.750
    beta 2,   r 1:    -0.755 (0.014); -0.780    -0.779 (0.014); -0.778    -0.800
    beta 3,   r 0.5:  -0.737 (0.014); -0.767    -0.747 (0.013); -0.767    -0.750
    beta 3,   r 0.75: -0.799 (0.018); -0.829    -0.817 (0.017); -0.826    -0.818
    beta 3,   r 1:    -0.816 (0.020); -0.841    -0.849 (0.020); -0.837    -0.857
The random design, which the prediction leaves out, adds about a tenth to the risk. The last iterate stays at 0.008, 90
to 600 times the average at T = 32,768. The risk is 2% to 4% of the bound at alpha = 1, whose variance term leads.

The network's averaged risk is within 2% of its reference's at every T (sup gap 0.003 at T = 4,096, M = 1,024; 0.0008 at
T = 16,384, M = 8,192), with slope -0.62 (0.05) over 16 seeds (prediction -0.72, theory -0.667), and -0.67 (0.04) over
10 in full (prediction -0.71). At s = 1, 5, 20, 50 the squared distance of the swish_s network to the ReLU network is
0.69, 0.053, 0.0066, 0.0013 of the latter's excess risk; from s = 5 on the risks agree within 2%.

Time on 2 CPU cores: 40 s of CPU at :runlocal, half of it compilation, 14 s at :smoke, 150 s in full; more than twice as
long on a busy machine.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg=""):
    """Returns the config; arg: "runlocal" or "smoke"."""
    args = common.parse_arg(arg, runlocal=False, smoke=False)
    config = ConfigDict()
    config.run = "rates"
    config.seed = 0
    config.num_seeds = 64
    config.beta = (1.5, 1.5, 1.5, 2.0, 2.0, 2.0, 3.0, 3.0, 3.0)
    config.r = (0.5, 0.75, 1.0) * 3
    config.num_samples = tuple(2**k for k in range(11, 18))
    config.num_functions = 512
    config.eta_sup_k = 0.25  # eta in units of 1 / sup_x k(x, x)
    config.sup_norm = 0.5  # bound on |g_rho|
    config.tail = 0.2  # g_i ~ lambda_i^r i^{-(1 + tail)/2}
    config.noise = 0.25
    config.bias_over_variance = 0.5  # of the expected risk at the middle T: sets C of lambda = C T^{-beta/(2 r beta+1)}
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
    config.network.sharpness = (1, 2, 5, 10, 20, 50)  # swish_s beside ReLU, at the last of network.num_samples
    if args.runlocal:
        config.num_seeds, config.num_functions = 128, 256
        config.num_samples = tuple(2**k for k in range(10, 16))
        config.network.num_seeds, config.network.width = 16, 1_024
        config.network.num_samples = (256, 512, 1_024, 2_048, 4_096)
    if args.smoke:
        config.num_seeds, config.num_functions, config.num_samples = 3, 64, (64, 128, 256)
        config.network.num_seeds, config.network.width, config.network.num_samples = 2, 64, (64, 128)
        config.network.sharpness = (1, 50)
        config.steps_per_call, config.bias_over_variance = 64, 2.0
    return config


def sweep():
    """Returns overrides that show what the step size and the noise do to the slopes."""
    return [{"eta_sup_k": eta, "noise": noise} for eta in (0.125, 0.25, 1.0) for noise in (0.25, 0.5)]
