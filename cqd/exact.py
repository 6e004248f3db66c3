"""The exact optimum of a query tree: every entity tried for every variable, streamed by relation.

The tree's semantics are those of `beam`; a beam of all N entities finds the same values. Here the queries of a batch
that take one relation at a hop share its atoms: blocks of heads x times all tails y are computed once, as one matrix
product a block, and every query takes its maximum over the block's heads. Heads come in the order of their truth; as
T(v, a) <= v, the hop is done when the next head's truth v is no more than the least maximum so far. Where entities are
few, all heads are one block and a whole hop is one program, whatever relations meet in the batch.

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

AGGREGATES = ("max", "sum")
_ATOMS = ("normalize", "certain")
_PAIR = ("tnorm", "aggregate")
FEW = 1024  # entities whose atoms of a relation, all heads, are one block
# Heads taken in at a time, a power of two; fewer than 9 and XLA's loop over them is no longer vectorised.
UNROLLED = 16


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
    different, places = distinct(rows)
    return Exact(params, different, tnorm, atoms, aggregate, block_size).walk(structure)[0][places]


def distinct(rows):
    """Returns (the different rows, as many as a power of two, the place of each row among them)."""
    different, places = np.unique(rows, axis=0, return_inverse=True)  # batches are filled up with repetitions
    filling = power_of_two(len(different)) - len(different)
    return np.pad(different, ((0, filling), (0, 0)), mode="edge"), places.ravel()


def proofs(params, rows, answers, *, structure, tnorm, normalize="sigmoid", edges=None, certain=False, block_size=256):
    """Returns the best assignment of every variable for given answers, as `beam.proofs` does, by backward argmax.

    Args:
        params, rows, structure, tnorm, normalize, edges, certain, block_size: as in `truth`.
        answers: [b] entity ids.
    """
    atoms = {"normalize": normalize, "edges": edges, "certain": certain}
    return beam.traced(Exact(params, rows, tnorm, atoms, "max", block_size), structure, jnp.asarray(answers))


class Exact(beam.Walker):
    """All entities of a variable, those of the queries that share a relation together."""

    def __init__(self, params, rows, tnorm, atoms, aggregate, block_size):
        super().__init__(params, np.asarray(rows, np.int32), tnorm, atoms)
        self.pair = {"tnorm": tnorm, "aggregate": aggregate}
        self.block_size = min(block_size, self.num_entities)

    def atom(self, heads_b, relation_b):
        return _truths(self.params, heads_b, relation_b, **self.atoms)

    def through(self, inner, relation_b):
        inner_bn, inner_trace = inner

        def trace(answers, needed):
            def choose(relation, at_g):
                return self.best_heads(inner_bn[at_g], relation, answers[at_g])

            heads_b = self.by_relation(relation_b, choose)
            truth_b = beam.at(self.atom(heads_b, relation_b), answers)
            return [*inner_trace(heads_b, needed), (heads_b, relation_b, answers, truth_b, needed)]

        return self.whole_hops(inner_bn, relation_b), trace

    def whole_hops(self, inner_bn, relation_b):
        """Returns [b, n]: the hop of every query."""
        if self.num_entities <= FEW:
            return _whole_hop(self.params, inner_bn, relation_b, **self.pair, **self.atoms)
        return self.by_relation(relation_b, lambda relation, at_g: self.hop(inner_bn[at_g], relation))

    def by_relation(self, relation_b, fn):
        """Returns fn(relation, positions [g]) of every relation, put back in the order of the batch.

        Groups are filled up to a power of two with their last position: few distinct shapes, hence few compilations.
        """
        found = None
        for relation in np.unique(relation_b):
            at_g = np.flatnonzero(relation_b == relation)
            filled = np.pad(at_g, (0, power_of_two(len(at_g)) - len(at_g)), mode="edge")
            part = fn(int(relation), filled)
            found = _start(filled, part, size=len(relation_b)) if found is None else _put(found, filled, part)
        return found

    def hop(self, inner_gn, relation):
        """Returns [g, n]: the maximum, or disjunction, over x of T(inner at x, atom (x, relation, y))."""
        best_gn, least = jnp.zeros_like(inner_gn), 0.0
        for heads_x, most in self.blocks(inner_gn):
            if most == 0 or (self.pair["aggregate"] == "max" and most <= least):
                break
            best_gn, least = self.gather(best_gn, inner_gn, heads_x, relation)
        return best_gn

    def gather(self, best_gn, inner_gn, heads_x, relation):
        """Returns ([g, n] best with the block's heads taken in, the least of it)."""
        return _gather(self.params, best_gn, inner_gn, heads_x, relation, **self.pair, **self.atoms)

    def best_heads(self, inner_gn, relation, answers_g):
        """Returns [g]: the x with the greatest T(inner at x, atom (x, relation, answer))."""
        best_g = jnp.full(len(answers_g), -1.0)
        choice_g = jnp.zeros(len(answers_g), jnp.int32)
        for heads_x, most in self.blocks(inner_gn):
            if most <= best_g.min():
                break
            best_g, choice_g = _choose(
                self.params,
                best_g,
                choice_g,
                inner_gn,
                heads_x,
                relation,
                answers_g,
                tnorm=self.tnorm,
                **self.atoms,
            )
        return choice_g

    def blocks(self, inner_gn):
        """Yields (heads [x], the greatest value of these), the greatest first.

        The last block is filled up by the id N, whose value `_values` says is 0.
        """
        most_n = np.asarray(inner_gn.max(axis=0))[: self.num_entities]
        order = np.argsort(-most_n, kind="stable").astype(np.int32)
        for start in range(0, len(order), self.block_size):
            heads = order[start : start + self.block_size]
            filling = (0, self.block_size - len(heads))
            yield np.pad(heads, filling, constant_values=self.num_entities), most_n[heads[0]]


def power_of_two(size):
    """Returns the least power of two that is no less."""
    return 1 << (size - 1).bit_length()


@functools.partial(jax.jit, static_argnames="size")
def _start(at_g, part_gn, *, size):
    return jnp.zeros((size, *part_gn.shape[1:]), part_gn.dtype).at[at_g].set(part_gn)


@functools.partial(jax.jit, donate_argnums=0)
def _put(found_bn, at_g, part_gn):
    return found_bn.at[at_g].set(part_gn)


_truths = functools.partial(jax.jit, static_argnames=_ATOMS)(calibration.truths)


@functools.partial(jax.jit, static_argnames=(*_PAIR, *_ATOMS), donate_argnums=1)
def _gather(params, best_gn, inner_gn, heads_x, relation, *, tnorm, aggregate, **atoms):
    """Returns ([g, n] best with the block's heads taken in, the least of it)."""
    atom_xn = calibration.truths(params, heads_x, jnp.full_like(heads_x, relation), **atoms)
    best_gn = take_in(best_gn, _values(inner_gn, heads_x), atom_xn, tnorm, aggregate)
    return best_gn, best_gn.min()


@functools.partial(jax.jit, static_argnames=(*_PAIR, *_ATOMS))
def _whole_hop(params, inner_bn, relation_b, *, tnorm, aggregate, **atoms):
    """Returns [b, n]: the hop of every query, one after another; those that share a relation share its atoms."""
    num_entities = inner_bn.shape[1]
    heads_x = jnp.arange(-(-num_entities // UNROLLED) * UNROLLED)
    values_bx = _values(inner_bn, heads_x)
    order_b = jnp.argsort(relation_b)

    def step(kept, at):
        relation, atom_xn = kept
        wanted = relation_b[at]

        def computed():
            return calibration.truths(params, heads_x, jnp.full_like(heads_x, wanted), **atoms).astype(inner_bn.dtype)

        atom_xn = jax.lax.cond(wanted == relation, lambda: atom_xn, computed)
        best_1n = take_in(jnp.zeros_like(inner_bn[:1]), values_bx[at][None], atom_xn, tnorm, aggregate)
        return (wanted, atom_xn), best_1n[0]

    none = (jnp.full_like(relation_b[0], -1), jnp.zeros((len(heads_x), num_entities), inner_bn.dtype))
    through_bn = jax.lax.scan(step, none, order_b)[1]
    return jnp.zeros_like(inner_bn).at[order_b].set(through_bn)


@functools.partial(jax.jit, static_argnames=("tnorm", *_ATOMS))
def _choose(params, best_g, choice_g, inner_gn, heads_x, relation, answers_g, *, tnorm, **atoms):
    """Returns ([g] best, [g] choice) with the block's heads taken in."""
    atom_xn = calibration.truths(params, heads_x, jnp.full_like(heads_x, relation), **atoms)
    through_gx = _both(tnorm, _values(inner_gn, heads_x), atom_xn[:, answers_g].T)
    at_g = jnp.argmax(through_gx, axis=1)
    most_g = beam.at(through_gx, at_g)
    return jnp.maximum(best_g, most_g), jnp.where(most_g > best_g, heads_x[at_g], choice_g)


def _values(inner_gn, heads_x):
    """Returns [g, x]: the values at heads; 0, which no maximum and no disjunction feels, where an id is N or more."""
    return inner_gn.at[:, heads_x].get(mode="fill", fill_value=0)


def take_in(best_gn, values_gx, atom_xn, tnorm, aggregate):
    """Returns [g, n]: best with T(value, atom) of every head x taken in.

    Several heads a turn, so that the best is read and written once for them all.
    """
    filling = (0, -atom_xn.shape[0] % UNROLLED)
    values_xg = jnp.pad(values_gx.T, (filling, (0, 0)))
    atom_xn = jnp.pad(atom_xn, (filling, (0, 0)))
    either = functools.partial(_either, tnorm, aggregate)

    def step(best_gn, heads):
        parts = [_both(tnorm, value_g[:, None], atom_n[None]) for value_g, atom_n in zip(*map(jnp.unstack, heads))]
        while len(parts) > 1:
            parts = [either(*pair) for pair in zip(parts[::2], parts[1::2])]
        return either(best_gn, parts[0]), None

    turns = [part.reshape(-1, UNROLLED, part.shape[1]) for part in (values_xg, atom_xn)]
    return jax.lax.scan(step, best_gn, turns)[0]


def _both(tnorm, a, b):
    """Returns T(a, b)."""
    match tnorm:
        case "product":
            return a * b
        case "min":
            return jnp.minimum(a, b)
    return jnp.maximum(a + b - 1, 0)


def _either(tnorm, aggregate, a, b):
    """Returns max(a, b), or S(a, b) for the aggregate "sum"."""
    if aggregate == "max" or tnorm == "min":
        return _larger(a, b)
    return a + b - a * b if tnorm == "product" else jnp.minimum(a + b, 1)


def _larger(a, b):
    """Returns max(a, b) of truths, NaN if one is.

    Floats that are no less than zero are ordered as their bits are, with NaN above all. A processor compares those in
    one instruction; the maximum of floats that keeps a NaN takes it four.
    """
    bits = jnp.dtype(f"uint{8 * a.dtype.itemsize}")
    most = jnp.maximum(*(jax.lax.bitcast_convert_type(part, bits) for part in (a, b)))
    return jax.lax.bitcast_convert_type(most, a.dtype)
