"""t-norms and their dual t-conorms: conjunction and disjunction of truth values in [0, 1].

The dual of T is S(a, b) = 1 - T(1 - a, 1 - b), De Morgan's law with the negation 1 - v.

References:
    arXiv 2011.03459, section 3; Klement, Mesiar, Pap, Triangular norms (2000), example 1.2.
"""

import functools

import jax.numpy as jnp


def _product(values, axis):
    return jnp.prod(values, axis=axis)


def _probabilistic_sum(values, axis):
    # a + b - a b one at a time: 1 - prod(1 - v) would round small truth values to zero.
    first, *rest = jnp.unstack(values, axis=axis)
    return functools.reduce(lambda a, b: a + b - a * b, rest, first)


def _minimum(values, axis):
    return jnp.min(values, axis=axis)


def _maximum(values, axis):
    return jnp.max(values, axis=axis)


def _lukasiewicz(values, axis):
    return jnp.maximum(jnp.sum(values, axis=axis) - (values.shape[axis] - 1), 0)


def _bounded_sum(values, axis):
    return jnp.minimum(jnp.sum(values, axis=axis), 1)


T_NORMS = {"product": _product, "min": _minimum, "lukasiewicz": _lukasiewicz}
T_CONORMS = {"product": _probabilistic_sum, "min": _maximum, "lukasiewicz": _bounded_sum}


def check(name):
    """Returns the name of a t-norm.

    Raises:
        ValueError: an unknown name.
    """
    if name not in T_NORMS:
        raise ValueError(f"tnorm={name!r}: choose one of {', '.join(sorted(T_NORMS))}")
    return name


def conjunction(name, values, axis=0):
    """Returns T of the values along an axis: product, min, or max(0, sum - (n - 1)).

    >>> import jax.numpy as jnp
    >>> float(conjunction("lukasiewicz", jnp.array([0.75, 0.5])))
    0.25
    """
    return T_NORMS[check(name)](jnp.asarray(values), axis)


def disjunction(name, values, axis=0):
    """Returns S of the values along an axis: 1 - prod(1 - v), max, or min(1, sum).

    >>> import jax.numpy as jnp
    >>> float(disjunction("product", jnp.array([0.5, 0.5, 0.5])))
    0.875
    """
    return T_CONORMS[check(name)](jnp.asarray(values), axis)
