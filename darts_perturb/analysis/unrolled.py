"""Unrolled estimation: plain and residual networks whose layers can be exchanged or left out at test time.

By the view of unrolled estimation the layers of a stage of a residual network all refine one feature map, so that
their order hardly matters; a plain network computes something new in every layer. Both networks here are a stem and
three stages of `layers` alike layers; between two stages a convolution halves the image and doubles the channels.

    plain:     y = relu(BN(conv(x)))
    residual:  y = relu(x + BN(conv(relu(BN(conv(x))))))

The layers of a stage are one stack of parameters in a `lax.scan`, so another order is another index into it, with
everything that belongs to a layer: kernels, scales and running statistics. Normalisation is by the running statistics
that travel with their layer, as the papers' networks have it at test time, or by the batch at hand, as all supernets
of this package have it.

Letters: s stages, l layers, c channels, h and w pixels, b batch.

References:
    Greff et al. 2017, arXiv:1612.07771; Veit et al. 2016, arXiv:1605.06431; arXiv:2108.04392, section 3.2 and table 1.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jax import lax

from darts_perturb import data, supernet
from darts_perturb.layers import ops, running

NUM_STAGES = 3
KINDS = ("plain", "residual")


class State(NamedTuple):
    """A network in training."""

    params: Any
    stats: Any  # running statistics
    momentum: Any


class Layer(nn.Module):
    """One layer of a stage, left out where keep is false; returns (output, output), as a scan takes it."""

    residual: bool
    by_batch: bool

    @nn.compact
    def __call__(self, x, keep):
        out = jax.nn.relu(self._conv_norm(x, "a")) if self.residual else x
        out = self._conv_norm(out, "b")
        out = jnp.where(keep, jax.nn.relu(x + out if self.residual else out), x)
        return out, out

    def _conv_norm(self, x, name):
        out = ops.Conv(x.shape[0], 3, name=f"conv_{name}")(x)
        return running.BatchNorm(self.by_batch, name=f"norm_{name}")(out)


class Net(nn.Module):
    """The whole network; its call takes images [B, H, W, 3] and which layers stay, bool [stages, layers]."""

    residual: bool
    channels: int
    layers: int
    num_classes: int
    by_batch: bool

    @nn.compact
    def __call__(self, x, keep):
        """Returns (logits [B, num_classes], what every layer of every stage gives, [[layers, C, H, W, B]])."""
        x, given = x.transpose(3, 1, 2, 0), []
        for stage in range(NUM_STAGES):
            x = ops.Conv(self.channels << stage, 3, 2 if stage else 1, name=f"enter_{stage}")(x)
            x = jax.nn.relu(running.BatchNorm(self.by_batch, name=f"enter_norm_{stage}")(x))
            stack = nn.scan(
                Layer,
                variable_axes={"params": 0, "batch_stats": 0},
                split_rngs={"params": True},
                length=self.layers,
            )
            x, outs = stack(self.residual, self.by_batch, name=f"stage_{stage}")(x, keep[stage])
            given.append(outs)
        return ops.classified(self, x, self.num_classes), given


def init(key, *, kind, channels, layers, num_classes):
    """Returns the State before the first step; arguments but the key are static.

    Args:
        key: typed key.
        kind: "plain" or "residual".
        channels: of the first stage.
        layers: of every stage.
        num_classes: outputs.

    Raises:
        ValueError: unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kind of network {kind!r}; known: {', '.join(KINDS)}")
    module = Net(kind == "residual", channels, layers, num_classes, True)
    keep = jnp.ones((NUM_STAGES, layers), bool)
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), jnp.zeros((1, 8, 8, supernet.IMAGE_CHANNELS)), keep))
    params = supernet.draw_like(key, shapes["params"])
    return State(params, running.start(shapes["batch_stats"]), jax.tree.map(jnp.zeros_like, params))


def apply(params, stats, x, order, keep, *, by_batch=False):
    """Returns (logits, what every layer gives [[layers, C, H, W, B]], running statistics after the batch).

    Args:
        params: of a State.
        stats: of a State.
        x: images [B, H, W, C].
        order: which layer stands where, int32 [stages, layers].
        keep: which places are not left out, bool [stages, layers].
        by_batch: whether normalisation is by this batch, else by the running statistics; static.
    """
    residual = "conv_a" in params["stage_0"]
    channels, layers = params["enter_0"]["kernel"].shape[-1], len(params["stage_0"]["conv_b"]["kernel"])
    module = Net(residual, channels, layers, params["classifier_kernel"].shape[-1], by_batch)
    variables = {"params": reordered(params, order), "batch_stats": reordered(stats, order)}
    (logits, given), moved = module.apply(variables, supernet.three_channels(x), keep, mutable=["batch_stats"])
    return logits, given, moved["batch_stats"]


def reordered(tree, order):
    """Returns parameters or statistics with the layers of every stage in another order, int32 [stages, layers]."""
    found = dict(tree)
    for stage in range(NUM_STAGES):
        name = f"stage_{stage}"
        found[name] = jax.tree.map(lambda leaf, stage=stage: leaf[order[stage]], tree[name])
    return found


def steps(key, state, x, y, plan, start=0, *, momentum=0.9, weight_decay=5e-4, shift=0, flip=False, fill=0.0):
    """Returns the State after some steps of SGD with momentum, and {loss [t], accuracy [t]}.

    Args:
        key: typed key of the augmentation; step number s of the training draws from fold_in(key, s).
        state: `State`.
        x: training images [n, H, W, C].
        y: labels [n].
        plan: `search.Plan` of the weights, or a slice of one.
        start: number of the plan's first step.
        momentum: of the gradient.
        weight_decay: of all parameters.
        shift: see `data.augment`.
        flip: see `data.augment`.
        fill: see `data.augment`.
    """
    layers = len(state.params["stage_0"]["conv_b"]["kernel"])
    order = jnp.broadcast_to(jnp.arange(layers), (NUM_STAGES, layers))

    def step(state, inputs):
        number, rows, learning_rate = inputs
        images = data.augment(jax.random.fold_in(key, number), x[rows], shift=shift, flip=flip, fill=fill)

        def loss_fn(params):
            logits, _, stats = apply(params, state.stats, images, order, jnp.ones(order.shape, bool), by_batch=True)
            loss = optax.softmax_cross_entropy_with_integer_labels(logits, y[rows]).mean()
            return loss, (stats, (logits.argmax(axis=1) == y[rows]).mean())

        (loss, (stats, accuracy)), gradient = jax.value_and_grad(loss_fn, has_aux=True)(state.params)
        moved = jax.tree.map(
            lambda m, g, w: momentum * m + g + weight_decay * w, state.momentum, gradient, state.params
        )
        params = jax.tree.map(lambda w, m: w - learning_rate * m, state.params, moved)
        return State(params, stats, moved), {"loss": loss, "accuracy": accuracy}

    numbers = start + jnp.arange(len(plan.learning_rate))
    return lax.scan(step, state, (numbers, plan.index, plan.learning_rate))


def exchanges(rng, sizes, count):
    """Returns orders with two places exchanged in each of several rows; host code.

    Args:
        rng: numpy Generator.
        sizes: the number of places of every row, or for a row the list of the pairs that may be exchanged.
        count: how many; all there are, in order, where there are no more.

    Returns:
        list of lists of pairs, one pair a row, all different.

    Raises:
        ValueError: a row in which nothing can be exchanged.
    """
    options = [_pairs(size) if isinstance(size, int) else list(size) for size in sizes]
    if not all(options):
        raise ValueError(f"row {[bool(option) for option in options].index(False)} has no two places to exchange")
    total = int(np.prod([len(option) for option in options]))
    numbers = range(total) if total <= count else sorted(rng.choice(total, count, replace=False).tolist())
    shape = [len(option) for option in options]
    return [[option[place] for option, place in zip(options, np.unravel_index(number, shape))] for number in numbers]


def _pairs(size):
    return [(i, j) for i in range(size) for j in range(i + 1, size)]


def exchanged(size, pair):
    """Returns the places 0 to size - 1 with two exchanged, int32 [size].

    >>> exchanged(4, (0, 2)).tolist()
    [2, 1, 0, 3]
    """
    order = np.arange(size, dtype=np.int32)
    first, second = pair
    order[[first, second]] = order[[second, first]]
    return order


def agreement(outputs):
    """Returns how near every output is to the map that the others estimate, (cosines [n], relative distances [n]).

    The map is the mean of the other outputs, so that none is compared with itself; the mean of every channel is taken
    away first, or rectified maps would all agree. Outputs without anything in common have cosine 0.

    Args:
        outputs: [C, H, W, B] each, two or more; numpy.
    """
    outputs = np.asarray(outputs, np.float64)
    outputs = outputs - outputs.mean((2, 3, 4), keepdims=True)
    cosines, distances = [], []
    for number, own in enumerate(outputs):
        m = np.delete(outputs, number, axis=0).mean(axis=0)
        sizes = np.linalg.norm(own), np.linalg.norm(m)
        cosines.append(np.vdot(own, m) / (sizes[0] * sizes[1]) if min(sizes) else 0.0)
        distances.append(np.linalg.norm(own - m) / sizes[1] if sizes[1] else 0.0)
    return np.array(cosines), np.array(distances)
