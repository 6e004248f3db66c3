"""Explanations: the best assignment behind an answer, atom by atom, each observed or predicted.

References:
    arXiv 2011.03459, section 5.2 (explaining answers).
"""

import functools
from typing import NamedTuple

import jax
import numpy as np

from cqd import answering, beam, ranking, symbolic
from cqd.graph import inverse
from cqd.query import to_text


class Proof(NamedTuple):
    """Why an entity answers a query.

    Attributes:
        query: the query, with ids.
        answer: the entity.
        value: its truth.
        triples: [atoms, 3] as (head, even relation, tail).
        truth: [atoms], each atom's truth by the predictor.
        needed: [atoms] bool, false for atoms of the weaker branches of an `or`.
    """

    query: object
    answer: int
    value: float
    triples: np.ndarray
    truth: np.ndarray
    needed: np.ndarray


_proofs = functools.partial(jax.jit, static_argnames=("structure", "tnorm", "beam_size", "normalize"))(beam.proofs)


def prove(params, queries, answers, *, tnorm="product", beam_size=64, normalize="sigmoid", batch_size=64):
    """Returns a list of Proofs, one for each query and its answer.

    Args:
        params, tnorm, beam_size, normalize, batch_size: as in `cqd.answer`.
        queries: list of queries with ids.
        answers: list of entity ids, one a query.

    Raises:
        ValueError: as `cqd.answer`.
    """
    answering.check_options(tnorm=tnorm, beam_size=beam_size, normalize=normalize)
    answering.check_ids(params, queries)
    answers = np.asarray(answers, dtype=np.int32)
    options = {"tnorm": tnorm, "beam_size": int(beam_size), "normalize": normalize}
    found = [None] * len(queries)
    for structure, positions, rows in answering.batches(queries, batch_size):
        targets = np.pad(answers[positions], (0, len(rows) - len(positions)), mode="edge")
        result = jax.device_get(_proofs(params, rows, targets, structure=structure, **options))
        for slot, position in enumerate(positions):
            triples = forwards(result["triples"][slot])
            truth, needed = result["truth"][slot], result["needed"][slot]
            value = float(result["value"][slot])
            found[position] = Proof(queries[position], int(answers[position]), value, triples, truth, needed)
    return found


def forwards(triples):
    """Returns triples [K, 3] with every odd relation turned round: (head, r^-1, tail) is (tail, r, head)."""
    head, relation, tail = np.asarray(triples).T
    odd = relation % 2 == 1
    return np.stack(
        [np.where(odd, tail, head), np.where(odd, inverse(relation), relation), np.where(odd, head, tail)], axis=1
    )


def explain(params, query, *, vocabulary, known, full, num_answers=4, tnorm="product", beam_size=64):
    """Returns a question's best answers in labels with their proofs, ready for JSON.

    Args:
        params, tnorm, beam_size: as in `cqd.answer`.
        query: a positive query with ids.
        vocabulary: the labels.
        known: Index of the observed edges; an atom among them is "observed", any other "predicted".
        full: Index of all true edges.
        num_answers: new answers that are proved, best first; the best known answer is proved too.

    Returns:
        A dict: "question"; "known", the answers that follow from observed edges; "to_find", those that need a missing
        edge, {"answer", "rank"} with the filtered rank; "answers", each {"answer", "truth", "status", "proof_is_true",
        "atoms"}, an atom being {"head", "relation", "tail", "truth", "source"}.
    """
    options = {"tnorm": tnorm, "beam_size": beam_size}
    scores = np.asarray(answering.answer(params, query, **options))
    easy, hard = (part[0] for part in symbolic.easy_and_hard(known, full, [query]))
    best = np.argsort(-scores, kind="stable")
    found = np.isin(best, easy)
    shown = np.concatenate([best[found][:1], best[~found][:num_answers]])
    answers = []
    for proof in prove(params, [query] * len(shown), shown, **options):
        status = "known" if proof.answer in easy else "right" if proof.answer in hard else "not in the graph"
        atoms = _atoms(proof, vocabulary, known)
        answers.append(
            {
                "answer": vocabulary.entities[proof.answer],
                "truth": proof.value,
                "status": status,
                "proof_is_true": is_true(proof, full),
                "atoms": atoms,
            }
        )
    ranks = ranking.filtered_ranks(scores, easy, hard)
    return {
        "question": to_text(query, vocabulary),
        "known": [vocabulary.entities[entity] for entity in easy],
        "to_find": [{"answer": vocabulary.entities[e], "rank": float(rank)} for e, rank in zip(hard, ranks)],
        "answers": answers,
    }


def _atoms(proof, vocabulary, known):
    """Returns a list of dicts: the atoms that the answer needs, in labels."""
    sources = np.where(known.contains(proof.triples), "observed", "predicted")
    return [
        {
            "head": vocabulary.entities[head],
            "relation": vocabulary.relation_label(relation),
            "tail": vocabulary.entities[tail],
            "truth": float(truth),
            "source": str(source),
        }
        for (head, relation, tail), truth, source, needed in zip(proof.triples, proof.truth, sources, proof.needed)
        if needed
    ]


def to_words(explanation):
    """Returns the text of an explanation: what is known, what was to be found and at which rank, and every proof."""
    to_find = [f"{item['answer']} (rank {item['rank']:g})" for item in explanation["to_find"]]
    lines = [
        explanation["question"],
        "  follows from observed edges: " + (", ".join(explanation["known"]) or "nothing"),
        "  needs a missing edge: " + (", ".join(to_find) or "nothing"),
    ]
    for answer in explanation["answers"]:
        caveat = ", by a false proof" if answer["status"] != "not in the graph" and not answer["proof_is_true"] else ""
        lines.append(f"  {answer['answer']}: {answer['status']}{caveat}, truth {answer['truth']:.3f}")
        for atom in answer["atoms"]:
            edge = f"{atom['head']} -- {atom['relation']} -> {atom['tail']}"
            lines.append(f"      {edge}: {atom['source']}, truth {atom['truth']:.3f}")
    return "\n".join(lines) + "\n"


def is_true(proof, full):
    """Returns whether every atom that the answer needs is an edge of the full graph, an Index."""
    return bool(full.contains(proof.triples[proof.needed]).all())
