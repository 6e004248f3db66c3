"""What configs share: strict typed arguments behind the colon of `--config=FILE:ARGS`."""

from ml_collections import ConfigDict, config_dict

POSITIVE_TYPES = ("1p", "2p", "3p", "2i", "3i", "ip", "pi", "2u", "up")
NEGATIVE_TYPES = ("2in", "3in", "inp", "pin", "pni")

_BOOLS = {"": True, "true": True, "1": True, "false": False, "0": False}


def parse_arg(arg, **defaults):
    """Returns the arguments of a config as a ConfigDict, typed as their defaults are.

    Args:
        arg: comma-separated `name=value` or bare `name` (true), as in "runlocal,dim=3".
        **defaults: every argument the config knows, with its default (bool, int, float or str).

    Raises:
        ValueError: an unknown argument, or a value that its type does not take.
    """
    args = ConfigDict(defaults)
    for item in filter(None, (arg or "").split(",")):
        name, _, text = item.partition("=")
        if name not in defaults:
            known = ", ".join(sorted(defaults)) or "none"
            raise ValueError(f"unknown config argument {name!r} (known: {known})")
        kind = type(defaults[name])
        try:
            args[name] = _BOOLS[text.lower()] if kind is bool else kind(text)
        except (KeyError, ValueError):
            raise ValueError(f"config argument {name}={text!r} is not of type {kind.__name__}") from None
    return args


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


def image_fields(config, dataset, **changes):
    """Adds the fields of images to search and train on."""
    config.dataset = dataset  # textures, digits, or files
    config.data_path = ""  # of dataset=files: an .npz, or a folder of CIFAR-10, CIFAR-100 or SVHN as published
    config.data_seed = 0  # split and order of the images
    config.num_train = 0  # training images of files, drawn at random; 0 for all
    config.num_test = 0  # test images of files; 0 for all
    config.valid_fraction = 0.1  # of the training images of files, held out to choose the epoch of retraining
    config.textures = ConfigDict({"size": 8, "num_train": 1000, "num_valid": 100, "num_test": 300})  # of each class
    config.shift = 0  # augmentation: largest move in pixels
    config.flip = False  # augmentation: mirror images half the time
    config.update(changes)


def darts_retraining(**changes):
    """Returns how the network of a DARTS genotype is trained on CIFAR (arXiv:1806.09055, appendix A.3)."""
    recipe = ConfigDict()
    recipe.seeds = 3  # how many times each cell is trained
    recipe.channels = 36
    recipe.layers = 20  # all cells
    recipe.epochs = 600
    recipe.batch_size = 96
    recipe.learning_rate = 0.025
    recipe.final_learning_rate = 0.0
    recipe.momentum = 0.9
    recipe.nesterov = False
    recipe.weight_decay = 3e-4
    recipe.clip = 5.0  # largest norm of the gradient; 0 for none
    recipe.auxiliary = 0.4  # weight of the auxiliary classifier's loss; 0 for none; needs images of 32x32
    recipe.drop_path = 0.2  # rate at the end, growing linearly; 0 for none
    recipe.cutout = 16  # side of the square that is cut out; 0 for none
    recipe.update(changes)
    return recipe


def nas_bench_201_retraining(**changes):
    """Returns how NAS-Bench-201 trains its networks on CIFAR-10 (arXiv:2001.00326, table 1)."""
    recipe = darts_retraining(
        channels=16,
        layers=5,  # cells a stage
        epochs=200,
        batch_size=256,
        learning_rate=0.1,
        nesterov=True,
        weight_decay=5e-4,
        clip=0.0,
        auxiliary=0.0,
        drop_path=0.0,
        cutout=0,
    )
    recipe.update(changes)
    return recipe


def architecture_search(name, space, dataset):
    """Returns the config of a search, its selections and their retraining, with the numbers of arXiv:2108.04392."""
    config = ConfigDict({"run": name, "space": space})
    config.space_file = ""  # a .json with a space of your own instead, see darts_perturb/space.py
    config.seeds = (0, 1, 2, 3)  # of the search; each selects one cell by every way
    config.searches = ("first_order", "fixed")  # also second_order, sdarts_rs, sdarts_adv; fixed: alpha never moves
    config.selections = ("magnitude", "perturbation", "one_shot")  # one_shot: perturbation without fine-tuning
    image_fields(config, dataset)
    config.channels = 16
    config.layers = 5 if space == "nas_bench_201" else 8  # cells a stage; of the DARTS spaces, all cells
    config.batch_size = 64
    config.eval_batch_size = 200
    config.steps_per_call = 120  # half-steps in one compiled call, about
    config.dtype = "float32"  # of activations; bfloat16 for an accelerator
    config.table = ""  # an .npz of the test accuracies of NAS-Bench-201, or a file or folder of NATS-Bench

    config.search = ConfigDict()
    config.search.epochs = 100 if space == "nas_bench_201" else 50  # over half of the training images
    config.search.learning_rate = 0.025
    config.search.final_learning_rate = 0.001
    config.search.momentum = 0.9
    config.search.weight_decay = 3e-4
    config.search.clip = 5.0
    config.search.alpha_learning_rate = 3e-4
    config.search.alpha_weight_decay = 1e-3
    config.search.epsilon = (0.03, 0.3)  # of sdarts_rs and sdarts_adv, at the first epoch and the last

    config.projection = ConfigDict()
    config.projection.criterion = "accuracy"  # or loss
    config.projection.order = "random"  # of the edges; gap: those whose strongest operation leads most come first
    config.projection.tune_epochs = 5  # between two projections
    config.projection.learning_rate = 0.0025
    config.projection.method = "auto"  # masks by vmap or map
    config.projection.official = False  # candidates on different batches and augmentation, as the public code has it
    config.projection.topology = "greedy"  # independent, official; which two edges into a node stay

    config.retrain = nas_bench_201_retraining() if space == "nas_bench_201" else darts_retraining()
    # or supernet, one compiled program for all cells: of these fields it reads the epochs, the rates, seeds and random
    # cells; its sizes, batches and optimiser are those of the search
    config.retrain.network = "own"
    config.retrain.seeds = 3  # of each selected cell; 0 for none
    config.retrain.random_cells = 10
    config.retrain.random_seeds = 1  # of each random cell, if selected cells have as many
    return config


def cifar(config, valid_fraction=0.1):
    """Sets the fields of images of CIFAR or SVHN: padded by 4, cropped and mirrored; bfloat16 for an accelerator."""
    config.dataset = "files"
    config.valid_fraction = valid_fraction
    config.shift, config.flip = 4, True
    config.dtype = "bfloat16"


def small_search(config, dataset="textures", epochs=40):
    """Sets the fields of a search that a CPU does in a minute: few channels, alpha's learning rate raised."""
    config.seeds = (0, 1, 2)
    config.dataset, config.shift, config.flip = dataset, 0, False
    config.textures.num_train, config.textures.num_valid = 240, 60
    config.channels, config.layers = 4, 1 if config.space == "nas_bench_201" else 3
    config.eval_batch_size = 120 if dataset == "digits" else 200
    config.steps_per_call = 18
    config.dtype = "float32"
    config.search.epochs = epochs
    config.search.alpha_learning_rate = 0.03
    config.projection.tune_epochs = 3
    config.retrain.network = "supernet"
    config.retrain.learning_rate, config.retrain.final_learning_rate = 0.1, 0.0
    config.retrain.epochs = 12
    config.retrain.seeds = 2


def smoke_search(config):
    """Sets the fields of a few seconds' run through every line, on digits."""
    small_search(config, "digits", epochs=1)
    config.seeds = (0, 1)
    config.steps_per_call = 6
    config.projection.tune_epochs = 1
    config.retrain.epochs = 1
    config.retrain.random_cells = 2
    config.retrain.seeds = 1
