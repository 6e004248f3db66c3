"""The m best proofs that entities answer a query tree.

A proof takes one branch of every `or` and one entity for every variable. Its truth is the conjunction of all it rests
on,

    T(the truths of its atoms, 1 - v of every negated part)

where v is the truth of the negated part. Of such a part only a denial can be had: nothing that speaks for it is truer
than v, and the proof of v, its strongest counter-evidence, is given along. The truth of an answer is that of its best
proof; an `or` may raise it above, as S(a, b) >= max(a, b).

The search goes down from the answer y and is exact since T does not decrease in any argument: the m best proofs of
r(child) at y have heads x among the m with the greatest T(truth of child at x, truth of the atom (x, r, y)), and the m
best of a conjunction come from the m best of its parts. Truths of children at every entity are those of `cqd.answer`.
An `or` is multiplied out, each alternative a query of its own. Under method "beam" x is one of the beam's, and every
alternative has beams of its own.

Axes: x heads tried, t targets (entities proved to be answers), n entities, m proofs.

References:
    arXiv 2011.03459, section 5.2 (explaining answers); Huang, Chiang, Better k-best parsing (2005), algorithm 2.
"""

import functools
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cqd import answering, calibration, exact
from cqd.graph import inverse
from cqd.query import And, Entity, Not, Or, Projection, children, rebuild

MAX_ALTERNATIVES = 1024
_BLOCK = 256  # heads tried at once

_CONJUNCTION = {"product": np.multiply, "min": np.minimum, "lukasiewicz": lambda a, b: np.maximum(a + b - 1, 0)}


class Atom(NamedTuple):
    """An edge that a proof rests on.

    Attributes:
        head, relation, tail: ids, the relation even.
        truth: that of the atom as the query reads it, by the inverse relation if need be.
        source: "observed" or "predicted"; None where the observed edges were not given.
        negated: whether it is evidence for a part that is denied: it stands under an odd number of `not`.
        needed: True, as every atom of a proof is.
    """

    head: int
    relation: int
    tail: int
    truth: float
    source: str | None = None
    negated: bool = False
    needed: bool = True


class Denial(NamedTuple):
    """What a proof says of a negated part.

    Attributes:
        query: what is negated.
        entity: of which it is denied.
        truth: v, how true it is; the proof takes 1 - v.
        evidence: the best Part that proves it after all, None where nothing speaks for it.
    """

    query: object
    entity: int
    truth: float
    evidence: object = None


class Part(NamedTuple):
    """A proof of a part of a query.

    Attributes:
        truth: in (0, 1].
        assignment: tuple of (the part of the query whose answer the variable is, its entity), in the order of atoms.
        atoms: tuple of Atoms, from the anchors to the answer.
        denials: tuple of Denials.
    """

    truth: float
    assignment: tuple = ()
    atoms: tuple = ()
    denials: tuple = ()


def alternatives(query):
    """Returns the tuple of trees without `or`, but inside negations, that a query is the union of.

    >>> from cqd.query import parse, to_text
    >>> [to_text(one) for one in alternatives(parse("capital(borders(Greece) | borders(Turkey))"))]
    ['capital(borders(Greece))', 'capital(borders(Turkey))']

    Raises:
        ValueError: more than MAX_ALTERNATIVES.
    """
    if isinstance(query, Entity | Not) or is_anything(query):
        return (query,)
    parts = [alternatives(child) for child in children(query)]
    if isinstance(query, Or):
        found = itertools.chain(*parts)
    else:
        found = (rebuild(query, chosen) for chosen in itertools.product(*parts))
    found = tuple(dict.fromkeys(itertools.islice(found, MAX_ALTERNATIVES + 1)))
    if len(found) > MAX_ALTERNATIVES:
        raise ValueError(f"the unions multiply to more than {MAX_ALTERNATIVES} alternatives; ask several queries")
    return found


def is_anything(query):
    """Returns whether a query is "is a or is not a", as `query.ANYTHING`."""
    match query:
        case Or((Entity(one), Not(Entity(other)))):
            return one == other
    return False


class Search:
    """The m best proofs under given options.

    Args:
        params: link predictor.
        num_proofs: m.
        **options: of `cqd.answer`; see `proofs.prove`.
    """

    def __init__(self, params, num_proofs, **options):
        options = {"method": "beam", "tnorm": "product", "beam_size": 64, "normalize": "sigmoid"} | options
        observed, known, official = (options.get(name) for name in ("observed", "known", "official"))
        answering.check_options(**{name: options[name] for name in options if name not in ("search", "batch_size")})
        if official:
            raise ValueError("official=True: raw scores are no truths, so nothing is proved by them")
        if options["method"] == "continuous":
            options["method"] = "exact"
        options = {name: value for name, value in options.items() if name not in ("search", "aggregate")}
        self.params = params
        self.num_entities = params.entity.shape[0]
        self.num_proofs = num_proofs
        self.observed = observed
        self.answer = functools.partial(answering.answer, params, **options)
        self.width = int(options["beam_size"]) if options["method"] == "beam" else self.num_entities
        self.conjoin = _CONJUNCTION[options["tnorm"]]
        self.atoms = answering.atom_options(params, options["normalize"], observed, known, False)
        self.values = {}  # [n] truths of the parts that proofs are made of

    def proofs(self, query, targets):
        """Returns {target: its m best (tree without `or`, Part), best first} of a query with ids."""
        trees = alternatives(query)
        wanted = dict.fromkeys(part for tree in trees for part in _searched(tree) if part not in self.values)
        if wanted:
            self.values |= zip(wanted, np.asarray(self.answer(list(wanted)), np.float64))
        found = [(tree, self.walk(tree, frozenset(targets))) for tree in trees]
        return {y: self.best(((tree, part) for tree, parts in found for part in parts[y]), at=1) for y in set(targets)}

    def best(self, items, at=None):
        """Returns the m best of some Parts, or of tuples with a Part at a place."""
        return sorted(items, key=lambda item: -(item if at is None else item[at]).truth)[: self.num_proofs]

    def walk(self, node, targets):
        """Returns {target: its m best Parts} of a tree without `or`."""
        match node:
            case Entity(name):
                return {y: [_CERTAIN] * (y == name) for y in targets}
            case Or():
                return {y: [_CERTAIN] for y in targets}
            case Not(child):
                denials = [Denial(child, y, float(self.values[child][y])) for y in targets]
                return {one.entity: [Part(1 - one.truth, denials=(one,))] * (one.truth < 1) for one in denials}
            case Projection(relation, child):
                return self.through(child, relation, np.array(sorted(targets)))
            case And(parts):
                found = [self.walk(part, targets) for part in parts]
                return {y: functools.reduce(self.both, (of_part[y] for of_part in found)) for y in targets}

    def through(self, child, relation, targets):
        """Returns {target: its m best Parts}, by the m best heads of each."""
        if not len(targets):
            return {}
        if isinstance(child, Entity):
            truth_tm = self.into(np.array([child.name]), relation, targets).T
            head_tm, joint_tm = np.full_like(truth_tm, child.name, int), truth_tm
        else:
            joint_tm, head_tm, truth_tm = self.best_heads(self.values[child], relation, targets)
        below = self.walk(child, frozenset(head_tm[joint_tm > 0].tolist()))
        found = {}
        for y, heads, truths in zip(targets.tolist(), head_tm.tolist(), truth_tm.tolist()):
            parts = []
            for head, truth in zip(heads, truths):
                atom = Part(truth, () if isinstance(child, Entity) else ((child, head),))
                atom = atom._replace(atoms=(self.atom(head, relation, y, truth),))
                parts += self.both(below.get(head, []), [atom])
            found[y] = self.best(parts)
        return found

    def best_heads(self, inner_n, relation, targets):
        """Returns [t, m] each: the greatest T(child at x, atom (x, relation, target)), these x, and their atoms."""
        order = np.argsort(-inner_n, kind="stable")[: self.width]
        best = np.zeros((3, len(targets), self.num_proofs))
        for start in range(0, len(order), _BLOCK):
            heads = order[start : start + _BLOCK]
            if inner_n[heads[0]] <= best[0, :, -1].min():  # no further T(v, a) <= v can do better
                break
            truth_tx = self.into(heads, relation, targets).T
            joint_tx = self.conjoin(inner_n[heads], truth_tx)
            block = np.stack([joint_tx, np.broadcast_to(heads, joint_tx.shape), truth_tx])
            best = np.concatenate([best, block], axis=2)
            places_tm = np.argsort(-best[0], axis=1, kind="stable")[:, : self.num_proofs]
            best = np.take_along_axis(best, places_tm[None], axis=2)
        return best[0], best[1].astype(int), best[2]

    def into(self, heads, relation, targets):
        """Returns [x, t] float64: the truth of each atom. Shapes are filled up to few, hence few compilations."""
        filled = [np.pad(ids, (0, exact.power_of_two(len(ids)) - len(ids)), mode="edge") for ids in (heads, targets)]
        truth_xt = _into(self.params, filled[0], relation, filled[1], **self.atoms)
        return np.asarray(truth_xt, np.float64)[: len(heads), : len(targets)]

    def both(self, parts, others):
        """Returns the m best conjunctions of one of the parts and one of the others, truth 0 left out."""
        joined = [(self.conjoin(a.truth, b.truth), a, b) for a, b in itertools.product(parts, others)]
        kept = sorted((one for one in joined if one[0] > 0), key=lambda one: -one[0])[: self.num_proofs]
        return [
            Part(float(truth), a.assignment + b.assignment, a.atoms + b.atoms, a.denials + b.denials)
            for truth, a, b in kept
        ]

    def atom(self, head, relation, tail, truth):
        """Returns the Atom read forwards."""
        if relation % 2:
            head, relation, tail = tail, inverse(relation), head
        if self.observed is None:
            return Atom(head, relation, tail, truth)
        is_observed = self.observed.contains([(head, relation, tail)])[0]
        return Atom(head, relation, tail, truth, "observed" if is_observed else "predicted")

    def finished(self, part, negated=False):
        """Returns a Part whose denials have their evidence."""
        return part._replace(
            atoms=tuple(atom._replace(negated=negated) for atom in part.atoms),
            denials=tuple(self.supported(denial, not negated) for denial in part.denials),
        )

    def supported(self, denial, negated):
        best = self.proofs(denial.query, [denial.entity])[denial.entity]
        return denial._replace(evidence=self.finished(best[0][1], negated) if best else None)


_CERTAIN = Part(1.0)


def _searched(node):
    """Yields the parts of a tree without `or` whose truths at all entities are wanted: those projected or negated."""
    match node:
        case Projection(_, Entity()):
            return
        case Projection(_, child):
            yield child
        case Not(child):
            yield child
            return  # what is inside is searched once the denial is in a proof
    if not is_anything(node):
        for child in children(node):
            yield from _searched(child)


@functools.partial(jax.jit, static_argnames=("normalize", "certain"))
def _into(params, heads_x, relation, tails_t, *, normalize, edges=None, certain=False):
    """Returns [x, t]: the truth of every (head, relation, tail)."""
    relation_x = jnp.full_like(heads_x, relation)
    truth_xn = calibration.truths(params, heads_x, relation_x, normalize=normalize, edges=edges, certain=certain)
    return truth_xn[:, tails_t]
