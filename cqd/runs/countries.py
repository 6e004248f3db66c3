"""Train ComplEx, answer sampled complex queries by beam search, rank, explain: on countries or on a user's triples."""

import contextlib
import functools
import itertools
import json
import re
from typing import NamedTuple

import jax
import numpy as np
from absl import logging

from cqd import (
    answering,
    enumeration,
    explain,
    graph,
    loading,
    predictor,
    ranking,
    sampling,
    split,
    symbolic,
    tnorm,
    training,
)
from cqd import query as queries_lib
from cqd.baselines import frequency, graph_search
from cqd.runs import countries_plots as plots

TYPES_WITH_VARIABLES = ("2p", "3p", "ip", "pi")  # whose proofs can go wrong; in up one branch suffices


def _relaxed_then_frequency(index, queries):
    # Values of relaxed search differ by far more than the 1e-3 that breaks their ties.
    return graph_search.relaxed(index, queries) + 1e-3 * frequency.frequency(index, queries)


BASELINES = {
    "relaxed graph search, then frequency": _relaxed_then_frequency,
    "relation frequency": frequency.frequency,
    "graph search": graph_search.exact,
}


INPUTS = ("graph",)


class World(NamedTuple):
    """One seed's graph: splits, indices of the known edges (train and valid) and of all, samples by query type."""

    splits: split.Splits
    known: graph.Index
    full: graph.Index
    sampled: dict


class Data(NamedTuple):
    """What `load` has read, checked and drawn: labels, questions, and a World a seed."""

    vocabulary: graph.Vocabulary
    questions: tuple
    worlds: dict


def load(config):
    """Returns Data: the graph, and every field of the config checked."""
    _check(config)
    vocabulary, parts = loading.load(config.graph or "", columns=config.columns)
    own = config.graph is not None
    together = config.together if own else config.together + config.embedded.together
    questions = config.questions if own else config.questions + config.embedded.questions
    with _field("together"):
        groups = [[vocabulary.relation_id(label.strip()) for label in text.split(",")] for text in together]
    with _field("questions"):
        questions = tuple(_question(text, vocabulary) for text in questions)
    return Data(vocabulary, questions, {seed: _world(config, vocabulary, parts, groups, seed) for seed in config.seeds})


_ITEMS = {"seeds": int, "beam_sizes": int, "split": (int, float)}
_ITEMS |= dict.fromkeys(("types", "tnorms", "together", "questions"), str)


def _question(text, vocabulary):
    question = queries_lib.parse(text, vocabulary)
    if not _asserts(question):
        raise ValueError(f"{text!r} asks for nothing: a question has a relation that no ! stands before")
    return question


def _asserts(node):
    """Returns whether a query has an atom outside of every negation, in every branch of a disjunction."""
    match node:
        case queries_lib.Projection():
            return True
        case queries_lib.And(parts):
            return any(map(_asserts, parts))
        case queries_lib.Or(parts):
            return all(map(_asserts, parts))
    return False


def _check(config):
    for name, kind in _ITEMS.items():
        for item in config[name] + config.embedded.get(name, ()):
            if not isinstance(item, kind) or isinstance(item, bool):
                words = {str: "texts", int: "whole numbers"}.get(kind, "numbers")
                raise ValueError(f"config.{name}: {item!r} among {words}")
    if not config.seeds or len(set(config.seeds)) < len(config.seeds) or min(*config.seeds, config.seed) < 0:
        raise ValueError(f"config.seeds={config.seeds}, config.seed={config.seed}: different seeds from 0 up are due")
    positive = ("rank", "epochs", "epochs_per_call", "batch_size", "num_queries", "max_answers", "beam_size")
    for name in (*positive, "queries_per_batch", "num_enumerated", "answers_shown"):
        if config[name] < 1:
            raise ValueError(f"config.{name}={config[name]}: at least 1 is due")
    if config.epochs % config.epochs_per_call:
        raise ValueError(f"config.epochs={config.epochs} is not a multiple of epochs_per_call={config.epochs_per_call}")
    for name in ("learning_rate", "regularization"):
        if not 0 <= config[name] < float("inf"):
            raise ValueError(f"config.{name}={config[name]}: a number from 0 up is due")
    for name in config.types:
        if name not in queries_lib.POSITIVE_TYPES:
            raise ValueError(f"config.types: {name!r}; choose among {', '.join(queries_lib.POSITIVE_TYPES)}")
    if not config.types or not config.tnorms or not config.beam_sizes:
        raise ValueError("config.types, config.tnorms and config.beam_sizes: one or more entries each are due")
    if min(config.beam_sizes) < 0:
        raise ValueError(f"config.beam_sizes={config.beam_sizes}: 1 or more each, or 0 for all entities")
    with _field("tnorms"):
        for name in config.tnorms:
            tnorm.check(name)


@contextlib.contextmanager
def _field(name):
    """Puts the name of a config field before a ValueError."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"config.{name}: {error}") from None


def _world(config, vocabulary, parts, together, seed):
    """Returns the World of one seed."""
    if "all" in parts:
        with _field("split"):
            fractions = tuple(config.split)
            splits = split.grouped_split(parts["all"], seed=(config.seed, seed), fractions=fractions, together=together)
    else:
        splits = split.Splits(*(parts[name] for name in loading.PARTS))
    if not len(splits.test):
        raise ValueError(f"config.split={config.split}: leaves no test triples; give another, or a larger graph")
    sizes = {"num_entities": vocabulary.num_entities, "num_relations": vocabulary.num_relations}
    known = graph.build_index(np.concatenate([splits.train, splits.valid]), **sizes)
    full = graph.build_index(np.concatenate(splits), **sizes)
    logging.info("seed %d: drawing %d queries of each type", seed, config.num_queries)
    with _field("num_queries"):
        sampled = {
            name: sampling.sample(
                name,
                config.num_queries,
                seed=(config.seed, seed, queries_lib.POSITIVE_TYPES.index(name)),
                observed=known,
                full=full,
                max_answers=config.max_answers,
            )
            for name in config.types
        }
    return World(splits, known, full, sampled)


def run(config, data, workdir):
    """Returns the figures: MRR by type and method, by beam size, correct proofs, explanations."""
    results = [_run_seed(config, data, seed, workdir) for seed in config.seeds]
    for name, plot in (("mrr_by_type", plots.plot_mrr_by_type), ("mrr_by_beam", plots.plot_mrr_by_beam)):
        rows = [row for row in workdir.rows(name) if row["seed"] in config.seeds]
        workdir.save_figure(name, plot(rows), rows)
    explanations = [_explain(config, data, results, question) for question in data.questions]
    workdir.write_text(
        "explanations.txt", "\n".join(f"seed {item['seed']}: {explain.to_words(item)}" for item in explanations)
    )
    workdir.write_text("explanations.json", json.dumps(explanations, indent=2, ensure_ascii=False) + "\n")
    return _figures(config, results, explanations, data)


def _run_seed(config, data, seed, workdir):
    """Returns one seed's world, parameters and figures."""
    world = data.worlds[seed]
    sampled = world.sampled
    params = _train(config, data, world, seed, workdir)
    whole = data.vocabulary.num_entities
    settings = [(config.tnorms[0], k or whole) for k in config.beam_sizes]
    settings += [(name, config.beam_size) for name in config.tnorms]
    scorers = {
        _method(name, k, whole): functools.partial(
            answering.answer, params, tnorm=name, beam_size=k, batch_size=config.queries_per_batch
        )
        for name, k in settings
    }
    scorers |= {name: functools.partial(baseline, world.known) for name, baseline in BASELINES.items()}
    metrics = {}
    for method, scorer in scorers.items():
        name = re.sub(r"\W+", "_", f"rank_{seed}_{method}")
        metrics[method] = _plain(workdir.stage(name, lambda s=scorer: _rank(s, sampled)))
    extra = {
        "link_prediction_mrr": workdir.stage(f"links_{seed}", lambda: _link_prediction(params, world)),
        "proofs": workdir.stage(f"proofs_{seed}", lambda: _proofs(config, params, world)),
        "float64": workdir.stage(f"float64_{seed}", lambda: _against_float64(config, params, sampled)),
    }
    _log(config, workdir, seed, metrics, whole)
    return {"seed": seed, "world": world, "params": params, "metrics": metrics, **_plain(extra)}


def _method(name, beam_size, whole):
    return f"beam {name} k={'all' if beam_size >= whole else beam_size}"


def _plain(tree):
    """Returns nested dicts of Python numbers."""
    return {key: _plain(value) for key, value in tree.items()} if isinstance(tree, dict) else np.asarray(tree).item()


def _train(config, data, world, seed, workdir):
    init_key, train_key = jax.random.split(jax.random.fold_in(jax.random.key(config.seed), seed))
    sizes = {"num_entities": data.vocabulary.num_entities, "num_relations": data.vocabulary.num_relations}
    state = training.init(init_key, rank=config.rank, **sizes)
    triples = graph.with_inverses(world.splits.train)
    epochs = jax.jit(training.epochs, static_argnames=("num_epochs", "batch_size"), donate_argnums=0)

    def step(state, number):
        return epochs(
            state,
            train_key,
            number,
            triples,
            num_epochs=config.epochs_per_call,
            batch_size=config.batch_size,
            learning_rate=config.learning_rate,
            regularization=config.regularization,
        )

    state = workdir.loop(f"train_{seed}", state, step, num_steps=config.epochs, steps_per_call=config.epochs_per_call)
    return state.params


def _rank(scorer, sampled):
    """Returns {type: metrics} of one method, "average" among them."""
    by_type = {}
    for name, samples in sampled.items():
        scores = np.asarray(scorer([sample.query for sample in samples]))
        by_type[name] = ranking.metrics(
            [ranking.filtered_ranks(row, sample.easy, sample.hard) for row, sample in zip(scores, samples)]
        )
    return {**by_type, "average": ranking.mean_over_types(by_type)}


def _link_prediction(params, world):
    """Returns the filtered MRR of the test triples, both directions."""
    triples = graph.with_inverses(world.splits.test)
    scores = np.asarray(jax.jit(predictor.scores)(params, triples[:, 0], triples[:, 1]))
    ranks = [
        ranking.filtered_ranks(row, world.full.tails_of(head, relation), np.array([tail]))
        for row, (head, relation, tail) in zip(scores, triples)
    ]
    return ranking.metrics(ranks)["mrr"]


def _types_with_variables(config):
    return [name for name in config.types if name in TYPES_WITH_VARIABLES]


def _proofs(config, params, world):
    """Returns {type: {"hits", "correct"}}: hard answers ranked first, and those of them whose proof is all true."""
    options = {"tnorm": config.tnorms[0], "beam_size": config.beam_size, "batch_size": config.queries_per_batch}
    counts = {}
    for name in _types_with_variables(config):
        samples = world.sampled[name]
        scores = np.asarray(answering.answer(params, [sample.query for sample in samples], **options))
        first = [
            (sample.query, answer)
            for row, sample in zip(scores, samples)
            for answer, rank in zip(sample.hard, ranking.filtered_ranks(row, sample.easy, sample.hard))
            if rank == 1
        ]
        proofs = explain.prove(params, [query for query, _ in first], [answer for _, answer in first], **options)
        counts[name] = {"hits": len(first), "correct": sum(explain.is_true(proof, world.full) for proof in proofs)}
    return counts


def _against_float64(config, params, sampled):
    """Returns the largest difference between a beam of all entities and float64 numpy, over a few queries a type."""
    some = [sample.query for samples in sampled.values() for sample in samples[: config.num_enumerated]]
    whole = params.entity.shape[0]
    scores = answering.answer(params, some, tnorm=config.tnorms[0], beam_size=whole, batch_size=config.num_enumerated)
    exact = np.stack([enumeration.truth(params, query, tnorm=config.tnorms[0]) for query in some])
    return np.abs(np.asarray(scores, np.float64) - exact).max()


def _log(config, workdir, seed, metrics, whole):
    shown = [*(_method(name, config.beam_size, whole) for name in config.tnorms), *BASELINES]
    names = (*config.types, "average")
    steps = itertools.count(1000 * config.seeds.index(seed))
    for method, name in itertools.product(shown, names):
        values = {metric: metrics[method][name][metric] for metric in ranking.METRICS}
        workdir.log("mrr_by_type", next(steps), seed=seed, method=method, type=name, **values)
    for k, name in itertools.product(sorted({min(k or whole, whole) for k in config.beam_sizes}), names):
        mrr = metrics[_method(config.tnorms[0], k, whole)][name]["mrr"]
        workdir.log("mrr_by_beam", next(steps), seed=seed, beam_size=k, type=name, mrr=mrr)


def _explain(config, data, results, question):
    """Returns the explanation of a question, asked of the first seed that holds out an answer, or of the first."""

    def holds_out(result):
        return len(symbolic.easy_and_hard(result["world"].known, result["world"].full, [question])[1][0]) > 0

    result = next(filter(holds_out, results), results[0])
    explanation = explain.explain(
        result["params"],
        question,
        vocabulary=data.vocabulary,
        known=result["world"].known,
        full=result["world"].full,
        num_answers=config.answers_shown,
        tnorm=config.tnorms[0],
        beam_size=config.beam_size,
    )
    return {"seed": result["seed"], **explanation}


def _spread(values):
    """Returns the mean of one figure over seeds, with its standard deviation."""
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"value": float(np.mean(values)), "sd": spread, "seeds": len(values)}


def _proof_share(results, types):
    """Returns the share of right proofs among hits of some types, over the seeds that have hits, None without any."""
    counts = [[sum(result["proofs"][name][key] for name in types) for key in ("correct", "hits")] for result in results]
    shares = [correct / hits for correct, hits in counts if hits]
    return {**_spread(shares), "hits": sum(hits for _, hits in counts)} if shares else None


def _weakest_advantage(results, method, types):
    """Returns the MRR of a method less that of the best baseline, on the query type where that is least."""

    def advantage(name):
        return _spread(
            [
                result["metrics"][method][name]["mrr"] - max(result["metrics"][each][name]["mrr"] for each in BASELINES)
                for result in results
            ]
        )

    weakest = min(types, key=lambda name: advantage(name)["value"])
    return {**advantage(weakest), "type": weakest}


def _share_of_optimum(results, tnorm_name, k, whole):
    """Returns the average MRR with a beam of k over that with all entities."""
    narrow, all_ = (_method(tnorm_name, size, whole) for size in (k, whole))
    if all_ not in results[0]["metrics"]:
        return None
    return _spread(
        [result["metrics"][narrow]["average"]["mrr"] / result["metrics"][all_]["average"]["mrr"] for result in results]
    )


def _figures(config, results, explanations, data):
    """Returns the figures of summary.json."""
    first, names = results[0]["metrics"], (*config.types, "average")
    whole = data.vocabulary.num_entities

    def over_seeds(method, name, metric="mrr"):
        return _spread([result["metrics"][method][name][metric] for result in results])

    main = _method(config.tnorms[0], config.beam_size, whole)
    widths = sorted({min(k or whole, whole) for k in config.beam_sizes})
    types = _types_with_variables(config)
    splits = results[0]["world"].splits
    return {
        "graph": {
            "entities": whole,
            "relations": data.vocabulary.num_relations // 2,
            "train": len(splits.train),
            "valid": len(splits.valid),
            "test": len(splits.test),
        },
        "link_prediction_mrr": _spread([result["link_prediction_mrr"] for result in results]),
        "mrr": {method: {name: over_seeds(method, name) for name in names} for method in first},
        "hits": {metric: {name: over_seeds(main, name, metric) for name in names} for metric in ranking.METRICS[1:]},
        "advantage_on_weakest_type": _weakest_advantage(results, main, config.types),
        "beam_share_of_optimum": {str(k): _share_of_optimum(results, config.tnorms[0], k, whole) for k in widths},
        "mrr_by_beam_size": {str(k): over_seeds(_method(config.tnorms[0], k, whole), "average") for k in widths},
        "correct_proofs": {
            "all": _proof_share(results, types),
            **{name: _proof_share(results, [name]) for name in types},
            "of": "hard answers ranked first, whose every atom is an edge of the full graph",
        },
        "float64_max_difference": max(result["float64"] for result in results),
        "explanations": explanations,
    }
