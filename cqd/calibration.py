"""The truth of atoms: how the scores of (head, relation, every tail) become values in [0, 1].

    sigmoid       1 / (1 + exp(-score)), as in the paper
    softmax       over the tails: a distribution, as the predictor was trained to give
    calibrated    softmax times the number of observed tails of (head, relation), one at least, and .9999 at most

A softmax of a head with ten tails spreads 1 over ten true ones; times the out-degree each may come near 1. Atoms that
are observed edges can be made certain, truth 1: with calibration; beside sigmoids, which are no probabilities, it may
make ranks worse.

Axes: b atoms, n entities, c edges looked at in one turn.

References:
    Bai et al., Answering complex logical queries by optimal tree inference (QTO), arXiv 2212.09567, section 4.2.
    Is complex query answering really complex? (CQD-Hybrid), arXiv 2410.12537, section 6 (observed edges certain).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cqd import predictor

NORMALIZERS = ("sigmoid", "softmax", "calibrated")
CAP = 0.9999
_CHUNK = 64


class Edges(NamedTuple):
    """A `graph.Index` as arrays a compiled program can search.

    Attributes:
        rows: [K + 1] int32, sorted r N + h of every (relation, head) that has a tail; the last is beyond all.
        starts: [K + 1] int32, where its tails begin.
        counts: [K + 1] int32, how many they are.
        tails: [E] int32.
    """

    rows: jax.Array
    starts: jax.Array
    counts: jax.Array
    tails: jax.Array


def edges_of(index):
    """Returns the Edges of a `graph.Index`.

    Raises:
        ValueError: more than 2^31 pairs of a relation and an entity.
    """
    if index.num_relations * index.num_entities >= np.iinfo(np.int32).max:
        raise ValueError(
            f"observed: {index.num_relations} relations of {index.num_entities} entities are too many for 32-bit rows"
        )
    rows = np.minimum(index.rows, np.iinfo(np.int32).max)
    tails = index.tails if len(index.tails) else np.zeros(1)
    return Edges(*(jnp.asarray(part, jnp.int32) for part in (rows, index.starts, index.counts, tails)))


def truths(params, heads_b, relation_b, *, normalize="sigmoid", edges=None, certain=False):
    """Returns [b, n]: the truth of (head, relation, y) for every entity y.

    Args:
        params: link predictor.
        heads_b, relation_b: [b] ids.
        normalize: static, one of NORMALIZERS, or "logit" for the scores as they are.
        edges: Edges that are observed; due if calibrated or certain.
        certain: static, gives observed edges truth 1.
    """
    scores_bn = predictor.scores(params, heads_b, relation_b)
    places = {"num_entities": params.entity.shape[0], "edges": edges}
    return of_scores(scores_bn, heads_b, relation_b, normalize=normalize, certain=certain, **places)


def of_scores(
    scores_bn, heads_b, relation_b, *, num_entities, normalize, edges=None, certain=False, first=0, softmax_fn=None
):
    """Returns [b, n]: as `truths`, of scores at hand, which may be those of a part of the entities.

    Args:
        scores_bn: [b, n] scores of entities first, first + 1, ...
        heads_b, relation_b, normalize, edges, certain: as in `truths`.
        num_entities: N, of the whole graph.
        first: id of the first entity scored.
        softmax_fn: over all N entities, where n is a part of them.
    """
    truth_bn = normalized(scores_bn, normalize, softmax_fn or jax.nn.softmax)
    if normalize != "calibrated" and not certain:
        return truth_bn
    start_b, count_b = _find(edges, heads_b, relation_b, num_entities)
    if normalize == "calibrated":
        truth_bn = jnp.minimum(truth_bn * jnp.maximum(count_b, 1)[:, None], CAP)
    return _with_ones(truth_bn, edges.tails, start_b, count_b, first) if certain else truth_bn


def normalized(scores, normalize, softmax_fn=jax.nn.softmax):
    """Returns scores over the tails, [..., n], as truths; "calibrated" as for heads of one tail, not yet capped."""
    if normalize == "logit":
        return scores
    return jax.nn.sigmoid(scores) if normalize == "sigmoid" else softmax_fn(scores)


def _find(edges, heads_b, relation_b, num_entities):
    """Returns ([b] where the tails begin, [b] how many they are)."""
    wanted_b = jnp.asarray(relation_b, jnp.int32) * num_entities + jnp.asarray(heads_b, jnp.int32)
    at_b = jnp.searchsorted(edges.rows, wanted_b)
    return edges.starts[at_b], jnp.where(edges.rows[at_b] == wanted_b, edges.counts[at_b], 0)


def _with_ones(truth_bn, tails, start_b, count_b, first):
    """Returns truths of entities from `first` on, with 1 at tails[start : start + count] of each row.

    A few tails a turn until the longest row is through: most rows are short, and hubs may be as long as N.
    """
    own_row = jnp.arange(len(truth_bn))[:, None]

    def step(state):
        done, truth_bn = state
        within_bc = done + jnp.arange(_CHUNK)[None]
        edge_bc = jnp.minimum(start_b[:, None] + within_bc, len(tails) - 1)
        column_bc = tails[edge_bc] - first
        is_here_bc = (within_bc < count_b[:, None]) & (column_bc >= 0)
        tail_bc = jnp.where(is_here_bc, column_bc, truth_bn.shape[1])
        return done + _CHUNK, truth_bn.at[own_row, tail_bc].set(1, mode="drop")

    return jax.lax.while_loop(lambda state: (state[0] < count_b).any(), step, (0, truth_bn))[1]
