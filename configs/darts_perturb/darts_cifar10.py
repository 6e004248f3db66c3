"""DARTS, DARTS-PT and fixed alpha in the DARTS space on CIFAR-10; the selected cells retrained by the paper's recipe.

    python -m darts_perturb.main --config=configs/darts_perturb/darts_cifar10.py:runlocal --workdir=DIR

As it stands it wants an accelerator and `--config.data_path=FOLDER`, CIFAR-10 as published: 8 layers, 50 epochs, every
edge and then the topology decided with 5 epochs of fine-tuning in between; then 600 epochs of 36 channels and 20 layers
for every cell and seed, which `--config.retrain.seeds=0` leaves out. The paper's test errors: DARTS 3.00, DARTS-PT
2.61, fixed alpha 2.87.

:runlocal is on digits, 3 layers of 4 channels: it shows every step, not the paper's figures; the cells have about .98.
Time on 2 CPU cores: about 3.5 minutes, half of it compilation.
"""

from configs import common


def get_config(arg=""):
    """Returns the config; arg takes runlocal and smoke."""
    args = common.parse_arg(arg, runlocal=False, smoke=False)
    config = common.architecture_search("darts_cifar10", "darts", "files")
    common.cifar(config)
    config.retrain.random_cells = 0
    if args.runlocal:
        common.small_search(config, "digits", epochs=5)
        config.seeds = (0,)
        config.selections = ("magnitude", "perturbation")
        config.projection.tune_epochs = 1
        config.retrain.seeds = 1
    if args.smoke:
        common.smoke_search(config)
    return config


def sweep():
    """Returns overrides: ways to choose the two edges into a node."""
    return [{"projection.topology": way} for way in ("greedy", "independent", "official")]
