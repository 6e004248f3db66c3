"""Eigenvalue decay of the neural tangent kernel on the sphere (arXiv 2006.12297, Figure 1 and Corollary 2).

    python -m ntk_asgd.main --config=configs/ntk_asgd/eigen_decay.py:runlocal --workdir=out/eigen_decay

Measures the Gram eigenvalues of a finite-width ReLU network at its symmetric initialisation, and of the infinite-width
kernel, on points uniform on the sphere, against the exact spectrum of the integral operator, index by index.

Expect at :runlocal (d = 3 and 5, n = 2,000, M = 4,096, 3 seeds):
- the top 30 eigenvalues of the network's Gram matrix off the exact ones by 5% and 9% in the median, 20% and 40% at most
  (infinite width: 4% and 8%, 14% and 27%), as sampling spreads eigenvalues that are equal;
- decay slopes over indices 10 to 200 of -1.515 and -1.431 against the exact -1.562 and -1.527 over the same window, for
  Gram eigenvalues are biased upwards further down;
- exact slopes over indices 1,000 to 10,000 of -1.501 (theory -1.5) and -1.278 (theory -1.25).
A slope is null where its window spans fewer than four distinct eigenvalues, as it may in dimensions of 10 and more: the
exponent d/(d-1) says nothing at such indices.

Time on 2 CPU cores: 25 s at :runlocal, 6 s at :smoke, about 3 hours in full (extrapolated; 24 decompositions at
n = 10,000).
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg=""):
    """Returns the config; arg: "runlocal" or "smoke"."""
    args = common.parse_arg(arg, runlocal=False, smoke=False)
    config = ConfigDict()
    config.run = "eigen_decay"
    config.seed = 0
    config.num_seeds = 3
    config.dims = (3, 5, 10, 100)
    config.num_points = 10_000  # the paper's n
    config.width = 20_000  # the paper's M
    config.activation = "relu"
    config.scale = 1.0  # R
    config.gamma = 1.0
    config.fit_first = 10  # decay is fitted from here to num_points / 10
    config.exact_window = (1_000, 10_000)
    if args.runlocal:
        config.dims, config.num_points, config.width = (3, 5), 2_000, 4_096
    if args.smoke:
        config.dims, config.num_points, config.width, config.num_seeds = (3, 5), 400, 512, 2
        config.exact_window = (1_000, 2_000)
    return config


def sweep():
    """Returns overrides that show the Monte-Carlo error of the network's kernel against its width."""
    return [{"width": width} for width in (256, 1_024, 4_096, 16_384)]
