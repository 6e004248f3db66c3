"""DARTS, DARTS-PT and fixed alpha in the NAS-Bench-201 space on CIFAR-10, judged by the benchmark's own table.

    python -m darts_perturb.main --config=configs/darts_perturb/nb201_cifar10.py:runlocal --workdir=DIR
        --config.data_path=FOLDER --config.table=FILE

FOLDER is CIFAR-10 as published, FILE the table (darts_perturb/tabular.py has the forms); without it the cells are
selected and not judged. As it stands the schedule is the paper's: 100 epochs, batch 64, alpha's learning rate 3e-4, 5
epochs of fine-tuning between projections, on an accelerator. The paper's figures: magnitude 54.30 (every edge a copy),
DARTS-PT 88.11, fixed alpha 93.80.

:runlocal searches 2,000 images for 8 epochs with 4 channels and one cell a stage: it shows the run, not the paper's
figures. Time on 2 CPU cores: about 2 minutes.
"""

from configs import common


def get_config(arg=""):
    """Returns the config; arg takes runlocal and smoke."""
    args = common.parse_arg(arg, runlocal=False, smoke=False)
    config = common.architecture_search("nb201_cifar10", "nas_bench_201", "files")
    common.cifar(config, valid_fraction=0.004)  # no epoch is chosen: nearly all images are searched on
    config.retrain.seeds = config.retrain.random_cells = 0  # the table has trained every cell
    if args.runlocal:
        common.small_search(config, "files", epochs=8)
        config.seeds = (0,)
        config.num_train, config.num_test = 2000, 1000
        config.valid_fraction, config.eval_batch_size = 0.1, 100
        config.projection.tune_epochs = 1
        config.retrain.seeds = config.retrain.random_cells = 0
    if args.smoke:
        common.smoke_search(config)
    return config


def sweep():
    """Returns overrides: the order of the edges and the criterion of perturbation."""
    return [
        {"projection.order": order, "projection.criterion": criterion}
        for order in ("random", "gap")
        for criterion in ("accuracy", "loss")
    ]
