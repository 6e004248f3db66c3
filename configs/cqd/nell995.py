"""Complex questions over NELL995 with the validation queries of Query2Box, at the scale of the paper.

    python -m cqd.main --config=configs/cqd/nell995.py --config.graph=nell995_triples.npz \\
        --config.queries=nell995_q2b_queries.npz --workdir=out/nell995

As configs/cqd/fb15k237.py, on queries of validation triples, hence with a predictor trained on the training triples and
not chosen by validation. Not measured at full scale yet: 63,361 entities want a GPU.

:runlocal checks the plumbing on 10 queries a type (rank 16, one epoch).
"""

from configs import common


def get_config(arg=""):
    """Returns the config. Arguments: runlocal (rank 16, 10 queries a type), smoke (every line, little of it)."""
    args = common.parse_arg(arg, runlocal=False, smoke=False)
    config = common.query2box("nell995", args)
    config.part = "valid"  # the test queries are not among the flat files
    return config


def sweep():
    """Returns overrides: the weight of N3 and the rank."""
    return [{"regularization": weight, "rank": rank} for weight in (0.01, 0.05, 0.1) for rank in (100, 1000)]
