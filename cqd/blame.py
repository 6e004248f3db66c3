"""Blame: which predicted edges, and which relations, make complex queries go wrong.

The best proof of a wrong answer that is ranked among the first m rests on observed edges, which are right, and on
predicted ones, of which one at least is false. An edge is blamed for the wrong answers whose best proof needs it, and
credited with the right ones,

    blame(e) = sum over wrong answers of P(e is false) / rank - sum over right answers of 1 / rank

    P(e is false) = (1 - truth of e) / (1 - product of the truths of the proof's predicted edges)

the latter given that not all of them are true, were they independent: 1 where e is the only one. So the edges to look
at first are those that put wrong answers at the top and support nothing else. It is a count, not a counterfactual: an
answer may have another proof nearly as true. Answers that follow from observed edges are left out. Right and wrong are
as far as is known: where answers are missing, the most blamed edges are in part true and unobserved, and to be
accepted.

References:
    arXiv 2011.03459, section 5.2 (explanations let one find the source of an error and mend the predictor).
"""

from typing import NamedTuple

import numpy as np


class Answers(NamedTuple):
    """Answers of many queries, those of one query together and best first.

    Attributes:
        query: [A] the position of the query.
        entity: [A] the answer.
        rank: [A] from 1, among entities that are no easy answer.
        right: [A] bool.
    """

    query: np.ndarray
    entity: np.ndarray
    rank: np.ndarray
    right: np.ndarray


class Candidates(NamedTuple):
    """Predicted edges, the most blamed first.

    Attributes:
        triples: [K, 3] ids (head, even relation, tail).
        truth: [K] the greatest as an atom of a proof.
        blame: [K] as above.
        wrong, right: [K] how many wrong and right answers have a best proof that needs the edge.
        queries: [K] of how many queries these wrong answers are.
        example: [K] the place, among the Answers, of the wrong answer of least rank, -1 without any.
    """

    triples: np.ndarray
    truth: np.ndarray
    blame: np.ndarray
    wrong: np.ndarray
    right: np.ndarray
    queries: np.ndarray
    example: np.ndarray

    def first(self, count):
        """Returns the most blamed of them, those that were blamed at all."""
        return Candidates(*(part[: min(count, int(np.sum(self.blame > 0)))] for part in self))


def first_answers(scores, easy, hard, *, num_answers):
    """Returns the Answers: the m best of each query, easy ones and those of score 0 left out.

    Args:
        scores: [Q, N] truths.
        easy, hard: lists of Q arrays of entity ids; an entity of neither is a wrong answer.
        num_answers: m.
    """
    found = [np.zeros((4, 0), np.int64)]
    for number, (row, known, right) in enumerate(zip(np.array(scores, np.float64), easy, hard)):
        row[known] = 0
        best = np.argsort(-row, kind="stable")[:num_answers]
        best = best[row[best] > 0]
        rank = 1 + np.arange(len(best))
        found.append(np.stack([np.full(len(best), number), best, rank, np.isin(best, right)]))
    query, entity, rank, right = np.concatenate(found, axis=1)
    return Answers(query, entity, rank, right.astype(bool))


def predicted_edges(proofs, observed):
    """Returns (owner [E], triples [E, 3], truth [E]): the edges that proofs need and that are not observed.

    Args:
        proofs: list of `proofs.Best`.
        observed: Index of the observed edges.
    """
    needed = [proof.needed for proof in proofs]
    owner = np.repeat(np.arange(len(proofs)), [int(of.sum()) for of in needed])
    triples = np.concatenate([np.zeros((0, 3), np.int64), *(p.triples[of] for p, of in zip(proofs, needed))])
    truth = np.concatenate([np.zeros(0), *(p.truth[of] for p, of in zip(proofs, needed))])
    missing = ~observed.contains(triples)
    return owner[missing], triples[missing], truth[missing]


def candidates(answers, proofs, observed):
    """Returns the Candidates that the best proofs of answers rest on.

    Args:
        answers: Answers.
        proofs: list of A `proofs.Best`, one an answer.
        observed: Index of the observed edges.
    """
    owner, triples, truth = predicted_edges(proofs, observed)
    edges, at = np.unique(triples, axis=0, return_inverse=True)
    at = at.reshape(-1)
    once = np.unique(np.stack([at, owner]), axis=1, return_index=True)[1]  # an edge may stand twice in a proof
    at, owner, truth = at[once], owner[once], truth[once]
    wrong = ~answers.right[owner]

    def count(where, weights=None):
        return np.bincount(at[where], weights if weights is None else weights[where], len(edges))

    share = 1 / answers.rank[owner]
    blame = count(wrong, share * _false_given_wrong(owner, truth, len(proofs))) - count(~wrong, share)
    highest = np.zeros(len(edges))
    np.maximum.at(highest, at, truth)
    pairs = np.unique(np.stack([at[wrong], answers.query[owner[wrong]]]), axis=1)
    found = Candidates(
        edges, highest, blame, count(wrong), count(~wrong), np.bincount(pairs[0], minlength=len(edges)),
        _examples(at, owner, np.where(wrong, answers.rank[owner], 0), len(edges)),
    )  # fmt: skip
    order = np.lexsort((-found.truth, -found.blame))
    return Candidates(*(part[order] for part in found))


def _false_given_wrong(owner, truth, count):
    """Returns [E]: for each edge of a proof (1 - truth) / (1 - product of truths), 1 where it is the only edge."""
    doubt = np.maximum(1 - truth, 1e-9)
    none_false = np.ones(count)
    np.multiply.at(none_false, owner, 1 - doubt)
    return np.minimum(doubt / np.maximum(1 - none_false[owner], 1e-9), 1)


def _examples(at, owner, rank, count):
    """Returns [count]: the owner of least rank above 0 of each edge, -1 without any."""
    found = np.full(count, -1)
    worst_first = np.argsort(-rank, kind="stable")
    worst_first = worst_first[rank[worst_first] > 0]
    found[at[worst_first]] = owner[worst_first]
    return found
