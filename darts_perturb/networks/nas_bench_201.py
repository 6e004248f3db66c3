"""The network of a NAS-Bench-201 cell with running statistics, for training and evaluation as that benchmark does them.

The parameters are those of `network.init`; `network.apply` is the same function but normalises by the batch at hand
always, and needs no statistics.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from darts_perturb import space as spaces
from darts_perturb import supernet
from darts_perturb.layers import ops, running


class ReluConvBN(nn.Module):
    """Rectify, convolve, normalise."""

    features: int
    size: int
    stride: int
    train: bool

    @nn.compact
    def __call__(self, x):
        x = ops.Conv(self.features, self.size, self.stride, name="conv")(jax.nn.relu(x))
        return running.BatchNorm(self.train, name="norm")(x)


class Cell(nn.Module):
    """A cell with one operation on every edge."""

    edges: tuple[tuple[int, int], ...]
    chosen: tuple[str, ...]
    train: bool

    @nn.compact
    def __call__(self, x, _):
        nodes = [x] + [jnp.zeros_like(x) for _ in range(max(target for _, target in self.edges))]
        for edge, ((source, target), op) in enumerate(zip(self.edges, self.chosen)):
            if op != "none":
                nodes[target] = nodes[target] + self._operation(op, nodes[source], f"edge_{edge}")
        return nodes[-1], None

    def _operation(self, op, x, name):
        if op == "skip_connect":
            return x
        if op == "avg_pool_3x3":
            return ops.average_pool(x)
        return ReluConvBN(x.shape[0], spaces.window(op), 1, self.train, name=name)(x)


class ResidualBlock(nn.Module):
    """Half the height and width, twice the channels."""

    train: bool

    @nn.compact
    def __call__(self, x):
        features = 2 * x.shape[0]
        out = ReluConvBN(features, 3, 2, self.train, name="conv_a")(x)
        out = ReluConvBN(features, 3, 1, self.train, name="conv_b")(out)
        return out + ops.Conv(features, 1, name="shortcut")(ops.half_size(x))


class Network(nn.Module):
    """The whole network; its call takes images [B, H, W, 3]."""

    chosen: tuple[str, ...]
    channels: int
    layers: int
    num_classes: int
    train: bool

    @nn.compact
    def __call__(self, x):
        x = ops.Conv(self.channels, 3, name="stem")(x.transpose(3, 1, 2, 0))
        x = running.BatchNorm(self.train, name="stem_norm")(x)
        for stage in range(supernet.NUM_STAGES):
            if stage:
                x = ResidualBlock(self.train, name=f"residual_{stage - 1}")(x)
            stack = nn.scan(
                Cell,
                variable_axes={"params": 0, "batch_stats": 0},
                split_rngs={"params": True},
                in_axes=nn.broadcast,
                length=self.layers,
            )
            x, _ = stack(spaces.NAS_BENCH_201.edges, self.chosen, self.train, name=f"stage_{stage}")(x, None)
        features = jax.nn.relu(running.BatchNorm(self.train, name="last_norm")(x)).mean((1, 2))
        kernel = self.param("classifier_kernel", nn.initializers.zeros, (features.shape[0], self.num_classes))
        bias = self.param("classifier_bias", nn.initializers.zeros, (self.num_classes,))
        return features.T @ kernel + bias[None]


def init_stats(genotype, *, channels, layers, num_classes):
    """Returns the running statistics of a network before training; arguments as of `network.init`."""
    module = Network(genotype.ops, channels, layers, num_classes, train=True)
    variables = jax.eval_shape(lambda: module.init(jax.random.key(0), jnp.zeros((1, 4, 4, supernet.IMAGE_CHANNELS))))
    return running.start(variables["batch_stats"])


def apply(params, stats, x, *, genotype, layers, train=False):
    """Returns the logits [B, num_classes] of a batch and the running statistics after it.

    Args:
        params: of `network.init` with `affine`.
        stats: running statistics, of `init_stats` or of an earlier call.
        x: images [B, H, W, 3], or [B, H, W, 1], whose channel is then repeated; H and W are multiples of 4.
        genotype: `genotype.Genotype`; static.
        layers: cells a stage; static.
        train: whether to normalise by the batch and move the running statistics; static.
    """
    channels, num_classes = params["stem"]["kernel"].shape[-1], params["classifier_kernel"].shape[-1]
    module = Network(genotype.ops, channels, layers, num_classes, train)
    variables = {"params": params, "batch_stats": stats}
    logits, moved = module.apply(variables, supernet.three_channels(x), mutable=["batch_stats"])
    return logits, moved["batch_stats"] if train else stats
