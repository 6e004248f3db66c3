"""Smoothed search, SDARTS-RS and SDARTS-ADV (Chen & Hsieh 2020, arXiv:2002.05283), by magnitude and perturbation.

python -m darts_perturb.main --config=configs/darts_perturb/sdarts.py:runlocal --workdir=DIR
"""

from configs import common


def get_config(arg=""):
    """Returns the config; arg takes runlocal and smoke."""
    args = common.parse_arg(arg, runlocal=False, smoke=False)
    config = common.architecture_search("sdarts", "darts", "files")
    common.cifar(config)
    config.searches = ("sdarts_rs", "sdarts_adv")
    config.selections = ("magnitude", "perturbation")
    config.retrain.random_cells = 0
    if args.runlocal:
        config.space = "nas_bench_201"
        common.small_search(config, epochs=10)
        config.seeds = (0, 1)
        config.retrain.random_cells = 5
    if args.smoke:
        common.smoke_search(config)
    return config


def sweep():
    """Returns overrides: how far the op weights are moved."""
    return [{"search.epsilon": (0.03, last)} for last in (0.1, 0.3)]
