"""Search, selection and retraining in the NAS-Bench-201 space on images that are inside Python wheels.

    python -m darts_perturb.main --config=configs/darts_perturb/textures.py:runlocal --workdir=DIR

What it measures, for every seed: the supernet is searched with alpha trained and with alpha fixed (arXiv:2108.04392,
section 5.2); cells are selected by the magnitude of alpha, and by perturbation on either supernet; every selected cell
and a few random ones are trained from new weights, the epoch chosen on validation images, and tested once.

Figures of :runlocal to expect (6 seeds, mean and standard deviation over seeds, on a CPU):
- parameter_free_share: .92 (.14) by magnitude, .67 (.15) by perturbation on trained alpha, .50 (.11) on fixed alpha.
- skip_minus_conv3x3 .35 (.29) and avg_pool_minus_conv3x3 .30 (.29): alpha drifts to operations without parameters,
  to copies in some seeds and to pools in others. With `--config.shift=1`, or on digits, it does not.
- test_accuracy: .306 (.032), .315 (.021), .323 (.008), random cells .303. The differences perturbation - magnitude,
  .010 and .017, have intervals that hold 0: these images do not decide which selection finds the better cell. The
  paper's on CIFAR-10, 33.8 and 39.5 points, need that scale.

Time: :runlocal about 2 minutes on 2 free CPU cores with a cold compilation cache, :smoke about half a minute, nearly
all compilation. The full size (16 channels, 5 cells a stage) is for an accelerator.

Other images: `--config.dataset=digits`, or `--config.dataset=files --config.data_path=PATH`: an .npz with x_train,
y_train, x_test, y_test, or a folder of CIFAR-10, CIFAR-100 or SVHN. `--config.projection.criterion=loss` selects by
loss, `--config.projection.tune_epochs=0` tunes nothing.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg=""):
    """Returns the config; arg takes runlocal and smoke."""
    args = common.parse_arg(arg, runlocal=False, smoke=False)
    config = ConfigDict()
    config.run = "textures"
    config.seeds = (0, 1, 2, 3)  # of the search; each selects one cell by every way
    config.space = "nas_bench_201"
    config.dataset = "textures"  # or digits, files
    config.data_path = ""  # of dataset=files
    config.data_seed = 0  # split and order of the images
    config.textures = ConfigDict({"size": 8, "num_train": 1000, "num_valid": 100, "num_test": 300})  # of each class
    config.shift = 0  # augmentation: largest move in pixels; moving the images weakens the drift of alpha
    config.flip = False
    config.channels = 16
    config.layers = 5  # cells a stage
    config.batch_size = 64
    config.eval_batch_size = 200
    config.steps_per_call = 78  # half-steps in one compiled call

    config.search = ConfigDict()
    config.search.epochs = 100  # over half of the training images
    config.search.learning_rate = 0.025
    config.search.final_learning_rate = 0.001
    config.search.alpha_learning_rate = 3e-4
    config.search.alpha_weight_decay = 1e-3

    config.projection = ConfigDict()
    config.projection.criterion = "accuracy"  # or loss
    config.projection.tune_epochs = 5  # between two projections
    config.projection.learning_rate = 0.0025
    config.projection.method = "auto"  # masks by vmap or map

    config.retrain = ConfigDict()
    config.retrain.epochs = 40  # over all training images
    config.retrain.seeds = 3
    config.retrain.random_cells = 10
    config.retrain.learning_rate = 0.1
    config.retrain.final_learning_rate = 0.0
    config.retrain.affine = True  # a learned scale and bias in the cells' normalisation

    if args.runlocal or args.smoke:
        config.seeds = (0, 1, 2, 3, 4, 5)
        config.textures.num_train = 240
        config.textures.num_valid = 60
        config.channels, config.layers = 4, 1
        config.steps_per_call = 18
        config.search.epochs = 40
        config.search.alpha_learning_rate = 0.03
        config.projection.tune_epochs = 3
        config.retrain.epochs = 12
        config.retrain.seeds = 2
        config.retrain.random_cells = 5
        config.retrain.affine = False
    if args.smoke:
        config.seeds = (0, 1)
        config.search.epochs = 2
        config.projection.tune_epochs = 1
        config.retrain.epochs = 1
        config.retrain.random_cells = 1
        config.retrain.seeds = 1
    return config


def sweep():
    """Returns overrides that ask the same of other criteria and data."""
    return [
        {"dataset": dataset, "projection.criterion": criterion}
        for dataset in ("textures", "digits")
        for criterion in ("accuracy", "loss")
    ]
