"""Complex questions over the embedded graph of countries, or over your own triples.

    python -m cqd.main --config=configs/cqd/countries.py:runlocal --workdir=out/countries
    python -m cqd.main --config=configs/cqd/countries.py:runlocal --config.graph=my.tsv --workdir=out/mine

Trains ComplEx-N3 on a leak-free split, draws queries of all 14 types with a hard answer, answers them by CQD-Beam
(arXiv 2011.03459), by gradient search, exactly, and exactly with calibrated scores and certain edges, and ranks the
hard answers (MRR, Hits@k, by missing links) beside graph search and relation frequency. Measures the gap of every beam
to the optimum, how often the proof behind a right answer is right, and how far the widest beam is from a float64
enumeration. Writes explanations.txt, .json and a picture a question: answers with their proofs, each edge observed or
predicted. The workdir keeps the first seed's predictor for configs/cqd/ask.py.

Expect at :runlocal (mean of three seeds): MRR .44 of held-out links; of complex queries, averaged over the nine types
without negation, .36 (sd .02) by beam 64 and by the optimum, .43 (.02) calibrated with certain edges, .34 by beam 8,
.31 by continuous, .11 by relaxed graph search with ties broken by frequency; with negation .02, and .35 calibrated. Of
a query's hard answers ranked first .52 (sd .08) have a proof that is true throughout, .88 (.01) calibrated.

Time on 2 CPU cores: about 1 minute at :runlocal; in full (rank 1000) some minutes a seed.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg=""):
    """Returns the config. Arguments: runlocal (rank 50), smoke (a few seconds, every line)."""
    args = common.parse_arg(arg, runlocal=False, smoke=False)
    config = ConfigDict({"run": "countries"})
    common.complex_queries(config)
    config.embedded.questions = (
        "borders(China) & borders(India)",
        "language^-1(English) & area^-1(Caribbean)",
        "capital(borders(Greece) | borders(Turkey))",
        "borders(Colombia) & language^-1(Spanish)",
        "region(capital^-1(Bridgetown))",
    )
    config.batch_size = 500
    config.regularization = 0.1
    if args.runlocal:
        common.small_predictor(config)
    if args.smoke:
        common.smoke_complex_queries(config)
    return config


def sweep():
    """Returns overrides: the weight of N3 and the rank."""
    return [{"regularization": weight, "rank": rank} for weight in (0.03, 0.05, 0.1, 0.2) for rank in (50, 200, 1000)]
