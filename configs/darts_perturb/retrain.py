r"""Retraining of given cells by the recipe of their paper, the epoch chosen on validation images.

    python -m darts_perturb.main --config=configs/darts_perturb/retrain.py:runlocal --workdir=out/retrain

Every cell of config.genotypes is trained from new weights in a network of its own, once for each of config.seeds; the
weights of the epoch with the best validation accuracy are tested, once. (The public code reports the best test accuracy
of all epochs, and trains on the validation images too.) The summary has for each cell: test_accuracy and
valid_accuracy, mean, standard deviation, standard error and every seed's; best_epoch; params and multiply_adds. The
figures: training loss and validation accuracy by epoch, and the cells drawn.

Without arguments the cell DARTS_V2 is trained by the recipe of arXiv:1806.09055 on images that you name,

    python -m darts_perturb.main --config=configs/darts_perturb/retrain.py --workdir=out/darts_v2 \
        --config.data_path=cifar-10-batches-bin --config.dtype=bfloat16

which wants an accelerator and hours: 600 epochs of a network of 3,349,342 parameters and 528 million multiply-adds. The
paper has 2.76% (.09) test error for it, trained on all 50,000 images; here a tenth of them is held out. With
`retrain.py:nas_bench_201` a cell of NAS-Bench-201 is trained by the recipe of arXiv:2001.00326, 200 epochs, and
`--config.table=FILE.npz` looks it up in that benchmark's table.

Other cells: `"--config.genotypes=('|nor_conv_3x3~0|+...',)"`, either form of text; all of one run share a recipe.
config.space=s1 holds them to that space. Other images: any layout that experiment.images reads, or
`--config.dataset=textures`; a laptop takes a part of them, `--config.num_train=2000 --config.num_test=1000`.

Expect at :runlocal (digits, 8 channels, 3 cells, 40 epochs, 3 seeds; mean and standard deviation): test accuracy .984
(.007), and at :runlocal,nas_bench_201 (1 cell a stage) .990 (.003). Digits do not rank cells: those differ by as little
as seeds do. The training loss of the DARTS cell rises a little again in the end, as drop path grows.

Time on 2 CPU cores with a cold compilation cache: :runlocal half a minute to a minute, :smoke about 25 s, nearly all
compilation.
"""

from ml_collections import ConfigDict, config_dict

from configs import common

# the second-order cell of arXiv:1806.09055, found on CIFAR-10
DARTS_V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)
# the best cell on CIFAR-10 in the table of arXiv:2001.00326
NAS_BENCH_201_CELL = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"


def get_config(arg=""):
    """Returns the config; arg takes nas_bench_201 (its cell and recipe in place of DARTS's), runlocal and smoke."""
    args = common.parse_arg(arg, nas_bench_201=False, runlocal=False, smoke=False)
    config = ConfigDict({"run": "retrain"})
    config.seeds = (0, 1, 2)  # of weights, batches and augmentation, the same for every cell
    config.genotypes = (NAS_BENCH_201_CELL if args.nas_bench_201 else DARTS_V2,)
    config.space = config_dict.placeholder(str)  # where the genotypes must lie, as s1; unset: as they are written
    config.table = ""  # an .npz of the test accuracies of NAS-Bench-201, or a file or folder of NATS-Bench
    common.image_fields(config, "files", shift=4, flip=True)
    config.dtype = "float32"  # of activations; bfloat16 for an accelerator
    config.eval_batch_size = 500
    config.steps_per_call = 50  # about; a number that divides an epoch
    config.retrain = common.nas_bench_201_retraining() if args.nas_bench_201 else common.darts_retraining()
    del config.retrain.seeds  # they are config.seeds
    if args.runlocal or args.smoke:
        config.dataset = "digits"
        config.shift, config.flip = 1, False
        config.retrain.channels, config.retrain.layers = 8, 1 if args.nas_bench_201 else 3
        config.retrain.batch_size = 64
        config.retrain.epochs = 40
        config.retrain.auxiliary = 0.0  # digits are 8x8
        config.retrain.cutout = 2
    if args.smoke:
        config.seeds = (0, 1)
        config.retrain.channels = 4
        config.retrain.epochs = 2
    return config


def sweep():
    """Returns overrides: what the recipe is made of, one part left out at a time."""
    return [{f"retrain.{part}": value} for part, value in {"cutout": 0, "drop_path": 0.0, "auxiliary": 0.0}.items()]
