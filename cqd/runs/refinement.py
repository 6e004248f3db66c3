"""Finds the predicted edges behind wrong answers, has them judged, refines the predictor, and measures what it changes.

Queries about validation edges show which edges to judge and how strongly to fine-tune; queries about test edges, none
of them among the former, measure. They are divided, before anything is refined, into the affected ones, one of whose
first answers has a best proof that needs a judged edge, and the rest.

Two scopes. In "rejected" the predictor is told only what is false, hence nothing of any held-out edge. In "judged" it
is told of accepted edges too, which join the observed ones; then no answer counts that lacks fewer links once they and
all edges of their groups (`cqd.split.groups`) are observed.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cqd import (
    answering,
    blame,
    graph,
    judgements,
    predictor,
    proofs,
    ranking,
    refinement,
    sampling,
    split,
    symbolic,
    trained,
)
from cqd import query as queries_lib
from cqd.runs import fitting, graphs, methods
from cqd.runs import refinement_figures as figures_lib
from cqd.runs import refinement_plots as plots

INPUTS = ("graph", "predictor", "judgements")
REFINED = "refined.npz"
_tune = functools.partial(jax.jit, static_argnames=("epochs", "batch_size"))(refinement.fine_tune)


class Data(NamedTuple):
    """What `load` has read, checked and drawn: {seed: ...} of worlds and of queries, each a list of `sampling.Sample`.

    Attributes:
        vocabulary: the labels.
        worlds: {seed: World}.
        asked: {seed: World} whose test is the validation triples, and which has no other held-out ones.
        found, chosen, held_out: queries that show the edges, that choose the fine-tuning, and that measure it.
        params: the predictor of config.predictor, or None.
        judged: Judged of config.judgements, or None for the oracle.
    """

    vocabulary: graph.Vocabulary
    worlds: dict
    asked: dict
    found: dict
    chosen: dict
    held_out: dict
    params: tuple | None
    judged: judgements.Judged | None


def load(config):
    """Returns Data: the graph, the queries, the judgements, and every field of the config checked."""
    _check(config)
    fitting.check(config)
    vocabulary, worlds = graphs.read(config, needs=("valid", "test"))
    params = fitting.given(config, vocabulary, worlds) if config.predictor else None
    if isinstance(params, predictor.RotatE):
        raise ValueError(f"config.predictor={config.predictor}: rotate's edges cannot be overridden; give another")
    judged = _read_judgements(config, vocabulary, worlds) if config.judgements else None
    asked = {
        seed: graphs.world(vocabulary, of.splits._replace(valid=of.splits.valid[:0], test=of.splits.valid))
        for seed, of in worlds.items()
    }
    found, chosen, held_out = {}, {}, {}
    for seed in config.seeds:
        pool = _sampled(config, asked[seed], seed, "num_judging")
        found[seed], chosen[seed] = pool[::2], pool[1::2]
        seen = {sampling.unordered(sample.query) for sample in pool}
        drawn = _sampled(config, worlds[seed], seed, "num_queries")
        held_out[seed] = [sample for sample in drawn if sampling.unordered(sample.query) not in seen]
    return Data(vocabulary, worlds, asked, found, chosen, held_out, params, judged)


def _sampled(config, world, seed, field):
    with graphs.field(field):
        by_type = [
            sampling.sample(
                name,
                config[field],
                seed=(config.seed, seed, ("num_judging", "num_queries").index(field), number),
                observed=world.known,
                full=world.full,
                max_answers=config.max_answers,
            )
            for number, name in enumerate(config.types)
        ]
    return [sample for of_type in by_type for sample in of_type]


def _read_judgements(config, vocabulary, worlds):
    judged = judgements.read(config.judgements, vocabulary)
    for world in worlds.values():
        false = judged.rejected[world.full.contains(judged.rejected)]
        if len(false):
            words = " -- ".join(judgements.labels(false[0].tolist(), vocabulary))
            raise ValueError(f"config.judgements={config.judgements}: rejects {words}, an edge of the graph; drop it")
    if len(judged.all()) > config.num_judged:
        raise ValueError(
            f"config.num_judged={config.num_judged}: config.judgements has {len(judged.all())} edges; give as many"
        )
    return judged


def _check(config):
    graphs.check_items(config, types=str, reject=(int, float))
    for name in (
        "num_queries",
        "num_judging",
        "num_judged",
        "max_answers",
        "first",
        "tune_epochs",
        "queries_per_batch",
    ):
        least = 2 if name == "num_judging" else 1
        if config[name] < least:
            raise ValueError(f"config.{name}={config[name]}: at least {least} is due")
    for name in ("accept", "keep", "tune_rate", "largest_loss"):
        if not 0 <= config[name] < float("inf"):
            raise ValueError(f"config.{name}={config[name]}: a number from 0 up is due")
    if not config.reject or not all(0 <= weight < float("inf") for weight in config.reject):
        raise ValueError(f"config.reject={config.reject}: one or more weights from 0 up are due")
    for name in config.types:
        if name not in queries_lib.POSITIVE_TYPES:
            raise ValueError(f"config.types: {name!r}; choose among {', '.join(queries_lib.POSITIVE_TYPES)}")
    if not config.types or len(set(config.types)) < len(config.types):
        raise ValueError(f"config.types={config.types}: one or more different types are due")
    with graphs.field("setting"):
        chosen = methods.options(config.setting, num_entities=2**31)
        if chosen["method"] == "continuous" or chosen.keys() & {"official", "aggregate"}:
            raise ValueError(f"{config.setting!r}: has no best proofs; give beam or exact")
    if config.model == "rotate":
        raise ValueError("config.model='rotate': scores of single edges cannot be overridden; choose another model")
    if config.patience:
        raise ValueError("config.patience: queries of valid are not for a predictor chosen on valid; give 0")


def run(config, data, workdir):
    """Returns the figures: what was blamed and judged, and MRR before and after on affected queries and the rest."""
    results = [_run_seed(config, data, seed, workdir) for seed in config.seeds]
    for name, plot in plots.PLOTS.items():
        rows = [row for row in workdir.rows(name) if row["seed"] in config.seeds]
        workdir.save_figure(name, plot(rows), rows)
    first = data.worlds[config.seeds[0]]
    return {"graph": graphs.sizes(data.vocabulary, first), **figures_lib.figures(results)}


def _run_seed(config, data, seed, workdir):
    """Returns one seed's figures: "detection", "by_relation" and, by scope, the MRR of every query by every way."""
    params = data.params or fitting.fit(config, data.vocabulary, data.worlds[seed], seed, workdir)
    engine = _Engine(config, params)
    seen = workdir.stage(f"blame_{seed}", lambda: _blame(engine, data, seed))
    found = blame.Candidates(*(seen[name] for name in blame.Candidates._fields))
    judged = data.judged or _oracle(found.first(config.num_judged), data.worlds[seed])
    _write_edges(data, seed, found, seen, judged, workdir)
    nothing = judgements.judged(np.zeros((0, 3)), [])
    tables = workdir.stage(
        f"replay_{seed}", lambda: _tuned(config, params, data.worlds[seed], seed, nothing, 0.0)._asdict()
    )
    replayed = _model(params, tables)
    of_scope = {}
    for scope in figures_lib.SCOPES:
        told = judged if scope == "judged" else judged._replace(accepted=judged.accepted[:0])
        name = f"refine_{seed}_{scope}"
        of_scope[scope] = workdir.stage(name, lambda t=told: _refine(config, engine, data, seed, t, replayed))
    if seed == config.seeds[0]:
        _save(data, seed, params, judged, of_scope["judged"], workdir)
    is_true = data.worlds[seed].full.contains(found.triples)
    result = {
        "seed": seed,
        "detection": figures_lib.detection(found, is_true, judged),
        "by_relation": figures_lib.by_relation(found, is_true, data.vocabulary),
        "scopes": of_scope,
    }
    figures_lib.log(workdir, config.seeds.index(seed), result)
    return result


class _Engine:
    """Answers and proofs in the setting of a run."""

    def __init__(self, config, params):
        self.params = params
        self.num_answers = config.first
        self.options = methods.options(config.setting, params.entity.shape[0]) | {
            "batch_size": config.queries_per_batch
        }

    def scores(self, trees, observed, params=None):
        """Returns [Q, N] by the predictor, or by another."""
        with fitting.finite("answers"):
            return np.asarray(answering.answer(params or self.params, trees, observed=observed, **self.options))

    def overridden(self, judged, size):
        """Returns the predictor with judged edges overridden; where observed edges are certain, accepted ones are."""
        if self.options.get("known") == "certain":
            judged = judged._replace(accepted=judged.accepted[:0])
        return refinement.overridden(self.params, judged, size)

    def proved(self, samples, scores, observed):
        """Returns (Answers, their best proofs): the first of each query, but easy ones."""
        easy, hard = [sample.easy for sample in samples], [sample.hard for sample in samples]
        answers = blame.first_answers(scores, easy, hard, num_answers=self.num_answers)
        trees = [samples[number].query for number in answers.query]
        return answers, proofs.best(self.params, trees, answers.entity, observed=observed, **self.options)


def _blame(engine, data, seed):
    """Returns a dict of the Candidates, and of each the query and the wrong answer that show it best, -1 for none."""
    samples, world = data.found[seed], data.asked[seed]
    answers, found = engine.proved(
        samples, engine.scores([sample.query for sample in samples], world.known), world.known
    )
    blamed = blame.candidates(answers, found, world.known)
    where = blamed.example
    shown = {name: np.where(where < 0, -1, np.append(of, -1)[where]) for name, of in answers._asdict().items()}
    return blamed._asdict() | {"example_query": shown["query"], "example_answer": shown["entity"]}


def _oracle(found, world):
    """Returns the Judged of candidates by the full graph: of no other edge is the oracle asked."""
    return judgements.judged(found.triples, world.full.contains(found.triples))


def _write_edges(data, seed, found, seen, judged, workdir):
    places = zip(seen["example_query"].tolist(), seen["example_answer"].tolist())
    examples = [None if query < 0 else (data.found[seed][query].query, answer) for query, answer in places]
    lines = judgements.candidates_to_lines(found, examples, data.vocabulary)
    workdir.write_file(f"candidates_{seed}.tsv", lines)
    workdir.write_file(f"judgements_{seed}.tsv", judgements.to_lines(judged, data.vocabulary))


class _Part(NamedTuple):
    """Queries by which refinement is measured, and what is known when they are answered."""

    samples: list
    known: graph.Index
    refined: graph.Index  # known, with the accepted edges
    answers: list  # of every query (all answers, those that count)
    before: np.ndarray  # [Q] MRR, -1 where no answer counts
    affected: np.ndarray  # [Q] bool


def _part(config, engine, data, world, samples, judged):
    """Returns the _Part of queries about the test edges of a world, divided by the judged edges."""
    full, refined, given_away = _with_accepted(config, data.vocabulary, world, judged.accepted)
    trees = [sample.query for sample in samples]
    links, fewer = (symbolic.missing_links(index, full, trees) for index in (world.known, given_away))
    answers = [
        (ids, ids[(of == less) & np.isin(ids, sample.hard)])
        for (ids, of), (_, less), sample in zip(links, fewer, samples, strict=True)
    ]
    scores = engine.scores(trees, world.known)
    first, found = engine.proved(samples, scores, world.known)
    owner, triples, _ = blame.predicted_edges(found, world.known)
    index = graph.build_index(judged.all(), **_sizes(data.vocabulary))
    affected = np.zeros(len(samples), bool)
    affected[first.query[owner[index.contains(triples)]]] = True
    return _Part(samples, world.known, refined, answers, _mrr(scores, answers), affected)


def _with_accepted(config, vocabulary, world, accepted):
    """Returns Indices with the accepted edges: of the full graph, of the known one, and of this with their groups."""
    parts = [np.concatenate([part, accepted]) for part in (np.concatenate(world.splits), _known(world))]
    full, refined = (graph.build_index(part, **_sizes(vocabulary)) for part in parts)
    group = split.groups(parts[0], graphs.together(config, vocabulary))
    siblings = parts[0][np.isin(group, group[len(group) - len(accepted) :])]
    return full, refined, graph.build_index(np.concatenate([parts[1], siblings]), **_sizes(vocabulary))


def _known(world):
    return np.concatenate([world.splits.train, world.splits.valid])


def _sizes(vocabulary):
    return {"num_entities": vocabulary.num_entities, "num_relations": vocabulary.num_relations}


def _mrr(scores, answers):
    """Returns [Q]: the mean reciprocal filtered rank of the answers that count, -1 where none does."""
    with fitting.finite("refined answers"):
        ranks = ranking.batch_ranks(scores, *zip(*answers))
    return np.nan_to_num(ranking.by_query(ranks)["mrr"], nan=-1.0)


def _refine(config, engine, data, seed, judged, replayed):
    """Returns {"affected" [Q], "mrr": {way: [Q]}, "choice", "left_out", "table": {name: tuned table}} of one scope."""
    measure = functools.partial(_measure, engine)
    tune = functools.partial(_tuned, config, engine.params, data.worlds[seed], seed)
    half = _part(config, engine, data, data.asked[seed], data.chosen[seed], judged)
    tried = [tune(judged, weight) for weight in config.reject]
    changes = [_changes(half, measure(half, params, half.refined)) for params in tried]
    at = figures_lib.choose(changes, config.largest_loss)
    other = _random_judged(config, engine, data, seed, judged)
    over, params = engine.overridden(judged, 2 * config.num_judged), tried[at]
    part = _part(config, engine, data, data.worlds[seed], data.held_out[seed], judged)
    _, with_random, _ = _with_accepted(config, data.vocabulary, data.worlds[seed], other.accepted)
    mrr = {
        "before": part.before,
        "fine-tuned": measure(part, params, part.refined),
        "overridden": measure(part, over, part.refined),
        "replay alone": measure(part, replayed, part.known),
        "random edges": measure(part, tune(other, config.reject[at]), with_random),
    }
    choice = {"reject": config.reject[at], "affected": changes[at][0], "rest": changes[at][1]}
    gone = sum(len(sample.hard) - len(count) for sample, (_, count) in zip(part.samples, part.answers))
    return {"affected": part.affected, "mrr": mrr, "choice": choice, "left_out": gone, "table": params._asdict()}


def _measure(engine, part, params, observed):
    return _mrr(engine.scores([sample.query for sample in part.samples], observed, params), part.answers)


def _changes(part, after):
    """Returns (mean change of MRR on the affected queries, on the rest), 0 where there are none."""
    counts = part.before >= 0
    halves = (counts & part.affected, counts & ~part.affected)
    return tuple(float(np.mean((after - part.before)[of])) if of.any() else 0.0 for of in halves)


def _tuned(config, params, world, seed, judged, reject):
    """Returns the predictor fine-tuned on judged edges."""
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(config.seed), seed), 1)
    accepted, rejected = (refinement.batch_of(edges, config.num_judged) for edges in judged)
    tuned, info = _tune(
        params,
        key,
        jnp.asarray(graph.with_inverses(world.splits.train)),
        accepted,
        rejected,
        refinement.Weights(config.accept, reject, config.keep, config.regularization),
        epochs=config.tune_epochs,
        batch_size=config.batch_size,
        learning_rate=config.tune_rate,
    )
    with fitting.finite("fine-tuning"):
        if not np.isfinite(info["loss"]).all():
            raise ValueError("a loss that is no number")
    return tuned


def _random_judged(config, engine, data, seed, judged):
    """Returns as many random predicted edges, as many of them accepted, whatever is true.

    Each has the head and relation of a random observed edge, either way, and one of the first tails by the predictor of
    those that are not observed.
    """
    rng = np.random.default_rng((config.seed, seed, 2))
    known = data.worlds[seed].known
    edges = known.triples()
    count = min(len(judged.all()), len(edges) // 4)
    head, relation, _ = edges[rng.choice(len(edges), size=2 * count, replace=False)].T
    links = [queries_lib.Projection(r, queries_lib.Entity(h)) for h, r in zip(head.tolist(), relation.tolist())]
    scores = engine.scores(links, known)
    nothing = [()] * len(links)
    first = blame.first_answers(scores, map(known.tails_of, head, relation), nothing, num_answers=config.first)
    order = rng.permutation(len(first.query))
    one = order[np.unique(first.query[order], return_index=True)[1]]
    of, tail = first.query[one], first.entity[one]
    found = np.unique(proofs.forwards(np.stack([head[of], relation[of], tail], axis=1)), axis=0)
    found = rng.permutation(found)[:count]
    return judgements.judged(found, np.arange(len(found)) < len(judged.accepted))


def _save(data, seed, params, judged, refined, workdir):
    """Writes the first seed's predictor as it was, and as it is with the accepted edges among its training triples."""
    world = data.worlds[seed]
    fitting.save(data.vocabulary, world, params, workdir)
    new = judged.accepted[~world.known.contains(judged.accepted)].astype(np.int32)
    taken = graph.build_index(new, **_sizes(data.vocabulary))
    left = world.splits.test[~taken.contains(world.splits.test)]
    parts = {"train": np.concatenate([world.splits.train, new]), "valid": world.splits.valid, "test": left}
    tuned = trained.Trained(_model(params, refined["table"]), data.vocabulary, parts)
    workdir.write_file(REFINED, trained.to_bytes(tuned))


def _model(params, tables):
    """Returns a model of the type of another, of tables that a stage has kept."""
    return type(params)(**{name: jnp.asarray(table) for name, table in tables.items()})
