"""Trains a link predictor, answers complex queries by every method, ranks their hard answers, explains questions.

One run for every graph: the embedded countries, the small benchmarks, FB15k-237 and NELL995 with their query files, or
a user's triples.
"""

import itertools
import json
import re
from typing import NamedTuple

import numpy as np

from cqd import answering, continuous, drawing, enumeration, explain, graph, proofs, ranking, rooting, symbolic
from cqd import query as queries_lib
from cqd.runs import asked, fitting, graphs, methods, summaries
from cqd.runs import complex_queries_plots as plots

VECTORIZED = fitting.TRACED
INPUTS = ("graph", "queries", "predictor")
PARTS = ("test", "valid")
TYPES_WITH_VARIABLES = ("2p", "3p", "ip", "pi")  # whose proofs can go wrong; in up one branch suffices
SETTINGS = ("paper", "best")  # fields of the config that name a method
AVERAGES = ("average", "negation")  # over the types without negation, and over those with it
LARGEST_ENUMERATED = 2000  # entities; the enumeration in float64 takes their square


class Data(NamedTuple):
    """What `load` has read, checked and drawn.

    Attributes:
        vocabulary: the labels.
        questions: trees, or `rooting.Compiled` of SPARQL, to be explained.
        worlds: {seed: World}.
        sampled: {seed: {type: list of `sampling.Sample`}}.
        predictor: params from config.predictor, None to train one a seed.
    """

    vocabulary: graph.Vocabulary
    questions: tuple
    worlds: dict
    sampled: dict
    predictor: tuple | None


def load(config):
    """Returns Data: the graph, the queries, and every field of the config checked."""
    if config.graph is None and not config.embedded:
        raise ValueError(f"config.graph: this run needs a file or folder of triples, {config.source}")
    _check(config)
    fitting.check(config)
    vocabulary, worlds = graphs.read(config)
    given = fitting.given(config, vocabulary, worlds) if config.predictor else None
    if config.part == "valid":  # the queries are about validation triples: these are what training leaves to find
        worlds = {seed: _asked_of_valid(vocabulary, world) for seed, world in worlds.items()}
    questions = asked.questions(config, vocabulary)
    sampled = {seed: asked.queries(config, vocabulary, world, seed) for seed, world in worlds.items()}
    return Data(vocabulary, questions, worlds, sampled, given)


def _asked_of_valid(vocabulary, world):
    train, valid, _ = world.splits
    return graphs.world(vocabulary, world.splits._replace(valid=valid[:0], test=valid, train=train))


def _check(config):
    graphs.check_items(config, types=str, methods=str, questions=str)
    positive = ("max_answers", "queries_per_batch", "num_enumerated", "answers_shown", "max_steps")
    for name in (*positive, *(() if config.queries else ("num_queries",))):
        if config[name] < 1:
            raise ValueError(f"config.{name}={config[name]}: at least 1 is due")
    if config.num_proved < 0:
        raise ValueError(f"config.num_proved={config.num_proved}: at most so many a type, or 0 for none")
    if config.num_queries < 0:
        raise ValueError(f"config.num_queries={config.num_queries}: at most so many a type, or 0 for all of the file")
    for name in config.types:
        if name not in queries_lib.TEMPLATES:
            raise ValueError(f"config.types: {name!r}; choose among {', '.join(queries_lib.TEMPLATES)}")
    if not config.types or len(set(config.types)) < len(config.types):
        raise ValueError(f"config.types={config.types}: one or more different types are due")
    with graphs.field("methods"):
        methods.check(config.methods)
    for name in SETTINGS:
        if config[name] not in config.methods:
            raise ValueError(f"config.{name}={config[name]!r}: due to be one of config.methods")
    if config.part not in PARTS:
        raise ValueError(f"config.part={config.part!r}: choose one of {', '.join(PARTS)}")
    if config.part == "valid" and config.patience:
        raise ValueError("config.patience: queries of valid are not for a predictor chosen on valid; give 0")


def run(config, data, workdir):
    """Returns the figures: MRR by type, method and missing links, correct proofs, explanations."""
    results = [_run_seed(config, data, seed, workdir) for seed in config.seeds]
    for name, plot in plots.PLOTS.items():
        rows = [row for row in workdir.rows(name) if row["seed"] in config.seeds]
        if rows:
            workdir.save_figure(name, plot(rows), rows)
    explanations = [_explain(config, data, results, question) for question in data.questions]
    workdir.write_file(
        "explanations.txt", "\n".join(f"seed {item['seed']}: {explain.to_words(item)}" for item in explanations)
    )
    for number, explanation in enumerate(explanations, start=1):
        workdir.save_figure(f"explanation_{number}", drawing.draw(explanation), explain.rows(explanation))
    workdir.write_file("explanations.json", json.dumps(explanations, indent=2, ensure_ascii=False) + "\n")
    return _figures(config, data, results, explanations)


def _run_seed(config, data, seed, workdir):
    """Returns one seed's parameters and figures."""
    world, sampled = data.worlds[seed], data.sampled[seed]
    params = data.predictor or fitting.fit(config, data.vocabulary, world, seed, workdir)
    if seed == config.seeds[0]:
        fitting.save(data.vocabulary, world, params, workdir)
    search = continuous.Search(max_steps=config.max_steps, regularization=config.regularization)
    ranked = {}
    for method in config.methods:
        score = methods.scorer(method, params, world.known, batch_size=config.queries_per_batch, search=search)
        stage = re.sub(r"\W+", "_", f"rank_{seed}_{method}")
        ranked[method] = workdir.stage(stage, lambda s=score: _rank(s, sampled, config.queries_per_batch))
    extra = {
        "link_prediction": workdir.stage(f"links_{seed}", lambda: fitting.link_prediction(params, world)),
        "proofs": workdir.stage(f"proofs_{seed}", lambda: _proofs(config, params, world, sampled)),
        "float64": workdir.stage(f"float64_{seed}", lambda: _against_float64(config, params, world, sampled)),
    }
    _log(config, workdir, seed, ranked)
    return {"seed": seed, "params": params, "ranked": _plain(ranked), **_plain(extra)}


def _plain(tree):
    """Returns nested dicts of Python numbers, arrays left as they are."""
    if isinstance(tree, dict):
        return {key: _plain(value) for key, value in tree.items()}
    return tree.item() if np.ndim(tree) == 0 else np.asarray(tree)


def _rank(score, sampled, batch_size):
    """Returns the metrics of one method: "types", "average" of the positive types, "negation", "missing", "truth".

    "truth" has the truth of each query's best entity, [Q] by type.
    """
    types, missing, truth = {}, {}, {}
    for name, samples in sampled.items():
        best = []

        def batches(samples=samples, best=best):
            for start in range(0, len(samples), 16 * batch_size):
                part = samples[start : start + 16 * batch_size]
                scores = np.asarray(score([sample.query for sample in part]))
                best.append(scores.max(axis=1))
                yield scores

        with fitting.finite(f"{name} queries"):
            ranks = ranking.stream_ranks(batches(), [s.easy for s in samples], [s.hard for s in samples])
        links = [sample.missing[len(sample.easy) :] for sample in samples]
        types[name] = ranking.metrics(ranks)
        missing[name] = {str(k): of for k, of in ranking.by_missing_links(ranks, links).items()}
        truth[name] = np.concatenate(best)
    return {"types": types, **_averages(types), "missing": missing, "truth": truth}


def _averages(types):
    positive = {name: of for name, of in types.items() if name in queries_lib.POSITIVE_TYPES}
    negative = {name: of for name, of in types.items() if name not in positive}
    parts = dict(zip(AVERAGES, (positive or negative, negative)))
    return {name: ranking.mean_over_types(of) for name, of in parts.items() if of}


def _proofs(config, params, world, sampled):
    """Returns {setting: {type: {"hits", "correct"}}}: how many queries have hard answers ranked first, and the sum over
    them of the share of these answers whose proof is all true.
    """
    counts = {}
    for setting in SETTINGS:
        chosen = methods.options(config[setting], world.known.num_entities)
        if chosen["method"] == "continuous" or chosen.keys() & {"official", "aggregate"}:
            continue  # which have no assignment of entities behind their truths
        chosen |= {"observed": world.known, "batch_size": config.queries_per_batch}
        for name in TYPES_WITH_VARIABLES:
            if name in sampled:
                found = _proofs_of(params, world, sampled[name][: config.num_proved], chosen)
                counts.setdefault(setting, {})[name] = found
    return counts


def _proofs_of(params, world, samples, chosen):
    scores = np.asarray(answering.answer(params, [sample.query for sample in samples], **chosen))
    first = [
        (number, answer)
        for number, (row, sample) in enumerate(zip(scores, samples))
        for answer, rank in zip(sample.hard, ranking.filtered_ranks(row, sample.easy, sample.hard))
        if rank == 1
    ]
    found = proofs.best(params, [samples[number].query for number, _ in first], [y for _, y in first], **chosen)
    right = [proofs.is_true(proof, world.full) for proof in found]
    owner = np.array([number for number, _ in first], np.int64)
    hits = np.bincount(owner, minlength=len(samples))
    shares = np.bincount(owner, right, len(samples))[hits > 0] / hits[hits > 0]
    return {"hits": len(shares), "correct": float(shares.sum())}


def _against_float64(config, params, world, sampled):
    """Returns the largest difference of a beam of all entities, and of exact, from float64 numpy, on some queries."""
    some = [sample.query for samples in sampled.values() for sample in samples[: config.num_enumerated]]
    if config.model != "complex" or world.known.num_entities > LARGEST_ENUMERATED:
        return {}
    truth = np.stack([enumeration.truth(params, query) for query in some])
    widest = {"beam": {"beam_size": world.known.num_entities}, "exact": {}}
    return {
        method: np.abs(np.asarray(answering.answer(params, some, method=method, **chosen), np.float64) - truth).max()
        for method, chosen in widest.items()
    }


def _log(config, workdir, seed, ranked):
    """Writes the rows of the figures, in the order of the config: a stage that was read back has lost its own."""
    steps = itertools.count(10_000 * config.seeds.index(seed))
    for method in config.methods:
        of = _by_name(ranked[method])
        for name in (name for name in (*config.types, *AVERAGES) if name in of):
            values = {metric: float(of[name][metric]) for metric in ranking.METRICS}
            workdir.log("mrr_by_type", next(steps), seed=seed, method=method, type=name, **values)
    for method in dict.fromkeys(config[name] for name in SETTINGS):
        for name in config.types:
            for k, values in sorted(ranked[method]["missing"][name].items()):
                row = {"seed": seed, "method": method, "type": name, "missing": int(k), "mrr": float(values["mrr"])}
                workdir.log("mrr_by_missing_links", next(steps), queries=int(values["queries"]), **row)
    for method, size in beams(config.methods).items():
        of = _by_name(ranked[method])
        for name in (*config.types, "average"):
            row = {"seed": seed, "beam_size": size, "type": name, "mrr": float(of[name]["mrr"])}
            workdir.log("mrr_by_beam", next(steps), **row)


def _by_name(found):
    """Returns {type or average: metrics} of one method."""
    return found["types"] | {name: found[name] for name in AVERAGES if name in found}


def beams(names):
    """Returns {method: size} of the methods that differ in the beam alone, narrow first; 0 stands for exact."""
    found = {}
    for name in names:
        if name == "exact":
            found[name] = 0
        elif name not in methods.BASELINES:
            chosen = methods.options(name, 2**31)
            if set(chosen) == {"method", "beam_size"}:
                found[name] = chosen["beam_size"]
    return dict(sorted(found.items(), key=lambda item: item[1] or 2**31))


def _explain(config, data, results, question):
    """Returns the explanation of a question, asked of the first seed that holds out an answer, or of the first.

    A cycle and a pair, whose answers take longer to tell, are asked of the first seed.
    """
    tree = question.at() if isinstance(question, rooting.Compiled) and not question.cuts else question

    def holds_out(result):
        world = data.worlds[result["seed"]]
        is_tree = not isinstance(tree, rooting.Compiled)
        return not is_tree or len(symbolic.easy_and_hard(world.known, world.full, [tree])[1][0]) > 0

    result = next(filter(holds_out, results), results[0])
    world = data.worlds[result["seed"]]
    explanation = explain.explain(
        result["params"],
        question,
        vocabulary=data.vocabulary,
        observed=world.known,
        full=world.full,
        num_answers=config.answers_shown,
        **methods.options(config.best, data.vocabulary.num_entities),
    )
    return {"seed": result["seed"], **explanation}


def _figures(config, data, results, explanations):
    """Returns the figures of summary.json."""
    names = [name for name in (*config.types, *AVERAGES) if name in _by_name(results[0]["ranked"][config.paper])]

    def of(result, method, name):
        return _by_name(result["ranked"][method])[name]

    def over_seeds(method, name, metric="mrr"):
        return summaries.spread([of(result, method, name)[metric] for result in results])

    def table(metric):
        return {method: {name: over_seeds(method, name, metric) for name in names} for method in config.methods}

    links = [result["link_prediction"]["mrr"] for result in results]
    return {
        "graph": graphs.sizes(data.vocabulary, data.worlds[config.seeds[0]]),
        "queries": {name: len(samples) for name, samples in data.sampled[config.seeds[0]].items()},
        "link_prediction_mrr": summaries.spread(links),
        "mrr": table("mrr"),
        "hits": {metric: table(metric) for metric in ranking.METRICS[1:]},
        **{name: {"method": config[name], **over_seeds(config[name], "average")} for name in SETTINGS},
        "missing_links": _missing_links(config, results),
        **_comparisons(config, results, of),
        "correct_proofs": _correct_proofs(results),
        "float64_max_difference": {
            name: max(result["float64"][name] for result in results) for name in results[0]["float64"]
        },
        "explanations": explanations,
    }


def _missing_links(config, results):
    """Returns {setting: {type: {k: spread}}} over the seeds that have such answers."""
    found = {}
    for setting in SETTINGS:
        for name in config.types:
            by_seed = [result["ranked"][config[setting]]["missing"][name] for result in results]
            for k in sorted(set().union(*by_seed)):
                values = [of[k]["mrr"] for of in by_seed if k in of]
                found.setdefault(setting, {}).setdefault(name, {})[k] = summaries.spread(values)
    return found


def _comparisons(config, results, of):
    """Returns the differences and ratios that claims are about, for the methods that were run."""
    found = {}
    baselines = [name for name in config.methods if name in methods.BASELINES]
    if baselines:
        by_type = {
            name: summaries.spread(
                [
                    of(each, config.paper, name)["mrr"] - max(of(each, other, name)["mrr"] for other in baselines)
                    for each in results
                ]
            )
            for name in config.types
            if name in queries_lib.POSITIVE_TYPES
        }
        weakest = min(by_type, key=lambda name: by_type[name]["value"])
        found["advantage_on_weakest_type"] = {**by_type[weakest], "type": weakest}
    sizes = beams(config.methods)
    if "exact" in sizes:
        found["beam_share_of_optimum"] = {
            str(size): summaries.spread(
                [of(each, name, "average")["mrr"] / of(each, "exact", "average")["mrr"] for each in results]
            )
            for name, size in sizes.items()
            if size
        }
        found["beam_gap"] = {
            str(size): summaries.spread([_gap(each["ranked"], name) for each in results])
            for name, size in sizes.items()
            if size
        }
    found["best_over_paper"] = summaries.spread(
        [of(each, config.best, "average")["mrr"] - of(each, config.paper, "average")["mrr"] for each in results]
    )
    return found


def _gap(ranked, name):
    """Returns how far below the optimum a beam's best answer is, a mean over the queries without negation."""
    types = [name for name in ranked["exact"]["truth"] if name in queries_lib.POSITIVE_TYPES]
    gaps = [ranked["exact"]["truth"][of] - ranked[name]["truth"][of] for of in types]
    return float(np.mean(np.concatenate(gaps)))


def _correct_proofs(results):
    """Returns {setting: {type or "all": share}}: of a query's hard answers ranked first, those with a true proof."""
    found = {}
    for setting, by_type in results[0]["proofs"].items():
        found[setting] = {"all": proof_share(results, setting, list(by_type))}
        found[setting] |= {name: proof_share(results, setting, [name]) for name in by_type}
    return found


def proof_share(results, setting, types):
    """Returns the share of right proofs among hits of some types, over the seeds that have hits, None without any."""
    by_seed = [result["proofs"][setting] for result in results]
    counts = [[sum(of[name][key] for name in types) for key in ("correct", "hits")] for of in by_seed]
    shares = [correct / hits for correct, hits in counts if hits]
    return {**summaries.spread(shares), "hits": sum(hits for _, hits in counts)} if shares else None
