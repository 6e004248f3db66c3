"""Finds wrong predicted edges by the proofs of wrong answers, has them judged, and refines the predictor.

    python -m cqd.main --config=configs/cqd/refinement.py:runlocal --workdir=out/refinement
    python -m cqd.main --config=configs/cqd/refinement.py:runlocal --config.predictor=out/refinement \
        --config.seeds="(0,)" --config.judgements=mine.tsv --workdir=out/refined

Queries about validation edges are answered, and the predicted edges that the best proofs of wrong answers need are
ranked by blame: candidates_SEED.tsv. The most blamed are judged, here by the full graph, or by you: put accept or
reject for the ? of that file and give it as config.judgements. The predictor is fine-tuned on what was judged, how
strongly is chosen on the other half of the validation queries, and refined.npz, of the first seed, answers in
configs/cqd/ask.py. Queries about test edges measure: MRR before and after, on those whose first answers rest on a
judged edge (affected) and on the rest, told of false edges alone ("rejected") and of true ones too ("judged"), where
no answer counts that accepted edges give away. Beside it: judged edges overridden without any training, fine-tuning
without judgements, and random judgements of random predicted edges.

Expect at :runlocal (three seeds): of the 200 edges judged, 149 false. Told of these alone, MRR of affected queries .349
to .456 (+.107, sd .048; +.067 at the least), of the rest .517 to .520 (+.002, sd .005; -.004 at the least); overridden
+.137 and +.001; random edges -.004 and -.013. Told of true edges too, .234 to .263 (+.029, sd .017) and +.002 (sd .006;
-.005 at the least); overridden +.063 and +.003. Blame tells false from true edges poorly, AUC .60, since true edges
that are missing make as many wrong answers.

Time on 2 CPU cores: about 1 minute at :runlocal (80 CPU seconds).
"""

from ml_collections import ConfigDict, config_dict

from configs import common


def get_config(arg=""):
    """Returns the config. Arguments: runlocal (rank 50), smoke (a few seconds, every line)."""
    args = common.parse_arg(arg, runlocal=False, smoke=False)
    config = ConfigDict({"run": "refinement"})
    common.knowledge_graph(config)
    common.link_predictor(config)
    config.predictor = config_dict.placeholder(str)  # a workdir with predictor.npz; unset: trained here
    config.judgements = config_dict.placeholder(str)  # a file as judgements_0.tsv; unset: the full graph judges

    config.types = common.POSITIVE_TYPES
    config.num_queries = 500  # a type, about test edges: those that measure
    config.num_judging = 200  # a type, about validation edges: one half finds edges, the other chooses the fine-tuning
    config.max_answers = 100  # of a query
    config.queries_per_batch = 64
    config.setting = "exact calibrated certain"  # how they are answered; the paper's: beam
    config.first = 5  # answers of a query whose proofs are looked at
    config.num_judged = 200  # of the most blamed edges

    config.accept = 0.1  # weights of the fine-tuning: of accepted edges
    config.reject = (10.0, 30.0, 100.0)  # of rejected ones, by validation queries
    config.keep = 300.0  # of KL to the predictor before
    config.largest_loss = 0.005  # of MRR on the other half's unaffected queries that a weight may cost
    config.tune_epochs = 10
    config.tune_rate = 0.01  # of Adam
    config.batch_size = 500
    config.regularization = 0.1
    if args.runlocal:
        common.small_predictor(config)
        config.num_queries = 60
        config.num_judging = 60
        config.reject = (30.0, 100.0)
    if args.smoke:
        common.smoke_predictor(config)
        config.batch_size = 500
        config.seeds = (0, 1)
        config.types = ("1p", "2p")
        config.num_queries = config.num_judging = 12
        config.queries_per_batch = 8
        config.first = 2
        config.num_judged = 20
        config.reject = (10.0, 30.0)
        config.tune_epochs = 2
    return config


def sweep():
    """Returns overrides: how many edges are judged, and in which setting."""
    settings = ("exact calibrated certain", "beam")
    return [{"num_judged": count, "setting": setting} for count in (50, 100, 200, 400) for setting in settings]
