"""The skeleton of NAS-Bench-201: stages of identical cells, residual blocks between them.

Stem, then three stages of `layers` identical cells with a residual block that halves the image and doubles the channels
between them, then the mean over pixels and a linear classifier. The parameters of the cells of one stage are stacked
along their first axis, because the stage is a `lax.scan` over its cells.

References:
    Dong & Yang 2020, arXiv:2001.00326, figure 1.
"""

from typing import Any

import jax
from flax import linen as nn

from darts_perturb.layers import mixed, ops, windows

NUM_STAGES = 3


class ResidualBlock(nn.Module):
    """Half the height and width, twice the channels."""

    @nn.compact
    def __call__(self, x):
        features = 2 * x.shape[0]
        out = ops.ReluConvBN(features, 3, stride=2, name="conv_a")(x)
        out = ops.ReluConvBN(features, 3, name="conv_b")(out)
        return out + ops.Conv(features, 1, name="shortcut")(ops.half_size(x))


class Skeleton(nn.Module):
    """Stem, stages of cells, residual blocks and classifier around any cell.

    Attributes:
        cell: class of the cells; its call takes (x [C, H, W, B], weights), and a key where one is given, and returns
            (x, None).
        cell_options: its keyword arguments as a tuple of pairs.
    """

    cell: type
    cell_options: tuple[tuple[str, Any], ...]
    channels: int
    layers: int
    num_classes: int

    @nn.compact
    def __call__(self, weights, x, key=None):
        x = ops.BatchNorm(name="stem_norm")(ops.Conv(self.channels, 3, name="stem")(x.transpose(3, 1, 2, 0)))
        cell = self.cell
        if self.layers > 1 and not windows.on_accelerator():
            # what a cell computes is computed again for the gradient: stored, it would be a stack over the cells
            cell = nn.remat(cell, prevent_cse=False)
        for stage in range(NUM_STAGES):
            keys = () if key is None else (jax.random.split(jax.random.fold_in(key, stage), self.layers),)
            stack = nn.scan(
                cell,
                variable_axes={"params": 0, mixed.CARRIED: 0},
                split_rngs={"params": True},
                in_axes=(nn.broadcast, *(0 for _ in keys)),
                length=self.layers,
            )
            x, _ = stack(**dict(self.cell_options), name=f"stage_{stage}")(x, weights, *keys)
            if stage < NUM_STAGES - 1:
                x = ResidualBlock(name=f"residual_{stage}")(x)
        return ops.classified(self, jax.nn.relu(ops.BatchNorm(name="last_norm")(x)), self.num_classes)
