"""`cqd.answer`: scores of every entity for queries of any structures, by a chosen method."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cqd import beam, calibration, continuous, exact, graph, predictor
from cqd.query import Projection, children, row
from cqd.symbolic import by_structure
from cqd.tnorm import check

METHODS = ("beam", "continuous", "exact")

# The setting that ranks best where the observed edges are at hand, for an engine that answers users.
BEST = {"method": "exact", "normalize": "calibrated", "known": "certain"}


def answer(
    params,
    query,
    *,
    method="beam",
    tnorm="product",
    beam_size=64,
    normalize="sigmoid",
    batch_size=64,
    observed=None,
    known=None,
    official=False,
    aggregate="max",
    search=continuous.PAPER,
):
    """Returns the truth in [0, 1] of every entity as the answer of a query, [N], or of a list of queries, [Q, N].

    Queries of one structure are answered together, in batches, by a program compiled once a structure.

    Args:
        params: link predictor, such as `predictor.complex_params(entity, relation)`.
        query: a query with ids (`query.from_benchmark`, or `query.parse` with a vocabulary), or a list of them.
        method: "beam", the best entities of every variable; "exact", all of them; "continuous", gradient search.
        tnorm: "product", "min" or "lukasiewicz"; disjunction is its dual.
        beam_size: entities kept a variable by "beam"; the number of entities or more makes the search exact.
        normalize: "sigmoid", "softmax" over the tails, or "calibrated" by the out-degree in the observed graph.
        batch_size: queries at a time; memory grows as batch_size N. "exact" computes the atoms of a relation once for
            the queries of a batch, hence gains from larger ones.
        observed: `graph.Index` of the observed edges (`graph.build_index` makes it), for normalize="calibrated" and
            known="certain".
        known: "certain" gives observed edges truth 1; None leaves them to the predictor.
        official: "beam" on raw scores, a product of logits for one, as the paper's public code: a defect kept for
            comparison. Two negative scores multiply to a positive one, and the result is no truth.
        aggregate: "exact" alone: "max" takes the best entity of a variable, "sum" the disjunction over all entities.
        search: "continuous" alone: `continuous.Search`, the paper's by default.

    Raises:
        ValueError: params that are no link predictor, an unknown method, t-norm, normalizer or aggregate, options that
            do not go together, beam_size or batch_size below 1, a query with labels that were not looked up or with ids
            outside the tables.
    """
    check_options(
        method=method,
        tnorm=tnorm,
        beam_size=beam_size,
        normalize=normalize,
        observed=observed,
        known=known,
        official=official,
        aggregate=aggregate,
    )
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size}: at least 1 is due")
    if not isinstance(params, tuple(predictor.MODELS.values())):
        raise ValueError(f"params: a {type(params).__name__} is no link predictor; predictor.complex_params makes one")
    if method == "continuous":
        continuous.check(params, search)
    run, own = {
        "beam": (_beam, {"beam_size": int(beam_size)}),
        "continuous": (_continuous, {"search": search}),
        "exact": (exact.truth, {"aggregate": aggregate}),
    }[method]
    atoms = atom_options(params, normalize, observed, known, official)
    truth = functools.partial(run, params, tnorm=tnorm, **own, **atoms)
    if not isinstance(query, list | tuple):
        return _answer_all(params, [query], truth, batch_size)[0]
    return _answer_all(params, list(query), truth, batch_size)


class Certificate(NamedTuple):
    """How far a beam's best answers are from the optimum, in the beam's order.

    Attributes:
        answers: [m] entities, the beam's best first.
        truth: [m] by the beam.
        optimum: [m] of the same entities, by the exact method.
        gap: [m] optimum - truth, 0 or more for a query without `not`.
        best: [m] the exact method's best entities, best first.
        best_truth: [m] their truth; where it equals truth the beam has found answers as good as any.
    """

    answers: np.ndarray
    truth: np.ndarray
    optimum: np.ndarray
    gap: np.ndarray
    best: np.ndarray
    best_truth: np.ndarray


def certificate(params, query, *, num_answers=10, **options):
    """Returns the Certificate of a beam's answers to one query.

    Args:
        params, query: as in `answer`.
        num_answers: m.
        **options: of `answer` with method "beam", but official.

    Raises:
        ValueError: as `answer`.
    """
    if num_answers < 1:
        raise ValueError(f"num_answers={num_answers}: at least 1 is due")
    if options.pop("method", "beam") != "beam" or options.get("official"):
        raise ValueError("a certificate is of a beam's truths: method='beam' without official is due")
    truth = np.asarray(answer(params, query, **options))
    options.pop("beam_size", None)
    optimum = np.asarray(answer(params, query, method="exact", **options))
    answers, best = (np.argsort(-values, kind="stable")[:num_answers] for values in (truth, optimum))
    gap = optimum[answers] - truth[answers]
    return Certificate(answers, truth[answers], optimum[answers], gap, best, optimum[best])


def check_options(
    *,
    method="beam",
    tnorm="product",
    beam_size=1,
    normalize="sigmoid",
    observed=None,
    known=None,
    official=False,
    aggregate="max",
):
    """Raises ValueError for an option of `answer` that does not exist, or misses another that it needs."""
    choices = {
        "method": (method, METHODS),
        "normalize": (normalize, calibration.NORMALIZERS),
        "aggregate": (aggregate, exact.AGGREGATES),
    }
    for name, (value, known_values) in choices.items():
        if value not in known_values:
            raise ValueError(f"{name}={value!r}: choose one of {', '.join(known_values)}")
    if known not in (None, "certain"):
        raise ValueError(f"known={known!r}: None or 'certain' is due, and the edges as observed=")
    if observed is None and (normalize == "calibrated" or known):
        raise ValueError(f"normalize={normalize!r}, known={known!r}: observed= is due, the Index of the observed edges")
    if official and (method, normalize, known) != ("beam", "sigmoid", None):
        raise ValueError("official=True: raw scores have method='beam', no normalizer and no certain edges")
    if aggregate != "max" and method != "exact":
        raise ValueError(f"aggregate={aggregate!r}: method='exact' is due")
    if official and tnorm == "lukasiewicz":
        raise ValueError("official=True: the public code has tnorm='product' and 'min'")
    if beam_size < 1:
        raise ValueError(f"beam_size={beam_size}: at least 1 is due")
    check(tnorm)


def atom_options(params, normalize, observed, known, official):
    """Returns the keywords of `calibration.truths`."""
    normalize = "logit" if official else normalize
    if normalize != "calibrated" and not known:
        return {"normalize": normalize}
    if not isinstance(observed, graph.Index):
        raise ValueError(f"observed: a {type(observed).__name__}, not a graph.Index, as graph.build_index makes")
    sizes = params.entity.shape[0], params.relation.shape[0]
    if (observed.num_entities, observed.num_relations) != sizes:
        raise ValueError(
            f"observed: {observed.num_entities} entities and {observed.num_relations} relations, "
            f"the predictor has {sizes[0]} and {sizes[1]}: it was trained on another vocabulary"
        )
    return {"normalize": normalize, "edges": calibration.edges_of(observed), "certain": known == "certain"}


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

    The filling repeats the last row and is not in positions: few distinct shapes, hence few compilations. Queries that
    share their last relation come together.
    """
    for structure, positions in by_structure(queries).items():
        all_rows = np.array([row(queries[i]) for i in positions], dtype=np.int32).reshape(len(positions), -1)
        order = np.lexsort(all_rows.T)
        positions = np.array(positions)[order].tolist()
        for start in range(0, len(positions), batch_size):
            part = positions[start : start + batch_size]
            size = batch_size if len(positions) > batch_size else exact.power_of_two(len(part))
            rows = all_rows[order[start : start + batch_size]]
            yield structure, part, np.pad(rows, ((0, min(size, batch_size) - len(part)), (0, 0)), mode="edge")


_STATIC = ("structure", "tnorm", "normalize", "certain")
_beam = functools.partial(jax.jit, static_argnames=(*_STATIC, "beam_size"))(beam.truth)
_continuous = functools.partial(jax.jit, static_argnames=_STATIC)(continuous.truth)


def _answer_all(params, queries, truth, batch_size):
    check_ids(params, queries)
    if not queries:
        return jnp.zeros((0, params.entity.shape[0]))
    parts, order = [], []
    for structure, positions, rows in batches(queries, batch_size):
        parts.append(truth(rows=rows, structure=structure)[: len(positions)])
        order += positions
    return jnp.concatenate(parts)[np.argsort(order)]
