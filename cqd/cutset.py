"""Answers of patterns that have cut variables, or two selected ones, by any method that answers trees.

The truth of an answer is the maximum over the entities of the cut variables. They are tried in the order of their
bounds: the truth of a tree that leaves out what closes the cycles, hence is no less than any answer's. Entities with
bound 0 are never tried, and where only the best m answers are wanted the search ends when no bound exceeds the m-th.

Costs, in trees answered: one cut variable takes N at most, two take N^2; the best m answers take as many as have a
bound above the m-th truth. Of two selected variables without a cycle the bounds are exact, which makes about m.
Everywhere `evaluate(list of Q queries) -> [Q, N]` is the method. A bound walks edges the other way round than the tree
it bounds: it is one where an edge has the same truth from both ends, as on a graph, and an estimate where r and r^-1
have embeddings of their own, or where the method understates truths, as a small beam does. `prune=False` then takes the
bounds for the order alone and tries every candidate.

References:
    arXiv 2304.07063 (FIT: cyclic queries by enumeration); Fagin, Lotem, Naor, Optimal aggregation algorithms (2003).
"""

import itertools

import numpy as np


def answer(compiled, evaluate, *, num_entities, num_answers=None, candidates=None, prune=True, batch_size=64):
    """Returns [N]: the truth of every entity as an answer.

    Args:
        compiled: `rooting.Compiled` with one selected variable and ids.
        evaluate: list of queries -> [Q, N] truths.
        num_entities: N.
        num_answers: the best so many truths are right, others may be understated; None for all.
        candidates: {cut variable: entity ids to try}, all where it is absent.
        prune: leave out what its bound rules out.
        batch_size: queries a call of evaluate.
    """
    if len(compiled.select) > 1:
        raise ValueError("two variables are selected: pairs() answers such a query")
    if not compiled.cuts:
        return np.asarray(evaluate([compiled.at()]))[0]
    wanted = min(num_entities if num_answers is None else num_answers, num_entities)
    if wanted < 1:
        raise ValueError(f"num_answers={num_answers}: at least 1 is due")
    best, level = np.zeros(num_entities), 0.0

    def enough():
        return level if prune else -1.0

    for _, truths in _batches(compiled, evaluate, num_entities, candidates, enough, batch_size):
        best = np.maximum(best, truths.max(axis=0))
        level = np.partition(best, -wanted)[-wanted] if num_answers else 0.0
    return best


def pairs(compiled, evaluate, *, num_entities, num_pairs, candidates=None, prune=True, batch_size=64):
    """Returns the best pairs of two selected variables as a list of (first, second, truth), best first, truths above 0.

    Args:
        compiled: `rooting.Compiled` with two selected variables and ids.
        evaluate, num_entities, candidates, prune, batch_size: as in `answer`.
        num_pairs: how many pairs at most.
    """
    if len(compiled.select) != 2:
        raise ValueError("one variable is selected: answer() answers such a query")
    if num_pairs < 1:
        raise ValueError(f"num_pairs={num_pairs}: at least 1 is due")
    codes, best, level = np.zeros(0, np.int64), np.zeros(0), 0.0

    def enough():
        return level if prune else -1.0

    for values, truths in _batches(compiled, evaluate, num_entities, candidates, enough, batch_size):
        kept = min(num_pairs, num_entities)
        second = np.argpartition(truths, -kept, axis=1)[:, -kept:]
        found = values[:, :1].astype(np.int64) * num_entities + second
        codes = np.concatenate([codes, found.ravel()])
        best = np.concatenate([best, np.take_along_axis(truths, second, axis=1).ravel()])
        codes, best = _best(codes, best, num_pairs)
        level = best[-1] if len(best) == num_pairs else 0.0
    return [(int(code // num_entities), int(code % num_entities), float(truth)) for code, truth in zip(codes, best)]


def _best(codes, truths, count):
    """Returns the codes with the greatest truths, each once and truth 0 left out, ties in the order of the codes."""
    order = np.lexsort((codes, -truths))
    order = order[truths[order] > 0]
    _, first = np.unique(codes[order], return_index=True)
    order = order[np.sort(first)][:count]
    return codes[order], truths[order]


def _batches(compiled, evaluate, num_entities, candidates, enough, batch_size):
    """Yields (values [B, cuts], truths [B, N]) until no assignment can exceed enough()."""
    remaining = assignments(*_bounds(compiled, evaluate, num_entities, candidates), enough)
    while batch := list(itertools.islice(remaining, batch_size)):
        yield np.array(batch), np.asarray(evaluate([compiled.at(values) for values in batch]))


def assignments(candidates, bounds, enough=lambda: -1.0):
    """Yields tuples of entities of the cut variables whose bounds exceed enough(), best first.

    Args:
        candidates: list of arrays of entities, one a variable.
        bounds: list of [N] arrays, one a variable.
        enough: called before each tuple; may grow.
    """
    ordered = [ids[np.argsort(-bound[ids], kind="stable")].tolist() for ids, bound in zip(candidates, bounds)]

    def extend(chosen):
        if len(chosen) == len(ordered):
            yield chosen
            return
        for entity in ordered[len(chosen)]:
            if bounds[len(chosen)][entity] <= enough():
                return
            yield from extend((*chosen, entity))

    return extend(())


def _bounds(compiled, evaluate, num_entities, candidates):
    """Returns (a list of arrays of candidates, a list of [N] bounds, inf where none is known)."""
    if unknown := sorted(set(candidates or {}) - set(compiled.cuts)):
        raise ValueError(f"candidates for ?{unknown[0]}: the variables to enumerate are {', '.join(compiled.cuts)}")
    known = [query for query in compiled.bounds if query is not None]
    truths = iter(np.asarray(evaluate(known)) if known else ())
    bounds = [np.full(num_entities, np.inf) if query is None else next(truths) for query in compiled.bounds]
    everything = np.arange(num_entities)
    return [np.asarray((candidates or {}).get(name, everything)) for name in compiled.cuts], bounds
