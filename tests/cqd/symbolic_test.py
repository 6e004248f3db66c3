"""Exact answers against Python sets that follow the definition of each node."""

import numpy as np
import pytest

from cqd import query, symbolic
from cqd.graph import build_index, inverse
from cqd.query import And, Entity, Not, Or, Projection

SIZE = 9


def random_graph(seed, count=60):
    rng = np.random.default_rng(seed)
    triples = np.stack(
        [rng.integers(SIZE, size=count), 2 * rng.integers(3, size=count), rng.integers(SIZE, size=count)], 1
    )
    return triples.astype(np.int32), build_index(triples, num_entities=SIZE, num_relations=6)


def by_sets(triples, node):
    edges = {(h, r, t) for h, r, t in triples.tolist()} | {(t, inverse(r), h) for h, r, t in triples.tolist()}
    match node:
        case Entity(name):
            return {name}
        case Projection(relation, child):
            inner = by_sets(triples, child)
            return {t for h, r, t in edges if r == relation and h in inner}
        case And(parts):
            return set.intersection(*(by_sets(triples, part) for part in parts))
        case Or(parts):
            return set.union(*(by_sets(triples, part) for part in parts))
        case Not(child):
            return set(range(SIZE)) - by_sets(triples, child)


def random_queries(type_name, seed, count=40):
    rng = np.random.default_rng(seed)
    length = len(query.row(query.parse(query.TEMPLATES[type_name])))
    return [query.from_benchmark(type_name, rng.integers(6, size=length)) for _ in range(count)]


@pytest.mark.parametrize("type_name", query.TEMPLATES)
def test_every_type(type_name):
    triples, index = random_graph(0)
    queries = random_queries(type_name, 1)
    found = symbolic.answers(index, queries)
    assert [answers.tolist() for answers in found] == [sorted(by_sets(triples, one)) for one in queries]
    assert any(0 < len(answers) < SIZE for answers in found)


def test_nested_and_negated_everywhere():
    triples, index = random_graph(3)
    a, b = Projection(0, Entity(1)), Projection(3, Entity(2))
    trees = [
        Not(a),
        Not(Not(a)),
        Projection(2, Not(Or((a, b)))),
        And((Not(a), Not(b))),
        Or((Not(a), And((b, Not(Projection(1, a)))))),
        And((Entity(4), Not(a))),
        Projection(5, Projection(4, And((Or((a, b)), Not(Entity(3)))))),
    ]
    found = symbolic.answers(index, trees)
    assert [answers.tolist() for answers in found] == [sorted(by_sets(triples, tree)) for tree in trees]


def test_mixed_structures_keep_their_order():
    triples, index = random_graph(5)
    mixed = [one for pair in zip(random_queries("2p", 2), random_queries("pni", 3)) for one in pair]
    found = symbolic.answers(index, mixed)
    assert [answers.tolist() for answers in found] == [sorted(by_sets(triples, one)) for one in mixed]


@pytest.mark.parametrize("type_name", ["2p", "2i", "2in", "pni"])
def test_easy_and_hard(type_name):
    triples, full = random_graph(7)
    kept = triples[:20]
    known = build_index(kept, num_entities=SIZE, num_relations=6)
    queries = random_queries(type_name, 4)
    easy, hard = symbolic.easy_and_hard(known, full, queries)
    for one, e, h in zip(queries, easy, hard):
        before, after = by_sets(kept, one), by_sets(triples, one)
        assert set(e) == before & after
        assert set(h) == after - before
    assert sum(map(len, hard)) > 0
