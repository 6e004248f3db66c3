"""What configs of cqd share: the graph, the link predictor, complex queries and their ranking."""

from ml_collections import ConfigDict, config_dict

POSITIVE_TYPES = ("1p", "2p", "3p", "2i", "3i", "ip", "pi", "2u", "up")
NEGATIVE_TYPES = ("2in", "3in", "inp", "pin", "pni")


def knowledge_graph(config):
    """Adds the fields of a graph and its division, those of the embedded countries where none is given."""
    config.seed = 0
    config.seeds = (0, 1, 2)
    config.graph = config_dict.placeholder(str)  # a file or folder of triples; unset: the embedded countries
    config.columns = "hrt"  # the order of head, relation, tail in tab-separated lines
    config.split = (0.85, 0.05, 0.10)  # of a graph that has no parts of its own
    config.together = ()  # of your graph: relations that give one another away, as "region,subregion"
    config.embedded = ConfigDict({"together": ("region,subregion,area",)})


def link_predictor(config):
    """Adds the fields of a link predictor's training, at the official recipe."""
    config.model = "complex"  # complex, distmult, cp, rotate
    config.rank = 1000
    config.epochs = 100
    config.epochs_per_call = 1
    config.batch_size = 1000
    config.learning_rate = 0.1
    config.regularization = 0.05  # of N3
    config.relation_weight = 0.0  # of the prediction of relations beside that of tails
    config.patience = 0  # evaluations on valid without a better one that end the training; 0: all epochs, no choice
    config.compute_dtype = "float32"  # or bfloat16


def small_predictor(config):
    """Sets the fields of a predictor of the countries that takes seconds."""
    config.rank = 50
    config.epochs = 60
    config.epochs_per_call = 10
    config.batch_size = 500
    config.regularization = 0.1


def smoke_predictor(config):
    """Sets the fields of a predictor that has merely been trained."""
    config.rank = 8
    config.epochs = 4
    config.epochs_per_call = 2


def complex_queries(config):
    """Adds the fields of complex queries, their methods and their ranking."""
    knowledge_graph(config)
    link_predictor(config)
    config.source = ""  # where the graph is from, for the message when it is not given
    config.predictor = config_dict.placeholder(str)  # a workdir with predictor.npz; unset: trained here
    config.questions = ()  # of your graph, as in cqd/query.py, to be explained
    config.embedded.questions = ()
    config.answers_shown = 4

    config.queries = config_dict.placeholder(str)  # a file or folder of benchmark queries; unset: sampled
    config.part = "test"  # whose edges are to be found
    config.types = POSITIVE_TYPES + NEGATIVE_TYPES
    config.num_queries = 200  # a type; of a file at most so many, 0 for all
    config.max_answers = 100  # of a sampled query
    config.max_share = 1.0  # of the sampled queries that one relation, anchor or answer may be in

    config.paper = "beam"  # the paper's setting
    config.best = "exact calibrated certain"  # the one that users are answered by
    config.methods = (
        "beam official k=8",
        "beam k=1",
        "beam k=8",
        "beam",
        "beam min",
        "continuous",
        "exact",
        "exact calibrated certain",
        "relaxed graph search, then frequency",
        "relation frequency",
        "graph search",
    )
    config.max_steps = 1000  # of continuous
    config.queries_per_batch = 64
    config.num_enumerated = 2  # queries a type, held against float64
    config.num_proved = 200  # queries a type whose answers ranked first have their proofs checked


def smoke_complex_queries(config):
    """Sets the fields of a few seconds' run through every line."""
    smoke_predictor(config)
    config.seeds = (0, 1)
    config.num_queries = 4
    config.types = ("1p", "2p", "2i", "up", "2in")
    config.methods = (
        "beam k=8",
        "beam k=1",
        "beam min k=8",
        "continuous",
        "exact",
        "exact calibrated certain",
        "relaxed graph search, then frequency",
        "relation frequency",
        "graph search",
    )
    config.paper = "beam k=8"
    config.max_steps = 5
    config.queries_per_batch = 4
    config.num_enumerated = 1


def small_benchmark(name, args, *, max_answers, columns="hrt"):
    """Returns the config of a benchmark graph of some hundred entities that comes as three files of text."""
    config = ConfigDict({"run": name})
    complex_queries(config)
    config.embedded = ConfigDict()
    config.source = f"such as the folder {name} of github.com/villmow/datasets_knowledge_embedding"
    config.columns = columns
    config.batch_size = 100
    config.regularization = 0.01
    config.max_answers = max_answers
    if args.runlocal:
        config.rank = 100
        config.epochs_per_call = 10
    if args.smoke:
        smoke_complex_queries(config)
    return config


def query2box(name, args):
    """Returns the config of a large graph whose queries come in a file."""
    config = ConfigDict({"run": name})
    complex_queries(config)
    config.embedded = ConfigDict()
    config.source = f"such as {name}_triples.npz, and config.queries beside it; cqd/query_files.py has the formats"
    config.seeds = (0,)
    config.types = POSITIVE_TYPES
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
        smoke_complex_queries(config)
        config.seeds = (0,)
        config.epochs = 1
        config.epochs_per_call = 1
        config.types = ("1p", "2p", "up")
        config.methods = ("beam k=8", "exact calibrated certain")
    return config
