"""The queries of a run: sampled, or benchmark files' with their hard answers computed; and a user's questions."""

import numpy as np
from absl import logging

from cqd import ask, query_files, sampling, symbolic
from cqd import query as queries_lib
from cqd.runs import graphs
from experiment.progress import Progress


def queries(config, vocabulary, world, seed):
    """Returns {type: list of `sampling.Sample`}."""
    if config.queries:
        return _of_file(config, vocabulary, world, seed)
    logging.info("seed %d: drawing %d queries of each type", seed, config.num_queries)
    with graphs.field("num_queries"):
        return {
            name: sampling.sample(
                name,
                config.num_queries,
                seed=(config.seed, seed, list(queries_lib.TEMPLATES).index(name)),
                observed=world.known,
                full=world.full,
                max_answers=config.max_answers,
                max_share=config.max_share,
            )
            for name in config.types
        }


def _of_file(config, vocabulary, world, seed):
    """Returns at most num_queries a type of a file, drawn by the seed; those without a hard answer are left out."""
    stored = query_files.load(config.queries, part=config.part, vocabulary=vocabulary)
    found = {}
    for number, name in enumerate(config.types):
        if name not in stored:
            raise ValueError(f"config.types: {config.queries} has no {name} among {', '.join(stored)}")
        chosen = stored[name]
        if 0 < config.num_queries < len(chosen):
            rng = np.random.default_rng((config.seed, seed, number))
            chosen = [chosen[i] for i in np.sort(rng.permutation(len(chosen))[: config.num_queries])]
        with Progress(f"answers of {len(chosen)} {name} queries"):
            samples = _with_answers(world, [each.query for each in chosen])
        found[name] = [sample for sample in samples if len(sample.hard)]
        if not found[name]:
            raise ValueError(f"config.queries={config.queries}: no {name} query of {config.part} has a hard answer")
    return found


def _with_answers(world, trees):
    easy, hard = symbolic.easy_and_hard(world.known, world.full, trees)
    links = symbolic.missing_links(world.known, world.full, trees)
    return [
        sampling.Sample(tree, e, h, np.concatenate([of[np.searchsorted(ids, part)] for part in (e, h)]))
        for tree, e, h, (ids, of) in zip(trees, easy, hard, links)
    ]


def questions(config, vocabulary):
    """Returns the questions looked up, as `ask.read` does, of the user's graph or the embedded one."""
    texts = config.questions if config.graph is not None else config.questions + config.embedded.questions
    with graphs.field("questions"):
        return tuple(_question(text, vocabulary) for text in texts)


def _question(text, vocabulary):
    if not isinstance(text, str):
        raise ValueError(f"{text!r} among texts")
    return ask.read(text, vocabulary)
