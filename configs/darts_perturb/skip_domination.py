"""Skip domination: the lead of skip connections over convolutions against the supernet's accuracy, as it trains.

    python -m darts_perturb.main --config=configs/darts_perturb/skip_domination.py:runlocal --workdir=DIR

After every epoch of the search: the mean of alpha_skip - alpha_conv after softmax, and the accuracy of the supernet on
the half of the images that its weights never see (alpha does), as in the paper's figure 3. The summary has
rank_correlation of the two over epochs, the same given the epoch (both follow it), that of the lead with the epoch, and
both at the end; mean over seeds, with 95% intervals.

Expect at :runlocal (textures, 3 seeds, mean and standard deviation over seeds): rank_correlation .18 (.14), -.16 to
.52; lead_at_end .35 (.41). The lead rises with the accuracy over the first ten epochs; then the accuracy stands while
in some seeds the skip connections go on and in others average pools take over. In S2, which has skip connections and
separable convolutions alone (`skip_domination.py:runlocal,space=s2 --config.search.epochs=20`, a few minutes), it is
.69 (.03), .61 to .77, and the lead .11 (.10); with the two operations skip_connect and nor_conv_3x3 on the edges of
NAS-Bench-201 (--config.space_file) .34 (.20), and the lead .92 (.02) in every seed. Given the epoch .16 (.06) are left
in the first, .01 to .31, and nothing in these two, -.08 (.31) and -.10 (.14).

Time on 2 CPU cores: about half a minute. As it stands it wants an accelerator and `--config.data_path=FOLDER`.
"""

from configs import common


def get_config(arg=""):
    """Returns the config; arg takes runlocal, smoke and space, one with skip connections and convolutions."""
    args = common.parse_arg(arg, runlocal=False, smoke=False, space="nas_bench_201")
    config = common.architecture_search("skip_domination", args.space, "files")
    common.cifar(config)
    if args.runlocal or args.smoke:
        common.small_search(config)
    if args.smoke:
        common.smoke_search(config)
        config.search.epochs = 3
    common.supernet_alone(config)
    return config


def sweep():
    """Returns overrides: every space with skip connections and convolutions."""
    return [{"space": space} for space in ("nas_bench_201", "darts", "s1", "s2", "s3")]
