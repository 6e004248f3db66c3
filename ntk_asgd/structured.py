"""Per-example gradients of dense layers, kept as the two factors of their outer products.

A weight W that enters the network once, in y = h W, has the gradient h^T delta with delta = d f / d y: the inner
product of two examples' gradients is (h . h')(delta . delta'), and the gradients themselves are never formed. The
layers are found in the function's own jaxpr, so any function may be given; every other leaf keeps its own Jacobian.

Axes: n examples, k outputs; in a dense layer z batches, s and t positions, c inputs contracted, f features given.
"""

import collections
import functools
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Literal

_CALLS = ("jit", "pjit", "closed_call", "core_call", "checkpoint", "remat", "remat2")  # run as what they call
_MOVES = ("transpose", "reshape", "squeeze", "expand_dims", "broadcast_in_dim", "convert_element_type", "copy")
_dot = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)


class _Step(NamedTuple):
    """One equation, its operands and results numbered through all calls."""

    eqn: object
    inputs: tuple
    outputs: tuple


class _Program(NamedTuple):
    """A function of (*leaves, x) as a list of steps; the leaves are numbers 0, 1, ... and x comes after them."""

    steps: list
    constants: dict
    outputs: list


class _Dense(NamedTuple):
    """The dot product a leaf enters: its step, and on which side the leaf stands (0 or 1)."""

    step: int
    side: int


def method(apply_fn, params, x):
    """Returns (features, contract) of the kernel of `apply_fn`, for `tiles.gram`.

    Args:
        apply_fn: `apply_fn(params, x [n, ...])` -> [n] or [n, k], each row a function of its own input.
        params: any pytree of floating-point arrays.
        x: inputs of the shape and type of those to come, of which the first is looked at.

    Returns:
        features of (params, x [n, ...]): a list of (h [n, z, s, c], delta [n, k, z, s, f]) for the dense leaves, and a
        list of Jacobians [n, k, ...] of the others; contract of (params, two such): the kernel [n1, n2, k, k].
    """
    program, dense, _ = _plan(apply_fn, params, x)
    num_leaves = len(jax.tree.leaves(params))
    others = [leaf for leaf in range(num_leaves) if leaf not in dense]

    def example_features(leaves, x):
        def shifted(own, shifts):
            values = dict(enumerate(leaves)) | dict(zip(others, own))
            (output,), operands = _run(program, [*(values[leaf] for leaf in range(num_leaves)), x], shifts)
            return output, operands

        shifts = {use.step: _zeros(program.steps[use.step].eqn.outvars[0].aval) for use in dense.values()}
        own = [leaves[leaf] for leaf in others]
        (jacobians, deltas), operands = jax.jacrev(shifted, argnums=(0, 1), has_aux=True)(own, shifts)
        factors = [_factors(program, use, operands[use.step], deltas[use.step]) for use in dense.values()]
        return factors, jacobians

    def features(params, x):
        return jax.vmap(example_features, in_axes=(None, 0))(jax.tree.leaves(params), x)

    return features, contract


def num_products(apply_fn, params, x):
    """Returns the multiplications a pair of examples costs here, and those of the function itself for one example."""
    program, dense, num_outputs = _plan(apply_fn, params, x)
    pair = 0
    for leaf, value in enumerate(jax.tree.leaves(params)):
        if leaf in dense:
            batches, positions, inputs, features = _sizes(program.steps[dense[leaf].step].eqn, dense[leaf].side)
            pair += batches * positions**2 * (inputs + num_outputs**2 * features)
        else:
            pair += num_outputs**2 * value.size
    return pair, sum(_num_products(step.eqn) for step in program.steps)


def contract(params, features1, features2):
    """Returns the kernel [n1, n2, k, k] of two blocks' features (see `method`), leaf by leaf."""
    del params
    factors = map(_contract_factors, features1[0], features2[0])
    jacobians = map(_contract_jacobians, features1[1], features2[1])
    return sum(itertools.chain(factors, jacobians)).transpose(0, 2, 1, 3)


def contract_jacobians(jacobians1, jacobians2):
    """Returns the kernel [n1, n2, k, k] of two blocks' Jacobians, pytrees of [n, k, ...], leaf by leaf."""
    return contract(None, ([], jax.tree.leaves(jacobians1)), ([], jax.tree.leaves(jacobians2)))


def _contract_jacobians(leaf1, leaf2):
    """Returns the inner products [n1, k, n2, k] over a leaf's parameters."""
    rows, columns = (leaf.reshape(leaf.shape[0] * leaf.shape[1], -1) for leaf in (leaf1, leaf2))
    products = _dot(rows, columns.T)  # on a CPU 1.4 times as fast as an einsum of four axes
    return products.reshape(*leaf1.shape[:2], *leaf2.shape[:2])


def _contract_factors(factors1, factors2):
    """Returns sum_{z,s,t} (h_zs . h'_zt)(delta_izs . delta'_jzt) [n1, k, n2, k]."""
    (h1, delta1), (h2, delta2) = factors1, factors2

    def product(z, s, t):
        inputs = _dot(h1[:, z, s], h2[:, z, t].T)
        return inputs[:, None, :, None] * _contract_jacobians(delta1[:, :, z, s], delta2[:, :, z, t])

    batches, positions = h1.shape[1:3]
    if batches == positions == 1:
        return product(0, 0, 0)
    pairs = jnp.array(list(itertools.product(range(batches), range(positions), range(positions))))
    start = jnp.zeros((*delta1.shape[:2], *delta2.shape[:2]), delta1.dtype)  # one pair at a time: no more than a tile
    return jax.lax.scan(lambda total, pair: (total + product(*pair), None), start, pairs)[0]


def _plan(apply_fn, params, x):
    """Returns the program for one example, {leaf: `_Dense`} of the leaves kept as factors, and how many outputs."""
    leaves, treedef = jax.tree.flatten(params)

    def outputs(*inputs):
        return apply_fn(jax.tree.unflatten(treedef, inputs[:-1]), inputs[-1][None])[0].reshape(-1)

    closed = jax.make_jaxpr(outputs)(*leaves, jax.ShapeDtypeStruct(x.shape[1:], jax.dtypes.canonicalize_dtype(x.dtype)))
    num_outputs = closed.outvars[0].aval.size
    program = _flatten(closed)
    found = _dense_leaves(program, len(leaves))
    return program, {leaf: use for leaf, use in found.items() if _pays(program, use, num_outputs)}, num_outputs


def _flatten(closed):
    """Returns a closed jaxpr as a `_Program`, calls replaced by what they call."""
    numbers, steps, constants = itertools.count(), [], {}

    def constant(value):
        number = next(numbers)
        constants[number] = value
        return number

    def walk(jaxpr, inputs):
        known = dict(zip(jaxpr.invars, inputs))
        known.update(zip(jaxpr.constvars, map(constant, getattr(jaxpr, "consts", ()))))

        def read(atom):
            return constant(atom.val) if isinstance(atom, Literal) else known[atom]

        for eqn in jaxpr.eqns:
            operands = tuple(map(read, eqn.invars))
            if eqn.primitive.name in _CALLS:
                results = walk(eqn.params["jaxpr" if "jaxpr" in eqn.params else "call_jaxpr"], operands)
            else:
                results = tuple(next(numbers) for _ in eqn.outvars)
                steps.append(_Step(eqn, operands, results))
            known.update(zip(eqn.outvars, results))
        return list(map(read, jaxpr.outvars))

    outputs = walk(closed, [next(numbers) for _ in closed.invars])
    return _Program(steps, constants, outputs)


def _dense_leaves(program, num_leaves):
    """Returns {leaf: `_Dense`} for the leaves that are used once, as an operand of a dot product.

    On its way there a leaf may change its shape, but not its entries. As nothing else uses it, the other operand does
    not depend on it.
    """
    origin = {leaf: leaf for leaf in range(num_leaves)}
    uses, found = collections.Counter(), {}
    for number, (eqn, inputs, outputs) in enumerate(program.steps):
        if inputs and inputs[0] in origin and _moves_only(eqn):
            origin[outputs[0]] = origin[inputs[0]]
            continue
        for side, leaf in enumerate(map(origin.get, inputs)):
            if leaf is not None:
                uses[leaf] += 1
                if _is_dense(eqn):
                    found[leaf] = _Dense(number, side)
    uses.update(origin[output] for output in program.outputs if output in origin)
    return {leaf: use for leaf, use in found.items() if uses[leaf] == 1}


def _moves_only(eqn):
    """Returns whether the equation gives back the entries of its operand, moved."""
    before, after = eqn.invars[0].aval, eqn.outvars[0].aval
    return eqn.primitive.name in _MOVES and before.size == after.size and before.dtype == after.dtype


def _is_dense(eqn):
    dtypes = {atom.aval.dtype for atom in (*eqn.invars, *eqn.outvars)}
    return eqn.primitive.name == "dot_general" and len(dtypes) == 1


def _pays(program, use, num_outputs):
    """Returns whether the factors of a leaf cost fewer multiplications a pair of examples than its gradients."""
    _, positions, inputs, features = _sizes(program.steps[use.step].eqn, use.side)
    factors = positions**2 * (inputs + num_outputs**2 * features)
    return factors <= num_outputs**2 * inputs * features or positions == 1


def _num_products(eqn):
    """Returns the multiplications in an equation's dot products and convolutions, those of its bodies included."""
    if eqn.primitive.name == "dot_general":
        return int(np.prod(_sizes(eqn, 1)))
    if eqn.primitive.name == "conv_general_dilated":
        kernel = eqn.invars[1].aval
        return eqn.outvars[0].aval.size * kernel.size // kernel.shape[eqn.params["dimension_numbers"].rhs_spec[0]]
    bodies = [body for param in eqn.params.values() for body in (param if isinstance(param, tuple) else (param,))]
    inner = sum(_num_products(one) for body in bodies for one in getattr(body, "eqns", ()))
    return inner * eqn.params.get("length", 1)


def _dimensions(eqn, side):
    """Returns the dimensions (batch, contracted, free) of the operand on one side of a dot product."""
    contracted, batch = (dimensions[side] for dimensions in eqn.params["dimension_numbers"])
    free = [axis for axis in range(len(eqn.invars[side].aval.shape)) if axis not in (*contracted, *batch)]
    return batch, contracted, free


def _sizes(eqn, side):
    """Returns the sizes (z, s, c, f) of a dot product whose weight stands on `side`."""
    shape, weight = eqn.invars[1 - side].aval.shape, eqn.invars[side].aval.shape
    batch, contracted, free = _dimensions(eqn, 1 - side)
    features = [weight[axis] for axis in _dimensions(eqn, side)[2]]
    return tuple(
        int(np.prod(sizes)) for sizes in (*([shape[a] for a in axes] for axes in (batch, free, contracted)), features)
    )


def _factors(program, use, operands, delta):
    """Returns h [z, s, c] and delta [k, z, s, f] of one example."""
    eqn = program.steps[use.step].eqn
    batches, positions, inputs, features = _sizes(eqn, use.side)
    batch, contracted, free = _dimensions(eqn, 1 - use.side)
    h = operands[1 - use.side].transpose(*batch, *free, *contracted).reshape(batches, positions, inputs)
    if use.side == 0:  # results come with the free dimensions of the left operand first
        return h, delta.reshape(-1, batches, features, positions).swapaxes(2, 3)
    return h, delta.reshape(-1, batches, positions, features)


def _run(program, inputs, shifts):
    """Returns the program's outputs, with shifts {step: ...} added to results, and the operands of those steps."""
    values = dict(enumerate(inputs)) | program.constants
    operands = {}
    for number, (eqn, read, written) in enumerate(program.steps):
        arguments = [values[one] for one in read]
        results = eqn.primitive.bind(*arguments, **eqn.primitive.get_bind_params(eqn.params))
        results = results if eqn.primitive.multiple_results else [results]
        if number in shifts:
            operands[number] = arguments
            results = [results[0] + shifts[number]]
        values.update(zip(written, results))
    return [values[output] for output in program.outputs], operands


def _zeros(aval):
    return jnp.zeros(aval.shape, aval.dtype)
