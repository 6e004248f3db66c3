"""CQD on single edges against GQE, Query2Box and BetaE on complex queries, by the amount of training data.

    python -m cqd.main --config=configs/cqd/query_models.py:runlocal --workdir=out/query_models
    python -m cqd.main --config=configs/cqd/query_models.py:runlocal,graph=umls --config.graph=umls \\
        --workdir=out/query_models_umls
    python -m cqd.main --config=configs/cqd/query_models.py:graph=fb15k237 --config.graph=fb15k237_triples.npz \\
        --config.queries=fb15k237_q2b_queries.npz --workdir=out/query_models_fb15k237

The argument of arXiv 2011.03459 for training on single edges: the query models, by their published recipes, take all
queries of one edge and some number of each complex type that they train on (2p, 3p, 2i, 3i; BetaE five with negation
too); CQD takes a share of the edges. None sees a validation or a test edge. Measures the filtered MRR of hard answers
by type, over the types that query models have seen and over those they have not (ip, pi, 2u, up), with training
queries, seconds and parameters, the MRR of a random order, and CQD less the best query model with a 95% interval over
seeds.

Expect at :runlocal (mean and sd of three seeds), MRR over seen and unseen types. Countries, chance .009: GQE .36 (.02)
and .26 (.03), Query2Box .40 (.02) and .31 (.03), both of 10,239 queries, BetaE .11 (.02) and .09 (.01) of 20,239; of
2,239 edges' queries the paper's beam .40 (.02) and .31 (.02), level with Query2Box (unseen -.001, 95% -.03 to .03),
and calibrated with certain edges .46 (.02) and .38 (.02), ahead by .06 (.03 to .10). UMLS, chance .046: GQE .50 and
.43, Query2Box .62 and .57, BetaE .56 and .52, the beam .78 and .73, calibrated .81 and .80. Time: 2 to 3 CPU minutes.

As it stands (the paper's sizes, 450,000 steps) it is for a GPU.
"""

from ml_collections import ConfigDict, config_dict

from configs import common

GRAPHS = ("countries", "umls", "fb15k237")


def get_config(arg=""):
    """Returns the config. Arguments: graph (countries, umls, fb15k237), runlocal (small models), smoke (every line)."""
    args = common.parse_arg(arg, runlocal=False, smoke=False, graph="countries")
    if args.graph not in GRAPHS:
        raise ValueError(f"unknown config argument graph={args.graph!r}: choose one of {', '.join(GRAPHS)}")
    config = ConfigDict({"run": "query_models"})
    common.knowledge_graph(config)
    common.link_predictor(config)
    config.source = ""  # where to get a graph that has to be given; unset: the embedded one will do

    config.queries = config_dict.placeholder(str)  # a file or folder of held-out benchmark queries; unset: sampled
    config.part = "test"  # whose edges are to be found; valid to choose settings by
    config.types = common.POSITIVE_TYPES + common.NEGATIVE_TYPES
    config.num_queries = 200  # held out, a type; of a file at most so many, 0 for all
    config.max_answers = 100  # of a sampled query, held out or trained on
    config.max_share = 1.0  # of the held-out queries that one relation, anchor or answer may be in
    config.queries_per_batch = 64

    config.models = ("gqe", "query2box", "betae")
    config.num_training = (0, 30, 300, 2000)  # queries of each complex type, beside all of one edge
    config.query_steps = 450_000
    config.query_steps_per_call = 1000
    config.query_batch_size = 512
    config.num_negatives = 128
    config.gqe = ConfigDict({"dim": 800, "gamma": 24.0, "learning_rate": 1e-4})
    config.query2box = ConfigDict({"dim": 400, "gamma": 24.0, "learning_rate": 1e-4, "alpha": 0.02})
    config.betae = ConfigDict({"dim": 400, "gamma": 60.0, "learning_rate": 1e-4, "hidden": 1600, "layers": 2})

    config.shares = (0.1, 0.3, 1.0)  # of the training edges, for CQD
    config.paper = "beam"  # the paper's setting
    config.best = "exact calibrated certain"  # the one that users are answered by
    config.methods = ("beam", "exact calibrated certain")
    config.max_steps = 1000  # of a method that is continuous

    _set_graph(config, args.graph)
    if args.runlocal:
        _small(config, args.graph)
    if args.smoke:
        _smoke(config)
    return config


def _set_graph(config, graph):
    """Sets the fields that differ between graphs, as their own configs have them."""
    if graph == "countries":
        config.batch_size, config.regularization = 500, 0.1
        return
    if graph == "umls":
        config.source = "such as the folder umls of github.com/villmow/datasets_knowledge_embedding"
        config.batch_size, config.regularization = 100, 0.01
        config.max_answers = 50
        config.num_training = (0, 100, 1000, 10_000)
    else:
        config.source = "such as fb15k237_triples.npz, and config.queries beside it; cqd/query_files.py has the formats"
        config.seeds = (0,)
        config.types = common.POSITIVE_TYPES
        config.num_queries = 0
        config.num_training = (0, 1000, 10_000, 50_000)
        config.shares = (0.01, 0.1, 1.0)


def _small(config, graph):
    """Sets the fields of models that take seconds; gamma shrinks with dim, as it is the scale of the embeddings."""
    config.rank, config.epochs, config.epochs_per_call = (50, 60, 10) if graph == "countries" else (100, 100, 10)
    config.query_steps, config.query_steps_per_call = 2000, 500
    config.query_batch_size, config.num_negatives = 128, 32
    config.num_training = config.num_training[2:]  # fewer than some hundred leave Query2Box and BetaE behind
    config.gqe.update({"dim": 64, "gamma": 6.0, "learning_rate": 0.01})
    config.query2box.update({"dim": 64, "gamma": 6.0, "learning_rate": 0.01})
    config.betae.update({"dim": 32, "gamma": 4.0, "learning_rate": 0.01, "hidden": 64})


def _smoke(config):
    """Sets the fields of a few seconds' run through every line."""
    common.smoke_predictor(config)
    config.seeds = config.seeds[:2]
    config.types = tuple(name for name in ("1p", "2p", "up", "2in") if name in config.types)
    config.num_queries = 4
    config.num_training = (0, 3)
    config.query_steps, config.query_steps_per_call = 4, 2
    config.query_batch_size, config.num_negatives = 8, 4
    config.gqe.dim = config.query2box.dim = config.betae.dim = 4
    config.betae.hidden = 8
    config.shares = (0.5, 1.0)
    config.methods = config.paper, config.best = ("beam k=4", "beam k=4 calibrated certain")
    config.queries_per_batch = 4


def sweep():
    """Returns overrides: the margins, to be compared with --config.part=valid."""
    return [{"gqe.gamma": margin, "query2box.gamma": margin} for margin in (3.0, 6.0, 12.0, 24.0)]
