"""Complex questions over Kinship, 104 people and 25 relations.

    python -m cqd.main --config=configs/cqd/kinship.py:runlocal --config.graph=FOLDER --workdir=out/kinship

Link prediction, and queries of 14 types by every method, as configs/cqd/countries.py. In the published files the
relation comes first.

Expect at :runlocal (mean of three seeds): MRR .860 of held-out links; of complex queries, averaged over the nine types
without negation, .66 by beam 8, .70 by beam 64 and the optimum, .77 calibrated with certain edges; with negation .10
and .69. Time on 2 CPU cores: about 1 minute.
"""

from configs import common


def get_config(arg=""):
    """Returns the config. Arguments: runlocal (rank 100), smoke (a few seconds, every line)."""
    args = common.parse_arg(arg, runlocal=False, smoke=False)
    return common.small_benchmark("kinship", args, max_answers=50, columns="rht")  # of 104 entities


def sweep():
    """Returns overrides: the weight of N3."""
    return [{"regularization": weight} for weight in (0.005, 0.01, 0.05, 0.1)]
