"""The supernet of every search space: every edge of every cell is the weighted sum of all its operations.

A pure function of parameters, op weights and a batch. Parameters are a nested dict; those of cells that are alike are
stacked along their first axis, because they run in a `lax.scan`. Batch normalisation uses the statistics of the batch
at hand, in training and in evaluation, so nothing here has a state.

References:
    NAS-Bench-201: Dong & Yang 2020, arXiv:2001.00326, figure 1; DARTS: Liu et al. 2019, arXiv:1806.09055, eq. 2.
"""

import math

import jax
import jax.numpy as jnp

from darts_perturb.layers.mixed import CARRIED, MixedCell
from darts_perturb.layers.reductions import STEM_MULTIPLIER, Reductions
from darts_perturb.layers.stages import NUM_STAGES, Skeleton
from darts_perturb.space import REDUCTIONS

__all__ = [
    "IMAGE_CHANNELS",
    "NUM_STAGES",
    "Skeleton",
    "apply",
    "check_weights",
    "draw",
    "init",
    "shapes",
    "skeleton_sizes",
    "three_channels",
]

IMAGE_CHANNELS = 3


def init(key, space, *, channels, layers, num_classes, affine=False):
    """Returns freshly drawn parameters of the supernet, as nested dicts of arrays.

    Args:
        key: typed key.
        space: `space.Space`.
        channels: C of the first cells; doubled where the image is halved.
        layers: cells a stage for a space of stages, all cells for a space with reductions.
        num_classes: outputs.
        affine: whether normalisation inside the cells has a learned scale and bias. A search has none; the network
            that is trained afterwards has them. Spaces of stages only.

    Raises:
        ValueError: sizes that make no network.
    """
    if channels < 2 or layers < 1 or num_classes < 1:
        raise ValueError(f"channels={channels}, layers={layers}, num_classes={num_classes}: need 2, 1 and 1 or more")
    weights = jnp.zeros(space.weights_shape)
    if space.skeleton == REDUCTIONS:
        if affine:
            raise ValueError(f"affine=True: the supernet of {space.name} has no learned scale and bias in its cells")
        return draw(key, Reductions(space, channels, layers, num_classes), dict.fromkeys(space.kinds, weights))
    return draw(key, _stages(space, channels, layers, num_classes, affine), weights)


def draw(key, module, *args):
    """Returns parameters of a network: kernels uniform on +-1/sqrt(fan-in), scales 1, biases 0.

    Args:
        key: typed key; one draw covers all kernels.
        module: a Skeleton or Reductions.
        *args: what its call takes before the images.
    """
    return draw_like(key, shapes(module, *args))


def draw_like(key, tree_of_shapes):
    """Returns parameters of given shapes, as `draw` does."""
    leaves, tree = jax.tree.flatten_with_path(tree_of_shapes)
    flat = jax.random.uniform(key, (sum(leaf.size for _, leaf in leaves),), minval=-1, maxval=1)
    params, start = [], 0
    for path, leaf in leaves:
        name, chunk = path[-1].key, flat[start : start + leaf.size].reshape(leaf.shape)
        start += leaf.size
        if name.endswith("kernel"):
            # [..., K, K, C, D], [..., 1, K, K, C] of a depthwise one, or [C, D] of a classifier
            params.append(chunk / math.sqrt(math.prod(leaf.shape[-4:-1])))
        else:
            params.append(jnp.ones(leaf.shape) if name == "scale" else jnp.zeros(leaf.shape))
    return jax.tree.unflatten(tree, params)


def shapes(module, *args):
    """Returns the shapes of a network's parameters, computing nothing; arguments as of `draw`."""
    images = jnp.zeros((1, 4, 4, IMAGE_CHANNELS))
    return jax.eval_shape(lambda: module.init(jax.random.key(0), *args, images))["params"]


def apply(params, weights, x, *, space, key=None, dtype=None, carried=False):
    """Returns the logits of a batch, [B, num_classes], float32.

    Args:
        params: of `init`, which fixes channels, layers and classes.
        weights: op weights, after softmax and masks: [edges, choices], or {"normal": [edges, choices], "reduce":
            [edges, choices]} of a space with two kinds of cell. One-hot rows give the network of one cell.
        x: images [B, H, W, 3], or [B, H, W, 1], whose channel is then repeated; H and W are multiples of 4.
        space: `space.Space`.
        key: of the noise operation; None draws the same noise in every call, which makes calls comparable.
        dtype: what activations are computed in, jnp.bfloat16 for instance; None is that of the images. Statistics of
            normalisation and the classifier are float32.
        carried: whether to return (logits, what every operation of every edge gives) instead, nested dicts as
            `analysis.carried` reads them; static.

    Raises:
        ValueError: shapes that do not fit.
    """
    check_weights(weights, space)
    x = three_channels(x)
    if dtype is not None:
        params, weights, x = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), (params, weights, x))
    if "noise" not in space.ops:
        key = None
    elif key is None:
        key = jax.random.key(0)
    sizes = skeleton_sizes(params)
    if space.skeleton == REDUCTIONS:
        module = Reductions(space, *sizes)
    else:
        module = _stages(space, *sizes, any("norm" in op for op in params["stage_0"].values()))
    if carried:
        logits, found = module.apply({"params": params}, weights, x, key, mutable=[CARRIED])
        return logits, found[CARRIED]
    return module.apply({"params": params}, weights, x, key)


def check_weights(weights, space):
    """Checks that op weights are those of a space.

    Raises:
        ValueError: other kinds of cell, or another shape.
    """
    shape, by_kind = space.weights_shape, {"": weights}
    if space.skeleton == REDUCTIONS:
        if not isinstance(weights, dict) or set(weights) != set(space.kinds):
            found = sorted(weights) if isinstance(weights, dict) else type(weights).__name__
            raise ValueError(f"weights are {found}: {space.name} has op weights for {', '.join(space.kinds)}")
        by_kind = weights
    for kind, found in by_kind.items():
        if jnp.shape(found) != shape:
            what = f" of {kind!r}" if kind else ""
            raise ValueError(f"weights of shape {jnp.shape(found)}{what}: {space.name} has op weights of shape {shape}")


def skeleton_sizes(params):
    """Returns (channels, layers, num_classes) of parameters of a network.

    Raises:
        ValueError: parameters of another network.
    """
    num_classes = params["classifier_kernel"].shape[-1]
    channels = params["stem"]["kernel"].shape[-1]
    if "stage_0" in params:
        return channels, jax.tree.leaves(params["stage_0"])[0].shape[0], num_classes
    layers = sum(name.endswith("_1_kernel") for name in params)
    return channels // STEM_MULTIPLIER, layers, num_classes


def three_channels(x):
    """Returns images [B, H, W, 3] of images with one channel or three.

    Raises:
        ValueError: another number of axes or channels, or sides that cannot be halved twice.
    """
    if x.ndim != 4 or x.shape[3] not in (1, IMAGE_CHANNELS) or x.shape[1] % 4 or x.shape[2] % 4:
        raise ValueError(f"images of shape {x.shape}: need [B, H, W, 1 or 3] with H and W multiples of 4")
    return jnp.broadcast_to(x, (*x.shape[:3], IMAGE_CHANNELS))


def _stages(space, channels, layers, num_classes, affine):
    return Skeleton(MixedCell, (("space", space), ("affine", affine)), channels, layers, num_classes)
