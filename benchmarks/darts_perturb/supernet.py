"""Speed of the supernet beside PyTorch's, how long it takes to compile, and what a removal score costs.

    python -m benchmarks.darts_perturb.supernet --torch_python=PYTHON
        [--out=FILE] [--repeats=7] [--cases=cell,nb201,darts,compile,perturb] [--size=small]

A normal DARTS cell (16 channels, 32x32; gradients of its inputs, its weights and alpha), and whole steps of a search,
Adam on alpha and then SGD on the weights, of a NAS-Bench-201 network with one cell a stage and of a DARTS network of 8
layers. As in a search, a call takes several steps: what it costs besides (half a step, most of it fresh memory) is
shared among them. PyTorch is channels_last, has as many parameters, and is a process of its own that takes turns with
ours. "torch" is PyTorch as the public codes use it: all gradients in both half-steps, which is what ours computes;
"torch, lean" asks it in each half-step only for the gradients that it uses. `taskset -c 0` before the command gives
both one thread, as `benchmarks.main` does.
"""

import functools
import time

import jax
import jax.numpy as jnp
import optax
from jax import lax

from benchmarks import options, peers, timing
from benchmarks.darts_perturb import supernet_torch as peer
from darts_perturb import perturb, search, supernet
from darts_perturb import space as spaces
from darts_perturb.layers.mixed import MixedCell

OUT = "darts_supernet.json"
LIBRARIES = ("torch",)
CASES = ("cell", "nb201", "darts", "compile", "perturb")
_SYSTEM = "darts_perturb"
_TARGETS = {"cell": 1 / 0.9, "nb201": 1.0, "darts": 1.0}  # torch's time over ours, asked for
_COUNTS = {"cell": 4, "nb201": 4, "darts": 2}  # passes or steps a call
_NETWORKS = {"nb201": ("nas_bench_201", 1), "darts": ("darts", peer.LAYERS)}
_WORDS = {
    "cell": "DARTS normal cell, forward and all gradients",
    "nb201": "search step, NAS-Bench-201, one cell a stage",
    "darts": f"search step, DARTS, {peer.LAYERS} layers",
}
_BATCH = {"full": 16, "small": 2}
_SMALL = ("cell", "nb201", "perturb")  # what is quick to compile


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


def compiled(fn, args):
    """Returns the compiled function and {"compile_s", "compile_cpu_s"}, tracing included."""
    wall, cpu = time.perf_counter(), time.process_time()
    program = jax.jit(fn).lower(*args).compile()
    return program, {"compile_s": time.perf_counter() - wall, "compile_cpu_s": time.process_time() - cpu}


def speed_row(case, size, repeats, call, version):
    """Returns the row of one case.

    Raises:
        ValueError: another number of parameters in torch.
    """
    batch, count = _BATCH[size], _COUNTS[case]
    fn, args, params = cell(batch, count) if case == "cell" else searching(case, batch, count)
    request = {"case": case, "batch": batch, "count": count}
    ours, theirs = sum(leaf.size for leaf in jax.tree.leaves(params)), call(**request, lean=False)["parameters"]
    if ours != theirs:
        raise ValueError(f"{case}: {theirs} parameters in torch, {ours} here")
    program, compile_times = compiled(fn, args)
    torch = {"torch": (False, _TARGETS[case])} | ({} if case == "cell" else {"torch, lean": (True, None)})
    candidates = {"ours": functools.partial(program, *args)}
    candidates |= {name: functools.partial(call, **request, lean=lean) for name, (lean, _) in torch.items()}
    times = timing.alternate(candidates, repeats, dict.fromkeys(candidates, count))
    beside = {name: timing.Beside(timing.LIBRARY, target, version) for name, (_, target) in torch.items()}
    return timing.row(_SYSTEM, f"{_WORDS[case]}; batch {batch}", times, "ours", beside, compile=compile_times)


def compile_rows(size):
    """Returns the rows of compile times, of forward and all gradients."""
    rows, seconds = [], {}
    for name, layers, at_most in (("nas_bench_201", 1, None), ("nas_bench_201", 5, None), ("darts", peer.LAYERS, 90)):
        space = spaces.get(name)
        sizes = {"channels": peer.CHANNELS, "layers": layers, "num_classes": peer.CLASSES}
        state = search.init(jax.random.key(0), space, **sizes)

        def loss(params, alpha, x, y, space=space):
            logits = supernet.apply(params, space.map(jax.nn.softmax, alpha), x, space=space)
            return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

        x = jnp.zeros((_BATCH[size], peer.SIDE, peer.SIDE, 3))
        args = (state.params, state.alpha, x, jnp.zeros(len(x), jnp.int32))
        spent = seconds[name, layers] = compiled(jax.grad(loss, (0, 1)), args)[1]
        rows.append(timing.figure(_SYSTEM, f"compile {name}, layers {layers}", spent["compile_cpu_s"], "s", at_most))
    one, five = (seconds["nas_bench_201", layers]["compile_cpu_s"] for layers in (1, 5))
    rows.append(timing.figure(_SYSTEM, "compile nas_bench_201, layers 5 over layers 1", five / one, "times", 1.3))
    return rows


def perturb_row(size, repeats):
    """Returns the row of the removal scores of one edge beside as many forward passes, NAS-Bench-201."""
    batch = _BATCH[size]
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
        name: functools.partial(compiled(fn, args)[0], *args)
        for name, fn in (("removal_scores", scores), ("forward passes", forward))
    }
    times = timing.alternate(candidates, repeats, dict.fromkeys(candidates, masks * len(x)))
    beside = {"forward passes": timing.Beside(timing.BOUND, 1.0)}
    case = f"removal scores of one edge, NAS-Bench-201; batch {batch}"
    return timing.row(_SYSTEM, case, times, "removal_scores", beside)


def main():
    """Measures, and writes the rows."""
    parser = options.parser(__doc__, out=OUT, repeats=7, libraries=LIBRARIES)
    parser.add_argument("--cases", default="", help=f"what to measure, of {','.join(CASES)}; all without")
    asked_for = parser.parse_args()
    cases = asked_for.cases.split(",") if asked_for.cases else (CASES if asked_for.size == "full" else _SMALL)
    if set(cases) - set(CASES):
        parser.error(f"--cases={asked_for.cases}: choose among {', '.join(CASES)}")
    rows, size, repeats, asked = [], asked_for.size, asked_for.repeats, []
    if asked_for.torch_python:
        asked.append("torch")
        first, call = peers.start(asked_for.torch_python, peer.__spec__.name)
        rows += [
            speed_row(case, size, repeats, call, f"torch {first['torch']}") for case in peer.CASES if case in cases
        ]
    rows += compile_rows(size) if "compile" in cases else []
    rows += [perturb_row(size, repeats)] if "perturb" in cases else []
    timing.say(rows)
    timing.write(asked_for.out, rows, size=size, peers=asked, precision="float32")


if __name__ == "__main__":
    main()
