"""What darts_perturb does a second on a device: images of a supernet search, and of the training of a cell.

FLOPs are those of convolutions and linear maps, forward and twice that for the gradients; what is computed again to
save memory does not count. Bytes are what XLA counts in the compiled step, a loop over cells once: a lower bound.
"""

import functools

import jax
import jax.numpy as jnp

from benchmarks import device
from darts_perturb import genotype, network, retraining, search
from darts_perturb import space as spaces

# side of the images, batch, channels, cells a stage, steps a call
SEARCH = {"small": (8, 2, 2, 1, 1), "cpu": (32, 16, 16, 1, 2), "gpu": (32, 64, 16, 5, 20)}
# as above, for a cell of NAS-Bench-201 where small and the network of DARTS_V2 on a GPU
RETRAIN = {"small": (8, 2, 2, 1, 1), "cpu": (32, 16, 16, 1, 2), "gpu": (32, 96, 36, 20, 20)}
# those of configs/darts_perturb/retrain.py, which wants ml_collections; a bare machine has none
DARTS_V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)
NAS_BENCH_201_CELL = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
_CLASSES = 10
_SYSTEM = "darts_perturb"


def supernet_multiply_adds(space, **sizes):
    """Returns the multiply-adds of a NAS-Bench-201 supernet for an image: every operation on every edge.

    Those of a network with one operation on all edges, less the skeleton's, add up over the operations.
    """

    def alone(op):
        return network.flops(genotype.Genotype(space.name, (op,) * len(space.edges)), **sizes)

    skeleton = alone("none")
    return skeleton + sum(alone(op) - skeleton for op in space.ops)


def supernet(size, dtype=jnp.float32):
    """Returns the Case of a search's steps, Adam on alpha and SGD on the weights, NAS-Bench-201."""
    side, batch, channels, layers, num_steps = SEARCH[size]
    space = spaces.get("nas_bench_201")
    sizes = {"channels": channels, "layers": layers, "num_classes": _CLASSES}
    state = search.init(jax.random.key(0), space, **sizes)
    x, y = _images(2 * batch, side)
    rows = jnp.arange(2 * batch).reshape(2, -1)
    rates = {"learning_rate": 0.025, "final_learning_rate": 0.001}
    plan = search.bilevel_plan(jax.random.key(2), *rows, batch_size=batch, num_steps=num_steps, **rates)
    run = functools.partial(search.steps, space=space, dtype=dtype)
    multiply_adds = supernet_multiply_adds(space, image_size=side, **sizes)
    words = f"supernet search, NAS-Bench-201, {layers} cells a stage, {channels} channels, batch {batch}"
    args = (jax.random.key(3), state, x, y, plan, search.Settings())
    return _case(words, dtype, run, args, 2 * num_steps, batch, multiply_adds)


def retrained(size, dtype=jnp.float32):
    """Returns the Case of the training of a selected cell."""
    side, batch, channels, layers, num_steps = RETRAIN[size]
    is_darts = size == "gpu"
    cell = genotype.parse(DARTS_V2 if is_darts else NAS_BENCH_201_CELL)
    sizes = {"channels": channels, "layers": layers, "num_classes": _CLASSES, "auxiliary": is_darts}
    state = retraining.init_network(jax.random.key(0), cell, **sizes)
    x, y = _images(batch * num_steps, side)
    drop_path = 0.2 if is_darts else None
    plan = retraining.plan(
        jax.random.key(2), len(y), batch_size=batch, epochs=1, learning_rate=0.025, drop_path=drop_path
    )
    run = functools.partial(retraining.steps, genotype=cell, layers=layers, dtype=dtype)
    multiply_adds = network.flops(cell, image_size=side, **sizes)
    name = f"DARTS_V2, {layers} cells" if is_darts else f"a NAS-Bench-201 cell, {layers} a stage"
    words = f"training of {name}, {channels} channels, batch {batch}"
    args = (jax.random.key(3), state, x, y, plan, retraining.Recipe())
    return _case(words, dtype, run, args, num_steps, batch, multiply_adds)


def _images(count, side):
    return jax.random.normal(jax.random.key(1), (count, side, side, 3)), jnp.arange(count) % _CLASSES


def _case(words, dtype, run, args, num_passes, batch, multiply_adds):
    """Returns the Case of a function that takes `num_passes` gradients of a batch each, compiled by its first call."""
    compiled = functools.cache(lambda: jax.jit(run).lower(*args).compile())
    images = num_passes * batch
    return device.Case(
        system=_SYSTEM,
        case=f"{words}, {jnp.dtype(dtype).name}",
        unit="images",
        count=images,
        call=lambda: compiled()(*args),
        flops=3 * 2 * images * multiply_adds,
        bytes=lambda: num_passes * compiled().cost_analysis().get("bytes accessed", 0.0),  # the loop of passes once
        precision=device.BFLOAT16 if dtype == jnp.bfloat16 else device.DEFAULT,
    )


CASES = {
    "search": supernet,
    "search_bfloat16": functools.partial(supernet, dtype=jnp.bfloat16),
    "retrain": retrained,
    "retrain_bfloat16": functools.partial(retrained, dtype=jnp.bfloat16),
}
