"""CQD-Beam: the truth of every entity as the answer of a query tree, keeping the k best entities a variable.

The truth of an atom (x, r, y) is that of `calibration.truths`. The truth of a query at an entity y is

    entity a:           1 if y = a else 0
    r(child):           max over x of T(truth of child at x, truth of the atom (x, r, y))
    and, or:            T, S of the children at y
    not child:          1 - truth of child at y

which is the best truth over all assignments of the variables, since T and S do not decrease in any argument. A beam
takes the maximum over the k best x of each variable alone: every branch has a variable, a beam and a maximum of its
own, and branches meet entity by entity. With k = N nothing is left out and the optimum is exact. Without `not` a beam
never overstates a truth; under `not` it may, since there the maximum that falls short is subtracted. An `or` under a
projection shares one variable, as in QTO: max over x of T(S(.., ..), r); the disjunctive normal form, with a variable a
branch, is another query wherever T does not distribute over S.

The maximum runs over one candidate after another: memory is B N whatever k is. The point with which a candidate's tails
are compared is made one turn ahead. Made in its own, that of a single query becomes part of the product that it enters,
is computed again for every tail, and rounds as the compiler happens to have put it together.

Normalizer "logit" leaves scores as they are, as the paper's public code does: two negative ones then multiply to a
positive one, T is not monotone and nothing said above holds. It is kept for comparison alone.

Axes: b queries of one structure, k candidates, n entities.

References:
    arXiv 2011.03459, section 3 (beam search over assignments); arXiv 2212.09567 (the optimum of a tree).
"""

import jax
import jax.numpy as jnp

from cqd import calibration, predictor
from cqd.query import And, Entity, Not, Or, Projection, children
from cqd.tnorm import conjunction, disjunction


def truth(params, rows, *, structure, tnorm, beam_size, normalize="sigmoid", edges=None, certain=False):
    """Returns [b, n]: the truth of every entity as the answer of each query.

    Args:
        params: link predictor.
        rows: [b, L] entities and relations of the queries in the order of `query.row`.
        structure: static, `query.structure` of all of them.
        tnorm: static, a name of `tnorm.T_NORMS`.
        beam_size: static, candidates kept a variable; N or more keeps all.
        normalize, edges, certain: how a score becomes a truth value, as in `calibration.truths`.
    """
    atoms = {"normalize": normalize, "edges": edges, "certain": certain}
    return Beam(params, rows, tnorm, atoms, beam_size).walk(structure)[0]


def proofs(params, rows, answers, *, structure, tnorm, beam_size, normalize="sigmoid", edges=None, certain=False):
    """Returns the best assignment of every variable for given answers, as atoms.

    The maximising candidate is kept at every projection and read back from the answer down. Atoms stand in the order of
    their relations in `query.row`; atoms under `not` have no best assignment and are left out.

    Args:
        params, rows, structure, tnorm, beam_size, normalize, edges, certain: as in `truth`.
        answers: [b] entity ids.

    Returns:
        A dict: "triples" [b, atoms, 3] as (head, relation, tail), "truth" [b, atoms], "needed" [b, atoms] bool, false
        for the atoms of the weaker branches of an `or`, and "value" [b], the truth of the answer.
    """
    atoms = {"normalize": normalize, "edges": edges, "certain": certain}
    return traced(Beam(params, rows, tnorm, atoms, beam_size), structure, answers)


def traced(walker, structure, answers):
    """Returns the dict of `proofs` of a Walker."""
    values_bn, trace = walker.walk(structure)
    atoms = trace(answers, jnp.ones(answers.shape, bool))
    nothing = jnp.zeros((5, len(answers), 0), int)  # all atoms are under `not`
    columns = [jnp.stack(column, axis=1) for column in zip(*atoms)] or nothing
    heads, relations, tails, truths, needed = columns
    return {
        "triples": jnp.stack([heads, relations, tails], axis=2),
        "truth": truths,
        "needed": needed,
        "value": at(values_bn, answers),
    }


def at(values_bn, entities_b):
    """Returns [b]: the value of each row at its entity."""
    return jnp.take_along_axis(values_bn, entities_b[:, None], axis=1)[:, 0]


class Walker:
    """One pass over a tree. walk(node) -> (truth [b, n], trace), trace(answers [b], needed [b]) -> list of atoms.

    Subclasses say how the variable under a projection is searched: through(inner, relation_b), inner and result as of
    walk. Where n is a part of the entities alone, they also say what `identity`, `heads` and `atom` are there.
    """

    def __init__(self, params, rows, tnorm, atoms):
        self.params = params
        self.num_entities = params.entity.shape[0]
        self.columns = iter(rows.T)
        self.tnorm = tnorm
        self.atoms = atoms

    def walk(self, node):
        match node:
            case Entity():
                return self.identity(next(self.columns)), lambda answers, needed: []
            case Projection(_, Entity()):
                anchor = next(self.columns)
                return self.from_anchor(anchor, next(self.columns))
            case Projection(_, child):
                inner = self.walk(child)
                return self.through(inner, next(self.columns))
            case Not(child):
                values_bn, _ = self.walk(child)
                return 1 - values_bn, lambda answers, needed: []
            case And() | Or():
                return self.meet(node, [self.walk(child) for child in children(node)])

    def identity(self, entity_b):
        """Returns [b, n]: 1 where y is the entity."""
        return jax.nn.one_hot(entity_b, self.num_entities)

    def heads(self, ids):
        """Returns what `atom` wants of the entities [..., b]: a pytree of arrays [..., b] and [..., b, d]."""
        return ids

    def atom(self, heads_b, relation_b):
        """Returns [b, n]: the truth of (head, relation, y) for every y."""
        return calibration.truths(self.params, heads_b, relation_b, **self.atoms)

    def from_anchor(self, anchor_b, relation_b):
        values_bn = self.atom(self.heads(anchor_b), relation_b)
        return values_bn, lambda answers, needed: [(anchor_b, relation_b, answers, at(values_bn, answers), needed)]

    def meet(self, node, parts):
        values_pbn = jnp.stack([values_bn for values_bn, _ in parts])
        combine = conjunction if isinstance(node, And) else disjunction

        def trace(answers, needed):
            strongest = jnp.argmax(jnp.stack([at(values_bn, answers) for values_bn, _ in parts]), axis=0)
            atoms = []
            for number, (_, part_trace) in enumerate(parts):
                part_needed = needed & (strongest == number) if isinstance(node, Or) else needed
                atoms += part_trace(answers, part_needed)
            return atoms

        return combine(self.tnorm, values_pbn), trace


class Beam(Walker):
    """The k best entities of a variable, one after another."""

    def __init__(self, params, rows, tnorm, atoms, beam_size):
        super().__init__(params, rows, tnorm, atoms)
        self.beam_size = min(beam_size, self.num_entities)

    def top_k(self, values_bn, k):
        """Returns ([b, k] values, [b, k] entities), the greatest first; of equal ones the lower id."""
        return jax.lax.top_k(values_bn, k)

    def point(self, heads_b, relation_b):
        """Returns [b, d]: what the tails of heads, as `heads` gives them, are compared with."""
        return predictor.project(
            self.params, predictor.head_table(self.params)[heads_b], self.params.relation[relation_b]
        )

    def compared(self, point_bd, ids_b, relation_b):
        """Returns [b, n]: the truth of (head, relation, y) for every y, given the point."""
        scores_bn = predictor.compare(self.params, point_bd, self.params.entity)
        return calibration.of_scores(scores_bn, ids_b, relation_b, num_entities=self.num_entities, **self.atoms)

    def through(self, inner, relation_b):
        inner_bn, inner_trace = inner
        values_bk, candidates_bk = self.top_k(inner_bn, self.beam_size)

        def step(best, candidate):
            best_bn, choice_bn, point_bd = best
            value_b, head_b, following = candidate
            atom_bn = self.compared(point_bd, head_b, relation_b)
            through_bn = conjunction(self.tnorm, jnp.stack(jnp.broadcast_arrays(value_b[:, None], atom_bn)))
            better_bn = through_bn > best_bn
            chosen_bn = jnp.where(better_bn, head_b[:, None], choice_bn)
            return (jnp.where(better_bn, through_bn, best_bn), chosen_bn, self.point(following, relation_b)), None

        candidates_kb = candidates_bk.T
        heads = self.heads(candidates_kb)
        first = jax.tree.map(lambda leaf: leaf[0], heads)
        following = jax.tree.map(lambda leaf: jnp.roll(leaf, -1, axis=0), heads)
        none = jnp.full_like(inner_bn, -jnp.inf), jnp.zeros(inner_bn.shape, candidates_bk.dtype)
        start = (*none, self.point(first, relation_b))
        (best_bn, choice_bn, _), _ = jax.lax.scan(step, start, (values_bk.T, candidates_kb, following))

        def trace(answers, needed):
            heads_b = at(choice_bn, answers)
            truth_b = at(self.atom(self.heads(heads_b), relation_b), answers)
            return [*inner_trace(heads_b, needed), (heads_b, relation_b, answers, truth_b, needed)]

        return best_bn, trace
