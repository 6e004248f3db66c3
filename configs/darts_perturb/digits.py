"""Search and selection in the NAS-Bench-201 space on scikit-learn's digits.

    python -m darts_perturb.main --config=configs/darts_perturb/digits.py:runlocal --workdir=DIR

The figures of configs/darts_perturb/textures.py. Digits are easy: every cell has about .98, the spread of cells is that
of retrainings, and no selection can be told from another or from chance.

Expect at :runlocal (3 seeds): parameter_free_share .67 (.17) by magnitude, .39 (.25) by perturbation on trained alpha,
.11 (.10) on fixed alpha; test_accuracy .979, .983, .981, random cells .977. Time on 2 CPU cores: about 2 minutes.
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
