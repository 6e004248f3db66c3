"""Proofs that observed edges rule out: a second capital of a country whose capital is known, a border with itself.

A relation that gives no head two tails, on enough heads to tell, is taken to be functional: where it has an observed
edge it has no other. One that joins no entity to itself, on enough edges, has no loops. Link predictors do not know:
they grant Stockholm to Norway a little, and where Sweden's time zone is missing the right answer may come by Norway's,
a wrong proof. Truths are left as they are: a hard mask in ranking would pay for every relation taken for functional
that is not.
"""

from typing import NamedTuple

import numpy as np

from cqd import proofs
from cqd.graph import inverse

ENOUGH = 20
_SPARE = (4, 32)  # times as many proofs are looked at, to have enough that are not ruled out


class Closed(NamedTuple):
    """What the observed edges say of each relation id, inverses among them: [R] bool each."""

    functional: np.ndarray
    loopless: np.ndarray


class Reason(NamedTuple):
    """Why an atom is ruled out: an observed edge (head, relation, tail), relation even, that leaves no other.

    Attributes:
        edge: (head, relation, tail); for a loop the loop itself, which is not observed.
        kind: "tail", the head has this tail alone; "head", the tail has this head alone; "loop".
    """

    edge: tuple
    kind: str


def closed(index):
    """Returns which relations of an Index of observed edges are Closed."""
    head, relation, tail = index.triples().T
    edges, loops = (np.bincount(part, minlength=index.num_relations) for part in (relation, relation[head == tail]))
    row_relation = index.rows[:-1] // index.num_entities
    heads = np.bincount(row_relation, minlength=index.num_relations)
    most = np.zeros(index.num_relations, np.int64)
    np.maximum.at(most, row_relation, index.counts[:-1])
    return Closed((heads >= ENOUGH) & (most == 1), (edges >= ENOUGH) & (loops == 0))


def reasons(atoms, index, relations):
    """Returns a list of Reasons that rule some of the atoms out.

    Args:
        atoms: of a proof.
        index: Index of the observed edges.
        relations: `closed(index)`.
    """
    found = []
    for head, relation, tail, *_ in atoms:
        if index.contains([(head, relation, tail)])[0]:
            continue
        if head == tail and relations.loopless[relation]:
            found.append(Reason((head, relation, tail), "loop"))
        if relations.functional[relation]:
            found += [Reason((head, relation, int(other)), "tail") for other in index.tails_of(head, relation)]
        if relations.functional[inverse(relation)]:
            others = index.tails_of(tail, inverse(relation))
            found += [Reason((int(other), relation, tail), "head") for other in others]
    return list(dict.fromkeys(found))


def prove(params, query, answers, *, num_proofs=1, observed, **options):
    """Returns (a list of the best proofs of each answer that nothing rules out, a list of what is ruled out).

    The latter holds, for each answer, (the truest proof, the Reasons that rule it out), or None where it stands.

    Args:
        params, query, answers, num_proofs, **options: as in `proofs.prove`.
        observed: Index of the observed edges.

    Raises:
        ValueError: as `proofs.prove`.
    """
    relations = closed(observed)
    for times in _SPARE:
        found = proofs.prove(params, query, answers, num_proofs=times * num_proofs, observed=observed, **options)
        why = [[reasons(proof.atoms, observed, relations) for proof in of_answer] for of_answer in found]
        if all(len(each) < times * num_proofs or sum(not one for one in each) >= num_proofs for each in why):
            break
    kept = [[p for p, against in zip(*of_answer) if not against][:num_proofs] for of_answer in zip(found, why)]
    return kept, [(of_answer[0], each[0]) if any(each[:1]) else None for of_answer, each in zip(found, why)]
