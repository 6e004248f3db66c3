"""What the sampler promises."""

import itertools

import numpy as np
import pytest

from cqd import graph, loading, query, sampling, split, symbolic
from cqd.query import And, Entity, Or, Projection


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


@pytest.mark.parametrize("type_name", query.POSITIVE_TYPES)
def test_promises(world, type_name):
    full = world[1]
    samples = draw(world, type_name)
    assert len({sample.query for sample in samples}) == len(samples) == 40
    template = query.structure(query.parse(query.TEMPLATES[type_name]))
    for sample in samples:
        assert query.structure(sample.query) == template
        before, after = (set(symbolic.answers(index, [sample.query])[0].tolist()) for index in world)
        assert set(sample.easy) == before & after
        assert set(sample.hard) == after - before
        assert len(sample.hard) >= 1
        assert len(after) <= 50
        anchors = {node.name for node in nodes(sample.query) if isinstance(node, Entity)}
        assert after - anchors
        for node in nodes(sample.query):
            if isinstance(node, Projection):
                inner = node.child.children if isinstance(node.child, And | Or) else (node.child,)
                steps = [part.relation for part in inner if isinstance(part, Projection)]
                assert graph.inverse(node.relation) not in steps
            if isinstance(node, And | Or):
                branches = [set(found.tolist()) for found in symbolic.answers(full, list(node.children))]
                assert not any(a <= b for a, b in itertools.permutations(branches, 2))


def test_seed_fixes_the_queries(world):
    first, again, other = (draw(world, "ip", seed=seed) for seed in ((3, 1), (3, 1), (3, 2)))
    assert [sample.query for sample in first] == [sample.query for sample in again]
    assert [sample.query for sample in first] != [sample.query for sample in other]


def test_a_larger_count_extends_a_smaller_one(world):
    assert [s.query for s in draw(world, "2i", 10)] == [s.query for s in draw(world, "2i", 30)[:10]]


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
