r"""Real images: eigenvalues of the kernel and the learning curve of Algorithm 1 (arXiv 2006.12297).

    python -m ntk_asgd.main --config=configs/ntk_asgd/digits.py:runlocal --workdir=out/digits

Images are flattened, centred and scaled to the unit sphere; the target is +1 for config.positive_classes and -1 for the
others. First, eigenvalues of the Gram matrix (infinite width, and networks), a decay exponent beta fitted over indices
10 to n/10, and the degrees of freedom N(lambda), beside the exact values of uniform inputs on the sphere of the same
dimension. Second, test errors of Algorithm 1 over T samples, each used once, of its last weights, of the reference ASGD
by kernel expansion on the same samples, and of kernel ridge regression at the same lambda. lambda is set by Corollary 1
for the measured beta and r = 1/2, eta = 1/(4 sup k). Beside them stands N(lambda)/T, the variance term of Theorem 1
without its constant: the norm of g_rho is unknown on real data, so the bound itself is not to be had, and the squared
test error holds the noise of the labels too.

Expect at :runlocal on scikit-learn's digits, even against odd (n = 1,541, 256 test images, M = 1,024, 4 seeds of
weights and orders; mean and standard error at T = 1,536; chance misjudges 0.473):
                                        relu             swish:10         erf
    beta (rms of the fit in log)        1.36 (0.03)      1.56 (0.02)      4.81 (1.05): no power law
    N(lambda); uniform on the sphere    31.6; 43.9       24.9; 38.6       37.5; 58.7
    squared error, averaged weights     0.351 (.0011)    0.331 (.0007)    0.335 (.0015)
      reference ASGD                    0.351 (.0011)    0.336 (.0012)    0.335 (.0016)
      last weights                      0.349 (.0070)    0.334 (.0075)    0.340 (.0101)
      kernel ridge regression           0.329 (.0001)    0.314 (.0001)    0.308 (.0002)
    misjudged, averaged weights         0.051 (.0016)    0.047 (.0000)    0.086 (.0028)
    network - reference, rms            0.021            0.020            0.0008
    N(lambda)/T                         0.021            0.016            0.024
From T = 96 the misjudged share of the averaged weights falls from 0.158, 0.158 and 0.186. Squared errors are mostly
bias, as lambda is large: the average is no better than the last weights in the mean, and steadier by far. ReLU's beta
is that of a sphere in 3.8 dimensions, not 64, and its network at M = 1,024 has 1.31. erf is nearly linear on the unit
ball: its eigenvalues fall off a cliff at index 64, and the fitted exponent describes nothing. eta is six times Theorem
1's largest for relu (2.4 for erf), as a warning says; config.eta_sup_k=0.041 (relu) is within.

Other images, in any layout that experiment.images reads, such as CIFAR-10 (vehicles against animals):

    python -m ntk_asgd.main --config=configs/ntk_asgd/digits.py:runlocal --workdir=out/cifar10 \
        --config.data_path=cifar-10-batches-bin "--config.positive_classes=(0,1,8,9)" --config.num_test=1000 \
        "--config.activations=('relu',)" "--config.num_samples=(96,192,384,768,1536,1920)"

Measured on a copy of CIFAR-10 decoded from JPEG, so not the published images (n = 2,000, 4 seeds): beta 1.01 (network
0.94); at T = 1,920 misjudged 0.219 (.0006) by the averaged weights, 0.264 (.0135) by the last, 0.221 (.0015) by the
reference, 0.218 (.0008) by ridge regression, chance 0.377; squared 0.658, 0.694, 0.665, 0.660; N(lambda)/T 0.013.

Time: 70 s of processor time at :runlocal and 110 s for CIFAR-10 as above, measured on 2 CPU cores shared with four
times as many busy processes (3.5 and 3 minutes by the clock there).
"""

from ml_collections import ConfigDict, config_dict

from configs import common


def get_config(arg=""):
    """Returns the config; arg: "runlocal" or "smoke"."""
    args = common.parse_arg(arg, runlocal=False, smoke=False)
    config = ConfigDict()
    config.run = "digits"
    config.seed = 0  # of the split, and of every seed's weights and order
    config.num_seeds = 10
    config.num_draws = 3  # networks whose eigenvalues are taken
    config.data_path = config_dict.placeholder(str)  # images in a layout of experiment.images; digits where unset
    config.num_train = 2_000  # at most
    config.num_test = 256  # at most; held out of digits, or of the test images at data_path
    config.positive_classes = (0, 2, 4, 6, 8)  # target +1, the others -1
    config.activations = ("relu", "swish:10", "erf")
    config.width = 20_000  # the paper's M
    config.scale = 1.0  # R
    config.gamma = 1.0
    config.r = 0.5  # source condition that lambda is set for
    config.eta_sup_k = 0.25  # eta in units of 1 / sup_x k(x, x)
    config.fit_first = 10  # decay is fitted from here to n / 10
    config.num_samples = (96, 192, 384, 768, 1_536)
    config.steps_per_call = 96
    if args.runlocal:
        config.num_seeds, config.num_draws, config.width = 4, 2, 1_024
    if args.smoke:
        config.num_seeds, config.num_draws, config.width, config.activations = 2, 2, 64, ("relu",)
        config.num_train, config.num_samples = 400, (96, 192)
    return config


def sweep():
    """Returns overrides that show what the step size and the width do."""
    return [{"eta_sup_k": eta, "width": width} for eta in (1 / 24, 0.25, 1.0) for width in (256, 4_096)]
