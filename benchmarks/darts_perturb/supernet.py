"""Speed of the supernet's gradients beside PyTorch's, and how long they take to compile.

    python -m benchmarks.darts_perturb.supernet --torch_python=PYTHON
        [--out=benchmarks/results/darts_supernet.json] [--repeats=9] [--cases=cell,nb201,compile]

A normal DARTS cell (16 channels, 32x32, gradients of its input, its weights and alpha) and a NAS-Bench-201 network of
one cell a stage. PyTorch is channels_last and a process of its own that takes turns with ours. Processor time is
compared: other work on the machine disturbs it less. `taskset -c 0` before the command gives both one thread.
"""

import functools
import json
import os
import pathlib
import statistics
import subprocess
import time

import jax
import jax.numpy as jnp
import optax
from absl import app, flags, logging

from benchmarks import timing
from benchmarks.darts_perturb import supernet_torch as peer
from darts_perturb import space as spaces
from darts_perturb import supernet
from darts_perturb.layers.mixed import MixedCell

_OUT = flags.DEFINE_string("out", "benchmarks/results/darts_supernet.json", "Where to write the rows.")
_REPEATS = flags.DEFINE_integer("repeats", 9, "Counted calls of each candidate.")
_TORCH = flags.DEFINE_string("torch_python", "", "An interpreter with torch.")
_CASES = flags.DEFINE_list("cases", ["cell", "nb201", "compile"], "What to measure.")
_BATCH = flags.DEFINE_integer("batch", 16, "Images a step.")
_OPTIONS = {"exact": {}, "fast math": {"xla_cpu_enable_fast_math": True}}
_TARGETS = {"cell": 0.9, "nb201": 1.0}


def network_loss(space):
    """Returns the function (params, alpha, x, y) that gives the mean cross entropy."""

    def loss(params, alpha, x, y):
        logits = supernet.apply(params, space.map(jax.nn.softmax, alpha), x, space=space)
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

    return loss


def network(space_name, layers, batch):
    """Returns the gradient function of a network and its arguments."""
    space = spaces.get(space_name)
    params = supernet.init(jax.random.key(0), space, channels=peer.CHANNELS, layers=layers, num_classes=peer.CLASSES)
    zeros = jnp.zeros(space.weights_shape)
    alpha = zeros if len(space.kinds) == 1 else dict.fromkeys(space.kinds, zeros)
    x = jax.random.normal(jax.random.key(1), (batch, peer.SIDE, peer.SIDE, 3))
    return jax.grad(network_loss(space), argnums=(0, 1)), (params, alpha, x, jnp.zeros(batch, jnp.int32))


def cell(batch):
    """Returns the gradient function of one normal DARTS cell and its arguments."""
    module = MixedCell(spaces.get("darts"), kind="normal")
    shape = (peer.CHANNELS, peer.SIDE, peer.SIDE, batch)
    x, alpha = jax.random.normal(jax.random.key(0), shape), jnp.zeros((14, 7))
    target = jax.random.normal(jax.random.key(1), (4 * peer.CHANNELS, *shape[1:]))
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), (x, x), alpha))["params"]
    leaves, tree = jax.tree.flatten(shapes)
    keys = jax.random.split(jax.random.key(2), len(leaves))
    drawn = [0.2 * jax.random.normal(key, leaf.shape) for key, leaf in zip(keys, leaves)]

    def loss(params, alpha, x, target):
        out = module.apply({"params": params}, (x, x[..., ::-1]), jax.nn.softmax(alpha))[0]
        return (out * target).sum()

    return jax.grad(loss, argnums=(0, 1, 2)), (jax.tree.unflatten(tree, drawn), alpha, x, target)


def compiled(fn, args, options):
    """Returns the compiled function and {"compile_s", "compile_cpu_s"}, tracing included."""
    wall, cpu = time.perf_counter(), time.process_time()
    program = jax.jit(fn).lower(*args).compile(compiler_options=options)
    return program, {"compile_s": time.perf_counter() - wall, "compile_cpu_s": time.process_time() - cpu}


def start_torch(python):
    """Returns torch's version and the function of (case, batch) that gives {"cpu_s", "wall_s"}."""
    command = [python, str(pathlib.Path(peer.__file__))]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def read():
        line = process.stdout.readline()
        if not line:
            raise ValueError(f"{python} ended with status {process.wait()}")
        return json.loads(line)

    def call(case, batch):
        process.stdin.write(json.dumps({"case": case, "batch": batch}) + "\n")
        process.stdin.flush()
        return read()

    return read()["torch"], call


def _ours(program, args):
    wall, cpu = time.perf_counter(), time.process_time()
    jax.block_until_ready(program(*args))
    return {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}


def speed_row(case, torch_call):
    """Returns the row of one case: medians of alternated calls and ratios to torch."""
    batch = _BATCH.value
    fn, args = cell(batch) if case == "cell" else network("nas_bench_201", 1, batch)
    candidates, row = {}, {"case": case, "batch": batch, "target, ours over torch's": _TARGETS[case]}
    for name, options in _OPTIONS.items():
        program, row[name] = compiled(fn, args, options)
        candidates[name] = functools.partial(_ours, program, args)
    candidates["torch"], row["torch"] = functools.partial(torch_call, case, batch), {}
    taken = {name: [] for name in candidates}
    for _ in range(_REPEATS.value + 2):
        for name, call in candidates.items():
            taken[name].append(call())
    for name, values in taken.items():
        for what in ("cpu_s", "wall_s"):
            kept = [value[what] for value in values[2:]]
            row[name] |= {what: statistics.median(kept), f"low_{what}": min(kept)}
    for name in _OPTIONS:
        row[f"{name} over torch"] = {
            what: row[name][what] / row["torch"][what] for what in ("cpu_s", "low_cpu_s", "wall_s", "low_wall_s")
        }
    return row


def compile_rows():
    """Returns the rows of compile times: forward and all gradients."""
    rows = []
    for space_name, layers in (("nas_bench_201", 1), ("nas_bench_201", 5), ("darts", 8)):
        fn, args = network(space_name, layers, _BATCH.value)
        rows.append({"case": f"compile {space_name}, layers {layers}", **compiled(fn, args, {})[1]})
        logging.info("%s", rows[-1])
    return rows


def main(_):
    """Measures, and writes the rows."""
    rows, version = [], f"left out: no --{_TORCH.name}"
    if _TORCH.value:
        version, torch_call = start_torch(_TORCH.value)
        for case in peer.CASES:
            if case in _CASES.value:
                rows.append(speed_row(case, torch_call))
                logging.info("%s", json.dumps(rows[-1], indent=1))
    if "compile" in _CASES.value:
        rows += compile_rows()
    command = "python -m benchmarks.darts_perturb.supernet --torch_python=PYTHON"
    threads = len(os.sched_getaffinity(0))
    timing.write(_OUT.value, rows, torch=version, command=command, threads=threads, precision="float32")


if __name__ == "__main__":
    app.run(main)
