"""The empirical neural tangent kernel: the Gram matrix of parameter gradients.

Axes: n1, n2 examples, k outputs, d input dimensions, M hidden units.
"""

import functools

import jax
import jax.numpy as jnp

from ntk_asgd import activations, network

PARTS = ("both", "output", "input")
_JACOBIANS = {"jacrev": jax.jacrev, "jacfwd": jax.jacfwd}
_dot = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)


def two_layer_ntk(params, x1, x2=None, *, activation, gamma, part="both"):
    """Returns the neural tangent kernel of the two-layer network, by its closed contraction.

    With h = b_r . x + gamma c_r,

        K(x, x') = 1/M sum_r [ sigma(h_r) sigma(h'_r)                                     (output: a)
                             + (x . x' + gamma^2) a_r^2 sigma'(h_r) sigma'(h'_r) ]        (input: b, c)

    which costs two [n1, M] x [M, n2] products and forms no Jacobian.

    Args:
        params: `network.Params`.
        x1: inputs [n1, d].
        x2: inputs [n2, d]; x1 where left out.
        activation: a name or a callable (see `activations.get`).
        gamma: weight of the bias inside the activation.
        part: "both", "output" (gradients of a alone) or "input" (gradients of b and c).

    Returns:
        Kernel [n1, n2].

    Raises:
        ValueError: an unknown part or activation.

    References:
        Nitanda and Suzuki, arXiv 2006.12297, Section 3 (k_infinity = k_a + k_b, here at width M).
    """
    check_part(part)
    sigma = activations.get(activation)
    x2 = x1 if x2 is None else x2
    h1 = network.preactivation(params, x1, gamma=gamma)
    h2 = h1 if x2 is x1 else network.preactivation(params, x2, gamma=gamma)
    width = params.a.shape[0]
    kernel = jnp.zeros((x1.shape[0], x2.shape[0]), h1.dtype)
    if part != "input":
        kernel = kernel + _dot(sigma.fn(h1), sigma.fn(h2).T) / width
    if part != "output":
        weighted = sigma.derivative(h1) * (params.a**2)[None, :]
        kernel = kernel + (_dot(x1, x2.T) + gamma**2) * _dot(weighted, sigma.derivative(h2).T) / width
    return kernel


def ntk(apply_fn, params, x1, x2=None, *, method="auto", block_size=None):
    """Returns the neural tangent kernel of any model, by per-example Jacobians.

    K(x, x')[i, j] = sum_p d f_i(x) / d p  d f_j(x') / d p. The Jacobian of each example is taken by itself and
    contracted leaf by leaf, so memory holds the Jacobians of two blocks of examples, and nothing quadratic in the
    batch but the kernel.

    Args:
        apply_fn: `apply_fn(params, x [n, ...])` -> outputs [n] or [n, k], each row a function of its own input.
        params: any pytree of floating-point arrays.
        x1: inputs [n1, ...].
        x2: inputs [n2, ...]; x1 where left out.
        method: "jacrev" (a backward pass per output), "jacfwd" (a forward pass per parameter) or "auto": whichever
            takes fewer passes.
        block_size: examples a block; all at once where left out.

    Returns:
        Kernel [n1, n2], or [n1, n2, k, k] for vector outputs.

    Raises:
        ValueError: an unknown method, a block size below 1, or outputs of a rank other than 1 or 2.
    """
    x2 = x1 if x2 is None else x2
    output = jax.eval_shape(apply_fn, params, x1[:1])
    if len(output.shape) not in (1, 2):
        raise ValueError(f"apply_fn must return [n] or [n, k], not an array of shape {output.shape}")
    if method == "auto":
        num_params = sum(leaf.size for leaf in jax.tree.leaves(params))
        method = "jacrev" if output.size <= num_params else "jacfwd"
    if method not in _JACOBIANS:
        raise ValueError(f"method {method!r} is unknown (known: auto, {', '.join(_JACOBIANS)})")
    if block_size is not None and block_size < 1:
        raise ValueError(f"block_size must be at least 1, not {block_size}")

    def example_jacobian(x):
        return _JACOBIANS[method](lambda p: apply_fn(p, x[None])[0].reshape(-1))(params)

    def block_kernel(block1, block2):
        jacobian1, jacobian2 = (jax.vmap(example_jacobian)(block) for block in (block1, block2))
        return sum(map(_contract, jax.tree.leaves(jacobian1), jax.tree.leaves(jacobian2)))

    kernel = _by_blocks(block_kernel, x1, x2, block_size)
    return kernel if len(output.shape) == 2 else kernel[:, :, 0, 0]


def check_part(part):
    """Raises ValueError unless `part` names a part of the kernel."""
    if part not in PARTS:
        raise ValueError(f"part {part!r} is unknown (known: {', '.join(PARTS)})")


def _contract(leaf1, leaf2):
    """Returns the sum over a leaf's parameters [n1, n2, k, k] of Jacobians [n1, k, ...] and [n2, k, ...]."""
    flat1, flat2 = (leaf.reshape(leaf.shape[0], leaf.shape[1], -1) for leaf in (leaf1, leaf2))
    return jnp.einsum("aip,bjp->abij", flat1, flat2, precision=jax.lax.Precision.HIGHEST)


def _by_blocks(block_kernel, x1, x2, block_size):
    """Returns `block_kernel(x1, x2)` [n1, n2, k, k], computed over pairs of blocks one after another."""
    if block_size is None:
        return block_kernel(x1, x2)
    blocks1, blocks2 = _blocks(x1, block_size), _blocks(x2, block_size)
    rows = jax.lax.map(lambda one: jax.lax.map(lambda two: block_kernel(one, two), blocks2), blocks1)
    num_blocks1, num_blocks2, size1, size2, *outputs = rows.shape  # blocks first: [B1, B2, s1, s2, k, k]
    kernel = jnp.swapaxes(rows, 1, 2).reshape(num_blocks1 * size1, num_blocks2 * size2, *outputs)
    return kernel[: x1.shape[0], : x2.shape[0]]


def _blocks(x, block_size):
    """Returns x cut into blocks [B, block_size, ...], the last one filled up with copies of the last row."""
    size = min(block_size, x.shape[0])
    padded = jnp.pad(x, [(0, -x.shape[0] % size)] + [(0, 0)] * (x.ndim - 1), mode="edge")
    return padded.reshape(-1, size, *x.shape[1:])
