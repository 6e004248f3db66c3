"""What the sampler promises."""

import itertools
from collections import Counter

import numpy as np
import pytest

from cqd import graph, loading, query, sampling, split, symbolic
from cqd.query import And, Entity, Not, Or, Projection


@pytest.fixture(scope="module")
def world():
    loaded = loading.countries()
    sizes = {"num_entities": loaded.vocabulary.num_entities, "num_relations": loaded.vocabulary.num_relations}
    splits = split.grouped_split(loaded.parts["all"], seed=0)
    known = graph.build_index(np.concatenate([splits.train, splits.valid]), **sizes)
    return known, graph.build_index(loaded.parts["all"], **sizes)


def draw(world, type_name, count=40, seed=1, max_answers=50):
    known, full = world
    return sampling.sample(type_name, count, seed=seed, observed=known, full=full, max_answers=max_answers)


def nodes(node):
    yield node
    for child in query.children(node):
        yield from nodes(child)


def edges_of(index):
    return {tuple(edge) for edge in index.triples().tolist()}


def by_sets(edges, node, everything):
    """Returns {answer: least number of missing edges}, of edges {(head, relation, tail): 1 if it is missing}."""
    match node:
        case Entity(name):
            return {name: 0}
        case Projection(relation, child):
            found = {}
            for head, count in by_sets(edges, child, everything).items():
                for tail, cost in edges.get((head, relation), {}).items():
                    found[tail] = min(found.get(tail, 99), count + cost)
            return found
        case Not(child):
            return dict.fromkeys(everything - set(by_sets(edges, child, everything)), 0)
        case And(parts):
            parts = [by_sets(edges, part, everything) for part in parts]
            return {e: sum(part[e] for part in parts) for e in set.intersection(*map(set, parts))}
        case Or(parts):
            parts = [by_sets(edges, part, everything) for part in parts]
            return {e: min(part.get(e, 99) for part in parts) for e in set.union(*map(set, parts))}


def nested(edges, missing=()):
    result = {}
    for head, relation, tail in edges:
        result.setdefault((head, relation), {})[tail] = int((head, relation, tail) in missing)
    return result


def without_negation(node):
    parts = [without_negation(part) for part in query.children(node) if not isinstance(part, Not)]
    return parts[0] if isinstance(node, And) and len(parts) == 1 else query.rebuild(node, parts)


@pytest.mark.parametrize("type_name", query.TEMPLATES)
def test_promises(world, type_name):
    observed, full = world
    known, true = edges_of(observed), edges_of(full)
    before, after = nested(known), nested(true, true - known)
    everything = set(range(full.num_entities))
    samples = draw(world, type_name)
    assert len({sample.query for sample in samples}) == len(samples) == 40
    template = query.structure(query.parse(query.TEMPLATES[type_name]))
    for sample in samples:
        assert query.structure(sample.query) == template
        found = by_sets(after, sample.query, everything)
        of_known = set(by_sets(before, sample.query, everything))
        assert sample.easy.tolist() == sorted(of_known & set(found))
        assert sample.hard.tolist() == sorted(set(found) - of_known)
        assert sample.missing.tolist() == [found[entity] for entity in [*sample.easy, *sample.hard]]
        assert min(sample.missing[len(sample.easy) :]) > 0
        assert len(found) <= 50
        anchors = {node.name for node in nodes(sample.query) if isinstance(node, Entity)}
        assert set(sample.hard.tolist()) - anchors
        if symbolic.has_negation(sample.query):
            assert set(by_sets(after, without_negation(sample.query), everything)) > set(found)
        for node in nodes(sample.query):
            if isinstance(node, Projection):
                inner = node.child.children if isinstance(node.child, And | Or) else (node.child,)
                inner = [part.child if isinstance(part, Not) else part for part in inner]
                steps = [part.relation for part in inner if isinstance(part, Projection)]
                assert graph.inverse(node.relation) not in steps
            if isinstance(node, And | Or):
                positive = [part for part in node.children if not isinstance(part, Not)]
                branches = [set(by_sets(after, part, everything)) for part in positive]
                assert not any(a <= b for a, b in itertools.permutations(branches, 2))


def test_seed_fixes_the_queries(world):
    first, again, other = (draw(world, "ip", seed=seed) for seed in ((3, 1), (3, 1), (3, 2)))
    assert [sample.query for sample in first] == [sample.query for sample in again]
    assert [sample.query for sample in first] != [sample.query for sample in other]


def test_a_larger_count_extends_a_smaller_one(world):
    assert [s.query for s in draw(world, "2i", 10)] == [s.query for s in draw(world, "2i", 30)[:10]]
    assert draw(world, "2i", 0) == []


@pytest.mark.parametrize("type_name", query.TEMPLATES)
def test_no_anchor_is_the_entity_a_query_was_drawn_from(world, type_name):
    template = query.parse(query.TEMPLATES[type_name])
    rows, targets = sampling._draw(np.random.default_rng(0), template, sampling._Steps(world[1]))
    anchors = np.array([isinstance(name, str) and name == "a" for name in query.row(template)])
    assert (rows[:, anchors] != targets[:, None]).all()
    assert len(rows) > 100


def test_the_order_of_branches_makes_no_other_query(world):
    samples = draw(world, "2i", 300)
    assert len({frozenset(sample.query.children) for sample in samples}) == 300


@pytest.mark.parametrize("type_name", ["2p", "2i", "inp"])
def test_no_name_has_more_than_its_share(world, type_name):
    observed, full = world
    options = {"seed": 5, "observed": observed, "full": full, "max_answers": 50}

    def largest(samples):
        uses = Counter()
        for sample in samples:
            found = [node for node in nodes(sample.query) if isinstance(node, Entity | Projection)]
            uses.update({("anchor", node.name) for node in found if isinstance(node, Entity)})
            uses.update({("relation", node.relation) for node in found if isinstance(node, Projection)})
            uses.update(("answer", entity) for entity in sample.hard.tolist())
        return max(uses.values())

    assert largest(sampling.sample(type_name, 40, **options)) > 10
    assert largest(sampling.sample(type_name, 40, max_share=0.25, **options)) == 10


def test_mistakes_name_their_argument(world):
    known, full = world
    options = {"seed": 0, "observed": known, "full": full, "max_answers": 50}
    with pytest.raises(ValueError, match="query type '4p': choose one of 1p, 2p"):
        sampling.sample("4p", 1, **options)
    for share in (0, 1.5):
        with pytest.raises(ValueError, match=f"max_share={share}: above 0"):
            sampling.sample("1p", 1, max_share=share, **options)
    nothing = graph.build_index(np.zeros((0, 3), np.int32), num_entities=5, num_relations=2)
    with pytest.raises(ValueError, match="no edges"):
        sampling.sample("1p", 1, seed=0, observed=nothing, full=nothing, max_answers=5)


def test_too_many_is_an_error_with_a_way_out(world, monkeypatch):
    monkeypatch.setattr(sampling, "MAX_BATCHES", 2)
    full = world[1]
    with pytest.raises(ValueError, match=r"5 queries of type 1p: .* gave 0 .* ask for fewer"):
        sampling.sample("1p", 5, seed=0, observed=full, full=full, max_answers=50)


def test_a_loop_back_to_the_anchor_is_no_query(monkeypatch):
    monkeypatch.setattr(sampling, "MAX_BATCHES", 2)
    sizes = {"num_entities": 2, "num_relations": 4}
    loop = graph.build_index(np.array([(0, 0, 1), (1, 2, 0)]), **sizes)
    nothing = graph.build_index(np.zeros((0, 3), np.int32), **sizes)
    with pytest.raises(ValueError, match="gave 0 "):
        sampling.sample("2p", 1, seed=0, observed=nothing, full=loop, max_answers=5)
