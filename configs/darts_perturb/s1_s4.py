"""DARTS, DARTS-PT and fixed alpha in the reduced spaces S1 to S4 (Zela et al. 2020, arXiv:1909.09656).

    python -m darts_perturb.main --config=configs/darts_perturb/s1_s4.py:runlocal --workdir=DIR --config.space=s2

As it stands it wants an accelerator and `--config.data_path=FOLDER`: CIFAR-10, CIFAR-100 or SVHN as published; for the
last two the paper retrains `--config.retrain.channels=16 --config.retrain.layers=8`. Its test errors on CIFAR-10 in S2:
DARTS 4.85, DARTS-PT 2.79, fixed alpha 2.59 (the best of 4 seeds; this run reports all).

:runlocal is on digits, 3 layers of 4 channels: it shows every step, not the paper's figures; the cells have about .98,
like random ones. Time on 2 CPU cores: about 2 minutes.
"""

from configs import common


def get_config(arg=""):
    """Returns the config; arg takes runlocal and smoke."""
    args = common.parse_arg(arg, runlocal=False, smoke=False)
    config = common.architecture_search("s1_s4", "s2", "files")
    common.cifar(config)
    config.retrain.random_cells = 0
    if args.runlocal:
        common.small_search(config, "digits", epochs=10)
        config.seeds = (0,)
        config.projection.tune_epochs = 1
        config.retrain.random_cells = 5
    if args.smoke:
        common.smoke_search(config)
    return config


def sweep():
    """Returns overrides: every space. Give the images by --config.data_path; CIFAR-100 and SVHN are read alike."""
    return [{"space": f"s{number}"} for number in (1, 2, 3, 4)]
