"""Is the operation with the largest alpha the strongest? Every one made discrete and fine-tuned (figures 1 and 2).

    python -m darts_perturb.main --config=configs/darts_perturb/op_strength.py:runlocal --workdir=DIR

After a search, for every edge and operation: the edge keeps that operation alone, the supernet is fine-tuned, and its
accuracy (and loss) on the half of the images that its weights never see is the operation's strength. Whether it has
settled when config.projection.tune_epochs are over: last_epoch_of_fine_tuning in the summary is what the last of them
still changed, the mean and the size of_an_operation; the figure fine_tuning shows all. Against the strength stand alpha
and the removal scores, by_accuracy and by_loss: rank_correlation over the operations of an edge, mean over edges,
spread over seeds; the same with the spread over the edges of all seeds; same_best, the share of the edges whose best
operation by the measure is the strongest; given_up, what that costs. skip_beats_conv counts the edges on which skip is
above the 3x3 convolution.

Expect at :runlocal (textures, 3 seeds, mean and standard deviation over seeds):
- skip_beats_conv on 5.7 (.6) of 6 edges by alpha, on 3.0 (2.0) by the accuracy after fine-tuning, on .3 (.6) by its
  loss; in S2 the paper has 12 of 14 by alpha, while the convolution is the stronger on half of them;
- rank_correlation with the accuracy .27 (.19) by alpha, .16 (.22) by removal: the accuracies of an edge's operations
  differ by an SD of 1.3 points, about as much as chance moves them. With the loss, which tells operations apart, -.26
  (.19) by alpha and -.06 (.08) by removal: removal is better by .19 (.12), which three seeds do not decide;
- last_epoch_of_fine_tuning: the mean accuracy by .001 (.001), that of_an_operation by .008 (.003), up or down.
With `"--config.searches=('fixed',)"`, where alpha never moves, removal has .26 (.15) with the accuracy and .32 (.21)
with the loss, which rises by .04 in the last epoch: there the weights have begun to overfit.

Time on 2 CPU cores: about two minutes, 2.5 CPU minutes in all; :smoke 54 CPU s, nearly all compilation. As it stands
it wants an accelerator and `--config.data_path=FOLDER`. op_strength.py:space=s2 is the space of the paper's figures.
"""

from configs import common


def get_config(arg=""):
    """Returns the config; arg takes runlocal, smoke and space, one with skip connections and convolutions."""
    args = common.parse_arg(arg, runlocal=False, smoke=False, space="nas_bench_201")
    config = common.architecture_search("op_strength", args.space, "files")
    common.cifar(config)
    if args.space == "nas_bench_201":
        config.projection.tune_epochs = 25
    if args.runlocal or args.smoke:
        common.small_search(config)
        config.projection.tune_epochs = 5
    if args.smoke:
        common.smoke_search(config)
        config.projection.tune_epochs = 2
    common.supernet_alone(config, tuned=True)
    return config


def sweep():
    """Returns overrides: every space with skip connections and convolutions."""
    return [{"space": space} for space in ("nas_bench_201", "darts", "s1", "s2", "s3")]
