import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from darts_perturb import edges, genotype, perturb, search, selection, space, topology
from tests.darts_perturb.selection_test import toy_state

SPACE = space.get("darts")
NUM_ROWS = 28
# what each edge is worth alone, and what each pair into one node is worth together
WORTH = np.random.default_rng(0).normal(size=NUM_ROWS)
NODES = np.asarray([100 * (edge.kind == "reduce") + edge.target for edge in edges.listed(SPACE)])
TOGETHER = np.triu(np.random.default_rng(1).normal(size=(NUM_ROWS, NUM_ROWS)), 1) * (NODES[:, None] == NODES)


def loss_of(kept):
    """Returns a loss of the kept edges, bool [rows], in which edges stand in for one another."""
    kept = kept.astype(jnp.float32)
    return -jnp.sum(kept * jnp.asarray(WORTH, jnp.float32)) - kept @ jnp.asarray(TOGETHER, jnp.float32) @ kept


def score_fn(key, state, rows, images, noise=0.0):
    """Returns Scores of dropping rows, by `loss_of`; images are not looked at."""
    kept = edges.flat(state.choice) != search.DROPPED
    loss = jax.vmap(lambda row: loss_of(kept.at[row].set(False)))(rows)
    loss = loss + noise * jax.random.normal(key, loss.shape)
    return perturb.Scores(-loss, loss, 0 * loss, 0 * loss, -loss_of(kept), loss_of(kept))


def decided_state():
    state = toy_state(SPACE)
    return state._replace(choice={kind: jnp.arange(14, dtype=jnp.int32) % 7 for kind in SPACE.kinds})


def select(method, *, criterion="loss", key=0, score=score_fn):
    step = jax.jit(functools.partial(topology.step, space=SPACE, score_fn=score, method=method, criterion=criterion))
    state = topology.init(jax.random.key(key), decided_state(), SPACE)
    order, infos = np.asarray(state.order), []
    for _ in range(topology.num_steps(SPACE)):
        state, info = step(jax.random.key(7), state, None)
        infos.append(info)
    return state, order, infos


def by_plain_loop(order, *, greedy):
    """Returns the kept edges, bool [rows], node by node in the order given."""
    groups = [
        [14 * cell + edge for edge in range(14) if SPACE.edges[edge][1] == node]
        for cell in range(2)
        for node in (3, 4, 5)
    ]
    kept = np.ones(NUM_ROWS, bool)
    for group in order:
        alive, base = list(groups[group]), kept.copy()
        while len(alive) > 2:
            losses = []
            for row in alive:
                mask = (kept if greedy else base).copy()
                mask[row] = False
                losses.append(float(loss_of(jnp.asarray(mask))))
            worst = alive.pop(int(np.argmin(losses)))
            kept[worst] = False
    return kept


@pytest.mark.parametrize("criterion", ["loss", "accuracy"])
@pytest.mark.parametrize("method", ["greedy", "independent", "official"])
def test_the_kept_edges_are_those_of_a_plain_loop(method, criterion):
    state, order, infos = select(method, criterion=criterion)
    assert sorted(order) == list(range(6))
    assert [int(number) // 3 for number in order] == [0, 1] * 3
    assert [int(info["node"]) for info in infos] == [3 + int(number) % 3 for number in order]
    assert float(infos[0]["loss"]) == pytest.approx(float(loss_of(jnp.ones(NUM_ROWS, bool))), abs=1e-5)
    kept = selection.kept_edges(state.search.choice)
    np.testing.assert_array_equal(edges.flat(kept), by_plain_loop(order, greedy=method == "greedy"))
    choice = jax.tree.map(np.asarray, state.search.choice)
    for kind in SPACE.kinds:
        np.testing.assert_array_equal(choice[kind][kept[kind]], (np.arange(14) % 7)[kept[kind]])
    np.testing.assert_array_equal(state.search.momentum["w"], 0.0)
    # two edges a node stay: a genotype can be written
    text = genotype.format(genotype.from_choice(SPACE, state.search.choice, kept))
    assert genotype.parse(text).normal[0][0] == SPACE.ops[0]


def test_greedy_and_independent_differ_where_edges_stand_in_for_one_another():
    greedy, order, _ = select("greedy")
    assert not np.array_equal(by_plain_loop(order, greedy=True), by_plain_loop(order, greedy=False))
    independent, _, _ = select("independent")
    assert not np.array_equal(edges.flat(greedy.search.choice), edges.flat(independent.search.choice))


def test_without_a_trace_it_is_the_same():
    start = topology.init(jax.random.key(0), decided_state(), SPACE)
    args = jax.random.key(2), start, None
    options = {"space": SPACE, "score_fn": score_fn, "method": "greedy"}
    plain, told = topology.step(*args, **options)
    traced, expected = jax.jit(functools.partial(topology.step, **options))(*args)
    np.testing.assert_array_equal(edges.flat(plain.search.choice), edges.flat(traced.search.choice))
    assert told.keys() == expected.keys()
    assert [int(told[name]) for name in ("kind", "node")] == [int(expected[name]) for name in ("kind", "node")]
    assert int(told["kind"]) == 0


def test_same_key_same_topology_and_another_order_by_another():
    one, order, _ = select("greedy", key=1)
    again, same_order, _ = select("greedy", key=1)
    np.testing.assert_array_equal(edges.flat(one.search.choice), edges.flat(again.search.choice))
    np.testing.assert_array_equal(order, same_order)
    assert (
        len({tuple(np.asarray(topology.init(jax.random.key(i), decided_state(), SPACE).order)) for i in range(9)}) > 3
    )


def test_the_official_way_draws_anew_for_every_drop():
    """With scores that are mostly chance, ranking once and ranking for every drop part ways."""
    noisy = functools.partial(score_fn, noise=100.0)
    once, _, _ = select("independent", score=noisy)
    anew, _, _ = select("official", score=noisy)
    assert not np.array_equal(edges.flat(once.search.choice), edges.flat(anew.search.choice))


def test_bad_input_is_one_line():
    state = topology.init(jax.random.key(0), decided_state(), SPACE)
    with pytest.raises(ValueError, match="unknown method 'all'; known: independent, greedy, official"):
        topology.step(jax.random.key(0), state, None, space=SPACE, score_fn=score_fn, method="all")
    with pytest.raises(ValueError, match="nas_bench_201: every edge stays in its cells"):
        topology.init(jax.random.key(0), toy_state(), space.get("nas_bench_201"))
