"""Which layers learn which target (arXiv 2006.12297, Figure 2): on the circle, R = 1/(20 sqrt 2), gamma = 10 sqrt 2.

    python -m ntk_asgd.main --config=configs/ntk_asgd/layers.py:runlocal --workdir=out/layers

Three targets, each the average of eigenfunctions 3 to 12 of one operator: Sigma_a (output layer), Sigma_b (input layer)
or Sigma (both). Top: ||Sigma^{-r} g_rho|| in each operator, exact, for ReLU. Bottom: Algorithm 1 with swish:10 when the
output layer, the input layer or both are trained, 10 seeds, and the reference ASGD of the same layers' kernel at
infinite width on the same samples (dashed).

Infinite norms: Sigma_a is zero on every odd degree from 3 on, for ReLU, swish and softplus are u/2 plus an even
function. Targets of Sigma_b and Sigma have such degrees, so their norm in Sigma_a is infinite ("inf" in the summary,
with "unseen_degrees"); a finite value would be an artefact of finitely many points and units.

The paper's main text does not give eta, lambda, T, noise and M of the bottom panels. Here: eta = 0.25 / sup k, k the
kernel of the layers trained (eta = 1.00, 1.96 and 0.66 for output, input and both); constant lambda = 1e-5, far below
the eigenvalues to be learnt, so that one run gives the whole curve over T; noise +-0.1. `X_minus_own` is the paired
difference of risks at the largest T between training X and training the target's own layers.

Expect at :runlocal (risk at T = 1,024; M = 8,192; mean over 10 seeds, sd at most 0.002; reference in brackets):
    target of   output trained    input trained     both trained      norms at r = 1/2 in Sigma_a, Sigma_b, Sigma
    output      .0588 (.0589)     .0705 (.0873)     .0611 (.0622)     45.2, 158, 43.1
    input       .0905 (.0905)     .0716 (.0288)     .0687 (.0504)     inf, 13.3, 13.3
    both        .0664 (.0664)     .0579 (.0367)     .0452 (.0319)     inf, 37.4, 9.44
The reference is always fastest where the target's own layers are trained: the runner-up is behind by .0033 (se .00004),
.0216 (.0002) and .0048 (.0002). So is the network but for the target of Sigma_b, where both layers overtake the input
layer between T = 512 and 1,024 and lead by .0029 (se .00015), at T = 2,048 by .0073 (.0001). This width is not yet the
kernel's regime when biases train: R is small and gamma large, so biases must move far to fit. Of the target's ten
functions the output layer alone learns one, a function of degree 1, where it is blind to the others: risk .09 of .1.

Time on 2 CPU cores: 25 s of processor time at :runlocal, 12 s at :smoke, most of it compilation.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg=""):
    """Returns the config; arg: "runlocal" or "smoke"."""
    args = common.parse_arg(arg, runlocal=False, smoke=False)
    config = ConfigDict()
    config.run = "layers"
    config.seed = 0
    config.activation = "relu"  # of the norms
    config.scale = 0.05 / 2**0.5  # the paper's R
    config.gamma = 10 * 2**0.5  # the paper's
    config.eigenfunctions = (3, 12)  # averaged; (3, 10) is the other reading of the paper
    config.max_degree = 64
    config.r = (0.5, 0.75, 1.0)  # orders of the norms in the summary
    config.steps_per_call = 64
    config.network = ConfigDict()
    config.network.num_seeds = 10  # the paper's
    config.network.width = 20_000
    config.network.activation = "swish:10"  # the paper's
    config.network.num_samples = (64, 128, 256, 512, 1_024, 2_048, 4_096, 8_192, 16_384)
    config.network.eta_sup_k = 0.25  # eta in units of 1 / sup_x k(x, x), k that of the layers trained
    config.network.regularization = 1e-5  # lambda
    config.network.noise = 0.1
    if args.runlocal:
        config.network.width = 8_192
        config.network.num_samples = (64, 128, 256, 512, 1_024)
    if args.smoke:
        config.network.num_seeds, config.network.width = 2, 256
        config.network.num_samples = (64, 128)
    return config


def sweep():
    """Returns overrides that show what the width does to the networks, whose references stay."""
    return [{"network.width": width} for width in (1_024, 4_096, 16_384, 65_536)]
