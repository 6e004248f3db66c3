"""Search and selection in the NAS-Bench-201 space on scikit-learn's digits.

python -m darts_perturb.main --config=configs/darts_perturb/digits.py:runlocal --workdir=DIR
"""

from configs import common


def get_config(arg=""):
    """Returns the config; arg takes runlocal and smoke."""
    args = common.parse_arg(arg, runlocal=False, smoke=False)
    config = common.architecture_search("digits", "nas_bench_201", "digits")
    config.eval_batch_size = 120
    if args.runlocal:
        common.small_search(config, "digits")
        config.retrain.random_cells = 5
    if args.smoke:
        common.smoke_search(config)
    return config


def sweep():
    """Returns overrides: criteria of perturbation."""
    return [{"projection.criterion": criterion} for criterion in ("accuracy", "loss")]
