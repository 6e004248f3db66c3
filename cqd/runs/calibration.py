"""Calibrates the truths of complex answers: which method's truths are probabilities, which sets keep their promise.

Validation triples are halved, groups that give one another away whole. Queries about one half ("fit") fit the maps and
the thresholds of sets; queries about the other ("held_out") and about the test triples judge them. Fit and held-out
see the same observed edges, those of training, share no missing edge and no query; the test sees the validation
triples observed too.
"""

import functools
import itertools
from collections import Counter
from typing import NamedTuple

import jax
import numpy as np

from cqd import adapter, continuous, graph, predictor, sampling, split
from cqd import query as queries_lib
from cqd.runs import calibration_figures, fitting, graphs, judging, methods
from cqd.runs import calibration_plots as plots

INPUTS = ("graph", "predictor")
ADAPTED = "CQD-A"
ADAPTERS = {f"{kind}{where}": (kind, bool(where)) for kind in adapter.LOSSES for where in ("", " by relation")}
_STATIC = ("shapes", "kind", "num_steps", "tnorm", "beam_size")
_adapt = functools.partial(jax.jit, static_argnames=_STATIC)(adapter.steps)


class Data(NamedTuple):
    """What `load` has read, checked and drawn.

    Attributes:
        vocabulary: the labels.
        worlds: {seed: World}.
        parts: {seed: {part: judging.Asked}}.
        examples: {seed: list of `sampling.Sample` that adapters are trained on}.
        predictor: params from config.predictor, None to train one a seed.
    """

    vocabulary: graph.Vocabulary
    worlds: dict
    parts: dict
    examples: dict
    predictor: tuple | None


def load(config):
    """Returns Data: the graph, the queries, and every field of the config checked."""
    _check(config)
    fitting.check(config)
    vocabulary, worlds = graphs.read(config, needs=("valid", "test"))
    given = fitting.given(config, vocabulary, worlds) if config.predictor else None
    if config.adapters and isinstance(given, predictor.RotatE):
        raise ValueError(f"config.predictor={config.predictor}: rotate has no adapters; give --config.adapters='()'")
    parts, examples = {}, {}
    for seed, world in worlds.items():
        parts[seed], examples[seed] = _ask(config, vocabulary, world, seed)
    return Data(vocabulary, worlds, parts, examples, given)


def _check(config):
    kinds = {"types": str, "methods": str, "adapters": str, "adapter_types": str, "alphas": (int, float)}
    graphs.check_items(config, **kinds)
    positive = ("num_queries", "max_answers", "queries_per_batch", "top", "num_bins", "num_divisions")
    for name in (*positive, "num_adapted", "adapter_steps"):
        if config[name] < 1:
            raise ValueError(f"config.{name}={config[name]}: at least 1 is due")
    if not 0 < config.adapter_learning_rate < float("inf"):
        raise ValueError(f"config.adapter_learning_rate={config.adapter_learning_rate}: a number above 0 is due")
    for field, known in (("types", queries_lib.TEMPLATES), ("adapter_types", config.types), ("adapters", ADAPTERS)):
        for name in config[field]:
            if name not in known:
                raise ValueError(f"config.{field}: {name!r}; choose among {', '.join(known)}")
        if len(set(config[field])) < len(config[field]) or not (config[field] or field == "adapters"):
            raise ValueError(f"config.{field}={config[field]}: one or more different ones are due")
    with graphs.field("methods"):
        methods.check(config.methods)
        for name in config.methods:
            if name in methods.BASELINES or "official" in name.split():
                raise ValueError(f"{name!r} gives no truths from 0 to 1")
    if config.paper not in config.methods:
        raise ValueError(f"config.paper={config.paper!r}: due to be one of config.methods")
    if config.adapters and methods.options(config.paper, 2**31).get("normalize", "sigmoid") != "sigmoid":
        raise ValueError(f"config.paper={config.paper!r}: adapters are of sigmoids; name such a method, or no adapters")
    if config.adapters and config.model == "rotate":
        raise ValueError("config.model='rotate': has no adapters; give --config.adapters='()', or another model")
    for name, known in (("qto", config.methods), ("chosen_method", names(config)), ("chosen_map", judging.MAPS)):
        if config[name] not in known:
            raise ValueError(f"config.{name}={config[name]!r}: choose one of {', '.join(known)}")
    if config.patience:
        raise ValueError("config.patience: queries of valid are not for a predictor chosen on valid; give 0")
    for alpha in config.alphas:
        if not 0 < alpha < 1:
            raise ValueError(f"config.alphas: {alpha}; numbers between 0 and 1 are due")
    if not config.alphas:
        raise ValueError("config.alphas=(): one or more are due")


def names(config):
    """Returns the names of all methods, adapters' last."""
    return (*config.methods, *(f"{ADAPTED} {name}" for name in config.adapters))


def _ask(config, vocabulary, world, seed):
    """Returns ({part: Asked}, list of Samples for the adapters) of one seed."""
    train, valid, test = world.splits
    halves = _halves(valid, graphs.together(config, vocabulary), (config.seed, seed))
    parts = dict(zip(("fit", "held_out"), (_about(vocabulary, train, valid[:0], half) for half in halves)))
    parts["test"] = _about(vocabulary, train, valid, test)
    drawn = {name: _draw(config, of, seed, number) for number, (name, of) in enumerate(parts.items())}
    examples = [sample for of in config.adapter_types for sample in drawn["fit"][of][config.num_queries :]]
    drawn["fit"], drawn["held_out"] = _unshared(drawn["fit"], drawn["held_out"], config.num_queries)
    return {name: _asked(parts[name], drawn[name]) for name in parts}, examples


def _halves(triples, together, seed):
    """Returns the two halves of triples, groups whole, as equal as turns allow."""
    group = split.groups(triples, together)
    size = np.bincount(group)
    counts, side = [0, 0], np.zeros(len(size), int)
    for number in np.random.default_rng(seed).permutation(len(size)):
        side[number] = counts[1] < counts[0]
        counts[side[number]] += size[number]
    if min(counts) == 0:
        raise ValueError("config.split: leaves too few valid triples to divide; give another, or a larger graph")
    return [triples[side[group] == half] for half in (0, 1)]


def _about(vocabulary, train, valid, missing):
    """Returns the World whose missing edges are those given, training and validation edges known."""
    return graphs.world(vocabulary, split.Splits(train, valid, missing))


def _draw(config, world, seed, part):
    """Returns {type: list of Samples}, of the types of adapters those for them too."""
    found = {}
    for name in config.types:
        more = config.num_adapted * (part == 0 and len(config.adapters) > 0 and name in config.adapter_types)
        with graphs.field("num_queries"):
            found[name] = sampling.sample(
                name,
                config.num_queries + more,
                seed=(config.seed, seed, list(queries_lib.TEMPLATES).index(name), part),
                observed=world.known,
                full=world.full,
                max_answers=config.max_answers,
                max_share=config.max_share,
            )
    return found


def _unshared(fit, held_out, num_queries):
    """Returns both without the queries that both have: what is left of each is drawn alike.

    Of fit the first num_queries are given back; those of adapters stay out of held-out too.
    """
    found = {}, {}
    for name in fit:
        keys = [[sampling.unordered(sample.query) for sample in part[name]] for part in (fit, held_out)]
        shared = set(keys[0]) & set(keys[1])
        for part, own, into in zip((fit[name][:num_queries], held_out[name]), keys, found):
            into[name] = [sample for sample, key in zip(part, own) if key not in shared]
            if not into[name]:
                raise ValueError(f"config.types: all queries drawn of {name} are drawn of both halves; leave it out")
    return found


def _asked(world, drawn):
    samples = list(itertools.chain.from_iterable(drawn.values()))
    return judging.Asked(
        world.known,
        [sample.query for sample in samples],
        np.repeat(list(drawn), [len(of) for of in drawn.values()]),
        [sample.easy for sample in samples],
        [sample.hard for sample in samples],
    )


def run(config, data, workdir):
    """Returns the figures: errors by part, method and map, MRR beside them, coverage and size of sets."""
    results = {seed: _run_seed(config, data, seed, workdir) for seed in config.seeds}
    calibration_figures.log(config, workdir, results)
    for name, (stage, plot) in plots.PLOTS.items():
        rows = [row for row in workdir.rows(stage) if row["seed"] in config.seeds]
        workdir.save_figure(name, plot(rows), rows)
    first = config.seeds[0]
    counts = {part: Counter(asked.types.tolist()) for part, asked in data.parts[first].items()}
    return {
        "graph": graphs.sizes(data.vocabulary, data.worlds[first]),
        "queries": {part: dict(of) for part, of in counts.items()},
        **calibration_figures.figures(config, list(results.values())),
    }


def _run_seed(config, data, seed, workdir):
    """Returns {"links": metrics, method: results of `judging.judge`}."""
    world = data.worlds[seed]
    params = data.predictor or fitting.fit(config, data.vocabulary, world, seed, workdir)
    if seed == config.seeds[0]:
        fitting.save(data.vocabulary, world, params, workdir)
    predictors = dict.fromkeys(config.methods, params) | _adapted(config, data, params, seed, workdir)
    results = {"links": workdir.stage(f"links_{seed}", lambda: fitting.link_prediction(params, world))}
    for number, (name, own) in enumerate(predictors.items()):
        results[name] = workdir.stage(
            f"judge_{seed}_{number}", lambda name=name, own=own: _judge(config, data.parts[seed], name, own, seed)
        )
    return results


def _adapted(config, data, params, seed, workdir):
    """Returns {name: adapted predictor}."""
    found = {}
    samples = data.examples[seed]
    queries, hard, easy = ([getattr(sample, of) for sample in samples] for of in ("query", "hard", "easy"))
    sets = adapter.examples(queries, hard, easy, data.vocabulary.num_entities)
    chosen = methods.options(config.paper, data.vocabulary.num_entities)
    for number, name in enumerate(config.adapters):
        kind, by_relation = ADAPTERS[name]
        step = functools.partial(
            _adapt,
            params=params,
            sets=tuple(sets.values()),
            shapes=tuple(sets),
            num_steps=config.adapter_steps,
            by_relation=jax.numpy.asarray(by_relation),
            learning_rate=config.adapter_learning_rate,
            kind=kind,
            tnorm=chosen.get("tnorm", "product"),
        )
        start = adapter.init(params, learning_rate=config.adapter_learning_rate)
        size = {"num_steps": config.adapter_steps, "steps_per_call": config.adapter_steps}
        state = workdir.loop(f"adapt_{seed}_{number}", start, lambda state, _, step=step: step(state), **size)
        found[f"{ADAPTED} {name}"] = adapter.adapted(params, state.adapter)
    return found


def _judge(config, parts, name, params, seed):
    method = config.paper if name.startswith(ADAPTED) else name
    truths = {}
    for part, asked in parts.items():
        score = methods.scorer(
            method, params, asked.known, batch_size=config.queries_per_batch, search=continuous.PAPER
        )
        truths[part] = np.asarray(score(asked.queries))
    return judging.judge(
        truths,
        parts,
        top=config.top,
        num_bins=config.num_bins,
        alphas=tuple(config.alphas),
        num_divisions=config.num_divisions,
        seed=seed,
    )
