"""Speed of the empirical kernels, beside their own products and public peers.

    python -m benchmarks.ntk_asgd.kernels [--out=benchmarks/results/ntk_kernels.json] [--repeats=7]
        [--neural_tangents_python=PYTHON] [--torch_python=PYTHON]

A peer is another library in its own environment, given by its interpreter (neural-tangents 0.6.5 runs on
jax==0.5.3, not on a current one) and left out without. It runs as a process of its own that takes turns with ours:
float32, the same inputs, the same two threads. Ours knows that a Gram is symmetric, as theirs are told by x2 = None.
"""

import functools
import json
import pathlib
import subprocess
import time

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags, logging

from benchmarks import timing
from benchmarks.ntk_asgd import kernels_peer
from ntk_asgd import empirical, network, spectrum

_OUT = flags.DEFINE_string("out", "benchmarks/results/ntk_kernels.json", "Where to write the rows.")
_REPEATS = flags.DEFINE_integer("repeats", 7, "Counted calls of each candidate.")
_PYTHONS = {
    "neural-tangents": flags.DEFINE_string("neural_tangents_python", "", "An interpreter with neural-tangents."),
    "torch": flags.DEFINE_string("torch_python", "", "An interpreter with torch."),
}
_CANDIDATES = {"neural-tangents": [f"neural_tangents_{number}" for number in (1, 2, 3)], "torch": ["torch_func"]}
_SLOWEST = 10.0  # seconds a call past which a peer takes no more turns
_TOO_LARGE = {  # neural-tangents' NTK-vector products hold a tangent as large as the parameters for each pair
    ("two_layer_deep_input", "neural_tangents_2"): "not tried: about 130 GB",
    ("mlp", "neural_tangents_2"): "not tried: about 50 GB",
}
_dot = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)


def own_products():
    """Returns the row of two_layer_ntk beside its two matrix products, at (n, d, M) = (2000, 10, 4096)."""
    n, dim, width = 2000, 10, 4096
    params = network.init(jax.random.key(0), width=width, dim=dim)
    moved = params._replace(c=params.c + jnp.linspace(0.0, 0.1, width))
    x = jax.random.normal(jax.random.key(1), (n, dim))
    h = network.preactivation(params, x, gamma=1.0)
    products = jax.jit(lambda one, two: (_dot(one, one.T), _dot(two, two.T)))
    kernel = functools.partial(empirical.two_layer_ntk, activation="swish:10", gamma=1.0)
    times = timing.alternate(
        {
            "two_layer_ntk": lambda: kernel(moved, x),
            "two_layer_ntk, given x2": lambda: kernel(moved, x, x),
            "two_layer_ntk, symmetric": lambda: kernel(params, x),
            "two products": lambda: products(h, h + 1),
        },
        _REPEATS.value,
    )
    return _row("two_layer_products", (n, dim, width), times, "two_layer_ntk", target="two products: at least 0.5")


def generic(case, peers):
    """Returns the row of ntk and two_layer_ntk beside per-example reverse mode and the peers."""
    params, x = jax.device_put(kernels_peer.draw(case))

    def apply_fn(params, x):
        if case == "mlp":
            return kernels_peer.mlp(params, x, jax.nn.relu)
        return kernels_peer.two_layer(params, x, jax.nn.sigmoid)

    def jacobians(params, x):
        return jax.vmap(lambda one: jax.jacrev(lambda p: apply_fn(p, one[None])[0])(params))(x)

    def by_gradients(params, x):
        flat = [leaf.reshape(*leaf.shape[:2], -1) for leaf in jax.tree.leaves(jacobians(params, x))]
        return sum(jnp.einsum("aip,bjp->abij", leaf, leaf, precision=jax.lax.Precision.HIGHEST) for leaf in flat)

    fns = {"ntk, auto": jax.jit(functools.partial(empirical.ntk, apply_fn))}
    fns |= {f"ntk, {m}": jax.jit(functools.partial(empirical.ntk, apply_fn, method=m)) for m in ("jacrev", "jacfwd")}
    fns["vmap(jacrev)"] = jax.jit(by_gradients)
    candidates = {name: functools.partial(fn, params, x) for name, fn in fns.items()}
    if case != "mlp":
        weights = network.Params(params["a"], params["b"].T, params["c"])
        activation = f"swish:{kernels_peer.SHARPNESS:g}"
        candidates["two_layer_ntk"] = lambda: empirical.two_layer_ntk(
            weights, x, activation=activation, gamma=kernels_peer.GAMMA
        )
    norm = float(np.linalg.norm(candidates["ntk, auto"]()))
    left_out = {}
    for library, ask in peers.items():
        for candidate in _CANDIDATES[library]:
            reason = _TOO_LARGE.get((case, candidate)) or _unfit(functools.partial(ask, case, candidate), norm)
            if reason:
                left_out[candidate] = reason
            else:
                candidates[candidate] = functools.partial(ask, case, candidate)
    times = timing.alternate(candidates, _REPEATS.value)
    row = _row(case, kernels_peer.CASES[case], times, "ntk, auto", target="every peer: at least 1")
    if "two_layer_ntk" in times:
        at_least = 5 if case == "two_layer_wide" else 50
        row["target"] += f"; vmap(jacrev) over two_layer_ntk: at least {at_least}"
        row["two_layer_ntk"] = {name: timing.ratio(times, "two_layer_ntk", name) for name in times}
    return row | {"left_out": left_out}


def eigenvalues():
    """Returns the row of the largest 100 eigenvalues at n = 4000 beside numpy's eigvalsh in float64."""
    n = 4000
    params = network.init(jax.random.key(0), width=1024, dim=10)
    x = jax.random.normal(jax.random.key(1), (n, 10))
    x = x / jnp.linalg.norm(x, axis=1, keepdims=True)
    gram = np.asarray(empirical.two_layer_ntk(params, x, activation="relu", gamma=1.0), np.float64)
    times = timing.alternate(
        {
            "gram_eigenvalues": lambda: spectrum.gram_eigenvalues(gram, 100),
            "eigvalsh": lambda: np.linalg.eigvalsh(gram),
        },
        min(3, _REPEATS.value),
    )
    return _row("eigenvalues", (n, 10, 1024), times, "gram_eigenvalues", target="eigvalsh: at least 4")


def _row(case, shape, times, ours, target):
    """Returns a row: times, and how many times as long as ours every other candidate takes."""
    logging.info("%s: %s", case, {name: round(one["median_s"], 4) for name, one in times.items()})
    ratios = {name: timing.ratio(times, ours, name) for name in times if name != ours}
    return {"case": case, "n_d_M": shape, "ours": ours, "target": target, "times": times, "ratios": ratios}


def _unfit(call, norm):
    """Returns why a peer takes no turns, or None: it fails, gives another kernel, or is too slow."""
    try:
        answer = call()
        start = time.perf_counter()
        call()
    except ValueError as error:
        return str(error)
    if abs(answer / norm - 1) > 1e-4:
        return f"another kernel: norm {answer}, ours {norm}"
    seconds = time.perf_counter() - start
    return f"{seconds:.0f} s a call" if seconds > _SLOWEST else None


def _start(library, python):
    """Returns a peer's versions and the function of (case, candidate) that asks it for the norm of a Gram."""
    command = [python, str(pathlib.Path(kernels_peer.__file__)), library]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def read():
        line = process.stdout.readline()
        if not line:
            raise ValueError(f"{library} ended with status {process.wait()}")
        return json.loads(line)

    def ask(case, candidate):
        process.stdin.write(json.dumps({"case": case, "candidate": candidate}) + "\n")
        process.stdin.flush()
        answer = read()
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer["norm"]

    return read(), ask


def main(_):
    """Measures, and writes the rows."""
    peers, versions = {}, {}
    for library, python in _PYTHONS.items():
        if python.value:
            versions[library], peers[library] = _start(library, python.value)
        else:
            versions[library] = f"left out: no --{python.name}"
    rows = [own_products(), *(generic(case, peers) for case in kernels_peer.CASES), eigenvalues()]
    timing.write(_OUT.value, rows, peers=versions, command="python -m benchmarks.ntk_asgd.kernels", precision="float32")


if __name__ == "__main__":
    app.run(main)
