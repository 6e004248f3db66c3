"""Eigenvalue decay of the neural tangent kernel on the sphere (arXiv 2006.12297, Figure 1 and Corollary 2).

    python -m ntk_asgd.main --config=configs/ntk_asgd/eigen_decay.py:runlocal --workdir=out/eigen_decay

Measures the Gram eigenvalues of a finite-width ReLU network at its symmetric initialisation, and of the infinite-width
kernel, on points uniform on the sphere, against the exact spectrum of the integral operator: index by index, by their
means over each degree's block of equal eigenvalues, and summed to the degrees of freedom N(lambda). Other activations
have the same figures but the theory's slope. Also says what the activation has of Assumption A1, found numerically.

Expect at :runlocal (n = 2,000, M = 4,096, mean of 3 seeds; network, then infinite width), for d = 3, 5, 10:
- the top 30 eigenvalues off the exact ones in the median by 5.4%, 8.8%, 13% (4.5%, 7.5%, 13%) and at most by 20%, 40%,
  38% (14%, 27%, 35%), as sampling spreads eigenvalues that are equal;
- means over the leading degrees, four and at d = 10 three, off by 1.6%, 8.0%, 2.2% at most (1.2%, 5.7%, 2.1%);
- decay slopes over indices 10 to 200 of -1.515 and -1.431 at d = 3 and 5, against the exact -1.562 and -1.527 over the
  same window, for Gram eigenvalues are biased upwards further down: at index 200 by 1.22, 1.78, 1.42;
- exact slopes over indices 1,000 to 10,000 of -1.501 (theory -1.5) and -1.278 (theory -1.25);
- N(lambda), at ten times the exact eigenvalue of index 200, of 0.96, 0.94, 0.94 of the exact.
A slope is null where its window spans fewer than four distinct eigenvalues, as it does in dimensions of 10 and more:
the exponent d/(d-1) says nothing at such indices, and the means by degree do.

Time on 2 CPU cores: about 40 s at :runlocal, about an hour in full (both extrapolated), most of it in 24 dense
decompositions at n = 10,000; block Lanczos iterations took longer for a tenth of the eigenvalues.
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
        config.dims, config.num_points, config.width = (3, 5, 10), 2_000, 4_096
    if args.smoke:
        config.dims, config.num_points, config.width, config.num_seeds = (3, 5, 10), 400, 512, 2
        config.exact_window = (1_000, 2_000)
    return config


def sweep():
    """Returns overrides that show the Monte-Carlo error of the network's kernel against its width."""
    return [{"width": width} for width in (256, 1_024, 4_096, 16_384)]
