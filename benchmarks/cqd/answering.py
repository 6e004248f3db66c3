"""Speed of answering, beside its own matrix products; symbolic answers, ranking, and peak memory.

    python -m benchmarks.cqd.answering [--data=FOLDER] [--only=beam,exact,small,symbolic,ranking,memory]
        [--out=benchmarks/results/cqd_answering.json]

Random ComplEx tables of rank 100 at the size of FB15k-237, float32. Candidates of a case take turns. What is not
measured again keeps the row it has in the file. FOLDER has fb15k237_triples.npz and fb15k237_q2b_queries.npz; without
it the symbolic answers are left out. Each query type's memory is that of a process of its own
(`benchmarks.cqd.answering_memory`).
"""

import functools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags, logging

import cqd
from benchmarks import timing
from cqd import graph, predictor, query, ranking, symbolic

_OUT = flags.DEFINE_string("out", "benchmarks/results/cqd_answering.json", "Where the rows are, and go.")
_ONLY = flags.DEFINE_list("only", [], "Cases to measure; all if empty.")
_DATA = flags.DEFINE_string("data", "", "A folder with the triples and queries of FB15k-237.")
_REPEATS = flags.DEFINE_integer("repeats", 9, "Counted calls of each candidate; a third of them for the longest.")

NUM_ENTITIES, NUM_RELATIONS, RANK, SCALE = 14505, 474, 100, 0.3
BATCH, BLOCK = 64, 256
BEAMS = {"2p": 16, "3p": 4, "2i": 1, "ip": 16, "pi": 16}  # type -> beam_size
SMALL = {"as umls": (135, 92, 5216), "as countries": (830, 18, 2387)}  # entities, relations, edges


def tables(seed=0, *, num_entities=NUM_ENTITIES, num_relations=NUM_RELATIONS, rank=RANK):
    """Returns random embeddings, [N, 2 rank] and [R, 2 rank], as large as trained ones."""
    rng = np.random.default_rng(seed)
    return [SCALE * rng.standard_normal((size, 2 * rank), np.float32) for size in (num_entities, num_relations)]


def draw(type_name, count, num_relations=NUM_RELATIONS, num_entities=NUM_ENTITIES):
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


def _alternate(candidates, repeats):
    """Returns the times of `timing.alternate`, with median processor times, which other work disturbs less."""
    cpu_s = {name: [] for name in candidates}

    def metered(name):
        start = time.process_time()
        result = jax.block_until_ready(candidates[name]())
        cpu_s[name].append(time.process_time() - start)
        return result

    times = timing.alternate({name: functools.partial(metered, name) for name in candidates}, repeats)
    return {name: {**one, "median_cpu_s": statistics.median(cpu_s[name][1:])} for name, one in times.items()}


def _row(case, times, ours, target, **described):
    """Returns a row; its ratios say how many times as long `ours` takes as each of the others."""
    ratios = {}
    for peer in times:
        if peer != ours:
            cpu = times[ours]["median_cpu_s"] / times[peer]["median_cpu_s"]
            ratios[peer] = {**timing.ratio(times, peer, ours), "cpu": cpu}
            logging.info("%s: %.2f times %s, by processor time %.2f", case, ratios[peer]["value"], peer, cpu)
    return {"case": case, "target": target, **described, "times": times, "ratios": ratios}


def beam_rows():
    """A batch of beams, beside as many products [batch, d] x [d, N] as it needs, one after another."""
    entity, relation = map(jnp.asarray, tables())
    params = predictor.complex_params(entity, relation)
    rows = []
    for name, beam_size in BEAMS.items():
        queries = draw(name, BATCH)
        hops = len(query.row(queries[0])) - num_anchors(name)
        num_products = num_anchors(name) + (hops - num_anchors(name)) * beam_size
        points = jnp.asarray(np.random.default_rng(2).standard_normal((num_products, BATCH, 2 * RANK), np.float32))
        products = jax.jit(
            lambda points, entity: jax.lax.scan(
                lambda _, points_bd: (points_bd @ entity.T, None), jnp.zeros((BATCH, NUM_ENTITIES)), points
            )[0]
        )
        candidates = {
            "beam": functools.partial(cqd.answer, params, queries, beam_size=beam_size, batch_size=BATCH),
            "products": functools.partial(products, points, entity),
        }
        times = _alternate(candidates, _REPEATS.value)
        case = f"beam, {name}, k = {beam_size}"
        rows.append(_row(case, times, "beam", "at most 2.5", queries=BATCH, products=num_products))
    return rows


def num_anchors(type_name):
    """Returns how many entities a query of a type names."""

    def count(node):
        return isinstance(node, query.Entity) + sum(map(count, query.children(node)))

    return count(query.parse(query.TEMPLATES[type_name]))


def exact_rows():
    """2p by the exact method, beside the products heads x tails of every relation, and with those for maxima.

    One tail is true of no head, so that its maximum stays below the truth of every head and none is left out; the last
    case has no such tail.
    """
    rows = []
    for count, num_distinct, spread in ((64, 1, False), (64, 4, False), (4, 4, False), (64, 1, True)):
        entity, relation = tables()
        if not spread:
            entity[:, [0, RANK]], relation[:, [0, RANK]] = (1, 0), (1, 0)
            entity[-1, 0] = -30
        params = predictor.complex_params(entity, relation)
        queries = [query.from_benchmark("2p", (37 * i, 2 * i % 100, i % num_distinct)) for i in range(count)]
        group = count // num_distinct
        candidates = {
            "exact": functools.partial(cqd.answer, params, queries, method="exact", batch_size=BATCH),
            "grouped products": functools.partial(_products, params, num_distinct, group),
            "products of scores": functools.partial(_products, params, num_distinct, 0),
        }
        times = _alternate(candidates, max(3, _REPEATS.value // 3))
        heads = "heads left out where they cannot matter" if spread else "no head left out"
        case = f"exact, 2p, {count} queries, {num_distinct} relations, {heads}"
        rows.append(_row(case, times, "exact", "grouped products: at most 2", queries=count))
    return rows


def _products(params, num_relations, group):
    """Computes [x, d] x [d, N] of every block of heads, and [group, x] x [x, N] with the result."""
    for number in range(num_relations):
        found = _relation_products(params, number, group)
    return found


@functools.partial(jax.jit, static_argnames="group")
def _relation_products(params, number, group):
    num_blocks = -(-NUM_ENTITIES // BLOCK)
    heads = jnp.arange(num_blocks * BLOCK).reshape(num_blocks, BLOCK) % NUM_ENTITIES
    values = jnp.ones((group, BLOCK))

    def block(carry, heads_x):
        scores_xn = predictor.scores(params, heads_x, jnp.full_like(heads_x, number))
        return (carry + values @ scores_xn if group else scores_xn), None

    return jax.lax.scan(block, jnp.zeros((group or BLOCK, NUM_ENTITIES)), heads)[0]


def small_rows():
    """All 14 types, 200 queries each, by the exact method with calibrated truths and certain edges: first and later."""
    rows = []
    for name, (num_entities, num_relations, num_edges) in SMALL.items():
        sizes = {"num_entities": num_entities, "num_relations": num_relations}
        params = predictor.complex_params(*tables(**sizes))
        rng = np.random.default_rng(3)
        columns = [rng.integers(size, size=num_edges) for size in (num_entities, num_relations // 2, num_entities)]
        triples = graph.with_inverses(np.stack(columns, axis=1) * [1, 2, 1])
        observed = graph.build_index(triples, **sizes)
        queries = [one for type_name in query.TEMPLATES for one in draw(type_name, 200, num_relations, num_entities)]
        run = functools.partial(cqd.answer, params, queries, observed=observed, **cqd.answering.BEST)
        start, cpu_start = time.perf_counter(), time.process_time()
        jax.block_until_ready(run())
        first = {"first_s": time.perf_counter() - start, "first_cpu_s": time.process_time() - cpu_start}
        times = {**_alternate({"exact": run}, 3)["exact"], **first}
        logging.info("%s: %s", name, times)
        rows.append({"case": f"2800 queries of 14 types, {name}", "target": "first, on an idle machine: 20 s", **times})
    return rows


def symbolic_rows():
    """The test queries of FB15k-237 answered on all its edges: processor seconds of one thread."""
    if not _DATA.value:
        return []
    folder = pathlib.Path(_DATA.value)
    with np.load(folder / "fb15k237_triples.npz") as file:
        triples = np.concatenate([file[part] for part in ("train", "valid", "test")])
    with np.load(folder / "fb15k237_q2b_queries.npz") as file:
        queries = [
            query.from_benchmark(name[5:], row) for name in file.files if name.startswith("test_") for row in file[name]
        ]
    sizes = {"num_entities": NUM_ENTITIES, "num_relations": NUM_RELATIONS}
    full = graph.build_index(graph.with_inverses(triples), **sizes)
    seconds = []
    for _ in range(3):
        start = time.process_time()
        found = symbolic.answers(full, queries)
        seconds.append(time.process_time() - start)
    row = {"case": "symbolic answers, FB15k-237 test", "queries": len(queries), "target": "20 s of one core"}
    logging.info("symbolic: %d queries, %s s", len(queries), seconds)
    return [{**row, "answers": sum(map(len, found)), "median_cpu_s": statistics.median(seconds), "cpu_s": seconds}]


def ranking_rows():
    """Filtered ranks of a batch of queries: 20 easy and 5 hard answers each."""
    rng = np.random.default_rng(4)
    scores = rng.random((BATCH, NUM_ENTITIES), np.float32)
    answers = [rng.choice(NUM_ENTITIES, 25, replace=False) for _ in range(BATCH)]
    easy, hard = [ids[:20] for ids in answers], [ids[20:] for ids in answers]
    times = _alternate({"ranks": functools.partial(ranking.batch_ranks, scores, easy, hard)}, 5 * _REPEATS.value)
    per_query = 1e3 * times["ranks"]["median_s"] / BATCH
    logging.info("ranking: %s ms a query", per_query)
    return [{"case": "ranking", "target": "at most 0.5 ms a query", "median_ms": per_query, "times": times}]


def memory_rows():
    """Peak memory of a process that answers 64 queries of a type, rank 1000, beam 64."""
    rows = []
    for name in query.TEMPLATES:
        command = [sys.executable, "-m", "benchmarks.cqd.answering_memory", name]
        answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        rows.append({"case": f"memory, {name}, rank 1000, beam 64, batch 64", "target": "4 GB", **json.loads(answer)})
        logging.info("%s", rows[-1])
    return rows


CASES = {
    "beam": beam_rows,
    "exact": exact_rows,
    "small": small_rows,
    "symbolic": symbolic_rows,
    "ranking": ranking_rows,
    "memory": memory_rows,
}


def main(_):
    """Measures, and writes the rows."""
    unknown = set(_ONLY.value) - set(CASES)
    if unknown:
        raise app.UsageError(f"--only={','.join(sorted(unknown))}: choose among {', '.join(CASES)}")
    path = pathlib.Path(_OUT.value)
    kept = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    rows = []
    for name, measure in CASES.items():
        before = [row for row in kept if row["measure"] == name]
        measured = measure() if name in (_ONLY.value or CASES) else []
        rows += [{"measure": name, **row} for row in measured] or before
    command = "python -m benchmarks.cqd.answering --data=FOLDER"
    timing.write(path, rows, command=command, precision="float32", threads=len(os.sched_getaffinity(0)))


if __name__ == "__main__":
    app.run(main)
