"""Layers and edges exchanged at test time: is a network an unrolled estimation of one feature map (table 1)?

    python -m darts_perturb.main --config=configs/darts_perturb/unrolled.py:runlocal --workdir=DIR

A plain net, a residual net and a searched supernet are trained; then two layers of every stage change places, or two
edges of every cell (the same two in all cells of a kind, as they share their alpha), with all that belongs to them; and
every layer or edge is left out by itself. The summary has test accuracies: intact, exchanged (mean over up to
config.num_exchanges random exchanges), left_out; spread over seeds, and sd_within_a_seed over exchanges. The plain and
the residual net are normalised by running statistics, which travel with their layer, as the paper's networks are at
test time; figures that end in _batch_statistics are of the same nets normalised by the batch at hand, which is the only
way a supernet is. cosine and distance say how near the output of a layer or edge is to the mean of the others of its
stage or cell, the means of channels taken away.

Expect at :runlocal (digits, 3 seeds, mean and standard deviation over seeds), intact -> exchanged:
- plain .987 (.004) -> .107 (.006); residual .982 (.004) -> .793 (.082); supernet .970 (.006) -> .738 (.015);
- so residual_minus_plain .69 (.08), 95% interval .48 to .89. The paper has, on CIFAR-10, VGG 92.69 -> 9.83 (.33),
  ResNet 93.86 -> 83.20 (2.03), its supernet 88.44 -> 81.09 (1.87);
- normalised by the batch the residual net keeps .938 (.008), the plain one .105 (.007);
- left_out: plain .166 (.044), residual .911 (.046), supernet .833 (.017);
- cosine: plain .04 (.03), residual .90 (.01), supernet .55 (.03).

Time on 2 CPU cores: about a minute and a half, 120 CPU s, with a cold compilation cache, :smoke 70 CPU s. As it stands
it is CIFAR-10, by `--config.data_path=FOLDER`, with the DARTS space, and wants an accelerator.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg=""):
    """Returns the config; arg takes runlocal, smoke and space, that of the supernet, which is darts as it stands."""
    args = common.parse_arg(arg, runlocal=False, smoke=False, space="")
    small = args.runlocal or args.smoke
    config = common.architecture_search("unrolled", args.space or ("nas_bench_201" if small else "darts"), "files")
    common.cifar(config)
    config.seeds = (0, 1, 2)
    config.num_exchanges = 20  # of two layers a stage, drawn at random; of two edges a cell
    config.num_images = 64  # test images whose feature maps are looked at, as one batch
    config.plain = ConfigDict({"channels": 64, "layers": 4})  # of the first stage; alike layers of a stage
    config.residual = ConfigDict({"channels": 16, "layers": 9})
    config.train = ConfigDict()  # of the plain and the residual net
    config.train.epochs = 160
    config.train.batch_size = 128
    config.train.learning_rate = 0.1
    config.train.final_learning_rate = 0.0
    config.train.momentum = 0.9
    config.train.weight_decay = 5e-4
    if small:
        common.small_search(config, "digits")
        config.num_images = 120
        config.plain = ConfigDict({"channels": 8, "layers": 4})
        config.residual = ConfigDict({"channels": 8, "layers": 4})
        config.train.epochs, config.train.batch_size = 30, 64
    if args.smoke:
        common.smoke_search(config)
        config.num_exchanges = 2
        config.plain.layers = config.residual.layers = 2
        config.train.epochs = 1
    common.supernet_alone(config)
    del config.conv
    return config


def sweep():
    """Returns overrides: deeper stages."""
    return [{"plain.layers": layers, "residual.layers": layers} for layers in (3, 6, 9)]
