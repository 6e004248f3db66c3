"""What the device itself can do, and how much of it a case uses.

The matrix rate is that of products of large square matrices, one after another in one program; the bandwidth that of a
triad a <- b + s a on arrays that no cache holds. Both are the best of some calls, as bounds are.
"""

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

FLOAT32, DEFAULT, BFLOAT16 = "float32", "float32, the device's default", "bfloat16"
SIZES = {"small": (64, 2**12), "cpu": (1024, 2**24), "gpu": (8192, 2**28)}  # side of the matrices, numbers of an array
_PRODUCTS, _TRIADS = 8, 8  # a call


class Case(NamedTuple):
    """Work whose amount is known.

    Attributes:
        system: the package.
        case: in words, with sizes.
        unit: of what a call makes so many, such as images.
        count: how many a call makes.
        call: function of no arguments that does it and returns arrays.
        flops: of a call, two a multiply-add, counted as the plain algorithm has them.
        bytes: of a call, which it must read and write at least; or a function that gives them after a call.
        precision: FLOAT32, DEFAULT or BFLOAT16, of the products.
    """

    system: str
    case: str
    unit: str
    count: int
    call: Callable
    flops: float
    bytes: float | Callable[[], float]
    precision: str


def measure(size, repeats):
    """Returns {"matrix_flops_per_s": {precision: rate}, "bytes_per_s": bandwidth}.

    Args:
        size: of SIZES.
        repeats: counted calls.
    """
    side, length = SIZES[size]
    rates = {precision: _matrix_rate(side, precision, repeats) for precision in (FLOAT32, DEFAULT, BFLOAT16)}
    a, b = jnp.zeros(length), jnp.ones(length)
    triad = jax.jit(lambda a, b, s: lax.fori_loop(0, _TRIADS, lambda _, a: b + s * a, a))
    seconds = best(lambda: triad(a, b, jnp.float32(0.5)), repeats)
    return {"matrix_flops_per_s": rates, "bytes_per_s": 3 * 4 * length * _TRIADS / seconds}


def _matrix_rate(side, precision, repeats):
    dtype = jnp.bfloat16 if precision == BFLOAT16 else jnp.float32
    asked = lax.Precision.HIGHEST if precision == FLOAT32 else None
    matrix = jax.random.normal(jax.random.key(0), (side, side), dtype) / side**0.5

    @jax.jit
    def products(matrix, start):
        return lax.fori_loop(0, _PRODUCTS, lambda _, x: jnp.matmul(x, matrix, precision=asked), start)

    return 2 * side**3 * _PRODUCTS / best(lambda: products(matrix, matrix), repeats)


def best(call, repeats):
    """Returns the seconds of the quickest of some calls, after a first one that is not counted."""
    return min(spent(call, repeats)[1])


def spent(call, repeats):
    """Returns (seconds of the first call, compilation included; [seconds of each of the others])."""
    taken = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        jax.block_until_ready(call())
        taken.append(time.perf_counter() - start)
    return taken[0], taken[1:]


def row(case, device, repeats):
    """Returns the row of a case: its throughput, and the shares of the device's matrix rate and bandwidth.

    Args:
        case: `Case`.
        device: of `measure`.
        repeats: counted calls.
    """
    first, taken = spent(case.call, repeats)
    seconds = statistics.median(taken)
    num_moved = case.bytes() if callable(case.bytes) else case.bytes
    flops, moved = case.flops / seconds, num_moved / seconds
    return {
        "system": case.system,
        "case": case.case,
        "unit": case.unit,
        "precision": case.precision,
        "per_s": {
            "median": case.count / seconds,
            "low": case.count / max(taken),
            "high": case.count / min(taken),
        },
        "first_s": first,
        "flops": case.flops,
        "bytes": num_moved,
        "flops_per_s": flops,
        "of_matrix_rate": flops / device["matrix_flops_per_s"][case.precision],
        "bytes_per_s": moved,
        "of_bandwidth": moved / device["bytes_per_s"],
    }


def num_bytes(*trees):
    """Returns the bytes of all arrays."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(trees))
