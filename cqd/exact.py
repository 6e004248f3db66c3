"""The exact optimum of a query tree: every entity tried for every variable, streamed by relation.

The tree's semantics are those of `beam`; a beam of all N entities finds the same values. Here the queries of a batch
that take one relation at a hop share its atoms: blocks of heads x times all tails y are computed once, as one matrix
product a block, and every query takes its maximum over the block's heads. Heads come in the order of their truth; as
T(v, a) <= v, the hop is done when the next head's truth v is no more than the least maximum so far.

Aggregate "max" takes the best x (max-product for the product t-norm). Aggregate "sum" takes the disjunction over all x
instead, S over x of T(child at x, atom): with the product t-norm 1 - prod over x of (1 - T), the probability that some
x is right, were they independent (sum-product); with min it is the maximum again; with Lukasiewicz min(1, sum). Many
weak x then add up: it wants calibrated atoms.

This is host code around compiled steps; memory is B N a node of the tree and X N a block.

Axes: b queries of one structure, g those that share a relation, x heads of a block, n entities.

References:
    Bai et al., Answering complex logical queries by optimal tree inference (QTO), arXiv 2212.09567, section 4.1.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from cqd import beam, calibration
from cqd.tnorm import conjunction, disjunction

AGGREGATES = ("max", "sum")
_ATOMS = ("normalize", "certain")


def truth(
    params,
    rows,
    *,
    structure,
    tnorm,
    normalize="sigmoid",
    edges=None,
    certain=False,
    aggregate="max",
    block_size=256,
):
    """Returns [b, n]: the truth of every entity as the answer of each query.

    Args:
        params: link predictor.
        rows: [b, L] entities and relations of the queries in the order of `query.row`, a numpy array.
        structure: `query.structure` of all of them.
        tnorm: a name of `tnorm.T_NORMS`.
        normalize, edges, certain: how a score becomes a truth value, as in `calibration.truths`.
        aggregate: "max" or "sum".
        block_size: heads a block.
    """
    atoms = {"normalize": normalize, "edges": edges, "certain": certain}
    different, places = np.unique(rows, axis=0, return_inverse=True)  # batches are filled up with repetitions
    return _Exact(params, different, tnorm, atoms, aggregate, block_size).walk(structure)[0][places.ravel()]


def proofs(params, rows, answers, *, structure, tnorm, normalize="sigmoid", edges=None, certain=False, block_size=256):
    """Returns the best assignment of every variable for given answers, as `beam.proofs` does, by backward argmax.

    Args:
        params, rows, structure, tnorm, normalize, edges, certain, block_size: as in `truth`.
        answers: [b] entity ids.
    """
    atoms = {"normalize": normalize, "edges": edges, "certain": certain}
    return beam.traced(_Exact(params, rows, tnorm, atoms, "max", block_size), structure, jnp.asarray(answers))


class _Exact(beam.Walker):
    """All entities of a variable, those of the queries that share a relation together."""

    def __init__(self, params, rows, tnorm, atoms, aggregate, block_size):
        super().__init__(params, np.asarray(rows, np.int32), tnorm, atoms)
        self.aggregate = aggregate
        self.block_size = min(block_size, self.num_entities)

    def atom(self, heads_b, relation_b):
        return _truths(self.params, heads_b, relation_b, **self.atoms)

    def through(self, inner, relation_b):
        inner_bn, inner_trace = inner
        values_bn = self.by_relation(relation_b, lambda relation, at_g: self.hop(inner_bn[at_g], relation))

        def trace(answers, needed):
            def choose(relation, at_g):
                return self.best_heads(inner_bn[at_g], relation, answers[at_g])

            heads_b = self.by_relation(relation_b, choose)
            truth_b = beam.at(self.atom(heads_b, relation_b), answers)
            return [*inner_trace(heads_b, needed), (heads_b, relation_b, answers, truth_b, needed)]

        return values_bn, trace

    def by_relation(self, relation_b, fn):
        """Returns fn(relation, positions [g]) of every relation, put back in the order of the batch.

        Groups are filled up to a power of two: few distinct shapes, hence few compilations.
        """
        parts, order = [], []
        for relation in np.unique(relation_b):
            at_g = np.flatnonzero(relation_b == relation)
            filled = np.pad(at_g, (0, (1 << (len(at_g) - 1).bit_length()) - len(at_g)), mode="edge")
            parts.append(fn(int(relation), filled)[: len(at_g)])
            order.append(at_g)
        return jnp.concatenate(parts)[np.argsort(np.concatenate(order))]

    def hop(self, inner_gn, relation):
        """Returns [g, n]: the maximum, or disjunction, over x of T(inner at x, atom (x, relation, y))."""
        best_gn = jnp.zeros_like(inner_gn)
        for heads_x, values_gx, most in self.blocks(inner_gn):
            if most == 0 or (self.aggregate == "max" and most <= best_gn.min()):
                break
            best_gn = _gather(
                self.params,
                best_gn,
                values_gx,
                heads_x,
                relation,
                tnorm=self.tnorm,
                aggregate=self.aggregate,
                **self.atoms,
            )
        return best_gn

    def best_heads(self, inner_gn, relation, answers_g):
        """Returns [g]: the x with the greatest T(inner at x, atom (x, relation, answer))."""
        best_g = jnp.full(len(answers_g), -1.0)
        choice_g = jnp.zeros(len(answers_g), jnp.int32)
        for heads_x, values_gx, most in self.blocks(inner_gn):
            if most <= best_g.min():
                break
            best_g, choice_g = _choose(
                self.params,
                best_g,
                choice_g,
                values_gx,
                heads_x,
                relation,
                answers_g,
                tnorm=self.tnorm,
                **self.atoms,
            )
        return choice_g

    def blocks(self, inner_gn):
        """Yields (heads [x], values [g, x], the greatest of these values), the greatest first.

        The last block is filled up by heads of value 0, which no maximum and no disjunction feels.
        """
        most_n = np.asarray(inner_gn.max(axis=0))
        order = np.argsort(-most_n, kind="stable")
        for start in range(0, len(order), self.block_size):
            heads = order[start : start + self.block_size].astype(np.int32)
            values_gx = inner_gn[:, heads]
            missing = self.block_size - len(heads)
            yield np.pad(heads, (0, missing)), jnp.pad(values_gx, ((0, 0), (0, missing))), most_n[heads[0]]


_truths = functools.partial(jax.jit, static_argnames=_ATOMS)(calibration.truths)


@functools.partial(jax.jit, static_argnames=("tnorm", "aggregate", *_ATOMS), donate_argnums=1)
def _gather(params, best_gn, values_gx, heads_x, relation, *, tnorm, aggregate, normalize, edges, certain):
    """Returns [g, n]: best with the block's heads taken in, one after another."""
    atom_xn = calibration.truths(
        params, heads_x, jnp.full_like(heads_x, relation), normalize=normalize, edges=edges, certain=certain
    )

    def step(best_gn, head):
        value_g, atom_n = head
        through_gn = _both(tnorm, value_g[:, None], atom_n[None])
        pair = jnp.stack([best_gn, through_gn])
        return (jnp.maximum(*pair) if aggregate == "max" else disjunction(tnorm, pair)), None

    return jax.lax.scan(step, best_gn, (values_gx.T, atom_xn))[0]


@functools.partial(jax.jit, static_argnames=("tnorm", *_ATOMS))
def _choose(params, best_g, choice_g, values_gx, heads_x, relation, answers_g, *, tnorm, normalize, edges, certain):
    """Returns ([g] best, [g] choice) with the block's heads taken in."""
    atom_xn = calibration.truths(
        params, heads_x, jnp.full_like(heads_x, relation), normalize=normalize, edges=edges, certain=certain
    )
    through_gx = _both(tnorm, values_gx, atom_xn[:, answers_g].T)
    at_g = jnp.argmax(through_gx, axis=1)
    most_g = beam.at(through_gx, at_g)
    return jnp.maximum(best_g, most_g), jnp.where(most_g > best_g, heads_x[at_g], choice_g)


def _both(tnorm, a, b):
    return conjunction(tnorm, jnp.stack(jnp.broadcast_arrays(a, b)))
