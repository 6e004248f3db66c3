"""Complex questions over NELL995 with the validation queries of Query2Box, at the scale of the paper.

    python -m cqd.main --config=configs/cqd/nell995.py --config.graph=nell995_triples.npz \\
        --config.queries=nell995_q2b_queries.npz --workdir=out/nell995

As configs/cqd/fb15k237.py, on queries of validation triples, hence with a predictor trained on the training triples and
not chosen by validation. Not measured at full scale yet: 63,361 entities want a GPU.

:runlocal checks the plumbing on 10 queries a type (rank 16, one epoch).
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg=""):
    """Returns the config. Arguments: runlocal (rank 16, 10 queries a type), smoke (every line, little of it)."""
    args = common.parse_arg(arg, runlocal=False, smoke=False)
    config = ConfigDict({"run": "nell995"})
    common.complex_queries(config)
    config.embedded = ConfigDict()
    config.source = "such as nell995_triples.npz, and config.queries beside it; cqd/query_files.py has the formats"
    config.part = "valid"  # the test queries are not among the flat files
    config.seeds = (0,)
    config.types = common.POSITIVE_TYPES
    config.num_queries = 0
    config.methods = (
        "beam official k=8",
        "beam k=8",
        "beam",
        "beam min",
        "continuous",
        "exact",
        "exact calibrated certain",
    )
    config.num_enumerated = 1
    if args.runlocal:
        config.rank = 16
        config.epochs = 1
        config.num_queries = 10
        config.num_proved = 5
        config.max_steps = 50
        config.methods = ("beam k=8", "continuous", "exact", "exact calibrated certain")
        config.paper = "beam k=8"
    if args.smoke:
        common.smoke_complex_queries(config)
        config.seeds = (0,)
        config.epochs = 1
        config.epochs_per_call = 1
        config.types = ("1p", "2p", "up")
        config.methods = ("beam k=8", "exact calibrated certain")
    return config


def sweep():
    """Returns overrides: the weight of N3 and the rank."""
    return [{"regularization": weight, "rank": rank} for weight in (0.01, 0.05, 0.1) for rank in (100, 1000)]
