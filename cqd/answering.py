"""`cqd.answer`: scores of every entity for queries of any structures, by a chosen method."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from cqd import beam
from cqd.query import Projection, children, row
from cqd.symbolic import by_structure
from cqd.tnorm import check

METHODS = ("beam",)


def answer(params, query, *, method="beam", tnorm="product", beam_size=64, normalize="sigmoid", batch_size=64):
    """Returns the truth in [0, 1] of every entity as the answer of a query, [N], or of a list of queries, [Q, N].

    Queries of one structure are answered together, in batches, by a program compiled once a structure.

    Args:
        params: link predictor, such as `predictor.complex_params(entity, relation)`.
        query: a query with ids (`query.from_benchmark`, or `query.parse` with a vocabulary), or a list of them.
        method: "beam".
        tnorm: "product", "min" or "lukasiewicz"; disjunction is its dual.
        beam_size: entities kept a variable; the number of entities or more makes the search exact.
        normalize: "sigmoid".
        batch_size: queries at a time; memory grows as batch_size N.

    Raises:
        ValueError: an unknown method, t-norm or normalizer, beam_size or batch_size below 1, a query with labels
            that were not looked up or with ids outside the tables.
    """
    check_options(method=method, tnorm=tnorm, beam_size=beam_size, normalize=normalize)
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size}: at least 1 is due")
    options = {"tnorm": tnorm, "beam_size": int(beam_size), "normalize": normalize}
    if not isinstance(query, list | tuple):
        return _answer_all(params, [query], options, batch_size)[0]
    return _answer_all(params, list(query), options, batch_size)


def check_options(*, method="beam", tnorm="product", beam_size=1, normalize="sigmoid"):
    """Raises ValueError for an option of `answer` that does not exist, naming those that do."""
    if method not in METHODS:
        raise ValueError(f"method={method!r}: choose one of {', '.join(METHODS)}")
    if normalize not in beam.NORMALIZERS:
        raise ValueError(f"normalize={normalize!r}: choose one of {', '.join(beam.NORMALIZERS)}")
    if beam_size < 1:
        raise ValueError(f"beam_size={beam_size}: at least 1 is due")
    check(tnorm)


def check_ids(params, queries):
    """Raises ValueError for a query with labels, or with ids outside the tables of the predictor."""
    limits = {"entity": params.entity.shape[0], "relation": params.relation.shape[0]}

    def visit(node):
        for child in children(node):
            visit(child)
        kind, name = ("relation", node.relation) if isinstance(node, Projection) else ("entity", node)
        name = getattr(name, "name", name)
        if isinstance(name, str):
            raise ValueError(f"{kind} {name!r} is a label; give cqd.query.parse or bind the vocabulary")
        if isinstance(name, int | np.integer) and not 0 <= name < limits[kind]:
            raise ValueError(f"{kind} #{name}: ids run from 0 to {limits[kind] - 1}")

    for query in queries:
        visit(query)


def batches(queries, batch_size):
    """Yields (structure, positions, rows [B, L]) with rows filled up to batch_size or to a power of two.

    The filling repeats the last row and is not in positions: few distinct shapes, hence few compilations.
    """
    for structure, positions in by_structure(queries).items():
        for start in range(0, len(positions), batch_size):
            part = positions[start : start + batch_size]
            size = batch_size if len(positions) > batch_size else 1 << (len(part) - 1).bit_length()
            rows = np.array([row(queries[i]) for i in part], dtype=np.int32)
            yield structure, part, np.pad(rows, ((0, min(size, batch_size) - len(part)), (0, 0)), mode="edge")


_STATIC = ("structure", "tnorm", "beam_size", "normalize")
_truth = functools.partial(jax.jit, static_argnames=_STATIC)(beam.truth)


def _answer_all(params, queries, options, batch_size):
    check_ids(params, queries)
    if not queries:
        return jnp.zeros((0, params.entity.shape[0]))
    parts, order = [], []
    for structure, positions, rows in batches(queries, batch_size):
        parts.append(_truth(params, rows, structure=structure, **options)[: len(positions)])
        order += positions
    return jnp.concatenate(parts)[np.argsort(order)]
