"""What ntk_asgd does a second on a device: a Gram matrix, and one-pass ASGD of many seeds at once."""

import functools

import jax
import jax.numpy as jnp

from benchmarks import device
from ntk_asgd import asgd, empirical, network, one_pass

GRAM = {"small": (40, 5, 64), "cpu": (2000, 10, 4096), "gpu": (16384, 10, 16384)}  # n, d, M
DESCENT = {"small": (2, 16, 64, 4), "cpu": (2, 256, 4096, 10), "gpu": (64, 1024, 10_000, 10)}  # seeds, steps, M, d
_SYSTEM = "ntk_asgd"


def gram(size):
    """Returns the Case of the Gram of x with itself, past the symmetric initialisation."""
    n, dim, width = GRAM[size]
    params = network.init(jax.random.key(0), width=width, dim=dim)
    params = params._replace(c=params.c + jnp.linspace(0.0, 0.1, width))
    x = jax.random.normal(jax.random.key(1), (n, dim))
    return device.Case(
        system=_SYSTEM,
        case=f"Gram, two layers; n = {n:,}, d = {dim}, M = {width:,}",
        unit="Gram entries",
        count=n * n,
        call=lambda: empirical.two_layer_ntk(params, x, activation="swish:10", gamma=1.0),
        flops=2 * n * n * width,  # two products, of which symmetry leaves half
        bytes=4 * (2 * n * width + n * n),
        precision=device.FLOAT32,
    )


def descent(size):
    """Returns the Case of one-pass ASGD, seeds mapped over."""
    num_seeds, num_steps, width, dim = DESCENT[size]
    keys = jax.random.split(jax.random.key(0), num_seeds)
    states = jax.vmap(lambda key: asgd.init(network.init(key, width=width, dim=dim)))(keys)
    x = jax.random.normal(jax.random.key(1), (num_seeds, num_steps, dim))
    x = x / jnp.linalg.norm(x, axis=2, keepdims=True)
    y = jax.random.uniform(jax.random.key(2), (num_seeds, num_steps), minval=-1, maxval=1)
    options = {"activation": "swish:10", "gamma": 1.0, "learning_rate": 0.1, "regularization": 0.01}
    run = jax.jit(jax.vmap(lambda *sample: one_pass.advance(*sample, **options)[0]))
    weights = num_seeds * num_steps * width * (dim + 2)
    return device.Case(
        system=_SYSTEM,
        case=f"one-pass ASGD of {num_seeds} seeds at once, swish:10; M = {width:,}, d = {dim}",
        unit="steps",
        count=num_seeds * num_steps,
        call=functools.partial(run, states, x, y),
        flops=9 * weights,  # forward 2, gradient 2, pull 2, mean 3
        bytes=4 * 4 * weights,  # the weights and their mean, read and written
        precision=device.FLOAT32,
    )


CASES = {"gram": gram, "descent": descent}
