"""Speed of the supernet beside PyTorch's, how long it takes to compile, and what a removal score costs.

    python -m benchmarks.darts_perturb.supernet --torch_python=PYTHON
        [--out=benchmarks/results/darts_supernet.json] [--repeats=7] [--cases=cell,nb201,darts,compile,perturb]

A normal DARTS cell (16 channels, 32x32; gradients of its inputs, its weights and alpha), and whole steps of a search,
Adam on alpha and then SGD on the weights, of a NAS-Bench-201 network with one cell a stage and of a DARTS network of 8
layers. As in a search, a call takes several steps: what it costs besides (half a step, most of it fresh memory) is
shared among them. PyTorch is channels_last and a process of its own that takes turns with ours. Processor time is
compared: other work on the machine disturbs it less. `taskset -c 0` before the command gives both one thread.
"""

import functools
import json
import os
import statistics
import time

import jax
import jax.numpy as jnp
import optax
from absl import app, flags, logging
from jax import lax

from benchmarks import peers, timing
from benchmarks.darts_perturb import supernet_torch as peer
from darts_perturb import perturb, search, supernet
from darts_perturb import space as spaces
from darts_perturb.layers.mixed import MixedCell

_OUT = flags.DEFINE_string("out", "benchmarks/results/darts_supernet.json", "Where to write the rows.")
_REPEATS = flags.DEFINE_integer("repeats", 7, "Counted calls of each candidate.")
_TORCH = flags.DEFINE_string("torch_python", "", "An interpreter with torch.")
_CASES = flags.DEFINE_list("cases", ["cell", "nb201", "darts", "compile", "perturb"], "What to measure.")
_BATCH = flags.DEFINE_integer("batch", 16, "Images a step.")
_FAST_MATH = flags.DEFINE_bool("fast_math", False, "Also measure ours with xla_cpu_enable_fast_math.")
_TARGETS = {"cell": 0.9, "nb201": 1.0, "darts": 1.0}
_COUNTS = {"cell": 4, "nb201": 4, "darts": 2}  # passes or steps a call
_NETWORKS = {"nb201": ("nas_bench_201", 1), "darts": ("darts", peer.LAYERS)}


def cell(batch, count):
    """Returns (function that takes gradients of a normal DARTS cell, its arguments, parameters of the cell)."""
    module = MixedCell(spaces.get("darts"), kind="normal")
    shape = (peer.CHANNELS, peer.SIDE, peer.SIDE, batch)
    x, alpha = jax.random.normal(jax.random.key(0), shape), jnp.zeros((14, 7))
    target = jax.random.normal(jax.random.key(1), (4 * peer.CHANNELS, *shape[1:]))
    params = supernet.draw_like(
        jax.random.key(2), jax.eval_shape(lambda: module.init(jax.random.key(0), (x, x), alpha))["params"]
    )

    def loss(args, target):
        params, alpha, x = args
        out = module.apply({"params": params}, (x, x[..., ::-1]), jax.nn.softmax(alpha))[0]
        return (out * target).sum()

    def passes(args, target):
        def one(args, _):
            return jax.tree.map(lambda leaf, g: leaf - 1e-6 * g, args, jax.grad(loss)(args, target)), None

        return lax.scan(one, args, length=count)[0]

    return passes, ((params, alpha, x), target), params


def drawn(case, batch):
    """Returns the space, the state before a search, and 2 batches of random images with labels."""
    name, layers = _NETWORKS[case]
    sizes = {"channels": peer.CHANNELS, "layers": layers, "num_classes": peer.CLASSES}
    state = search.init(jax.random.key(0), spaces.get(name), **sizes)
    x = jax.random.normal(jax.random.key(1), (2 * batch, peer.SIDE, peer.SIDE, 3))
    return spaces.get(name), state, x, jnp.arange(2 * batch) % peer.CLASSES


def searching(case, batch, count):
    """Returns (function that takes steps of a search, its arguments, parameters of the network)."""
    space, state, x, y = drawn(case, batch)
    rows, rates = jnp.arange(2 * batch).reshape(2, -1), {"learning_rate": 0.025, "final_learning_rate": 0.001}
    plan = search.bilevel_plan(jax.random.key(2), rows[0], rows[1], batch_size=batch, num_steps=count, **rates)
    args = (jax.random.key(3), state, x, y, plan, search.Settings())
    return functools.partial(search.steps, space=space), args, state.params


def compiled(fn, args, options=None):
    """Returns the compiled function and {"compile_s", "compile_cpu_s"}, tracing included."""
    wall, cpu = time.perf_counter(), time.process_time()
    program = jax.jit(fn).lower(*args).compile(compiler_options=options)
    return program, {"compile_s": time.perf_counter() - wall, "compile_cpu_s": time.process_time() - cpu}


def _ours(program, args):
    wall, cpu = time.perf_counter(), time.process_time()
    jax.block_until_ready(program(*args))
    return {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}


def alternated(candidates, count):
    """Returns {name: {"cpu_s", "low_cpu_s", "wall_s", "low_wall_s"}} a pass or step, of calls that take turns."""
    taken = {name: [] for name in candidates}
    for _ in range(_REPEATS.value + 1):
        for name, call in candidates.items():
            taken[name].append(call())
    rows = {}
    for name, values in taken.items():
        rows[name] = {}
        for what in ("cpu_s", "wall_s"):
            kept = [value[what] / count for value in values[1:]]
            rows[name] |= {what: statistics.median(kept), f"low_{what}": min(kept)}
    return rows


def speed_row(case, call):
    """Returns the row of one case: medians of alternated calls, and ratios to torch."""
    batch, count = _BATCH.value, _COUNTS[case]
    fn, args, params = cell(batch, count) if case == "cell" else searching(case, batch, count)
    request = {"case": case, "batch": batch, "count": count}
    ours, theirs = sum(leaf.size for leaf in jax.tree.leaves(params)), call(**request, lean=False)["parameters"]
    if ours != theirs:
        raise ValueError(f"{case}: {theirs} parameters in torch, {ours} here")
    options = {"ours": {}} | ({"ours, fast math": {"xla_cpu_enable_fast_math": True}} if _FAST_MATH.value else {})
    candidates, compile_times = {}, {}
    for name, option in options.items():
        program, compile_times[name] = compiled(fn, args, option)
        candidates[name] = functools.partial(_ours, program, args)
    names = {"torch": False} if case == "cell" else {"torch": False, "torch, lean": True}
    candidates |= {name: functools.partial(call, **request, lean=lean) for name, lean in names.items()}
    row = {"case": case, "batch": batch, "a call": count, "target, ours over torch's": _TARGETS[case]}
    times = alternated(candidates, count)
    for name in options:
        for other in names:
            row[f"{name} over {other}"] = {what: times[name][what] / value for what, value in times[other].items()}
        times[name] |= compile_times[name]
    return row | times


def compile_rows():
    """Returns the rows of compile times, of forward and all gradients."""
    rows = []
    for name, layers in (("nas_bench_201", 1), ("nas_bench_201", 5), ("darts", peer.LAYERS)):
        space = spaces.get(name)
        sizes = {"channels": peer.CHANNELS, "layers": layers, "num_classes": peer.CLASSES}
        state = search.init(jax.random.key(0), space, **sizes)

        def loss(params, alpha, x, y, space=space):
            logits = supernet.apply(params, space.map(jax.nn.softmax, alpha), x, space=space)
            return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

        x = jnp.zeros((_BATCH.value, peer.SIDE, peer.SIDE, 3))
        args = (state.params, state.alpha, x, jnp.zeros(len(x), jnp.int32))
        rows.append({"case": f"compile {name}, layers {layers}", **compiled(jax.grad(loss, (0, 1)), args)[1]})
        logging.info("%s", rows[-1])
    return rows


def perturb_row(batch):
    """Returns the row of the removal scores of one edge beside as many forward passes, NAS-Bench-201."""
    space, state, x, y = drawn("nb201", batch)
    x, y = (leaf.reshape(2, batch, *leaf.shape[1:]) for leaf in (x, y))
    weights = search.op_weights(state.alpha, state.choice)
    masks = len(space.ops)  # all but none, and the whole supernet

    def scores(params, weights, x, y):
        return perturb.removal_scores(params, weights, x, y, space=space, edges=jnp.arange(1))

    def forward(params, weights, x, y):
        # the weights differ by pass: equal passes would be computed once
        rows = weights * (1 + 1e-6 * jnp.arange(masks))[:, None, None]
        return lax.map(lambda row: lax.map(lambda b: supernet.apply(params, row, b, space=space).max(), x).max(), rows)

    args = (state.params, weights, x, y)
    candidates = {
        name: functools.partial(_ours, compiled(fn, args)[0], args)
        for name, fn in (("scores", scores), ("forward passes", forward))
    }
    times = alternated(candidates, masks * len(x))
    ratios = {what: times["scores"][what] / value for what, value in times["forward passes"].items()}
    return {"case": "perturb", "target": 1.0, "scores over forward passes": ratios, **times}


def main(_):
    """Measures, and writes the rows."""
    rows, version = [], f"left out: no --{_TORCH.name}"
    if _TORCH.value:
        first, call = peers.start(_TORCH.value, peer.__file__)
        version = first["torch"]
        for case in peer.CASES:
            if case in _CASES.value:
                rows.append(speed_row(case, call))
                logging.info("%s", json.dumps(rows[-1], indent=1))
    if "compile" in _CASES.value:
        rows += compile_rows()
    if "perturb" in _CASES.value:
        rows.append(perturb_row(_BATCH.value))
        logging.info("%s", json.dumps(rows[-1], indent=1))
    command = "python -m benchmarks.darts_perturb.supernet --torch_python=PYTHON"
    timing.write(
        _OUT.value,
        rows,
        torch=version,
        command=command,
        threads=len(os.sched_getaffinity(0)),
        load=os.getloadavg(),
        precision="float32",
    )


if __name__ == "__main__":
    app.run(main)
