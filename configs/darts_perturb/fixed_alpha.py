"""Perturbation on a supernet whose alpha never moves: no bilevel search at all (arXiv:2108.04392, section 7).

    python -m darts_perturb.main --config=configs/darts_perturb/fixed_alpha.py:runlocal --workdir=DIR

As it stands it is NAS-Bench-201 on CIFAR-10, on an accelerator, with `--config.data_path=FOLDER` and, for the tabulated
accuracies of the selected cells, `--config.table=FILE`; `fixed_alpha.py:space=darts`, or s1 to s4, is another space
with its sizes and recipe. :runlocal is on texture patches, the images of configs/darts_perturb/textures.py.

Expect at :runlocal (3 seeds): test_accuracy .347 (.005) by perturbation with fine-tuning, .301 (.014) without, random
cells .298; the first is .050 above random cells (.035 to .064) here, .026 over the six seeds of textures. Time on 2 CPU
cores: about a minute.
"""

from configs import common


def get_config(arg=""):
    """Returns the config; arg takes runlocal, smoke and space."""
    args = common.parse_arg(arg, runlocal=False, smoke=False, space="nas_bench_201")
    config = common.architecture_search("fixed_alpha", args.space, "files")
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
    """Returns overrides: criteria and orders of perturbation."""
    return [
        {"projection.criterion": criterion, "projection.order": order}
        for criterion in ("accuracy", "loss")
        for order in ("random", "gap")
    ]
