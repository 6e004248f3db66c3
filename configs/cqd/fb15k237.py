"""Complex questions over FB15k-237 with the test queries of Query2Box, at the scale of the paper.

    python -m cqd.main --config=configs/cqd/fb15k237.py --config.graph=fb15k237_triples.npz \\
        --config.queries=fb15k237_q2b_queries.npz --workdir=out/fb15k237

Trains ComplEx-N3 of rank 1000 for 100 epochs (a few minutes on a GPU, a day on 2 CPU cores), or takes a predictor that
configs/cqd/train.py has trained, --config.predictor=WORKDIR; answers every test query of Query2Box and ranks its hard
answers, which follow from the triples. docs/cqd.md has what rank 100 came out at: above the published Beam and CO on
every type when calibrated with certain edges, below them on most in the paper's own setting.

:runlocal checks the plumbing on 10 queries a type (rank 16, one epoch): about a minute on 2 CPU cores.
"""

from configs import common


def get_config(arg=""):
    """Returns the config. Arguments: runlocal (rank 16, 10 queries a type), smoke (every line, little of it)."""
    args = common.parse_arg(arg, runlocal=False, smoke=False)
    return common.query2box("fb15k237", args)


def sweep():
    """Returns overrides: the weight of N3 and the rank."""
    return [{"regularization": weight, "rank": rank} for weight in (0.01, 0.05, 0.1) for rank in (100, 1000)]
