"""What cqd does a second on a device: training steps of ComplEx, and queries answered by beam search."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

import cqd
from benchmarks import device
from benchmarks.cqd import answering
from cqd import predictor, query, training

TABLES = {"small": (60, 8, 4), "cpu": (14505, 474, 100), "gpu": (14505, 474, 1000)}  # N, R, rank
STEPS = {"small": (2, 20), "cpu": (5, 1000), "gpu": (20, 1000)}  # a call, triples of a batch
QUERIES = {"small": (8, 2), "cpu": (64, 16), "gpu": (1024, 64)}  # at once, beam size
_SYSTEM = "cqd"


def step(size, dtype=jnp.float32):
    """Returns the Case of training steps of ComplEx with N3 and Adagrad."""
    num_entities, num_relations, rank = TABLES[size]
    num_steps, batch = STEPS[size]
    params = predictor.complex_params(*map(jnp.asarray, answering.tables(num_entities, num_relations, rank)))
    state = training.State(params, training.adagrad(0.0).init(params))
    limits = (num_entities, num_relations, num_entities)
    triples = jnp.asarray(np.random.default_rng(1).integers(limits, size=(num_steps * batch, 3)), jnp.int32)
    run = jax.jit(
        functools.partial(
            training.epochs,
            num_epochs=1,
            batch_size=batch,
            learning_rate=0.1,
            regularization=0.05,
            compute_dtype=dtype,
        )
    )
    width = jnp.dtype(dtype).itemsize
    updates = 8 * device.num_bytes(params)  # weights: read in either pass, updated; gradients and squares both ways
    products = 3 * 2 * batch * num_entities * 2 * rank
    return device.Case(
        system=_SYSTEM,
        case=f"training step, ComplEx with N3, {jnp.dtype(dtype).name}; N = {num_entities:,}, rank {rank}, "
        f"batch {batch:,}",
        unit="triples",
        count=num_steps * batch,
        call=functools.partial(run, state, jax.random.key(0), 0, triples),
        flops=num_steps * products,
        bytes=num_steps * (updates + 3 * width * batch * num_entities),
        precision=device.BFLOAT16 if dtype == jnp.bfloat16 else device.DEFAULT,
    )


def beam(size):
    """Returns the Case of queries 2p by beam search."""
    num_entities, num_relations, rank = TABLES[size]
    num_queries, beam_size = QUERIES[size]
    params = predictor.complex_params(*map(jnp.asarray, answering.tables(num_entities, num_relations, rank)))
    rows = [(37 * i % num_entities, 2 * i % num_relations, 0) for i in range(num_queries)]
    queries = [query.from_benchmark("2p", row) for row in rows]
    options = {"beam_size": beam_size, "batch_size": num_queries}
    products = 1 + beam_size
    return device.Case(
        system=_SYSTEM,
        case=f"beam, {num_queries:,} queries 2p at once, k = {beam_size}; N = {num_entities:,}, rank {rank}",
        unit="queries",
        count=num_queries,
        call=lambda: cqd.answer(params, queries, **options),
        flops=products * 2 * num_queries * num_entities * 2 * rank,
        bytes=products * 4 * (num_entities * 2 * rank + 2 * num_queries * num_entities),
        precision=device.DEFAULT,
    )


CASES = {"step": step, "step_bfloat16": functools.partial(step, dtype=jnp.bfloat16), "beam": beam}
