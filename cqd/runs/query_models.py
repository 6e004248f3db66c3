"""CQD, which trains on single edges, beside GQE, Query2Box and BetaE, which train on complex queries.

Every method sees the training edges of one division alone, and ranks the hard answers of the same held-out queries. The
query models are trained on all queries of one edge and on some number of each complex type; CQD's predictor on a share
of the edges. Types ip, pi, 2u and up no query model has seen.
"""

import functools
import itertools
import re
from typing import NamedTuple

import jax
import numpy as np

from cqd import continuous, graph, ranking, sampling
from cqd import query as queries_lib
from cqd.baselines import betae, chance, forms, gqe, query2box, query_model, query_training
from cqd.runs import asked, clock, comparison, fitting, graphs, methods
from cqd.runs import query_models_plots as plots
from cqd.runs.comparison import CQD
from experiment import errors

INPUTS = ("graph", "queries")
PARTS = ("test", "valid")
MODELS = {"gqe": gqe.GQE, "query2box": query2box.Query2Box, "betae": betae.BetaE}
TRAINED = ("2p", "3p", "2i", "3i")  # the complex types of training
TRAINED_NEGATED = ("2in", "3in", "inp", "pin", "pni")  # and those of models with negation
SETTINGS = ("paper", "best")  # fields of the config that name a method of CQD
_STATIC = ("num_steps", "model", "batch_size", "num_negatives")
_steps = functools.partial(jax.jit, static_argnames=_STATIC, donate_argnums=0)(query_training.steps)


class Data(NamedTuple):
    """What `load` has read, checked and drawn.

    Attributes:
        vocabulary: the labels.
        worlds: {seed: World}.
        sampled: {seed: {type: list of `sampling.Sample`}}, the held-out queries.
    """

    vocabulary: graph.Vocabulary
    worlds: dict
    sampled: dict


def load(config):
    """Returns Data: the graph, the held-out queries, and every field of the config checked."""
    if config.graph is None and config.source:
        raise ValueError(f"config.graph: this run needs a file or folder of triples, {config.source}")
    _check(config)
    fitting.check(config)
    vocabulary, worlds = graphs.read(config)
    if config.part == "valid":
        worlds = {seed: _asked_of_valid(vocabulary, world) for seed, world in worlds.items()}
    sampled = {seed: asked.queries(config, vocabulary, world, seed) for seed, world in worlds.items()}
    return Data(vocabulary, worlds, sampled)


def _asked_of_valid(vocabulary, world):
    train, valid, _ = world.splits
    return graphs.world(vocabulary, type(world.splits)(train, valid[:0], valid))


def _check(config):
    graphs.check_items(config, types=str, models=str, methods=str, num_training=int, shares=(int, float))
    positive = ("max_answers", "queries_per_batch", "query_steps", "query_steps_per_call", "query_batch_size")
    for name in (*positive, "num_negatives", "max_steps", *(() if config.queries else ("num_queries",))):
        if config[name] < 1:
            raise ValueError(f"config.{name}={config[name]}: at least 1 is due")
    if config.query_steps % config.query_steps_per_call:
        raise ValueError(f"config.query_steps={config.query_steps} is not a multiple of {config.query_steps_per_call=}")
    for name in config.types:
        if name not in queries_lib.TEMPLATES:
            raise ValueError(f"config.types: {name!r}; choose among {', '.join(queries_lib.TEMPLATES)}")
    for group in ("seen", "unseen"):
        if not set(comparison.GROUPS[group]) & set(config.types):
            raise ValueError(f"config.types={config.types}: some of {', '.join(comparison.GROUPS[group])} are due")
    for name, known in (("models", MODELS), ("part", PARTS)):
        for item in config[name] if name == "models" else (config[name],):
            if item not in known:
                raise ValueError(f"config.{name}: {item!r}; choose among {', '.join(known)}")
    for name in ("types", "models", "num_training", "shares"):
        if not config[name] or len(set(config[name])) < len(config[name]):
            raise ValueError(f"config.{name}={config[name]}: one or more, all different, are due")
    if config.part == "valid" and config.patience:
        raise ValueError("config.patience: queries of valid are not for a predictor chosen on valid; give 0")
    if min(config.num_training) < 0:
        raise ValueError(f"config.num_training={config.num_training}: numbers from 0 up are due")
    if not all(0 < share <= 1 for share in config.shares):
        raise ValueError(f"config.shares={config.shares}: numbers above 0 and at most 1 are due")
    with graphs.field("methods"):
        methods.check(config.methods)
    for name in SETTINGS:
        if config[name] not in config.methods:
            raise ValueError(f"config.{name}={config[name]!r}: due to be one of config.methods")
    for name in config.models:
        _check_model(name, config[name])


def _check_model(name, fields):
    for key, value in fields.items():
        if not 0 < value < float("inf"):
            raise ValueError(f"config.{name}.{key}={value}: a number above 0 is due")


def run(config, data, workdir):
    """Returns the figures: MRR by type, data, time and parameters of every method; chance; CQD less the best other."""
    drawn = {
        seed: workdir.stage(f"training_queries_{seed}", functools.partial(_training_queries, config, data, seed))
        for seed in config.seeds
    }
    warm = set()
    results = [_run_seed(config, data, seed, _pools(config, drawn, seed), workdir, warm) for seed in config.seeds]
    _log(config, workdir, results)
    for name, plot in plots.PLOTS.items():
        rows = workdir.rows(name)
        workdir.save_figure(name, plot(rows), rows)
    return {
        "graph": graphs.sizes(data.vocabulary, data.worlds[config.seeds[0]]),
        "queries": {name: len(samples) for name, samples in data.sampled[config.seeds[0]].items()},
        **comparison.figures(results, {name: f"{CQD} {config[name]}" for name in SETTINGS}),
    }


def _training_queries(config, data, seed):
    """Returns {type: {"rows" [Q, WIDTH], "counts" [Q], "answers" [A]}}: of training edges alone, as many as may be."""
    vocabulary, (splits, _, _) = data.vocabulary, data.worlds[seed]
    sizes = {"num_entities": vocabulary.num_entities, "num_relations": vocabulary.num_relations}
    index = graph.build_index(splits.train, **sizes)
    relations, heads = np.divmod(index.rows[:-1], vocabulary.num_entities)
    edges = zip(relations.tolist(), heads.tolist())
    queries = [queries_lib.Projection(relation, queries_lib.Entity(head)) for relation, head in edges]
    found = {"1p": _arrays(queries, np.split(index.tails, index.starts[1:-1]))}
    for name in _trained_types(config) if max(config.num_training) else ():
        with errors.user_errors(), graphs.field("num_training"):
            samples = sampling.sample(
                name,
                max(config.num_training),
                seed=(config.seed, seed, list(queries_lib.TEMPLATES).index(name), 1),
                observed=graph.build_index(splits.train[:0], **sizes),  # nothing: all answers count
                full=index,
                max_answers=config.max_answers,
            )
        found[name] = _arrays([sample.query for sample in samples], [sample.hard for sample in samples])
    return found


def _trained_types(config):
    return TRAINED + (TRAINED_NEGATED if any(MODELS[name].negates for name in config.models) else ())


def _arrays(queries, answers):
    return {
        "rows": forms.encode(queries)[0],
        "counts": np.array([len(of) for of in answers]),
        "answers": np.concatenate(answers),
    }


def _pools(config, drawn, seed):
    """Returns {Trial: (Pool, its queries)} of a seed; those of one model are equal in shape over seeds and amounts."""
    found = {}
    for name in config.models:
        types = ("1p", *TRAINED, *(TRAINED_NEGATED if MODELS[name].negates else ()))
        largest = [_chosen(of_seed, types, max(config.num_training)) for of_seed in drawn.values()]
        sizes = {
            "num_queries": max(len(answers) for _, answers, _ in largest),
            "num_answers": max(sum(map(len, answers)) for _, answers, _ in largest),
        }
        for amount in config.num_training:
            chosen = _chosen(drawn[seed], types, amount)
            found[comparison.Trial(name, amount)] = query_training.pool(*chosen, **sizes), len(chosen[0])
    return found


def _chosen(drawn, types, amount):
    """Returns (rows, answers, weights) of all queries of one edge and of so many of each complex type.

    All are drawn alike, but no complex type more often than single edges: in the published mixtures they are as many.
    """
    rows, answers, weights = [], [], []
    single = len(drawn["1p"]["rows"])
    for name in types if amount else ("1p",):
        size = single if name == "1p" else amount
        rows.append(drawn[name]["rows"][:size])
        answers += np.split(drawn[name]["answers"], np.cumsum(drawn[name]["counts"])[:-1])[:size]
        weights.append(np.full(len(rows[-1]), min(1, single / len(rows[-1]))))
    return np.concatenate(rows), answers, np.concatenate(weights)


def _run_seed(config, data, seed, pools, workdir, warm):
    """Returns {"chance": {type: MRR}, "trials": {Trial: what it took and came to}} of one seed."""
    num_entities, trials = data.vocabulary.num_entities, {}
    for trial, pool in pools.items():
        trials[trial] = _query_model(config, data, seed, trial, *pool, workdir, warm)
    for share in config.shares:
        trials |= _cqd(config, data, seed, share, workdir, warm)
    by_chance = {name: chance.mrr(samples, num_entities) for name, samples in data.sampled[seed].items()}
    return {"chance": by_chance, "trials": trials}


def _query_model(config, data, seed, trial, pool, size, workdir, warm):
    """Returns the result of one query model on one amount of training queries."""
    fields = config[trial.method].to_dict()
    learning_rate, rate = fields.pop("learning_rate"), f"config.{trial.method}.learning_rate"
    sizes = {"num_entities": data.vocabulary.num_entities, "num_relations": data.vocabulary.num_relations}
    model = MODELS[trial.method](**sizes, **fields)
    init_key, train_key = jax.random.split(jax.random.fold_in(jax.random.key(config.seed), seed))
    queries = jax.device_put(pool)

    def step(state, number):
        return _steps(
            state,
            train_key,
            number,
            queries,
            model=model,
            num_steps=config.query_steps_per_call,
            total_steps=config.query_steps,
            batch_size=config.query_batch_size,
            num_negatives=config.num_negatives,
            learning_rate=learning_rate,
        )

    timed = clock.Clock(workdir, _stage_name(trial), program=trial.method, warm=warm)
    counts = {"num_steps": config.query_steps, "steps_per_call": config.query_steps_per_call}
    params = timed.loop(f"train_{seed}", query_training.init(init_key, model), step, **counts).params
    score = functools.partial(query_model.scores, model, params, batch_size=config.queries_per_batch)
    held_out = data.sampled[seed]
    if not model.negates:
        held_out = {name: samples for name, samples in held_out.items() if name not in TRAINED_NEGATED}
    return {
        "training_queries": size,
        "parameters": query_training.num_parameters(params),
        **timed.seconds,
        "ranked": workdir.stage(f"rank_{_stage_name(trial)}_{seed}", lambda: _rank(config, score, held_out, rate)),
    }


def _cqd(config, data, seed, share, workdir, warm):
    """Returns {Trial: result} of CQD's methods, of a predictor trained on a share of the training edges."""
    world, sizes = data.worlds[seed], (data.vocabulary.num_entities, data.vocabulary.num_relations)
    train = world.splits.train
    order = np.random.default_rng((config.seed, seed)).permutation(len(train))
    splits = world.splits._replace(train=train[np.sort(order[: max(1, round(share * len(train)))])])
    known = graph.build_index(splits.train, num_entities=sizes[0], num_relations=sizes[1])
    timed = clock.Clock(workdir, _stage_name(comparison.Trial(CQD, share)), program=len(splits.train), warm=warm)
    params = fitting.fit(config, data.vocabulary, world._replace(splits=splits), seed, timed)
    took = {
        "training_queries": len(known.rows) - 1,
        "parameters": query_training.num_parameters(params),
        **timed.seconds,
    }
    search = continuous.Search(max_steps=config.max_steps, regularization=config.regularization)
    found = {}
    for method in config.methods:
        trial = comparison.Trial(f"{CQD} {method}", share)
        score = methods.scorer(method, params, known, batch_size=config.queries_per_batch, search=search)
        ranked = functools.partial(_rank, config, score, data.sampled[seed])
        found[trial] = {**took, "ranked": workdir.stage(f"rank_{_stage_name(trial)}_{seed}", ranked)}
    return found


def _stage_name(trial):
    return re.sub(r"\W+", "_", f"{trial.method}_{trial.amount}")


def _rank(config, score, held_out, rate="config.learning_rate"):
    """Returns {type: metrics} of one method; rate: the field to lower where its training diverged."""
    found, size = {}, 16 * config.queries_per_batch
    for name, samples in held_out.items():
        parts = (samples[start : start + size] for start in range(0, len(samples), size))
        batches = (np.asarray(score([sample.query for sample in part])) for part in parts)
        with fitting.finite(f"{name} queries", rate):
            ranks = ranking.stream_ranks(batches, [s.easy for s in samples], [s.hard for s in samples])
        found[name] = ranking.metrics(ranks)
    return found


def _log(config, workdir, results):
    """Writes the rows of the figures, in the order of the config: a stage that was read back has lost its own."""
    for number, (seed, result) in enumerate(zip(config.seeds, results)):
        steps = itertools.count(10_000 * number)
        for trial, of in result["trials"].items():
            row = {"seed": seed, **trial._asdict(), "training_queries": of["training_queries"]}
            for name, value in comparison.mrr(of).items():
                workdir.log("mrr_by_training_queries", next(steps), **row, type=name, mrr=value)
        chances = comparison.grouped(result["chance"])
        for trial in comparison.most_data(result["trials"]):
            of = result["trials"][trial]
            row = {"seed": seed, "method": trial.method, "training_queries": of["training_queries"]}
            for name, value in comparison.mrr(of).items():
                row_of_type = {**row, "parameters": of["parameters"], "type": name, "mrr": value}
                workdir.log("mrr_by_type", next(steps), **row_of_type, chance=chances[name])
