"""Complex questions over the embedded graph of countries, or over your own triples.

    python -m cqd.main --config=configs/cqd/countries.py:runlocal --workdir=out/countries
    python -m cqd.main --config=configs/cqd/countries.py:runlocal --config.graph=my.tsv --workdir=out/mine

Trains ComplEx-N3 on a leak-free split, samples queries of the nine positive types with a hard answer, answers them by
CQD-Beam (arXiv 2011.03459) and ranks the hard answers (MRR, Hits@k) beside graph search and relation frequency.
Measures how MRR depends on the beam, how often the proof behind a right answer is right, and how far the widest beam
is from a float64 enumeration. Writes explanations.txt: real questions with their answers and proofs, each edge observed
or predicted.

Expect at :runlocal (mean of five seeds): MRR .44 of held-out links; of complex queries, averaged over nine types,
.36 (sd .01) by beam 64 with the product t-norm and by a beam of all entities, .34 by beam 8, .31 by beam 1, .33 by
min; .12 by relaxed graph search with ties broken by frequency, .06 by frequency alone, .00 by graph search.
Lukasiewicz disjunctions (2u, up) come out near 0, for two truths that sum to 1 saturate. About .73 (sd .07) of the hard
answers ranked first (2p, 3p, ip, pi) have a proof that is true throughout. The beam of all entities is within 1e-6 of
float64.

Time on 2 CPU cores: about 50 s at :runlocal; in full (rank 1000, five seeds) about 2 minutes a seed.
"""

from ml_collections import ConfigDict, config_dict

from configs import common


def get_config(arg=""):
    """Returns the config. Arguments: runlocal (rank 50, five seeds), smoke (a few seconds, every line)."""
    args = common.parse_arg(arg, runlocal=False, smoke=False)
    config = ConfigDict()
    config.run = "countries"
    config.seed = 0
    config.seeds = (0, 1, 2, 3, 4)

    config.graph = config_dict.placeholder(str)  # a file or folder of triples; unset: the embedded countries
    config.columns = "hrt"
    config.split = (0.85, 0.05, 0.10)
    config.together = ()  # of your graph: relations that give one another away, as "region,subregion"
    config.questions = ()  # of your graph, as in cqd/query.py
    config.embedded = ConfigDict()
    config.embedded.together = ("region,subregion,area",)
    config.embedded.questions = (
        "borders(China) & borders(India)",
        "language^-1(English) & area^-1(Caribbean)",
        "capital(borders(Greece) | borders(Turkey))",
        "borders(Colombia) & language^-1(Spanish)",
        "region(capital^-1(Bridgetown))",
    )
    config.answers_shown = 4

    config.rank = 1000
    config.epochs = 100
    config.epochs_per_call = 1
    config.batch_size = 500
    config.learning_rate = 0.1
    config.regularization = 0.1

    config.types = ("1p", "2p", "3p", "2i", "3i", "ip", "pi", "2u", "up")
    config.num_queries = 200
    config.max_answers = 100
    config.tnorms = ("product", "min", "lukasiewicz")  # the first is used wherever only the beam varies
    config.beam_size = 64
    config.beam_sizes = (1, 8, 64, 0)  # 0: all entities
    config.queries_per_batch = 64
    config.num_enumerated = 3  # queries a type, held against float64

    if args.runlocal:
        config.seeds = (0, 1, 2, 3, 4)
        config.rank = 50
        config.epochs = 60
        config.epochs_per_call = 10
    if args.smoke:
        config.seeds = (0, 1)
        config.rank = 8
        config.epochs = 4
        config.epochs_per_call = 2
        config.num_queries = 4
        config.types = ("1p", "2p", "2i", "up")
        config.beam_size = 8
        config.beam_sizes = (1, 8, 0)
        config.tnorms = ("product", "min")
        config.queries_per_batch = 4
        config.num_enumerated = 1
    return config


def sweep():
    """Returns overrides: the weight of N3 and the rank."""
    return [{"regularization": weight, "rank": rank} for weight in (0.03, 0.05, 0.1, 0.2) for rank in (50, 200, 1000)]
