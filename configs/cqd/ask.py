"""Asks a trained predictor questions in SPARQL, or as trees; answers them with probabilities and proofs.

    python -m cqd.main --config=configs/cqd/train.py:runlocal --workdir=out/predictor
    python -m cqd.main --config=configs/cqd/ask.py --config.predictor=out/predictor \\
        --config.query='SELECT ?x WHERE { ?x :borders :China, :India }' --workdir=out/answers
    cqd-ask --predictor=out/predictor 'SELECT ?x WHERE { ?x :borders :China, :India }'

`cqd-ask` takes the fields below as flags, needs no workdir and prints the answers. Without a predictor one is trained
in the workdir first, ComplEx on all edges of the embedded countries or of --config.graph, and the workdir then is one
to give as --config.predictor; without a query five are asked of the countries.

Answers that follow from observed edges come first, then predicted ones by their probability: the exact optimum over
all entities, scores calibrated and observed edges certain (QTO, arXiv 2212.09567). Each has its proof, edge by edge.
Writes answers.txt, answers.json, and figures/proofs.png with proofs.csv for the first question.

Expect of the five questions: Bhutan, Myanmar, Nepal and Pakistan border China and India. Time: about 20 s at :runlocal,
where a predictor is trained; a few seconds to ask one, and hundredths a question once its shape is compiled.
"""

from ml_collections import ConfigDict, config_dict

from configs import common


def get_config(arg=""):
    """Returns the config. Arguments: runlocal (rank 50), smoke (a few seconds, every line)."""
    args = common.parse_arg(arg, runlocal=False, smoke=False)
    config = ConfigDict({"run": "ask"})
    config.predictor = config_dict.placeholder(str)  # a finished run's workdir or its predictor.npz; unset: train one
    config.query = config_dict.placeholder(str)
    config.queries = ()  # more of them

    config.method = "exact"  # beam, continuous
    config.tnorm = "product"  # min, lukasiewicz
    config.beam_size = 64  # of method beam
    config.normalize = "calibrated"  # sigmoid, softmax
    config.known = "certain"  # observed edges have truth 1; "": the predictor's
    config.observed = "all"  # every edge of the predictor's file is observed; known: those of train and valid alone
    config.num_answers = 5  # predicted
    config.num_known = 2  # that follow from observed edges, shown with a proof
    config.num_proofs = 1  # an answer
    config.min_truth = 0.01  # of a predicted answer
    config.closed = True  # no second capital where one is observed, no loop of a relation that has none
    config.certificate = False  # of method beam: each answer's distance to the exact optimum

    common.knowledge_graph(config)
    config.seeds = (0,)
    config.split = (1.0, 0.0, 0.0)
    config.embedded.queries = (
        "SELECT ?x WHERE { ?x :borders :China, :India }",
        "SELECT ?x WHERE { ?x :language :English ; :area :Caribbean }",
        "SELECT ?c WHERE { { ?n :borders :Greece } UNION { ?n :borders :Turkey } ?n :capital ?c }",
        "SELECT ?x WHERE { ?x :borders :Colombia ; :language :Spanish }",
        "SELECT ?r WHERE { ?r ^:region/:capital :Bridgetown }",
    )
    common.link_predictor(config)
    if args.runlocal or args.smoke:
        common.small_predictor(config)
    if args.smoke:
        common.smoke_predictor(config)
        config.num_proofs = 2
        config.embedded.queries = ("SELECT ?x ?y WHERE { ?x :borders ?y MINUS { ?x :language :French } } LIMIT 2",)
    return config


def sweep():
    """Returns overrides: the methods."""
    return [{"method": method} for method in ("exact", "beam", "continuous")]
