"""The NAS-Bench-201 supernet: every edge of every cell is the weighted sum of all operations.

Stem, then three stages of `layers` identical cells with a residual block that halves the image and doubles the
channels between them, then the mean over pixels and a linear classifier. Parameters are a nested dict; those of the
cells of one stage are stacked along their first axis, because the stage is a `lax.scan` over its cells. Batch
normalisation uses the statistics of the batch at hand, in training and in evaluation, so nothing here has a state.

References:
    NAS-Bench-201: Dong & Yang 2020, arXiv:2001.00326, figure 1; DARTS: Liu et al. 2019, arXiv:1806.09055, eq. 2.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from darts_perturb import ops
from darts_perturb.space import Space

NUM_STAGES = 3
IMAGE_CHANNELS = 3


class MixedCell(nn.Module):
    """A cell of the supernet; the operations of all edges that leave a node run together."""

    space: Space
    affine: bool = False

    @nn.compact
    def __call__(self, x, weights):
        nodes = [x] + [0.0] * (self.space.num_nodes - 1)
        for source in range(self.space.num_nodes - 1):
            edges = self.space.edges_from(source)
            for index, op in enumerate(self.space.ops):
                if op == "none":
                    continue
                out = ops.Operation(op, len(edges), self.affine, name=f"from_{source}_{op}")(nodes[source])
                for place, edge in enumerate(edges):
                    share = weights[edge, index] * out[min(place, out.shape[0] - 1)]
                    nodes[self.space.edges[edge][1]] += share
        return nodes[-1], None


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
        cell: class of the cells; its call takes (x [C, H, W, B], weights) and returns (x, None).
        cell_options: its keyword arguments as a tuple of pairs.
    """

    cell: type
    cell_options: tuple[tuple[str, Any], ...]
    channels: int
    layers: int
    num_classes: int

    @nn.compact
    def __call__(self, weights, x):
        x = ops.BatchNorm(name="stem_norm")(ops.Conv(self.channels, 3, name="stem")(x.transpose(3, 1, 2, 0)))
        for stage in range(NUM_STAGES):
            stack = nn.scan(
                self.cell,
                variable_axes={"params": 0},
                split_rngs={"params": True},
                in_axes=nn.broadcast,
                length=self.layers,
            )
            x, _ = stack(**dict(self.cell_options), name=f"stage_{stage}")(x, weights)
            if stage < NUM_STAGES - 1:
                x = ResidualBlock(name=f"residual_{stage}")(x)
        features = jax.nn.relu(ops.BatchNorm(name="last_norm")(x)).mean((1, 2))
        kernel = self.param("classifier_kernel", ops.drawn_later, (features.shape[0], self.num_classes))
        bias = self.param("classifier_bias", nn.initializers.zeros, (self.num_classes,))
        return features.T @ kernel + bias[None, :]


def init(key, space, *, channels, layers, num_classes, affine=False):
    """Returns freshly drawn parameters of the supernet, as nested dicts of arrays.

    Args:
        key: typed key.
        space: `space.Space`.
        channels: C of the first stage; later stages have 2 C and 4 C.
        layers: cells a stage.
        num_classes: outputs.
        affine: whether normalisation inside the cells has a learned scale and bias. A search has none; the network
            that is trained afterwards has them.
    """
    module = _module(space, channels, layers, num_classes, affine)
    shape = (len(space.edges), len(space.ops))
    return draw(key, module, jnp.zeros(shape))


def draw(key, module, *args):
    """Returns parameters of a Skeleton: kernels uniform on +-1/sqrt(fan-in), scales 1, biases 0.

    Args:
        key: typed key; one draw covers all kernels.
        module: the Skeleton.
        *args: what its call takes before the images.
    """
    leaves, tree = jax.tree.flatten_with_path(shapes(module, *args))
    flat = jax.random.uniform(key, (sum(leaf.size for _, leaf in leaves),), minval=-1, maxval=1)
    params, start = [], 0
    for path, leaf in leaves:
        name, chunk = path[-1].key, flat[start : start + leaf.size].reshape(leaf.shape)
        start += leaf.size
        if name.endswith("kernel"):
            # [..., K, K, C, D], or [C, D] of the classifier
            params.append(chunk / math.sqrt(math.prod(leaf.shape[-4:-1])))
        else:
            params.append(jnp.ones(leaf.shape) if name == "scale" else jnp.zeros(leaf.shape))
    return jax.tree.unflatten(tree, params)


def shapes(module, *args):
    """Returns the shapes of a Skeleton's parameters, computing nothing; arguments as of `draw`."""
    images = jnp.zeros((1, 4, 4, IMAGE_CHANNELS))
    return jax.eval_shape(lambda: module.init(jax.random.key(0), *args, images))["params"]


def apply(params, weights, x, *, space):
    """Returns the logits of a batch, [B, num_classes].

    Args:
        params: of `init`, which fixes channels, layers and classes.
        weights: op weights [edges, ops], after softmax and masks; one-hot rows give the network of one cell.
        x: images [B, H, W, 3], or [B, H, W, 1], whose channel is then repeated; H and W are multiples of 4.
        space: `space.Space`.

    Raises:
        ValueError: shapes that do not fit.
    """
    shape = (len(space.edges), len(space.ops))
    if weights.shape != shape:
        raise ValueError(f"weights of shape {weights.shape}: {space.name} has op weights of shape {shape}")
    affine = any("norm" in op for op in params["stage_0"].values())
    module = _module(space, *skeleton_sizes(params), affine)
    return module.apply({"params": params}, weights, three_channels(x))


def skeleton_sizes(params):
    """Returns (channels, layers, num_classes) of parameters of a Skeleton."""
    layers = jax.tree.leaves(params["stage_0"])[0].shape[0]
    return params["stem"]["kernel"].shape[-1], layers, params["classifier_kernel"].shape[-1]


def three_channels(x):
    """Returns images [B, H, W, 3] of images with one channel or three.

    Raises:
        ValueError: another number of axes or channels, or sides that cannot be halved twice.
    """
    if x.ndim != 4 or x.shape[3] not in (1, IMAGE_CHANNELS) or x.shape[1] % 4 or x.shape[2] % 4:
        raise ValueError(f"images of shape {x.shape}: need [B, H, W, 1 or 3] with H and W multiples of 4")
    return jnp.broadcast_to(x, (*x.shape[:3], IMAGE_CHANNELS))


def _module(space, channels, layers, num_classes, affine):
    return Skeleton(MixedCell, (("space", space), ("affine", affine)), channels, layers, num_classes)
