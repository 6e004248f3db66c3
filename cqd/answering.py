"""`cqd.answer`: scores of every entity for queries of any structures, by a chosen method."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cqd import beam, calibration, continuous, exact, graph, predictor, sharded
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

    Queries of one structure are answered together, in batches, by a program compiled once a structure. With a predictor
    placed on several devices no device holds the truths of all entities: the answer is put together in host memory, a
    numpy array. `top_answers` spares that too.

    Args:
        params: link predictor, such as `predictor.complex_params(entity, relation)`, or `sharded.place` of one.
        query: a query with ids (`query.from_benchmark`, or `query.parse` with a vocabulary), or a list of them.
        method: "beam", the best entities of every variable; "exact", all of them; "continuous", gradient search.
        tnorm: "product", "min" or "lukasiewicz"; disjunction is its dual.
        beam_size: entities kept a variable by "beam"; the number of entities or more makes the search exact.
        normalize: "sigmoid", "softmax" over the tails, or "calibrated" by the out-degree in the observed graph.
        batch_size: queries at a time, of "beam" on a placed predictor at a time on each part of the axis "data"; memory
            grows as batch_size N. "exact" computes the atoms of a relation once for the queries of a batch, hence gains
            from larger ones.
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
    run = _run(
        params,
        method=method,
        tnorm=tnorm,
        beam_size=beam_size,
        normalize=normalize,
        observed=observed,
        known=known,
        official=official,
        aggregate=aggregate,
        search=search,
    )
    found = _answer_all(params, query, run, batch_size, lambda truths: (_whole(params, truths),))
    found = jnp.zeros((0, num_entities(params))) if found is None else found[0]
    return found if isinstance(query, list | tuple) else found[0]


class Top(NamedTuple):
    """The best answers of a query, or of Q queries with a leading axis Q, best first; of equal ones the lower id.

    Attributes:
        ids: [m] entities.
        truths: [m] their truths.
    """

    ids: np.ndarray
    truths: np.ndarray


def top_answers(params, query, *, num_answers=10, batch_size=64, **options):
    """Returns the Top of a query, or of a list of queries: what `answer` would rank first.

    Truths of all entities are never gathered: each batch gives its best alone, and with a `sharded.Placed` predictor
    each device finds the best of its entities.

    Args:
        params, query, batch_size, **options: as in `answer`.
        num_answers: m.

    Raises:
        ValueError: as `answer`, or num_answers that is not from 1 to the number of entities.
    """
    run = _run(params, **options)
    if not 1 <= num_answers <= num_entities(params):
        raise ValueError(f"num_answers={num_answers}: from 1 to {num_entities(params)}, the entities, are due")
    is_placed = isinstance(params, sharded.Placed)
    best = functools.partial(sharded.best, params, k=num_answers) if is_placed else _best(num_answers)
    found = _answer_all(params, query, run, batch_size, lambda truths: tuple(map(np.asarray, best(truths))))
    found = (np.zeros((0, num_answers), np.int32), np.zeros((0, num_answers))) if found is None else found
    return Top(*(part if isinstance(query, list | tuple) else part[0] for part in found))


def num_entities(params):
    """Returns N of a link predictor, placed or not."""
    return params.num_entities if isinstance(params, sharded.Placed) else params.entity.shape[0]


def num_relations(params):
    """Returns the number of relation ids of a link predictor, placed or not, inverses counted."""
    return (params.params if isinstance(params, sharded.Placed) else params).relation.shape[0]


class _Run(NamedTuple):
    """How batches are answered: (rows, structure) -> truths [B, n], and the parts that rows are divided into."""

    truth: Callable
    parts: int


def _run(
    params,
    *,
    method="beam",
    tnorm="product",
    beam_size=64,
    normalize="sigmoid",
    observed=None,
    known=None,
    official=False,
    aggregate="max",
    search=continuous.PAPER,
):
    """Returns the _Run of an answer's options, all of them checked."""
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
    is_placed = isinstance(params, sharded.Placed)
    model = params.params if is_placed else params
    if not isinstance(model, tuple(predictor.MODELS.values())):
        raise ValueError(f"params: a {type(model).__name__} is no link predictor; predictor.complex_params makes one")
    if method == "continuous":
        continuous.check(model, search)
        if is_placed and (normalize != "sigmoid" or known):
            raise ValueError("method='continuous': on placed tables it has normalize='sigmoid' and no certain edges")
    atoms = atom_options(params, normalize, observed, known, official)
    if is_placed and "edges" in atoms:
        atoms["edges"] = sharded.copied(atoms["edges"], params.mesh)
    fn, first, own = {
        "beam": (sharded.beam_truth if is_placed else _beam, params, {"beam_size": int(beam_size)}),
        "continuous": (_continuous, model, {"search": search}),
        "exact": (sharded.exact_truth if is_placed else exact.truth, params, {"aggregate": aggregate}),
    }[method]
    parts = params.mesh.shape[sharded.DATA] if is_placed and method == "beam" else 1
    return _Run(functools.partial(fn, first, tnorm=tnorm, **own, **atoms), parts)


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
    sizes = num_entities(params), num_relations(params)
    if (observed.num_entities, observed.num_relations) != sizes:
        raise ValueError(
            f"observed: {observed.num_entities} entities and {observed.num_relations} relations, "
            f"the predictor has {sizes[0]} and {sizes[1]}: it was trained on another vocabulary"
        )
    return {"normalize": normalize, "edges": calibration.edges_of(observed), "certain": known == "certain"}


def check_ids(params, queries):
    """Raises ValueError for a query with labels, or with ids outside the tables of the predictor."""
    limits = {"entity": num_entities(params), "relation": num_relations(params)}

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


def batches(queries, batch_size, parts=1):
    """Yields (structure, positions, rows [B, L]) with rows filled up to batch_size or to a power of two.

    The filling repeats the last row and is not in positions: few distinct shapes, hence few compilations. Queries that
    share their last relation come together. Where a batch is divided into parts, each has the rows that a batch on its
    own has: the truths of a query then come from arrays of one shape however many parts there are.
    """
    for structure, positions in by_structure(queries).items():
        all_rows = np.array([row(queries[i]) for i in positions], dtype=np.int32).reshape(len(positions), -1)
        order = np.lexsort(all_rows.T)
        positions = np.array(positions)[order].tolist()
        size = min(batch_size, exact.power_of_two(len(positions))) * parts
        for start in range(0, len(positions), batch_size * parts):
            part = positions[start : start + batch_size * parts]
            rows = all_rows[order[start : start + batch_size * parts]]
            yield structure, part, np.pad(rows, ((0, size - len(part)), (0, 0)), mode="edge")


_STATIC = ("structure", "tnorm", "normalize", "certain")
_beam = functools.partial(jax.jit, static_argnames=(*_STATIC, "beam_size"))(beam.truth)
_continuous = functools.partial(jax.jit, static_argnames=_STATIC)(continuous.truth)


def _best(num_answers):
    def best(truths):
        values, ids = _top_k(truths, num_answers)
        return ids, values

    return best


_top_k = jax.jit(jax.lax.top_k, static_argnums=1)


def _whole(params, truths):
    """Returns truths [B, N]: as they are, or from the devices to the host without the columns of added rows."""
    return np.asarray(truths)[:, : params.num_entities] if isinstance(params, sharded.Placed) else truths


def _answer_all(params, query, run, batch_size, collect):
    """Returns a tuple of arrays [Q, ...] in the order of the queries, or None where there is none.

    Args:
        params: link predictor, placed or not.
        query: a query or a list of them.
        run: (rows, structure) -> truths [B, n].
        batch_size: queries at a time.
        collect: truths [B, n] -> tuple of arrays [B, ...], what is kept of them.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size}: at least 1 is due")
    queries = list(query) if isinstance(query, list | tuple) else [query]
    check_ids(params, queries)
    if not queries:
        return None
    parts, order = [], []
    for structure, positions, rows in batches(queries, batch_size, run.parts):
        parts.append([each[: len(positions)] for each in collect(run.truth(rows=rows, structure=structure))])
        order += positions
    order = np.argsort(order)
    join = np.concatenate if isinstance(parts[0][0], np.ndarray) else jnp.concatenate
    return tuple(join(column)[order] for column in zip(*parts))
