"""The Gram of the kernels benchmark by another library, in that library's own environment.

Started by `benchmarks.ntk_asgd.kernels` with the interpreter that has the library; asked for {"case", "candidate",
"size"} it answers with {"norm"}.
"""

import argparse
import functools
import importlib.metadata
import itertools
import os

import numpy as np

from benchmarks import peers

CASES = {  # size -> case -> n, d, M
    "full": {"two_layer_wide": (1000, 10, 1024), "two_layer_deep_input": (400, 784, 256), "mlp": (100, 256, 256)},
    "small": {"two_layer_wide": (30, 10, 32), "two_layer_deep_input": (20, 50, 16), "mlp": (10, 16, 16)},
}
INFINITE = {"full": (2000, 10), "small": (30, 10)}  # n, d of the kernel of infinite width
GAMMA = 1.0
SHARPNESS = 10.0
NUM_OUTPUTS = 10


def on_sphere(rng, n, dim):
    """Returns inputs [n, d] of length 1."""
    x = rng.standard_normal((n, dim))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def draw(case, size):
    """Returns (params, x) in float32: the two-layer network as {a, b, c}, the 3-layer one as a list of (w, b)."""
    rng = np.random.default_rng(0)
    n, dim, width = CASES[size][case]
    x = on_sphere(rng, n, dim)
    if case == "mlp":
        sizes = (dim, width, width, NUM_OUTPUTS)
        params = [
            (rng.standard_normal((i, o)) / np.sqrt(i), 0.1 * rng.standard_normal(o))
            for i, o in itertools.pairwise(sizes)
        ]
        params = [(w.astype(np.float32), b.astype(np.float32)) for w, b in params]
    else:  # past the symmetric initialisation, so that no half stands for the whole
        params = {
            "a": rng.standard_normal(width),
            "b": rng.standard_normal((dim, width)),
            "c": rng.standard_normal(width),
        }
        params = {name: leaf.astype(np.float32) for name, leaf in params.items()}
    return params, x.astype(np.float32)


def two_layer(params, x, sigmoid):
    """Returns outputs [n, 1] of the two-layer network with swish."""
    h = x @ params["b"] + GAMMA * params["c"]
    return (h * sigmoid(SHARPNESS * h)) @ params["a"][:, None] / params["a"].shape[0] ** 0.5


def mlp(params, x, relu):
    """Returns outputs [n, k] of the 3-layer network with ReLU."""
    for w, b in params[:-1]:
        x = relu(x @ w + b)
    w, b = params[-1]
    return x @ w + b


def draw_infinite(size):
    """Returns inputs [n, d] in float32."""
    return on_sphere(np.random.default_rng(0), *INFINITE[size]).astype(np.float32)


def neural_tangents_candidates(case, size):
    """Returns {candidate: function} of neural-tangents' three implementations, or of its kernel of infinite width."""
    import jax
    import jax._src.source_info_util
    import jax.interpreters.ad

    # The third implementation of 0.6.5 looks for two names where jax 0.5.3, the last that imports it, has them not.
    jax.interpreters.ad.source_info_util, jax.interpreters.ad.config = jax._src.source_info_util, jax.config
    import neural_tangents as nt

    if case == "infinite":
        _, _, kernel_fn = nt.stax.serial(nt.stax.Dense(1), nt.stax.Relu(), nt.stax.Dense(1))
        ntk, x = jax.jit(lambda x: kernel_fn(x, None, "ntk")), jax.device_put(draw_infinite(size))
        return {"neural_tangents": lambda: np.asarray(ntk(x))}
    params, x = jax.device_put(draw(case, size))

    def apply_fn(params, x):
        return mlp(params, x, jax.nn.relu) if case == "mlp" else two_layer(params, x, jax.nn.sigmoid)

    def candidate(implementation):
        kernel_fn = jax.jit(nt.empirical_ntk_fn(apply_fn, trace_axes=(), vmap_axes=0, implementation=implementation))
        return lambda: np.asarray(kernel_fn(x, None, params))

    return {f"neural_tangents_{number}": candidate(nt.NtkImplementation(number)) for number in (1, 2, 3)}


def torch_candidates(case, size):
    """Returns {candidate: function} of torch.func: per-example Jacobians, contracted leaf by leaf."""
    import torch
    from torch.func import jacrev, vmap

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    params, x = draw(case, size)
    x = torch.from_numpy(x)
    leaves = [leaf for pair in params for leaf in pair] if case == "mlp" else [params[name] for name in "abc"]
    leaves = [torch.from_numpy(leaf) for leaf in leaves]

    def apply_fn(leaves, x):
        if case == "mlp":
            return mlp(list(zip(leaves[::2], leaves[1::2])), x[None], torch.relu)[0]
        return two_layer(dict(zip("abc", leaves)), x[None], torch.sigmoid)[0]

    def kernel():
        with torch.no_grad():
            jacobians = vmap(jacrev(apply_fn), (None, 0))(leaves, x)
            flat = [leaf.flatten(2) for leaf in jacobians]
            return sum(torch.einsum("aip,bjp->abij", leaf, leaf) for leaf in flat).numpy()

    return {"torch_func": kernel}


def main():
    """Answers requests until the input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("library", choices=("neural-tangents", "torch"))
    library = parser.parse_args().library
    make = functools.cache(torch_candidates if library == "torch" else neural_tangents_candidates)

    def answer(case, candidate, size):
        gram = make(case, size)[candidate]
        return lambda: {"norm": float(np.linalg.norm(gram()))}

    named = [library, "jax"] if library == "neural-tangents" else [library]
    peers.serve({name: importlib.metadata.version(name) for name in named}, answer)


if __name__ == "__main__":
    main()
