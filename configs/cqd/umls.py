"""Complex questions over UMLS, 135 concepts of medicine and 46 relations.

    python -m cqd.main --config=configs/cqd/umls.py:runlocal --config.graph=FOLDER --workdir=out/umls

Link prediction, and queries of 14 types by every method, as configs/cqd/countries.py.

Expect at :runlocal (mean of three seeds): MRR .955 of held-out links; of complex queries, averaged over the nine types
without negation, .71 by beam 8, .76 by beam 64 and the optimum, .83 calibrated with certain edges; with negation .28
and .63. Time on 2 CPU cores: about 1 minute.
"""

from configs import common


def get_config(arg=""):
    """Returns the config. Arguments: runlocal (rank 100), smoke (a few seconds, every line)."""
    args = common.parse_arg(arg, runlocal=False, smoke=False)
    return common.small_benchmark("umls", args, max_answers=50)  # of 135 entities


def sweep():
    """Returns overrides: the weight of N3."""
    return [{"regularization": weight} for weight in (0.005, 0.01, 0.05, 0.1)]
