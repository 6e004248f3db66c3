"""DARTS, DARTS-PT and fixed alpha in the NAS-Bench-201 space on CIFAR-10, judged by the benchmark's own table.

python -m darts_perturb.main --config=configs/darts_perturb/nb201_cifar10.py:runlocal --workdir=DIR
    --config.data_path=FOLDER --config.table=nb201.npz
"""

from configs import common


def get_config(arg=""):
    """Returns the config; arg takes runlocal and smoke."""
    args = common.parse_arg(arg, runlocal=False, smoke=False)
    config = common.architecture_search("nb201_cifar10", "nas_bench_201", "files")
    common.cifar(config)
    config.retrain.seeds = config.retrain.random_cells = 0  # the table has trained every cell
    if args.runlocal:
        common.small_search(config, "files", epochs=8)
        config.seeds = (0,)
        config.num_train, config.num_test = 2000, 1000
        config.eval_batch_size = 100
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
