"""Speed of answering, beside its own matrix products and numpy; symbolic answers, and peak memory.

    python -m benchmarks.cqd.answering [--data=FOLDER] [--only=beam,exact,small,symbolic,ranking,memory]
        [--out=FILE] [--repeats=9] [--size=small]

Random ComplEx tables of rank 100 at the size of FB15k-237, float32. Candidates of a case take turns. What is not
measured again keeps the row it has in the file. FOLDER has fb15k237_triples.npz and fb15k237_q2b_queries.npz; without
it the symbolic answers are left out. Each query type's memory is that of a process of its own
(`benchmarks.cqd.answering_memory`).
"""

import functools
import json
import pathlib
import statistics
import subprocess
import sys
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import cqd
from benchmarks import comparison, options, timing
from cqd import graph, predictor, query, ranking, symbolic

OUT = "cqd_answering.json"
_SYSTEM = "cqd"
SCALE = 0.3  # of the embeddings, as trained ones
BATCH, BLOCK = 64, 256
BEAMS = {"2p": 16, "3p": 4, "2i": 1, "ip": 16, "pi": 16}  # type -> beam_size


class Sizes(NamedTuple):
    """Of the tables, inverses counted, and how much is asked."""

    num_entities: int
    num_relations: int
    rank: int
    tables: dict  # name -> entities, relations, edges of the smaller ones
    queries: int  # of each type on them
    memory_rank: int
    memory_types: tuple


SIZES = {
    "full": Sizes(
        14505,
        474,
        100,
        {"as umls": (135, 92, 5216), "as countries": (830, 18, 2387)},
        200,
        1000,
        tuple(query.TEMPLATES),
    ),
    "small": Sizes(300, 120, 4, {"as a toy": (20, 4, 40)}, 1, 4, ("2p",)),
}


def tables(num_entities, num_relations, rank, seed=0):
    """Returns random embeddings, [N, 2 rank] and [R, 2 rank], as large as trained ones."""
    rng = np.random.default_rng(seed)
    return [SCALE * rng.standard_normal((size, 2 * rank), np.float32) for size in (num_entities, num_relations)]


def draw(type_name, count, num_entities, num_relations):
    """Returns random queries of a type."""
    rng = np.random.default_rng(1)
    template = query.parse(query.TEMPLATES[type_name])
    limits = query.row(_limits(template, num_entities, num_relations))
    return [query.from_benchmark(type_name, rng.integers(limits)) for _ in range(count)]


def _limits(node, num_entities, num_relations):
    """Returns the tree with the number of ids there are in the place of each id."""
    inside = [_limits(child, num_entities, num_relations) for child in query.children(node)]
    match node:
        case query.Entity():
            return query.Entity(num_entities)
        case query.Projection():
            return query.Projection(num_relations, *inside)
    return query.rebuild(node, inside)


def _case(words, size):
    num_entities, num_relations, rank, *_ = SIZES[size]
    return f"{words}; N = {num_entities:,}, R = {num_relations}, rank {rank}"


def beam_rows(size, repeats, _):
    """A batch of beams, beside as many products [batch, d] x [d, N] as it needs, one after another."""
    num_entities, num_relations, rank, *_ = SIZES[size]
    entity, relation = map(jnp.asarray, tables(num_entities, num_relations, rank))
    params = predictor.complex_params(entity, relation)
    rows = []
    for name, beam_size in BEAMS.items():
        queries = draw(name, BATCH, num_entities, num_relations)
        hops = len(query.row(queries[0])) - num_anchors(name)
        num_products = num_anchors(name) + (hops - num_anchors(name)) * beam_size
        points = jnp.asarray(np.random.default_rng(2).standard_normal((num_products, BATCH, 2 * rank), np.float32))
        products = jax.jit(
            lambda points, entity: jax.lax.scan(
                lambda _, points_bd: (points_bd @ entity.T, None), jnp.zeros((BATCH, num_entities)), points
            )[0]
        )
        candidates = {
            "beam": functools.partial(cqd.answer, params, queries, beam_size=beam_size, batch_size=BATCH),
            "products": functools.partial(products, points, entity),
        }
        times = timing.alternate(candidates, repeats)
        case = _case(f"beam, {BATCH} queries {name}, k = {beam_size}", size)
        beside = {"products": timing.Beside(timing.BOUND, 1 / 2.5)}
        rows.append(timing.row(_SYSTEM, case, times, "beam", beside, products=num_products))
    return rows


def num_anchors(type_name):
    """Returns how many entities a query of a type names."""

    def count(node):
        return isinstance(node, query.Entity) + sum(map(count, query.children(node)))

    return count(query.parse(query.TEMPLATES[type_name]))


def exact_rows(size, repeats, _):
    """2p by the exact method, beside the products heads x tails of every relation, and with those for maxima.

    The grouped products are heads x tails of every distinct relation once, [256, d] x [d, N] a block, and for the g
    queries that share it [g, 256] x [256, N], as if a maximum over heads were a sum. One tail is true of no head, so
    that its maximum stays below the truth of every head and none is left out; the last case has no such tail.
    """
    num_entities, num_relations, rank, *_ = SIZES[size]
    rows = []
    for count, num_distinct, spread in ((64, 1, False), (64, 4, False), (4, 4, False), (64, 1, True)):
        entity, relation = tables(num_entities, num_relations, rank)
        if not spread:
            entity[:, [0, rank]], relation[:, [0, rank]] = (1, 0), (1, 0)
            entity[-1, 0] = -30
        params = predictor.complex_params(entity, relation)
        queries = [
            query.from_benchmark("2p", (37 * i % num_entities, 2 * i % 100, i % num_distinct)) for i in range(count)
        ]
        group = count // num_distinct
        candidates = {
            "exact": functools.partial(cqd.answer, params, queries, method="exact", batch_size=BATCH),
            "grouped products": functools.partial(_products, params, num_distinct, group),
            "products of scores": functools.partial(_products, params, num_distinct, 0),
        }
        times = timing.alternate(candidates, max(2, repeats // 3))
        heads = "heads left out where they cannot matter" if spread else "no head left out"
        case = _case(f"exact, {count} queries 2p of {num_distinct} relations, {heads}", size)
        beside = {
            "grouped products": timing.Beside(timing.BOUND, 0.5),
            "products of scores": timing.Beside(timing.BOUND),
        }
        rows.append(timing.row(_SYSTEM, case, times, "exact", beside))
    return rows


def _products(params, num_relations, group):
    """Computes [x, d] x [d, N] of every block of heads, and [group, x] x [x, N] with the result."""
    for number in range(num_relations):
        found = _relation_products(params, number, group)
    return found


@functools.partial(jax.jit, static_argnames="group")
def _relation_products(params, number, group):
    num_entities = params.entity.shape[0]
    num_blocks = -(-num_entities // BLOCK)
    heads = jnp.arange(num_blocks * BLOCK).reshape(num_blocks, BLOCK) % num_entities
    values = jnp.ones((group, BLOCK))

    def block(carry, heads_x):
        scores_xn = predictor.scores(params, heads_x, jnp.full_like(heads_x, number))
        return (carry + values @ scores_xn if group else scores_xn), None

    return jax.lax.scan(block, jnp.zeros((group or BLOCK, num_entities)), heads)[0]


def small_rows(size, repeats, _):
    """All 14 types by the exact method with calibrated truths and certain edges: first call, and later ones."""
    rows = []
    for name, (num_entities, num_relations, num_edges) in SIZES[size].tables.items():
        params = predictor.complex_params(*tables(num_entities, num_relations, SIZES[size].rank))
        rng = np.random.default_rng(3)
        columns = [rng.integers(top, size=num_edges) for top in (num_entities, num_relations // 2, num_entities)]
        triples = graph.with_inverses(np.stack(columns, axis=1) * [1, 2, 1])
        observed = graph.build_index(triples, num_entities=num_entities, num_relations=num_relations)
        each = SIZES[size].queries
        queries = [one for name in query.TEMPLATES for one in draw(name, each, num_entities, num_relations)]
        run = functools.partial(cqd.answer, params, queries, observed=observed, **cqd.answering.BEST)
        times = timing.alternate({"exact": run}, min(3, repeats))["exact"]
        case = f"exact, {len(queries):,} queries of 14 types, tables {name}; N = {num_entities}, R = {num_relations}"
        described = {"times": {"exact": times}}
        rows.append(timing.figure(_SYSTEM, f"{case}, first call", times["first_s"], "s", 20, **described))
        rows.append(timing.figure(_SYSTEM, f"{case}, later calls", times["median_s"], "s"))
    return rows


def symbolic_rows(_, repeats, folder):
    """The test queries of FB15k-237 answered on all its edges: processor seconds of one thread."""
    if not folder:
        return []
    folder = pathlib.Path(folder)
    with np.load(folder / "fb15k237_triples.npz") as file:
        triples = np.concatenate([file[part] for part in ("train", "valid", "test")])
    with np.load(folder / "fb15k237_q2b_queries.npz") as file:
        queries = [
            query.from_benchmark(name[5:], row) for name in file.files if name.startswith("test_") for row in file[name]
        ]
    sizes = SIZES["full"]
    full = graph.build_index(
        graph.with_inverses(triples), num_entities=sizes.num_entities, num_relations=sizes.num_relations
    )
    seconds = []
    for _ in range(min(3, repeats)):
        start = time.process_time()
        found = symbolic.answers(full, queries)
        seconds.append(time.process_time() - start)
    case = f"symbolic answers of {len(queries):,} test queries of FB15k-237, processor time"
    described = {"answers": sum(map(len, found)), "cpu_s": seconds}
    return [timing.figure(_SYSTEM, case, statistics.median(seconds), "s", 20, **described)]


def ranking_rows(size, repeats, _):
    """Filtered ranks of a batch of queries, 20 easy and 5 hard answers each, beside numpy a hard answer at a time."""
    num_entities = SIZES[size].num_entities
    rng = np.random.default_rng(4)
    scores = rng.random((BATCH, num_entities), np.float32)
    answers = [rng.choice(num_entities, 25, replace=False) for _ in range(BATCH)]
    easy, hard = [ids[:20] for ids in answers], [ids[20:] for ids in answers]

    def by_numpy():
        ranks = []
        for row, ids, wanted in zip(scores, answers, hard):
            others = np.delete(row, ids)
            ranks.append(np.array([1 + (others > row[w]).sum() + (others == row[w]).sum() / 2 for w in wanted]))
        return ranks

    ours = functools.partial(ranking.batch_ranks, scores, easy, hard)
    if not all(np.array_equal(one, other) for one, other in zip(ours(), by_numpy())):
        raise ValueError("ranks: numpy gives others than ours")
    steps = dict.fromkeys(("ranking.batch_ranks", "numpy"), BATCH)
    times = timing.alternate({"ranking.batch_ranks": ours, "numpy": by_numpy}, 5 * repeats, steps)
    case = f"filtered ranks of a query's 5 hard answers; N = {num_entities:,}"
    beside = {"numpy": timing.Beside(timing.LIBRARY, 1.0, f"numpy {np.__version__}")}
    per_query = 1e3 * times["ranking.batch_ranks"]["median_s"]
    return [
        timing.row(_SYSTEM, case, times, "ranking.batch_ranks", beside),
        timing.figure(_SYSTEM, case, per_query, "ms", 0.5),
    ]


def memory_rows(size, *_):
    """Peak memory of a process that answers 64 queries of a type with beam 64, the largest of all types."""
    sizes, peaks = SIZES[size], {}
    for name in sizes.memory_types:
        command = [sys.executable, "-m", "benchmarks.cqd.answering_memory", name, size]
        answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        peaks[name] = json.loads(answer)
    largest = max(one["peak_MB"] for one in peaks.values()) / 1e3
    case = f"peak memory of {BATCH} queries by beam 64, the most of {len(peaks)} types, rank {sizes.memory_rank}"
    return [timing.figure(_SYSTEM, case, largest, "GB", 4, types=peaks)]


CASES = {
    "beam": beam_rows,
    "exact": exact_rows,
    "small": small_rows,
    "symbolic": symbolic_rows,
    "ranking": ranking_rows,
    "memory": memory_rows,
}


def main():
    """Measures, and writes the rows."""
    parser = options.parser(__doc__, out=OUT, repeats=9)
    parser.add_argument("--only", default="", help=f"cases to measure, of {','.join(CASES)}; all without")
    parser.add_argument("--data", default="", help="a folder with the triples and queries of FB15k-237")
    asked_for = parser.parse_args()
    only = asked_for.only.split(",") if asked_for.only else list(CASES)
    if set(only) - set(CASES):
        parser.error(f"--only={asked_for.only}: choose among {', '.join(CASES)}")
    path = pathlib.Path(asked_for.out)
    before = comparison.read(path)
    kept = before["rows"] if before and before["size"] == asked_for.size else []
    rows = []
    for name, measure in CASES.items():
        unchanged = [row for row in kept if row["measure"] == name]
        measured = measure(asked_for.size, asked_for.repeats, asked_for.data) if name in only else []
        timing.say(measured)
        rows += [{"measure": name, **row} for row in measured] or unchanged
    timing.write(path, rows, size=asked_for.size, peers=[options.DATA] if asked_for.data else [], precision="float32")


if __name__ == "__main__":
    main()
