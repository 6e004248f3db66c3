"""The alpha that is best for the feature maps of a supernet (proposition 1) against the one that the search learned.

    python -m darts_perturb.main --config=configs/darts_perturb/optimal_alpha.py:runlocal --workdir=DIR

By the proposition the best alpha_skip - alpha_conv of an edge is log(var(o - m*) / var(x - m*)), x and o what the two
operations give and m* the feature map that all edges of the cell estimate. Here the covariance of the two errors is
kept: log[(var(o - m*) - cov) / (var(x - m*) - cov)], none being best where cov reaches the smaller variance; those
edges are counted, share_without_an_optimum, and stand at +-config.limit. m* is estimated in three ways, others, node
and cell, see darts_perturb/analysis/optimal_alpha.py. The figures of each, mean over edges and spread over seeds:
learned, with_covariance and without_covariance (mean, favours_skip: the share of edges where it is above 0,
same_sign_as_learned, rank_correlation with the learned over edges), the variances, and largest_difference_to_minimised:
how far the formula is from a direct minimisation of the squared error on the maps themselves. synthetic is the same on
drawn maps.

Expect at :runlocal (textures, 5 seeds, m* from the others, mean and standard deviation over seeds):
- learned 2.7 (1.6), best 2.7 (1.7), 2.3 (1.6) without the covariance, by the other two estimators 2.5 and 2.8; of the
  same sign on .93 (.09) of the edges; the rank correlation over the six edges, .42 (.48), is not decided;
- with fixed alpha, whose m* owes nothing to what alpha prefers, the best is .96 (.07) with every edge for the skip
  connection, .73 (.03) without the covariance; by the other two .26 (.05) and .70 (.06). So the maps favour skip
  connections, and the search that follows them makes them favour these more;
- share_without_an_optimum .03 (.07); the formula and the minimisation differ by 2e-7 at most, on drawn maps as well,
  where without the covariance the median error is .13.

Time on 2 CPU cores: about a minute, 80 CPU s with a cold compilation cache. As it stands it wants an accelerator and
`--config.data_path=FOLDER`; optimal_alpha.py:space=s2 is another space.
"""

from configs import common


def get_config(arg=""):
    """Returns the config; arg takes runlocal, smoke and space, one with skip connections and convolutions."""
    args = common.parse_arg(arg, runlocal=False, smoke=False, space="nas_bench_201")
    config = common.architecture_search("optimal_alpha", args.space, "files")
    common.cifar(config)
    config.num_images = 64  # held-out images whose feature maps are looked at, as one batch
    config.limit = 10.0  # largest difference of alphas, returned where no finite one is best
    config.synthetic = 200  # drawn problems on which the formula is held against direct minimisation
    if args.runlocal or args.smoke:
        common.small_search(config)
        config.seeds = (0, 1, 2, 3, 4)
        config.num_images = 200
    if args.smoke:
        common.smoke_search(config)
        config.num_images, config.synthetic = 120, 20
    common.supernet_alone(config)
    config.searches = ("first_order", "fixed")  # fixed: alpha never moves, so m* owes nothing to what alpha prefers
    return config


def sweep():
    """Returns overrides: every space with skip connections and convolutions."""
    return [{"space": space} for space in ("nas_bench_201", "darts", "s1", "s2", "s3")]
