"""Search, selection and retraining in the NAS-Bench-201 space on images that are inside Python wheels.

python -m darts_perturb.main --config=configs/darts_perturb/textures.py:runlocal --workdir=DIR
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
