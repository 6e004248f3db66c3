"""The network of one cell: the skeleton of the supernet with one operation on every edge.

It computes what the supernet computes with one-hot op weights, without the operations that were not chosen. Retraining
many cells goes through the supernet, because one compiled program then serves all of them.
"""

import functools
import math

import jax
import jax.numpy as jnp
from flax import linen as nn

from darts_perturb import ops, supernet
from darts_perturb import space as spaces


class DerivedCell(nn.Module):
    """A cell with one operation on every edge."""

    edges: tuple[tuple[int, int], ...]
    chosen: tuple[str, ...]
    affine: bool = True

    @nn.compact
    def __call__(self, x, _):
        nodes = [x] + [jnp.zeros_like(x) for _ in range(max(target for _, target in self.edges))]
        for edge, ((source, target), op) in enumerate(zip(self.edges, self.chosen)):
            if op != "none":
                operation = ops.Operation(op, affine=self.affine, name=f"edge_{edge}")
                nodes[target] = nodes[target] + operation(nodes[source])[0]
        return nodes[-1], None


def init(key, genotype, *, channels, layers, num_classes, affine=True):
    """Returns freshly drawn parameters of the network of a cell.

    Args:
        key: typed key.
        genotype: `genotype.Genotype`.
        channels: C of the first stage.
        layers: cells a stage.
        num_classes: outputs.
        affine: whether normalisation inside the cells has a learned scale and bias, as in the paper's evaluation.
    """
    return supernet.draw(key, _module(genotype, channels, layers, num_classes, affine), None)


def apply(params, x, *, genotype, layers, affine=True):
    """Returns the logits [B, num_classes] of images [B, H, W, 1 or 3]."""
    channels, num_classes = params["stem"]["kernel"].shape[-1], params["classifier_kernel"].shape[-1]
    module = _module(genotype, channels, layers, num_classes, affine)
    return module.apply({"params": params}, None, supernet.three_channels(x))


def num_params(genotype, *, channels, layers, num_classes):
    """Returns the number of parameters of the network of a cell, without an auxiliary head.

    Args:
        genotype: `genotype.Genotype`.
        channels: C of the first stage.
        layers: cells a stage.
        num_classes: outputs.
    """
    module = _module(genotype, channels, layers, num_classes, True)
    shapes = supernet.shapes(module, None)
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))


def from_supernet(params, genotype):
    """Returns the parameters of the network of a cell, cut out of those of the supernet."""
    space = spaces.get(genotype.space)
    derived = {name: value for name, value in params.items() if not name.startswith("stage_")}
    for stage in range(supernet.NUM_STAGES):
        cell = {}
        for edge, op in enumerate(genotype.ops):
            if op in space.parameter_free:
                continue
            source = space.edges[edge][0]
            siblings = space.edges_from(source)
            merged, place = params[f"stage_{stage}"][f"from_{source}_{op}"], siblings.index(edge)
            split = functools.partial(jnp.split, indices_or_sections=len(siblings), axis=-1)
            cell[f"edge_{edge}"] = jax.tree.map(lambda leaf, split=split, place=place: split(leaf)[place], merged)
        if cell:
            derived[f"stage_{stage}"] = cell
    return derived


def _module(genotype, channels, layers, num_classes, affine):
    space = spaces.get(genotype.space)
    options = (("edges", space.edges), ("chosen", genotype.ops), ("affine", affine))
    return supernet.Skeleton(DerivedCell, options, channels, layers, num_classes)
