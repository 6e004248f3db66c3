"""Theorem 1's bound and the degrees of freedom beside the risk on real images (arXiv 2006.12297).

    python -m ntk_asgd.main --config=configs/ntk_asgd/bound.py:runlocal --workdir=out/bound

Images on the unit sphere (as in digits.py) are the whole population here: rho_X is uniform on them and samples are
drawn with replacement, so Sigma = K / n, the Bayes rule's coefficients, N(lambda), the bound's every term and the
excess risk are exact, without test noise. digits.py measures generalisation to images held out; this run measures what
the theorem bounds. Y = +-1 has the mean g_rho = (1 - 2 flip) f, f the label (even against odd) or the linear function
nearest to it. Four activations see the same samples. First, the averaged reference ASGD over T and lambda: at lambda(T)
of Corollary 1 for the fitted beta and r = 1/2, with Theorem 1's largest eta and with eta = 1/(4 sup k), and on a grid
of lambda / sup k; its bias is known exactly, so its variance is measured alone, beside noise^2 N(lambda) / T. Second,
averages at equal samples, as paired differences over seeds with 95% intervals: of all iterates (the paper's), of the
second half, with weights about t^3, exponential with a window of T/4, the last iterate, the last of a decreasing step;
and for networks by Algorithm 1 the mean of functions against the average of the weights of the same iterates.

Expect at :runlocal on digits (n = 1,797, 16 seeds): the bound holds with alpha = .03 for the label and .055 for the
linear target, and is vacuous at alpha = 1, for smooth kernels by decades, as the label's norm in their RKHS is immense;
the variance is at most 1.29 (.82) times noise^2 N(lambda) / T, .53 (.33) in the median of 80 cells, but N does not
order the activations: Kendall's tau of variance and N -.25 (.18). Averages of late iterates beat the average of all on
the label, where bias leads, by 2% at T = 16,384 for relu, and lose by 16% on the linear target, where variance leads.
Networks at averaged weights are as good as the mean of networks, or better by up to 1%. docs/ntk_asgd.md has the table.

Time: 80 s of CPU at :runlocal (5 minutes by the clock beside several busy processes on 2 cores), 10 s at :smoke; the
full size is not measured.
"""

from ml_collections import ConfigDict, config_dict

from configs import common


def get_config(arg=""):
    """Returns the config; arg: "runlocal" or "smoke"."""
    args = common.parse_arg(arg, runlocal=False, smoke=False)
    config = ConfigDict()
    config.run = "bound"
    config.seed = 0  # of the choice of images, the samples and the weights
    config.num_seeds = 32
    config.data_path = config_dict.placeholder(str)  # images in a layout of experiment.images; digits where unset
    config.num_points = 2_000  # at most; the population
    config.positive_classes = (0, 2, 4, 6, 8)  # target +1, the others -1
    config.target = "label"  # or "linear", the least-squares fit of the label, scaled into [-1, 1]
    config.flip = 0.1  # share of observations whose sign is turned
    config.activations = ("relu", "swish:10", "swish:1", "erf")
    config.scale = 1.0  # R
    config.gamma = 1.0
    config.r = (0.5, 0.6, 0.75, 1.0)  # source conditions of the bound; the first also sets lambda(T)
    config.eta_sup_k = 0.25  # eta in units of 1 / sup_x k(x, x), beside the theorem's largest
    config.levels = (0.1, 0.03, 0.01, 0.003, 0.001)  # lambda in units of sup_x k(x, x)
    config.fit_first = 10  # decay is fitted from here to n / 10
    config.num_samples = (256, 1_024, 4_096, 16_384, 65_536)
    config.averages = ("average", "tail", "polynomial:3", "exponential:0.25", "last")
    config.power = 0.5  # of the decreasing step eta (1 + t)^-power
    config.network = ConfigDict()
    config.network.num_seeds = 8
    config.network.width = 8_192
    config.network.num_samples = (256, 1_024, 4_096)
    config.network.block_size = 64  # iterates a block; at the ends of blocks functions are averaged
    if args.runlocal:
        config.num_seeds, config.num_samples = 16, (256, 1_024, 4_096, 16_384)
        config.network.num_seeds, config.network.width = 6, 1_024
    if args.smoke:
        config.num_points, config.num_seeds, config.num_samples = 200, 3, (32, 64)
        config.activations, config.levels = ("relu", "erf"), (0.1, 0.01)
        config.network.num_seeds, config.network.width, config.network.num_samples = 2, 32, (32, 64)
        config.network.block_size = 16
    return config


def sweep():
    """Returns overrides that show what the target and the noise do to the bound."""
    return [{"target": target, "flip": flip} for target in ("label", "linear") for flip in (0.02, 0.1, 0.25)]
