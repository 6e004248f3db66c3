"""Trains a link predictor on a knowledge graph and keeps it for questions.

    python -m cqd.main --config=configs/cqd/train.py:runlocal --workdir=out/predictor
    python -m cqd.main --config=configs/cqd/train.py:runlocal --config.graph=my.tsv --workdir=out/mine
    python -m cqd.main --config=configs/cqd/train.py --config.graph=fb15k237_triples.npz --config.rank=100 --workdir=...

ComplEx with N3 by the recipe of arXiv 1806.07297 (or DistMult, CP, RotatE): one-vs-all cross-entropy, reciprocal
relations, Adagrad. Measures the filtered MRR and Hits@k of the held-out links, both directions. The workdir then holds
predictor.npz, of the first seed: configs/cqd/ask.py answers questions from it, and every other config takes it as
--config.predictor. With --config.patience the best predictor by validation MRR is the one that is kept.

Expect at :runlocal (countries, three seeds): MRR .44. Time: about 10 s.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg=""):
    """Returns the config. Arguments: runlocal (rank 50), smoke (a few seconds, every line)."""
    args = common.parse_arg(arg, runlocal=False, smoke=False)
    config = ConfigDict({"run": "train"})
    common.knowledge_graph(config)
    common.link_predictor(config)
    if args.runlocal or args.smoke:
        common.small_predictor(config)
    if args.smoke:
        config.seeds = (0, 1)
        common.smoke_predictor(config)
        config.patience = 1
    return config


def sweep():
    """Returns overrides: the weight of N3 and the rank."""
    return [{"regularization": weight, "rank": rank} for weight in (0.03, 0.05, 0.1, 0.2) for rank in (50, 200, 1000)]
