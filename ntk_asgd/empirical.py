"""The empirical neural tangent kernel: the Gram matrix of parameter gradients.

Axes: n1, n2 examples, k outputs, d input dimensions, M hidden units.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from ntk_asgd import activations, network, spectrum, structured, tiles

PARTS = ("both", "output", "input")
_dot = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)


def two_layer_ntk(params, x1, x2=None, *, activation, gamma, part="both", block_size=None, symmetric=None, mesh=None):
    """Returns the neural tangent kernel of the two-layer network, by its closed contraction.

    With h = b_r . x + gamma c_r,

        K(x, x') = 1/M sum_r [ sigma(h_r) sigma(h'_r)                                     (output: a)
                             + (x . x' + gamma^2) a_r^2 sigma'(h_r) sigma'(h'_r) ]        (input: b, c)

    which costs two [n1, M] x [M, n2] products and forms no Jacobian. At the symmetric initialisation units r and
    r + M/2 give equal terms, and half of them suffice. Compiled within; the activation, part, block size and mesh are
    static.

    Args:
        params: `network.Params`.
        x1: inputs [n1, d].
        x2: inputs [n2, d]; x1 where left out, which halves the work.
        activation: a name or a callable (see `activations.get`).
        gamma: weight of the bias inside the activation.
        part: "both", "output" (gradients of a alone) or "input" (gradients of b and c).
        block_size: the most examples a block; left out, 512 or as many as fit a budget (see `tiles.gram`).
        symmetric: True to use the first half of the units, also where params are traced; False never to; left out,
            where the params are at hand and their halves equal.
        mesh: the `jax.sharding.Mesh` whose devices share the rows; all devices where left out.

    Returns:
        Kernel [n1, n2].

    Raises:
        ValueError: an unknown part or activation, a block size below 1, or symmetric=True for params that are not.

    References:
        Nitanda and Suzuki, arXiv 2006.12297, Section 3 (k_infinity = k_a + k_b, here at width M).
    """
    check_part(part)
    activations.get(activation)
    if _use_half(params, symmetric):
        params = jax.tree.map(lambda leaf: leaf[: leaf.shape[0] // 2], params)
    return _two_layer_ntk(params, gamma, x1, x2, activation=activation, part=part, block_size=block_size, mesh=mesh)


@functools.partial(jax.jit, static_argnames=("activation", "part", "block_size", "mesh"))
def _two_layer_ntk(params, gamma, x1, x2, *, activation, part, block_size, mesh):
    sigma = activations.get(activation)

    def features(operands, x):
        params, gamma = operands
        h = network.preactivation(params, x, gamma=gamma)
        return x, sigma.fn(h), sigma.derivative(h) * params.a[None, :]

    def contract(operands, features1, features2):
        (x1, output1, input1), (x2, output2, input2) = features1, features2
        kernel = 0
        if part != "input":
            kernel = kernel + _dot(output1, output2.T)
        if part != "output":
            kernel = kernel + (_dot(x1, x2.T) + operands[1] ** 2) * _dot(input1, input2.T)
        return kernel / params.a.shape[0]

    return tiles.gram(features, features, contract, (params, gamma), x1, x2, block_size=block_size, mesh=mesh)


def _use_half(params, symmetric):
    """Returns whether the first half of the units stands for both, as at the symmetric initialisation."""
    width = params.a.shape[0]
    if symmetric and width % 2:
        raise ValueError(f"symmetric=True needs an even width, not {width}: leave symmetric out")
    if symmetric is False or width % 2:
        return False
    if any(isinstance(leaf, jax.core.Tracer) for leaf in params):
        return bool(symmetric)
    leaves = np.abs(np.asarray(params.a)), params.c, params.b
    equal = all(np.array_equal(*np.split(np.asarray(leaf), 2)) for leaf in leaves)
    if symmetric and not equal:
        raise ValueError("symmetric=True, but params have moved from the symmetric initialisation: leave symmetric out")
    return equal


def ntk(apply_fn, params, x1, x2=None, *, method="auto", block_size=None, mesh=None):
    """Returns the neural tangent kernel of any model.

    K(x, x')[i, j] = sum_p d f_i(x) / d p  d f_j(x') / d p. All methods give the same values:

    - "jacrev": the Jacobian of each example by reverse mode, contracted leaf by leaf;
    - "jacfwd": the forward derivative of eps -> f(params + J(x)^T eps) for each example x: a backward pass an example
      and a forward pass a pair of examples, and no contraction over parameters;
    - "structured": reverse mode, but the gradient of a dense layer's weight stays the outer product that it is, and
      costs the layer's inputs and outputs, not their product (see `structured`).

    Memory holds the Jacobians of two blocks of examples and nothing quadratic in the batch but the kernel. Where it is
    called more than once, call it within jax.jit.

    Args:
        apply_fn: `apply_fn(params, x [n, ...])` -> outputs [n] or [n, k], each row a function of its own input.
        params: any pytree of floating-point arrays.
        x1: inputs [n1, ...].
        x2: inputs [n2, ...]; x1 where left out, which halves the work.
        method: one of the above, or "auto": "jacfwd" where it takes fewer multiplications, else "structured".
        block_size: the most examples a block; left out, 512 or as many as fit a budget (see `tiles.gram`).
        mesh: the `jax.sharding.Mesh` whose devices share the rows; all devices where left out.

    Returns:
        Kernel [n1, n2], or [n1, n2, k, k] for vector outputs.

    Raises:
        ValueError: an unknown method, a block size below 1, or outputs of a rank other than 1 or 2.

    References:
        Novak, Sohl-Dickstein and Schoenholz, "Fast finite width neural tangent kernel", ICML 2022, which names the
        three methods Jacobian contraction, NTK-vector products and structured derivatives.
    """
    output = jax.eval_shape(apply_fn, params, x1[:1])
    if len(output.shape) not in (1, 2):
        raise ValueError(f"apply_fn must return [n] or [n, k], not an array of shape {output.shape}")
    if method == "auto":
        method = _fastest(apply_fn, params, x1)
    if method not in _METHODS:
        raise ValueError(f"method {method!r} is unknown (known: auto, {', '.join(_METHODS)})")
    left, right, contract = _METHODS[method](apply_fn, params, x1)
    kernel = tiles.gram(left, right, contract, params, x1, x2, block_size=block_size, mesh=mesh)
    return kernel if len(output.shape) == 2 else kernel[:, :, 0, 0]


def kernel_vector_product(apply_fn, params, x1, vector, x2=None, *, block_size=None):
    """Returns K(x1, x2) vector without the kernel: J(x1) (J(x2)^T vector), a backward and a forward pass.

    Args:
        apply_fn: as in `ntk`.
        params: any pytree of floating-point arrays.
        x1: inputs [n1, ...].
        vector: [n2], or [n2, k] for vector outputs.
        x2: inputs [n2, ...]; x1 where left out.
        block_size: examples a pass, 1024 where left out; memory does not grow with n1 or n2.

    Returns:
        Product [n1] or [n1, k].

    Raises:
        ValueError: a block size below 1, or a vector of another shape than the outputs at x2.
    """
    x2 = x1 if x2 is None else x2
    block_size = 1024 if block_size is None else block_size
    if block_size < 1:
        raise ValueError(f"block_size must be at least 1, not {block_size}")
    output = jax.eval_shape(apply_fn, params, x2)
    if vector.shape != output.shape:
        raise ValueError(f"vector must have the shape of the outputs, {output.shape}, not {vector.shape}")

    def pull(total, block):
        x, cotangent = block
        gradient = jax.vjp(lambda p: apply_fn(p, x), params)[1](cotangent.astype(output.dtype))[0]
        return jax.tree.map(jnp.add, total, gradient), None

    def push(x):
        return jax.jvp(lambda p: apply_fn(p, x), (params,), (direction,))[1]

    blocks = _blocks(x2, block_size, "edge"), _blocks(vector, block_size, "constant")  # zeros count for nothing
    direction = jax.lax.scan(pull, jax.tree.map(jnp.zeros_like, params), blocks)[0]
    product = jax.lax.map(push, _blocks(x1, block_size, "edge"))
    return product.reshape(-1, *output.shape[1:])[: x1.shape[0]]


def top_eigenvalues(apply_fn, params, x, num_eigenvalues, *, block_size=None, seed=0):
    """Returns the largest eigenvalues of the kernel at x over n, descending, without the kernel. Host code.

    By block Lanczos (`spectrum.top_eigenvalues`), which iterates until the eigenvalues stand still. matfree runs a
    fixed number of Lanczos steps and leaves it to the caller how many: on a spectrum that decays as a power, the later
    of k eigenvalues need several times k.

    Args:
        apply_fn: as in `ntk`.
        params: any pytree of floating-point arrays.
        x: inputs [n, ...].
        num_eigenvalues: how many, up to n (n k for vector outputs).
        block_size: as in `kernel_vector_product`.
        seed: of the first vectors.

    Returns:
        Eigenvalues [num_eigenvalues], float64, of the precision of the params.
    """
    output = jax.eval_shape(apply_fn, params, x)

    @jax.jit
    def product(params, x, vectors):
        def one(vector):
            return kernel_vector_product(apply_fn, params, x, vector.reshape(output.shape), block_size=block_size)

        return jax.vmap(one, in_axes=1, out_axes=-1)(vectors).reshape(vectors.shape)

    def matmul(vectors):
        return np.asarray(product(params, x, vectors))

    values = spectrum.top_eigenvalues(matmul, output.size, num_eigenvalues, dtype=output.dtype, seed=seed)
    return values / x.shape[0]


def check_part(part):
    """Raises ValueError unless `part` names a part of the kernel."""
    if part not in PARTS:
        raise ValueError(f"part {part!r} is unknown (known: {', '.join(PARTS)})")


def _fastest(apply_fn, params, x):
    """Returns the method with the fewer multiplications a pair of examples.

    A forward derivative costs two forward passes an output. Measured on 2 CPU cores, the gradients not kept as factors:
    two layers (n, d, M) = (1000, 10, 1024): Jacobians 0.64 s, forward 0.98 s (counts 1 : 1.8); three layers of 256 and
    10 outputs: 6.8 s, 2.6 s (5 : 1); convolutions of 5,000 weights at 256 positions, 1, 10 and 40 outputs: Jacobians
    29, 3.2 and 2.8 times as fast (140, 13 and 3.5 : 1). As factors, dense layers beat both (0.1 s and 0.03 s above).
    """
    num_outputs = jax.eval_shape(apply_fn, params, x[:1]).size
    structured_products, forward_products = structured.num_products(apply_fn, params, x)
    return "jacfwd" if 2 * num_outputs * forward_products < structured_products else "structured"


def _jacobian(apply_fn, params, x):
    """Returns the Jacobians of a block, a pytree of [n, k, ...]."""

    def example(x):
        return jax.jacrev(lambda p: apply_fn(p, x[None])[0].reshape(-1))(params)

    return jax.vmap(example)(x)


def _jacrev(apply_fn, params, x):
    del params, x
    features = functools.partial(_jacobian, apply_fn)
    return features, features, lambda params, *jacobians: structured.contract_jacobians(*jacobians)


def _jacfwd(apply_fn, params, x):
    del params, x

    def contract(params, jacobian, x):
        push = jax.linearize(lambda p: apply_fn(p, x).reshape(x.shape[0], -1), params)[1]
        kernel = jax.lax.map(jax.vmap(push), jacobian)  # [n1, k, n2, k], one example of x1 after another
        return kernel.swapaxes(1, 2)

    return functools.partial(_jacobian, apply_fn), lambda params, x: x, contract


def _structured(apply_fn, params, x):
    features, contract = structured.method(apply_fn, params, x)
    return features, features, contract


_METHODS = {"jacrev": _jacrev, "jacfwd": _jacfwd, "structured": _structured}


def _blocks(x, block_size, mode):
    """Returns x cut into blocks [B, block_size, ...], the last one filled up as `jnp.pad` does in that mode."""
    size = min(block_size, x.shape[0])
    padded = jnp.pad(x, [(0, -x.shape[0] % size)] + [(0, 0)] * (x.ndim - 1), mode=mode)
    return padded.reshape(-1, size, *x.shape[1:])
