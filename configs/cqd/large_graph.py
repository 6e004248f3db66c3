"""A graph of a million entities and twenty million triples: made, loaded, indexed, trained on and asked.

    python -m cqd.main --config=configs/cqd/large_graph.py:runlocal --workdir=out/large
    XLA_FLAGS=--xla_force_host_platform_device_count=8 \\
        python -m cqd.main --config=configs/cqd/large_graph.py --workdir=out/million

Measures the seconds and the peak memory of every phase: a synthetic graph (cqd/synthetic.py) is written as a file of
text, read back, indexed; ComplEx-N3 takes some steps of the full one-vs-all softmax, a tile of the entities at a time;
held-out triples are ranked; questions 2p and 2i are answered by beam, and once more on one device, whose best answers
are due to be the same. Rows of the entity table lie over all devices; the flag above makes eight of one processor.

So few steps learn nothing: the run is about size, and its MRR and share of right answers are those of a predictor that
has hardly been trained. docs/scale.md has what came out, and what 86 million entities would take.

Expect: a peak of 3.5 GB, 70 to 85 seconds of processor time. :runlocal, 50,000 entities and a million triples: 0.7
GB, half a minute.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg=""):
    """Returns the config. Arguments: runlocal (50,000 entities), smoke (2,000, every line)."""
    args = common.parse_arg(arg, runlocal=False, smoke=False)
    config = ConfigDict({"run": "large_graph"})
    config.seed = 0
    config.num_entities = 1_000_000
    config.num_relations = 200
    config.num_triples = 20_000_000
    config.num_clusters = 1000  # a relation leads from one to one
    config.num_tested = 100  # triples held out, ranked in both directions

    config.rank = 32
    config.steps = 4
    config.batch_size = 512
    config.learning_rate = 0.1
    config.regularization = 0.05  # of N3
    config.tile_rows = 16_384  # entities of a device scored at once in training; 0: as many as a gigabyte has room for

    config.num_queries = 16  # of 2p, and of 2i
    config.queries_per_batch = 16
    config.beam_size = 64
    config.num_answers = 10
    config.compare = True  # answer them on one device, too
    if args.runlocal:
        config.num_entities = 50_000
        config.num_relations = 50
        config.num_triples = 1_000_000
        config.num_clusters = 200
        config.steps = 20
        config.num_queries = 64
    if args.smoke:
        config.num_entities = 2_000
        config.num_relations = 10
        config.num_triples = 20_000
        config.num_clusters = 20
        config.num_tested = 20
        config.rank = 8
        config.steps = 3
        config.batch_size = 64
        config.num_queries = 4
        config.queries_per_batch = 4
        config.beam_size = 8
    return config


def sweep():
    """Returns overrides: the size of the graph, twenty triples an entity."""
    return [{"num_entities": size, "num_triples": 20 * size} for size in (100_000, 300_000, 1_000_000)]
