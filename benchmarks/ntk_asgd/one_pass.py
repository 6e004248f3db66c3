"""Steps a second of one-pass ASGD on the two-layer network, beside its peers and the memory bandwidth's bound.

    python -m benchmarks.ntk_asgd.one_pass [--out=FILE] [--repeats=21] [--size=small] [--torch_python=PYTHON]

Both layers are trained and the weights averaged, float32. The bound is that of the plain algorithm, which reads and
writes all weights and their mean at every step, 4 M (d + 2) numbers, at the bandwidth of a triad a <- b + s a timed in
turn with the descents: on arrays of 64 MB (main memory) and on arrays of the model's own size (cache, the harder one).
`one_pass.advance` is held to the bound although it moves less, 8 samples at a time, which is how it may pass that of
main memory. The bounds count all cores, a descent runs on one. The peers take the same steps on the same samples:
jax.lax.scan of asgd.step (autodiff), numpy with gradients by hand and no temporaries of the weights' size but one, and,
from an interpreter that has it, torch with autograd, on one thread, for more make it slower. Means of the iterates have
to be ours.
"""

import contextlib
import functools
import json
import pathlib
import subprocess
import tempfile

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import options, timing
from ntk_asgd import asgd, network, one_pass

OUT = "ntk_one_pass.json"
LIBRARIES = ("torch",)
_SIZES = {"full": (10_000, 10), "small": (200, 4)}  # M, d
_APART = 1e-4  # of their largest entry, how far means may be apart
_APART_OF_WEIGHTS = 2e-3  # torch's steps are added to weights, not to displacements, which are that much smaller
_ETA, _LAM, _GAMMA = 0.1, 0.01, 1.0
_TRIAD_BYTES = 64 * 2**20
_TORCH_LOOP = """
import json, sys, time
import numpy as np, torch
torch.set_num_threads(1)
path, activation, eta, lam, gamma = sys.argv[1], sys.argv[2], *map(float, sys.argv[3:])
data = {name: torch.from_numpy(value) for name, value in np.load(path).items()}
sigma = torch.relu if activation == "relu" else lambda u: u * torch.sigmoid(float(activation.split(":")[1]) * u)
print(torch.__version__, flush=True)
for _ in sys.stdin:  # a run a line
    wall, cpu = time.perf_counter(), time.process_time()
    start = [data[name] for name in "abc"]
    weights = [leaf.clone().requires_grad_() for leaf in start]
    mean = [torch.zeros_like(leaf) for leaf in start]
    for t, (x, y) in enumerate(zip(data["x"], data["y"])):
        a, b, c = weights
        loss = (torch.dot(a, sigma(b @ x + gamma * c)) / len(a) ** 0.5 - y) ** 2 / 2
        gradients = torch.autograd.grad(loss, weights)
        with torch.no_grad():
            for w, w0, m, g in zip(weights, start, mean, gradients):
                w.sub_(w - w0, alpha=eta * lam).sub_(g, alpha=eta)
                m.lerp_(w - w0, 1 / (t + 2))
    spent = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
    print(json.dumps({"mean": [leaf.flatten().tolist() for leaf in mean], **spent}), flush=True)
"""


def main():
    """Measures, and writes the rows."""
    asked_for = options.parser(__doc__, out=OUT, repeats=21, libraries=LIBRARIES).parse_args()
    rows = [measure(activation, asked_for) for activation in ("swish:10", "relu")]
    timing.say(rows)
    asked = [library for library, python in options.pythons(asked_for, LIBRARIES).items() if python]
    timing.write(asked_for.out, rows, size=asked_for.size, peers=asked, precision="float32")


def measure(activation, asked_for, num_steps=512, num_peer_steps=128):
    """Returns the row of one activation: times of a step of each candidate and of the traffic that bounds it.

    Raises:
        ValueError: means of the iterates that are not ours.
    """
    width, dim = _SIZES[asked_for.size]
    weights = network.init(jax.random.key(0), width=width, dim=dim)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((num_steps, dim)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    y = rng.uniform(-1, 1, num_steps).astype(np.float32)
    stream = jnp.asarray(x), jnp.asarray(y)
    model_bytes = 4 * width * (dim + 2)
    state = asgd.init(weights)
    few = tuple(np.asarray(leaf) for leaf in weights), x[:num_peer_steps], y[:num_peer_steps]
    difference = _difference(state, stream, few, activation)
    if max(difference.values()) > _APART:
        raise ValueError(f"{activation}: means apart by {difference} of their largest entry")
    candidates = {
        "one_pass.advance": lambda: _blocks(state, *stream, activation=activation),
        "lax.scan of asgd.step": lambda: _scan(state, *stream, activation=activation),
        "numpy": lambda: _numpy_loop(*few, activation),
    }
    steps = dict.fromkeys(candidates, num_steps) | {"numpy": num_peer_steps, "torch autograd": num_peer_steps}
    beside = {
        "lax.scan of asgd.step": timing.Beside(timing.OWN),
        "numpy": timing.Beside(timing.LIBRARY, 1.0, f"numpy {np.__version__}"),
        "main memory": timing.Beside(timing.BOUND, 0.4),
        "cache": timing.Beside(timing.BOUND),
    }
    traffic = {"main memory": (_TRIAD_BYTES, 8), "cache": (model_bytes, 1_024)}
    for name, (size, repeats) in traffic.items():
        candidates[name] = _triad(size, repeats)
        steps[name] = 3 * size * repeats / (4 * model_bytes)  # as much traffic as so many steps make
    with contextlib.ExitStack() as stack:
        if asked_for.torch_python:
            version, candidates["torch autograd"] = stack.enter_context(
                _torch_loop(asked_for.torch_python, *few, activation)
            )
            beside["torch autograd"] = timing.Beside(timing.LIBRARY, 1.0, f"torch {version}, one thread")
        times = timing.alternate(candidates, asked_for.repeats, steps)
    case = f"step of one-pass ASGD, {activation}; M = {width:,}, d = {dim}"
    return timing.row("ntk_asgd", case, times, "one_pass.advance", beside, difference=difference)


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
    """Yields (version, function that runs Algorithm 1 in a torch process and returns its account).

    Raises:
        ValueError: a mean that is not numpy's.
    """
    expected = _numpy_loop(weights, xs, ys, activation)
    with tempfile.TemporaryDirectory() as folder:
        path = str(pathlib.Path(folder, "problem.npz"))
        np.savez(path, **dict(zip("abcxy", (*weights, xs, ys))))
        command = [python, "-c", _TORCH_LOOP, path, activation, *map(str, (_ETA, _LAM, _GAMMA))]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, **pipes) as process:

            def run():
                process.stdin.write("run\n")
                process.stdin.flush()
                return json.loads(process.stdout.readline())

            version = process.stdout.readline().strip()
            found = run()["mean"]
            apart = max(_apart(np.reshape(one, other.shape), other) for one, other in zip(found, expected))
            if apart > _APART_OF_WEIGHTS:
                raise ValueError(f"{activation}: torch's means apart by {apart} of their largest entry")
            yield version, run


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
        return max(_apart(np.asarray(p), np.asarray(q)) for p, q in zip(one, other))

    return {"to_scan": apart(blocks, scan), "to_numpy": apart(short, _numpy_loop(*few, activation))}


def _apart(one, other):
    return float(np.abs(one - other).max() / np.abs(other).max())


if __name__ == "__main__":
    main()
