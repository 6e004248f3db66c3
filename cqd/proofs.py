"""`proofs.prove`: the best assignments behind answers of any query, and `proofs.best`, one each for many at once.

What a proof is, and how it is found in a tree, says `cqd.proof_search`. Of a pattern with cut variables
(`cqd.rooting`) their best values are found first, in the order of their bounds as in `cqd.cutset`; with them it is a
tree, and they join the assignment.
"""

import functools
import heapq
import itertools
from typing import NamedTuple

import jax
import numpy as np

from cqd import answering, beam, cutset, exact, proof_search, rooting, symbolic
from cqd.graph import inverse
from cqd.pattern import Variable
from cqd.query import And, Entity

_BATCH = 64  # assignments of the cut variables tried at once


class Proof(NamedTuple):
    """Why an entity answers a query.

    Attributes:
        query: with ids, without `or` outside of negations, cut variables at their entities.
        answer: the entity; of two selected variables the pair.
        truth: T(truths of the atoms, 1 - truth of each denial).
        assignment: tuple of (variable, entity): a `pattern.Variable` where it has a name, else the part of the query
            whose answer it is.
        atoms: tuple of `proof_search.Atom`, from the anchors to the answer.
        denials: tuple of `proof_search.Denial`, the negated parts.
    """

    query: object
    answer: object
    truth: float
    assignment: tuple
    atoms: tuple
    denials: tuple


def prove(params, query, answers, *, num_proofs=1, **options):
    """Returns a list of lists of Proofs: the best ones of each answer, best first, those of truth 0 left out.

    Args:
        params: link predictor.
        query: a tree with ids, or `rooting.Compiled`.
        answers: entities; of two selected variables pairs.
        num_proofs: how many an answer at most.
        **options: of `cqd.answer`. Under method "continuous" variables are vectors, hence proofs are those of "exact";
            under aggregate "sum" those of "max", for the sum has no best assignment.

    Raises:
        ValueError: as `cqd.answer`; num_proofs below 1, official scores, answers that are no entities, unions that
            multiply to too many alternatives.
    """
    if num_proofs < 1:
        raise ValueError(f"num_proofs={num_proofs}: at least 1 is due")
    search = proof_search.Search(params, num_proofs, **options)
    compiled = query if isinstance(query, rooting.Compiled) else None
    answers = [_checked(answer, compiled, search.num_entities) for answer in answers]
    answering.check_ids(params, [compiled.at([0] * len(compiled.cuts)) if compiled else query])
    if not answers:
        return []
    if compiled:
        return _of_compiled(search, compiled, answers)
    found = search.proofs(query, answers)
    return [[Proof(tree, y, *search.finished(part)) for tree, part in found[y]] for y in answers]


def _checked(answer, compiled, num_entities):
    """Returns an answer as an entity, or as a pair where two variables are selected."""
    pair = compiled is not None and len(compiled.select) == 2
    entities = np.asarray(answer)
    if entities.shape != ((2,) if pair else ()) or entities.dtype.kind not in "iu":
        raise ValueError(f"answer {answer!r}: {'a pair of entities' if pair else 'an entity'} is due, as ids")
    if entities.min() < 0 or entities.max() >= num_entities:
        raise ValueError(f"answer {answer!r}: ids run from 0 to {num_entities - 1}")
    return tuple(entities.tolist()) if pair else int(answer)


def _of_compiled(search, compiled, answers):
    """Returns a list of lists of Proofs of answers to a query with names."""
    found = [[] for _ in answers]
    for number, values in _cut_values(search, compiled, answers):
        named = _selected(compiled, answers[number]) | dict(zip(compiled.cuts, values))
        target = named[compiled.select[-1]]
        names = tuple((Variable(name), entity) for name, entity in named.items())
        for tree, part in search.proofs(compiled.at(values), [target])[target]:
            _, assignment, *rest = search.finished(part)
            others = tuple(item for item in assignment if not _is_cut(item[0]))
            found[number].append(Proof(tree, answers[number], part.truth, names + others, *rest))
    return [search.best(proofs) for proofs in found]


def _is_cut(part):
    """Returns whether a part of a query is a cut variable, as it says which entity it is."""
    return isinstance(part, And) and any(isinstance(child, Entity) for child in part.children)


def _selected(compiled, answer):
    return dict(zip(compiled.select, np.atleast_1d(answer).tolist(), strict=True))


def _cut_values(search, compiled, answers):
    """Yields (position of an answer, entities of the cut variables), the m best of each answer."""
    groups = {}  # answers that hold cut variables at the same entities, in a pair for one
    for number, answer in enumerate(answers):
        selected = _selected(compiled, answer)
        held = tuple(selected.get(name) for name in compiled.cuts)
        groups.setdefault(held, []).append((number, selected[compiled.select[-1]]))
    for held, members in groups.items():
        numbers, targets = zip(*members)
        found = [[held]] * len(numbers) if None not in held else _enumerated(search, compiled, held, targets)
        for number, of_target in zip(numbers, found):
            yield from ((number, values) for values in of_target)


def _enumerated(search, compiled, held, targets):
    """Returns a list of lists: the entities of the cut variables with the m best proofs of each target.

    Args:
        search: `proof_search.Search`.
        compiled: `rooting.Compiled`.
        held: for each cut variable its entity, or None where it is free.
        targets: entities.
    """
    best = [[] for _ in targets]  # heaps of (truth of the best proof, order of arrival, entities)
    arrivals = itertools.count()

    def enough():
        return min(heap[0][0] if len(heap) == search.num_proofs else 0 for heap in best)

    everything = np.arange(search.num_entities)
    candidates = [everything if entity is None else np.array([entity]) for entity in held]
    remaining = cutset.assignments(candidates, _bounds(search, compiled), enough)
    while batch := list(itertools.islice(remaining, _BATCH)):
        truth_bt = _best_truths(search, [compiled.at(values) for values in batch], targets)
        for values, truth_t in zip(batch, truth_bt):
            for heap, truth in zip(best, truth_t):
                if truth > 0:
                    heapq.heappush(heap, (truth, -next(arrivals), values))
                    if len(heap) > search.num_proofs:
                        heapq.heappop(heap)
    return [[values for _, _, values in sorted(heap, reverse=True)] for heap in best]


def _bounds(search, compiled):
    """Returns a list of [N] bounds of the cut variables, inf where none is known."""
    known = [query for query in compiled.bounds if query is not None]
    truths = iter(np.asarray(search.answer(known)) if known else ())
    return [np.full(search.num_entities, np.inf) if query is None else next(truths) for query in compiled.bounds]


def _best_truths(search, queries, targets):
    """Returns [queries, targets]: the truth of the best proof, the greatest over alternatives."""
    parts = [proof_search.alternatives(query) for query in queries]
    truth_at = np.asarray(search.answer([tree for trees in parts for tree in trees]))[:, list(targets)]
    starts = np.cumsum([0, *map(len, parts[:-1])])
    return np.maximum.reduceat(truth_at, starts, axis=0)


def is_true(proof, full):
    """Returns whether a proof holds: its edges are in the full graph, an Index, and what it denies does not follow.

    Args:
        proof: Proof, or Best, which denies nothing.
        full: Index of all true edges.
    """
    if isinstance(proof, Best):
        return bool(full.contains(proof.triples[proof.needed]).all())
    edges = np.array([atom[:3] for atom in proof.atoms], np.int64).reshape(-1, 3)
    follows = symbolic.answers(full, [denial.query for denial in proof.denials])
    denied = all(denial.entity not in answers for denial, answers in zip(proof.denials, follows))
    return bool(full.contains(edges).all()) and denied


class Best(NamedTuple):
    """The assignment that attains an answer's truth, as arrays.

    Attributes:
        query: the query, with ids.
        answer: the entity.
        value: its truth.
        triples: [atoms, 3] as (head, even relation, tail); those under `not` are left out.
        truth: [atoms], each atom's truth.
        needed: [atoms] bool, false for atoms of the weaker branches of an `or`.
    """

    query: object
    answer: int
    value: float
    triples: np.ndarray
    truth: np.ndarray
    needed: np.ndarray


_STATIC = ("structure", "tnorm", "beam_size", "normalize", "certain")
_beam = functools.partial(jax.jit, static_argnames=_STATIC)(beam.proofs)


def best(
    params,
    queries,
    answers,
    *,
    method="beam",
    tnorm="product",
    beam_size=64,
    normalize="sigmoid",
    batch_size=64,
    observed=None,
    known=None,
):
    """Returns a list of Bests, one for each tree and its answer, by compiled batches: for many of them.

    Args:
        params, method, tnorm, beam_size, normalize, batch_size, observed, known: as in `prove`.
        queries: list of trees with ids.
        answers: list of entity ids, one a query.

    Raises:
        ValueError: as `cqd.answer`.
    """
    answering.check_options(
        method=method, tnorm=tnorm, beam_size=beam_size, normalize=normalize, observed=observed, known=known
    )
    answering.check_ids(params, queries)
    answers = np.asarray(answers, dtype=np.int32)
    options = {"tnorm": tnorm, **answering.atom_options(params, normalize, observed, known, False)}
    run = functools.partial(_beam, beam_size=int(beam_size)) if method == "beam" else exact.proofs
    found = [None] * len(queries)
    for structure, positions, rows in answering.batches(queries, batch_size):
        targets = np.pad(answers[positions], (0, len(rows) - len(positions)), mode="edge")
        result = jax.device_get(run(params, rows, targets, structure=structure, **options))
        for slot, position in enumerate(positions):
            triples, truth, needed = (result[name][slot] for name in ("triples", "truth", "needed"))
            value = float(result["value"][slot])
            found[position] = Best(queries[position], int(answers[position]), value, forwards(triples), truth, needed)
    return found


def forwards(triples):
    """Returns triples [K, 3] with every odd relation turned round: (head, r^-1, tail) is (tail, r, head)."""
    head, relation, tail = np.asarray(triples).T
    odd = relation % 2 == 1
    return np.stack(
        [np.where(odd, tail, head), np.where(odd, inverse(relation), relation), np.where(odd, head, tail)], axis=1
    )
