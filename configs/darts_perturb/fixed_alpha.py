"""Perturbation on a supernet whose alpha never moves: no bilevel search at all (arXiv:2108.04392, section 5.3).

python -m darts_perturb.main --config=configs/darts_perturb/fixed_alpha.py:runlocal --workdir=DIR
"""

from configs import common


def get_config(arg=""):
    """Returns the config; arg takes runlocal and smoke."""
    args = common.parse_arg(arg, runlocal=False, smoke=False)
    config = common.architecture_search("fixed_alpha", "nas_bench_201", "files")
    common.cifar(config)
    config.searches = ("fixed",)
    config.selections = ("perturbation", "one_shot")
    if args.runlocal:
        common.small_search(config)
        config.retrain.random_cells = 10
    if args.smoke:
        common.smoke_search(config)
    return config


def sweep():
    """Returns overrides: the spaces in which the paper fixes alpha."""
    return [{"space": "nas_bench_201"}, *({"space": space, "layers": 8} for space in ("darts", "s1", "s2", "s3", "s4"))]
