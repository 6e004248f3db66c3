"""Steps a second of one-pass ASGD on the two-layer network, beside its peers and the memory bandwidth's bound.

    python -m benchmarks.ntk_asgd.one_pass --out=benchmarks/results/ntk_one_pass.json [--torch_python=PYTHON]

The bound is that of the plain algorithm, which reads and writes all weights and their mean at every step,
4 M (d + 2) numbers, at the bandwidth of a triad a <- b + s a timed in turn with the descents: on arrays of 64 MB
(main memory) and on arrays of the model's own size (cache; the harder bound). `one_pass.advance` is held to the bound
although it moves less. The peers take the same steps on the same samples: jax.lax.scan of asgd.step (autodiff), numpy
with gradients by hand and no temporaries of the weights' size but one, and, from an interpreter that has it, torch with
autograd, on one thread, for more make it slower.
"""

import argparse
import contextlib
import functools
import pathlib
import subprocess
import tempfile

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import timing
from ntk_asgd import asgd, network, one_pass

_ETA, _LAM, _GAMMA = 0.1, 0.01, 1.0
_TRIAD_BYTES = 64 * 2**20
_TORCH_LOOP = """
import sys
import numpy as np, torch
torch.set_num_threads(1)
path, activation, eta, lam, gamma = sys.argv[1], sys.argv[2], *map(float, sys.argv[3:])
data = {name: torch.from_numpy(value) for name, value in np.load(path).items()}
sigma = torch.relu if activation == "relu" else lambda u: u * torch.sigmoid(float(activation.split(":")[1]) * u)
for _ in sys.stdin:  # a run a line
    start = [data[name] for name in "abc"]
    weights = [leaf.clone().requires_grad_() for leaf in start]
    mean = [torch.zeros_like(leaf) for leaf in start]
    for t, (x, y) in enumerate(zip(data["x"], data["y"])):
        a, b, c = weights
        loss = (torch.dot(a, sigma(b @ x + gamma * c)) / len(a) ** 0.5 - y) ** 2 / 2
        gradients = torch.autograd.grad(loss, weights)
        with torch.no_grad():
            for w, w0, m, g in zip(weights, start, mean, gradients):
                w.sub_(g, alpha=eta).sub_(w - w0, alpha=eta * lam)
                m.lerp_(w - w0, 1 / (t + 2))
    print(float(mean[0].norm()), flush=True)
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", default="benchmarks/results/ntk_one_pass.json")
    parser.add_argument("--torch_python", help="a Python interpreter that has torch and numpy")
    parser.add_argument("--width", type=int, default=10_000)
    parser.add_argument("--dim", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=9)
    flags = parser.parse_args()
    rows = [measure(activation, flags) for activation in ("swish:10", "relu")]
    timing.write(flags.out, rows, command="python -m benchmarks.ntk_asgd.one_pass")


def measure(activation, flags, num_steps=512, num_peer_steps=128):
    """Returns the row of one activation: steps a second of each candidate, and ratios."""
    weights = network.init(jax.random.key(0), width=flags.width, dim=flags.dim)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((num_steps, flags.dim)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    y = rng.uniform(-1, 1, num_steps).astype(np.float32)
    stream = jnp.asarray(x), jnp.asarray(y)
    model_bytes = 4 * flags.width * (flags.dim + 2)
    state = asgd.init(weights)
    few = tuple(np.asarray(leaf) for leaf in weights), x[:num_peer_steps], y[:num_peer_steps]
    candidates = {
        "one_pass": (num_steps, lambda: _blocks(state, *stream, activation=activation)),
        "scan": (num_steps, lambda: _scan(state, *stream, activation=activation)),
        "numpy": (num_peer_steps, lambda: _numpy_loop(*few, activation)),
    }
    sizes = {"triad_main_memory": (_TRIAD_BYTES, 8), "triad_model_size": (model_bytes, 1_024)}
    triads = {name: _triad(size, repeats) for name, (size, repeats) in sizes.items()}
    with contextlib.ExitStack() as stack:
        if flags.torch_python:
            torch_loop = stack.enter_context(_torch_loop(flags.torch_python, *few, activation))
            candidates["torch"] = (num_peer_steps, torch_loop)
        times = timing.alternate({name: fn for name, (_, fn) in candidates.items()} | triads, flags.repeats)
    row = {"activation": activation, "width": flags.width, "dim": flags.dim, "repeats": flags.repeats}
    row["steps_per_s"] = {
        name: {"median": steps / times[name]["median_s"], "low": steps / times[name]["high_s"]}
        | {"high": steps / times[name]["low_s"], "first_call_s": times[name]["first_s"]}
        for name, (steps, _) in candidates.items()
    }
    ours = row["steps_per_s"]["one_pass"]
    for name, (size, repeats) in sizes.items():
        bandwidth = 3 * size * repeats / times[name]["median_s"]
        bound = bandwidth / (4 * model_bytes)
        best_bound = bound * times[name]["median_s"] / times[name]["low_s"]
        row[name] = {
            "GB_per_s": bandwidth / 1e9,
            "bound_steps_per_s": bound,
            "one_pass_fraction": ours["median"] / bound,
            "best_bound_steps_per_s": best_bound,
            "one_pass_fraction_of_bests": ours["high"] / best_bound,
        }
    peers = {name: speed for name, speed in row["steps_per_s"].items() if name != "one_pass"}
    row["one_pass_over"] = {
        name: {"medians": ours["median"] / speed["median"], "bests": ours["high"] / speed["high"]}
        for name, speed in peers.items()
    }
    row["difference"] = _difference(state, stream, few, activation)
    _say(row)
    return row


@functools.partial(jax.jit, static_argnames="activation")
def _blocks(state, x, y, activation):
    return one_pass.advance(state, x, y, activation=activation, gamma=_GAMMA, learning_rate=_ETA, regularization=_LAM)[
        0
    ]


@functools.partial(jax.jit, static_argnames="activation")
def _scan(state, x, y, activation):
    apply_fn = functools.partial(network.apply, activation=activation, gamma=_GAMMA)
    step = functools.partial(asgd.step, apply_fn=apply_fn, learning_rate=_ETA, regularization=_LAM)
    return jax.lax.scan(lambda state, sample: (step(state, *sample)[0], None), state, (x, y))[0]


def _numpy_loop(weights, xs, ys, activation):
    """Returns the mean displacements (a, b, c) after Algorithm 1 in numpy, in place."""
    a0, b0, c0 = weights
    root, eta, pull = np.float32(np.sqrt(len(a0))), np.float32(_ETA), np.float32(_ETA * _LAM)
    a, b, c = (np.zeros_like(leaf) for leaf in weights)  # displacements
    means, spare = [np.zeros_like(leaf) for leaf in weights], [np.empty_like(leaf) for leaf in weights]
    for t, (x, y) in enumerate(zip(xs, ys)):
        h = b0 @ x + b @ x + np.float32(_GAMMA) * (c0 + c)
        value, derivative = _numpy_activation(h, activation)
        head = a0 + a
        scale = eta * ((head @ value) / root - y) / root
        slope = scale * derivative * head
        a *= 1 - pull
        a -= scale * value
        b *= 1 - pull
        b -= np.outer(slope, x, out=spare[1])
        c *= 1 - pull
        c -= np.float32(_GAMMA) * slope
        for leaf, mean, room in zip((a, b, c), means, spare):
            np.subtract(leaf, mean, out=room)
            room *= np.float32(1 / (t + 2))
            mean += room
    return means


def _numpy_activation(h, activation):
    if activation == "relu":
        derivative = (h > 0).astype(np.float32)
        return h * derivative, derivative
    s = np.float32(activation.partition(":")[2])
    gate = 1 / (1 + np.exp(-s * h))
    value = h * gate
    return value, gate + s * value * (1 - gate)


@contextlib.contextmanager
def _torch_loop(python, weights, xs, ys, activation):
    """Yields a function that runs Algorithm 1 in a torch process and returns the norm of its mean's output layer."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(pathlib.Path(folder, "problem.npz"))
        np.savez(path, **dict(zip("abcxy", (*weights, xs, ys))))
        command = [python, "-c", _TORCH_LOOP, path, activation, *map(str, (_ETA, _LAM, _GAMMA))]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, **pipes) as process:

            def run():
                process.stdin.write("run\n")
                process.stdin.flush()
                return float(process.stdout.readline())

            yield run


def _triad(size, repeats):
    """Returns a function that runs a <- b + s a `repeats` times on float32 arrays of `size` bytes."""
    a, b = jnp.zeros(size // 4), jnp.ones(size // 4)
    run = jax.jit(lambda a, b, s: jax.lax.fori_loop(0, repeats, lambda _, a: b + s * a, a))
    return lambda: run(a, b, jnp.float32(0.5))


def _difference(state, stream, few, activation):
    """Returns how far the means are apart, relative to their largest entry: blocks to scan, and blocks to numpy."""
    blocks, scan = (fn(state, *stream, activation=activation).mean_displacement for fn in (_blocks, _scan))
    short = _blocks(state, *(jnp.asarray(each) for each in few[1:]), activation=activation).mean_displacement

    def apart(one, other):
        return max(float(np.abs(p - np.asarray(q)).max() / np.abs(q).max()) for p, q in zip(one, other))

    return {"to_scan": apart(blocks, scan), "to_numpy": apart(short, _numpy_loop(*few, activation))}


def _say(row):
    """Prints the row in words: medians, then in brackets the best of the repeats."""
    speeds = [f"{name} {each['median']:,.0f} ({each['high']:,.0f})" for name, each in row["steps_per_s"].items()]
    bounds = [
        f"{row[name]['one_pass_fraction']:.2f} ({row[name]['one_pass_fraction_of_bests']:.2f}) of {name}"
        for name in ("triad_main_memory", "triad_model_size")
    ]
    print(f"{row['activation']}: steps/s {', '.join(speeds)}; one_pass {', '.join(bounds)}", flush=True)


if __name__ == "__main__":
    main()
