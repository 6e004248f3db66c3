"""Complex questions over the embedded graph of countries, or over your own triples.

    python -m cqd.main --config=configs/cqd/countries.py:runlocal --workdir=out/countries
    python -m cqd.main --config=configs/cqd/countries.py:runlocal --config.graph=my.tsv --workdir=out/mine

EXPECT
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
        config.rank = 50
        config.epochs = 60
        config.epochs_per_call = 10
    if args.smoke:
        common.smoke_complex_queries(config)
    return config


def sweep():
    """Returns overrides: the weight of N3 and the rank."""
    return [{"regularization": weight, "rank": rank} for weight in (0.03, 0.05, 0.1, 0.2) for rank in (50, 200, 1000)]
