"""Search, selection and retraining in the NAS-Bench-201 space on images that are inside Python wheels.

    python -m darts_perturb.main --config=configs/darts_perturb/textures.py:runlocal --workdir=DIR

For every seed the supernet is searched with alpha trained and with alpha fixed (arXiv:2108.04392, section 7); cells
are selected by the magnitude of alpha, and by perturbation with and without fine-tuning on either supernet; every
selected cell and 30 random ones are trained from new weights, the epoch chosen on validation images, and tested once.

Expect at :runlocal (6 seeds, mean and standard deviation over seeds, on a CPU):
- parameter_free_share .92 (.14) by magnitude, .78 (.14) by perturbation on trained alpha, .39 (.20) on fixed alpha;
- skip_minus_conv .47 (.36): alpha drifts to operations without parameters, to copies in some seeds and to pools in
  others. With `--config.shift=1`, or on digits, it does so weakly;
- test_accuracy .312 (.028), .318 (.020), .334 (.016), random cells .309 (.027). Only perturbation on fixed alpha is
  better than random with confidence, by .026 (.008 to .043); against magnitude six seeds do not decide.
docs/darts_perturb.md has the whole table.

Time on 2 CPU cores: about 4 minutes, 2 for one seed (`--config.seeds='(0,)'`) with a cold compilation cache; :smoke
half a minute, nearly all compilation. The full size (16 channels, 5 cells a stage) is for an accelerator.

Other images: `--config.dataset=files --config.data_path=PATH`, an .npz with x_train, y_train, x_test, y_test, or a
folder of CIFAR-10, CIFAR-100 or SVHN. `--config.projection.criterion=loss` selects by loss, `order=gap` takes the
clearest edges first, `official=True` compares candidates on different batches, as the public code does.
"""

from configs import common


def get_config(arg=""):
    """Returns the config; arg takes runlocal and smoke."""
    args = common.parse_arg(arg, runlocal=False, smoke=False)
    config = common.architecture_search("textures", "nas_bench_201", "textures")
    if args.runlocal:
        common.small_search(config)
        config.seeds = (0, 1, 2, 3, 4, 5)
        config.retrain.random_cells = 30
    if args.smoke:
        common.smoke_search(config)
    return config


def sweep():
    """Returns overrides that ask the same of other criteria and data."""
    return [
        {"dataset": dataset, "projection.criterion": criterion}
        for dataset in ("textures", "digits")
        for criterion in ("accuracy", "loss")
    ]
