"""The network of one NAS-Bench-201 cell: the skeleton of the supernet with one operation on every edge.

It computes what the supernet computes with one-hot op weights, without the operations that were not chosen. Retraining
many cells goes through the supernet, because one compiled program then serves all of them.
The network of a DARTS genotype is in `networks.darts`; `num_params` and `flops` count both.
"""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn

from darts_perturb import genotype_darts, supernet
from darts_perturb import space as spaces
from darts_perturb.layers import ops
from darts_perturb.networks import counts


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


def num_params(genotype, *, channels, layers, num_classes, auxiliary=False):
    """Returns the number of parameters of the network of a genotype.

    Args:
        genotype: `genotype.Genotype` or `genotype.DartsGenotype`.
        channels: C of the first stage.
        layers: cells a stage; of a `DartsGenotype`, all cells.
        num_classes: outputs.
        auxiliary: whether the auxiliary classifier of a DARTS network is counted.
    """
    return counts.num_params(_layers(genotype, channels, layers, num_classes, auxiliary=auxiliary))


def flops(genotype, *, channels, layers, num_classes, image_size=32, auxiliary=False):
    """Returns the multiply-adds of the network of a genotype for one image, those of convolutions and linear maps.

    Args:
        genotype: see `num_params`.
        channels: see `num_params`.
        layers: see `num_params`.
        num_classes: outputs.
        image_size: height and width of the images.
        auxiliary: see `num_params`.
    """
    return counts.num_multiply_adds(
        _layers(genotype, channels, layers, num_classes, image_size=image_size, auxiliary=auxiliary)
    )


def _layers(genotype, channels, layers, num_classes, *, auxiliary=False, **options):
    sizes = {"channels": channels, "layers": layers, "num_classes": num_classes, **options}
    if min(sizes.values()) < 1:
        raise ValueError(f"{sizes}: need numbers above 0")
    if isinstance(genotype, genotype_darts.DartsGenotype):
        return counts.darts(genotype, auxiliary=auxiliary, **sizes)
    if auxiliary:
        raise ValueError(f"auxiliary: the network of a {genotype.space} cell has no auxiliary classifier")
    return counts.nas_bench_201(genotype, **sizes)


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
