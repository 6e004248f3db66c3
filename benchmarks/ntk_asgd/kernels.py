"""Speed of the kernels, beside their own products and public peers.

    python -m benchmarks.ntk_asgd.kernels [--out=FILE] [--repeats=7] [--size=small]
        [--neural_tangents_python=PYTHON] [--torch_python=PYTHON]

A peer is another library in its own environment, given by its interpreter and left out without. It runs as a process of
its own that takes turns with ours: float32, the same inputs, the same threads, and its Gram has to be ours. Ours knows
that a Gram is symmetric, as theirs are told by x2 = None.
"""

import functools
import logging
import time

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import options, peers, timing
from benchmarks.ntk_asgd import kernels_peer
from ntk_asgd import empirical, infinite, network, spectrum

OUT = "ntk_kernels.json"
LIBRARIES = ("neural-tangents", "torch")
_CANDIDATES = {"neural-tangents": [f"neural_tangents_{number}" for number in (1, 2, 3)], "torch": ["torch_func"]}
_SLOWEST = 10.0  # seconds a call past which a peer takes no more turns
_TOO_LARGE = {  # neural-tangents' NTK-vector products hold a tangent as large as the parameters for each pair
    ("two_layer_deep_input", "neural_tangents_2"): "not tried: about 130 GB",
    ("mlp", "neural_tangents_2"): "not tried: about 50 GB",
}
_BY_GRADIENTS = {"two_layer_wide": 5, "two_layer_deep_input": 50}  # vmap(jacrev) over two_layer_ntk, asked for
_PRODUCTS = {"full": (2000, 10, 4096), "small": (40, 10, 64)}
_EIGENVALUES = {"full": (4000, 1024, 100), "small": (100, 32, 2)}  # n, M, how many
_SYSTEM = "ntk_asgd"
_LOG = logging.getLogger("benchmarks.ntk_asgd.kernels")
_dot = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)


def own_products(size, repeats):
    """Yields the rows of two_layer_ntk beside its two matrix products."""
    n, dim, width = _PRODUCTS[size]
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
        repeats,
    )
    beside = {
        "two products": timing.Beside(timing.BOUND, 0.5),
        "two_layer_ntk, given x2": timing.Beside(timing.OWN),
        "two_layer_ntk, symmetric": timing.Beside(timing.OWN),
    }
    yield _row("Gram, two layers", (n, dim, width), times, "two_layer_ntk", beside)


def generic(case, size, repeats, asked):
    """Yields the rows of ntk and of two_layer_ntk beside per-example reverse mode and the peers."""
    params, x = jax.device_put(kernels_peer.draw(case, size))

    def apply_fn(params, x):
        if case == "mlp":
            return kernels_peer.mlp(params, x, jax.nn.relu)
        return kernels_peer.two_layer(params, x, jax.nn.sigmoid)

    def jacobians(params, x):
        return jax.vmap(lambda one: jax.jacrev(lambda p: apply_fn(p, one[None])[0])(params))(x)

    def by_gradients(params, x):
        flat = [leaf.reshape(*leaf.shape[:2], -1) for leaf in jax.tree.leaves(jacobians(params, x))]
        return sum(jnp.einsum("aip,bjp->abij", leaf, leaf, precision=jax.lax.Precision.HIGHEST) for leaf in flat)

    fns = {"ntk": jax.jit(functools.partial(empirical.ntk, apply_fn))}
    fns |= {f"ntk, {m}": jax.jit(functools.partial(empirical.ntk, apply_fn, method=m)) for m in ("jacrev", "jacfwd")}
    fns["vmap(jacrev)"] = jax.jit(by_gradients)
    candidates = {name: functools.partial(fn, params, x) for name, fn in fns.items()}
    if case != "mlp":
        weights = network.Params(params["a"], params["b"].T, params["c"])
        activation = f"swish:{kernels_peer.SHARPNESS:g}"
        candidates["two_layer_ntk"] = lambda: empirical.two_layer_ntk(
            weights, x, activation=activation, gamma=kernels_peer.GAMMA
        )
    norm = float(np.linalg.norm(candidates["ntk"]()))
    beside = {name: timing.Beside(timing.OWN) for name in ("ntk, jacrev", "ntk, jacfwd")}
    beside["vmap(jacrev)"] = timing.Beside(timing.LIBRARY, 1.0, f"jax {jax.__version__}")
    taken, left_out = _fitting(case, size, norm, asked)
    candidates |= {name: call for name, (call, _) in taken.items()}
    beside |= {name: timing.Beside(timing.LIBRARY, 1.0, version) for name, (_, version) in taken.items()}
    times = timing.alternate(candidates, repeats)
    words = "Gram, three layers, 10 outputs" if case == "mlp" else "Gram, two layers"
    described = words, kernels_peer.CASES[size][case], times
    yield _row(*described, "ntk", beside) | {"left_out": left_out}
    if "two_layer_ntk" in times:
        beside["vmap(jacrev)"] = beside["vmap(jacrev)"]._replace(target=_BY_GRADIENTS[case])
        closed = {name: one for name, one in beside.items() if one.kind == timing.LIBRARY}
        yield _row(*described, "two_layer_ntk", closed)


def infinite_width(size, repeats, asked):
    """Yields the row of the kernel of infinite width, ReLU, beside neural-tangents'."""
    if "neural-tangents" not in asked:
        return
    version, ask = asked["neural-tangents"]
    x = jax.device_put(kernels_peer.draw_infinite(size))
    # in the NTK parametrisation, theirs, the input weights' share is 1 / d of ours
    ours = jax.jit(functools.partial(infinite.ntk, activation="relu", scale=x.shape[1] ** -0.5))
    theirs = functools.partial(ask, case="infinite", candidate="neural_tangents", size=size)
    reason = _unfit(theirs, float(np.linalg.norm(ours(x))))
    if reason:
        raise ValueError(f"kernel of infinite width: {reason}")
    times = timing.alternate({"infinite.ntk": lambda: ours(x), "neural_tangents, stax": theirs}, repeats)
    beside = {"neural_tangents, stax": timing.Beside(timing.LIBRARY, 1.0, version)}
    yield _row("infinite width, ReLU", kernels_peer.INFINITE[size], times, "infinite.ntk", beside)


def eigenvalues(size, repeats):
    """Yields the row of the largest eigenvalues beside numpy's eigvalsh in float64."""
    n, width, count = _EIGENVALUES[size]
    params = network.init(jax.random.key(0), width=width, dim=10)
    x = jax.random.normal(jax.random.key(1), (n, 10))
    x = x / jnp.linalg.norm(x, axis=1, keepdims=True)
    gram = np.asarray(empirical.two_layer_ntk(params, x, activation="relu", gamma=1.0), np.float64)
    times = timing.alternate(
        {
            "gram_eigenvalues": lambda: spectrum.gram_eigenvalues(gram, count),
            "eigvalsh": lambda: np.linalg.eigvalsh(gram),
        },
        min(3, repeats),
    )
    beside = {"eigvalsh": timing.Beside(timing.LIBRARY, 4.0, f"numpy {np.__version__}")}
    yield _row(f"largest {count} eigenvalues", (n, 10, width), times, "gram_eigenvalues", beside)


def _row(case, shape, times, ours, beside):
    sizes = ", ".join(f"{letter} = {number:,}" for letter, number in zip("ndM", shape))
    return timing.row(_SYSTEM, f"{case}; {sizes}", times, ours, beside)


def _fitting(case, size, norm, asked):
    """Returns ({candidate: (function, version)} of the peers that compute the same, {candidate: why not})."""
    taken, left_out = {}, {}
    for library, (version, ask) in asked.items():
        for candidate in _CANDIDATES[library]:
            call = functools.partial(ask, case=case, candidate=candidate, size=size)
            reason = (_TOO_LARGE.get((case, candidate)) if size == "full" else None) or _unfit(call, norm)
            if reason:
                left_out[candidate] = reason
                _LOG.info("%s, %s left out: %s", case, candidate, reason)
            else:
                taken[candidate] = call, version
    return taken, left_out


def _unfit(call, norm):
    """Returns why a peer takes no turns, or None: it fails, gives another kernel, or is too slow."""
    try:
        answer = call()["norm"]
        start = time.perf_counter()
        call()
    except ValueError as error:
        return str(error)
    if abs(answer / norm - 1) > 1e-4:
        return f"another kernel: norm {answer}, ours {norm}"
    seconds = time.perf_counter() - start
    return f"{seconds:.0f} s a call" if seconds > _SLOWEST else None


def main():
    """Measures, and writes the rows."""
    asked_for = options.parser(__doc__, out=OUT, repeats=5, libraries=LIBRARIES).parse_args()
    asked, size, repeats = {}, asked_for.size, asked_for.repeats
    for library, python in options.pythons(asked_for, LIBRARIES).items():
        if python:
            first, ask = peers.start(python, kernels_peer.__spec__.name, library)
            asked[library] = ", ".join(f"{name} {version}" for name, version in first.items()), ask
    rows = [*own_products(size, repeats)]
    for case in kernels_peer.CASES[size]:
        rows += generic(case, size, repeats, asked)
    rows += [*infinite_width(size, repeats, asked), *eigenvalues(size, repeats)]
    timing.say(rows)
    timing.write(asked_for.out, rows, size=size, peers=sorted(asked), precision="float32")


if __name__ == "__main__":
    main()
