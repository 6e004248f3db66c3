"""Speed of a training step, beside its own three matrix products and PyTorch.

    python -m benchmarks.cqd.training [--out=benchmarks/results/cqd_training.json] [--repeats=9]
        [--torch_python=PYTHON]

ComplEx of rank 100 with N3 at the size of FB15k-237, batches of 1000, float32. PyTorch is given by an interpreter that
has it, and left out without. It runs as a process of its own that takes turns with ours: the same embeddings and
triples, the same threads; its losses after three steps have to be ours. Beside wall time stands the processor time of
each process, which other work on the machine disturbs less; `taskset -c 0` before the command gives both one thread.
"""

import functools
import os
import statistics
import time

import jax
import jax.numpy as jnp
from absl import app, flags, logging

from benchmarks import peers, timing
from benchmarks.cqd import training_peer as peer
from cqd import predictor, training

_OUT = flags.DEFINE_string("out", "benchmarks/results/cqd_training.json", "Where to write the rows.")
_REPEATS = flags.DEFINE_integer("repeats", 9, "Counted calls of each candidate.")
_TORCH = flags.DEFINE_string("torch_python", "", "An interpreter with torch.")
_STEPS = 5  # a call; what a call costs besides its steps is shared among them
_OURS = "step"


def trainer(num_triples):
    """Returns the function of a number of epochs that trains on and returns the last epoch's mean loss."""
    entity, relation, triples = peer.draw(num_triples)
    params = predictor.complex_params(entity, relation)
    state = training.State(params, training.adagrad(0.0).init(params))
    triples = jnp.asarray(triples)
    run = jax.jit(training.epochs, static_argnames=("num_epochs", "batch_size"), donate_argnums=0)

    def train(num_epochs):
        nonlocal state
        state, info = run(
            state,
            jax.random.key(0),
            0,
            triples,
            num_epochs=num_epochs,
            batch_size=peer.BATCH,
            learning_rate=peer.LEARNING_RATE,
            regularization=peer.REGULARIZATION,
        )
        return float(info["loss"][-1])

    return train


def products():
    """Returns the function that computes a step's three matrix products, as often as a call takes steps."""
    entity, _, triples = peer.draw(peer.BATCH)
    entity = jnp.asarray(entity)
    points = entity[triples[:, 0]]

    def one(carry, _):
        points_bd, _ = carry
        scores_bn = points_bd @ entity.T
        return (1e-6 * (scores_bn @ entity), scores_bn.T @ points_bd), None

    run = jax.jit(lambda points: jax.lax.scan(one, (points, jnp.zeros_like(entity)), length=_STEPS)[0])
    return functools.partial(run, points)


def _metered(fn, cpu_s):
    """Calls a function and notes its processor time: that of this process, or what another one says of itself."""
    start = time.process_time()
    answer = jax.block_until_ready(fn())
    spent = time.process_time() - start
    cpu_s.append(answer["cpu_s"] if isinstance(answer, dict) else spent)


def main(_):
    """Measures, and writes the row."""
    num_triples = _STEPS * peer.BATCH
    candidates = {_OURS: functools.partial(trainer(num_triples), 1), "three products": products()}
    version = f"left out: no --{_TORCH.name}"
    if _TORCH.value:
        first, train = peers.start(_TORCH.value, peer.__file__)
        version = first["torch"]
        ours = trainer(peer.BATCH)(3)
        for name in peer.CANDIDATES:
            theirs = train(candidate=name, num_triples=peer.BATCH, num_epochs=3)["loss"]
            if abs(theirs / ours - 1) > 1e-4:
                raise ValueError(f"{name}: a loss of {theirs} after three steps, ours {ours}")
            candidates[name] = functools.partial(train, candidate=name, num_triples=num_triples, num_epochs=1)
    cpu_s = {name: [] for name in candidates}
    metered = {name: functools.partial(_metered, fn, cpu_s[name]) for name, fn in candidates.items()}
    times = timing.alternate(metered, _REPEATS.value)
    for name, seconds in cpu_s.items():
        times[name]["median_cpu_s"] = statistics.median(seconds[1:])
    ratios = {name: timing.ratio(times, _OURS, name) for name in times if name != _OURS}
    for name in ratios:
        ratios[name]["cpu"] = times[name]["median_cpu_s"] / times[_OURS]["median_cpu_s"]
    for what in ("median_s", "median_cpu_s"):
        logging.info("%s a step: %s", what, {name: round(one[what] / _STEPS, 4) for name, one in times.items()})
    logging.info(
        "over ours: %s", {name: (round(one["value"], 2), round(one["cpu"], 2)) for name, one in ratios.items()}
    )
    row = {
        "case": "ComplEx with N3, N = 14505, R = 474, rank 100, batch 1000",
        "steps_a_call": _STEPS,
        "threads": len(os.sched_getaffinity(0)),
        "target": "three products: at least 0.5; torch: at least 1.3",
        "times": times,
        "ratios": ratios,
    }
    command = "python -m benchmarks.cqd.training --torch_python=PYTHON"
    timing.write(_OUT.value, [row], torch=version, command=command, precision="float32")


if __name__ == "__main__":
    app.run(main)
