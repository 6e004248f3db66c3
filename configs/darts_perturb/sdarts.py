"""Smoothed search, SDARTS-RS and SDARTS-ADV (Chen & Hsieh 2020, arXiv:2002.05283), by magnitude and perturbation.

    python -m darts_perturb.main --config=configs/darts_perturb/sdarts.py:runlocal --workdir=DIR

As it stands it is the DARTS space on CIFAR-10, on an accelerator, with `--config.data_path=FOLDER`; the paper's test
errors are 2.67 for SDARTS-RS and 2.54 with perturbation. :runlocal is the NAS-Bench-201 space on texture patches, 10
epochs, 2 seeds: too few for a comparison.

Expect at :runlocal: parameter_free_share of the cells by magnitude .58 and .50 (RS, ADV), where the same images without
smoothing and four times the epochs give .92. Time on 2 CPU cores: about 2 minutes, most of it compilation.
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
