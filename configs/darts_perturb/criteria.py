"""Selection criteria side by side: the true rank in NAS-Bench-201 of the cell that each selects from one supernet.

    python -m darts_perturb.main --config=configs/darts_perturb/criteria.py:runlocal --workdir=DIR --config.table=FILE

FILE is the table of NAS-Bench-201 (darts_perturb/tabular.py has the forms); without it the run selects and reports
cells and their share of operations without parameters. For every seed a supernet with trained and one with fixed alpha;
on each of them

- magnitude, of the trained one alone;
- perturbation_, with fine-tuning between projections, and one_shot_, without, by accuracy and by loss, candidates
  compared on the same batches; official_ compares them on batches of their own, as the public code does;
- shapley_: Monte-Carlo Shapley values on the same batches for every coalition, walks ending early.

On the supernet before any training: a proxy's loss when an operation is removed (jacobian, gradient, saliency), the
edges decided in fixed, reversed or random order, or node by node. The summary has for each the rank and accuracy on
CIFAR-10, CIFAR-100 and ImageNet16-120, mean, SD and 95% interval over seeds, beside 1,000 random cells, and what the
selection cost: CPU seconds and images passed forward and backward, without the training of the supernet.

:runlocal searches textures with 4 channels and one cell a stage, while the ranks are those of large networks trained on
CIFAR and ImageNet: it asks what carries over from small and strange to large, and its intervals are wide. Expect, mean
rank on CIFAR-10 of 15,625 (4 seeds, SD in brackets; random cells 7,971, 95% of the mean 7,690 to 8,253):
- better than random by their intervals: saliency reversed 442 (318), fixed 1,041 (468) and random 2,006 (3,147),
  perturbation_loss on fixed alpha 932 (648);
- between: one_shot_loss on fixed alpha 2,977 (4,029), jacobian nodes 4,008 (3,600), official_accuracy on fixed alpha
  4,635 (3,894), shapley_loss on trained alpha 6,395 (4,891), and the others;
- magnitude 11,802 (2,601), perturbation on trained alpha 10,281 and 10,382: worse than random on average.
Four seeds and 29 criteria: by chance alone one or two intervals would leave random out.

Time on a CPU: :runlocal 3.5 minutes with a cold compilation cache, :smoke one minute, nearly all compilation. As it
stands (`--config.data_path=FOLDER`, CIFAR-10 as published) the schedule of the search is the paper's, for an
accelerator. `--config.criteria="('magnitude', 'saliency_reversed')"` runs some.
"""

from ml_collections import ConfigDict

from configs import common

_ORDERS = ("fixed", "reversed", "random", "nodes")
CRITERIA = (
    "magnitude",
    "perturbation_accuracy",
    "perturbation_loss",
    "one_shot_accuracy",
    "one_shot_loss",
    "official_accuracy",
    "official_one_shot",
    "shapley_accuracy",
    "shapley_loss",
    *(f"{proxy}_{order}" for proxy in ("jacobian", "gradient", "saliency") for order in _ORDERS),
)


def get_config(arg=""):
    """Returns the config; arg takes runlocal and smoke."""
    args = common.parse_arg(arg, runlocal=False, smoke=False)
    config = common.architecture_search("criteria", "nas_bench_201", "files")
    common.cifar(config, valid_fraction=0.004)  # no epoch is chosen: nearly all images are searched on
    if args.runlocal or args.smoke:
        common.small_search(config, epochs=20)
    if args.smoke:
        common.smoke_search(config)
    for field in ("selections", "retrain", "space", "space_file"):
        del config[field]
    for field in ("criterion", "topology"):
        del config.projection[field]
    config.criteria = CRITERIA
    config.searches = ("first_order", "fixed")
    config.random_cells = 1000  # looked up in the table
    config.shapley = ConfigDict()
    config.shapley.walks = 10  # orders of removal
    config.shapley.batches = 4  # of eval_batch_size held-out images, the same for every coalition
    config.shapley.truncation = 0.5  # a walk ends when this share of what there is to lose is left; 0: none ends early
    config.zero_cost = ConfigDict({"batch_size": 64})
    if args.runlocal:
        config.seeds = (0, 1, 2, 3)
        config.shapley.walks, config.shapley.batches = 4, 2
    if args.smoke:
        config.random_cells = 3
        config.shapley.walks, config.shapley.batches = 1, 1
        config.zero_cost.batch_size = 8
    return config


def sweep():
    """Returns overrides: other images to search on."""
    return [{"dataset": dataset} for dataset in ("textures", "digits")]
