"""What the edges of a trained supernet carry: every operation's output on every edge of every cell.

The papers' argument is about these: by the view of unrolled estimation (Greff et al. 2017, arXiv:1612.07771) all edges
of a cell estimate one feature map m*, and what an edge carries is m* with an error.

Letters: c channels, h and w pixels, b batch; activations are [c, h, w, b], as everywhere in this package.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from darts_perturb import space as spaces
from darts_perturb import supernet
from darts_perturb.layers import mixed, reductions


class Cell(NamedTuple):
    """One cell of the supernet at work."""

    by_op: list  # of every edge {operation: its output [C, H, W, B]}, `none` left out
    edges: list  # of every edge the weighted sum of its operations [C, H, W, B]


def cells(params, weights, x, *, space):
    """Returns (logits [B, num_classes], every Cell from input to output) of a batch.

    Args:
        params: of `supernet.init`.
        weights: op weights, see `supernet.apply`.
        x: images [B, H, W, C].
        space: `space.Space`.
    """
    logits, found = supernet.apply(params, weights, x, space=space, carried=True)
    if space.skeleton == spaces.STAGES:
        stages = [found[f"stage_{stage}"] for stage in range(supernet.NUM_STAGES)]
        return logits, [
            _cell(space, "cell", weights, jax.tree.map(lambda leaf, n=n: leaf[n], stage))
            for stage in stages
            for n in range(len(jax.tree.leaves(stage)[0]))
        ]
    channels, layers, _ = supernet.skeleton_sizes(params)
    places, listed = reductions.places(channels, layers), []
    for number, run in enumerate(reductions.runs(channels, layers)):
        kind, own = places[run[0]].kind, found[f"run_{number}"]
        stacked = "cell" in own
        for n in range(len(run)):
            one = jax.tree.map(lambda leaf, n=n: leaf[n], own["cell"]) if stacked else own
            listed.append(_cell(space, kind, weights[kind], one))
    return logits, listed


def kinds(params, space):
    """Returns the kind of every cell of a supernet, in the order of `cells`."""
    channels, layers, _ = supernet.skeleton_sizes(params)
    if space.skeleton == spaces.STAGES:
        return ["cell"] * (supernet.NUM_STAGES * layers)
    return [place.kind for place in reductions.places(channels, layers)]


def _cell(space, kind, weights, found):
    """Returns the Cell of what was kept of it, {SOURCE_OP: (outputs [E, C, H, W, B],)}; E is 1 where they are equal."""
    by_op = [{} for _ in space.edges]
    for source in range(space.num_nodes - 1):
        for op in space.ops:
            if f"{source}_{op}" in found:
                (out,) = found[f"{source}_{op}"]
                for place, edge in enumerate(mixed.sharing(space, kind, source, op)):
                    by_op[edge][op] = out[place if len(out) > 1 else 0]
    choices = space.edge_ops(kind)
    edges = []
    for edge, own in enumerate(by_op):
        some = next(iter(own.values())) if own else _like(by_op)
        shares = [weights[edge, choices[edge].index(op)] * out for op, out in own.items()]
        edges.append(sum(shares, jnp.zeros_like(some)))
    return Cell(by_op, edges)


def _like(by_op):
    """Returns an output of a cell, of which all have one shape."""
    return next(out for own in by_op for out in own.values())


def standardised(x):
    """Returns activations [C, H, W, B] with mean 0 and variance 1 in every channel, numpy float64; a constant one is 0.

    The proposition of arXiv:2108.04392 takes all maps to be of one scale, and this is the scale that the convolutions
    of a search have already: their last step is a normalisation without a learned scale.
    """
    x = np.asarray(x, np.float64)
    centred = x - x.mean((1, 2, 3), keepdims=True)
    deviation = np.sqrt((centred * centred).mean((1, 2, 3), keepdims=True))
    return np.divide(centred, deviation, out=np.zeros_like(centred), where=deviation > 1e-6)
