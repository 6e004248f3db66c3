"""Complex questions over Nations, 14 countries and 55 relations.

    python -m cqd.main --config=configs/cqd/nations.py:runlocal --config.graph=FOLDER --workdir=out/nations

Link prediction, and queries of 14 types by every method, as configs/cqd/countries.py. In the published files the
relation comes first.

Expect at :runlocal (mean of three seeds): MRR .794 of held-out links; of complex queries, averaged over the nine types
without negation, .63 by beam 8, beam 64 and the optimum, .66 calibrated with certain edges; with negation .55 and .67.
Time on 2 CPU cores: about 1 minute.
"""

from configs import common


def get_config(arg=""):
    """Returns the config. Arguments: runlocal (rank 100), smoke (a few seconds, every line)."""
    args = common.parse_arg(arg, runlocal=False, smoke=False)
    return common.small_benchmark("nations", args, max_answers=10, columns="rht")  # of 14 entities


def sweep():
    """Returns overrides: the weight of N3."""
    return [{"regularization": weight} for weight in (0.005, 0.01, 0.05, 0.1)]
