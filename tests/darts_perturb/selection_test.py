import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from darts_perturb import edges, perturb, search, selection, space, topology
from tests.darts_perturb import tiny

SPACE = space.get("nas_bench_201")


def scores_of(accuracy, loss):
    accuracy, loss = jnp.asarray(accuracy, jnp.float32), jnp.asarray(loss, jnp.float32)
    zeros = jnp.zeros_like(loss)
    return perturb.Scores(accuracy, loss, zeros, zeros, jnp.float32(0.9), jnp.float32(0.1))


def toy_state(found=SPACE):
    num_rows = len(edges.listed(found))
    alpha = edges.by_cell(found, jax.random.normal(jax.random.key(0), (num_rows, found.weights_shape[1])))
    choice = edges.by_cell(found, jnp.full(num_rows, search.UNDECIDED, jnp.int32))
    return search.State({"w": jnp.ones(3)}, {"w": jnp.ones(3)}, alpha, optax.scale_by_adam().init(alpha), choice)


def test_magnitude_is_the_largest_alpha():
    alpha = np.random.default_rng(0).normal(size=(6, 5))
    expected = [max(range(5), key=lambda op, row=row: row[op]) for row in alpha]
    np.testing.assert_array_equal(selection.magnitude(jnp.asarray(alpha)), expected)
    np.testing.assert_array_equal(selection.magnitude(jnp.asarray(alpha), SPACE), expected)
    assert bool(selection.magnitude_edges(jnp.asarray(alpha), SPACE).all())


@pytest.mark.parametrize("name", ["darts", "s1", "s3"])
def test_magnitude_of_cells_against_the_rule_in_plain_python(name):
    """The parser of arXiv:1806.09055: two edges a node by their largest op weight, `none` never counted."""
    found = space.get(name)
    rng = np.random.default_rng(1)
    alpha = {kind: rng.normal(size=found.weights_shape) for kind in found.kinds}
    arrays = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), alpha)
    choice, kept = selection.magnitude(arrays, found), selection.magnitude_edges(arrays, found)
    for kind in found.kinds:
        weights = np.exp(alpha[kind]) / np.exp(alpha[kind]).sum(axis=1, keepdims=True)
        ops = found.edge_ops(kind)
        best = []
        for edge in range(len(found.edges)):
            candidates = [op for op in range(len(ops[edge])) if ops[edge][op] != "none"]
            best.append(max(candidates, key=lambda op, edge=edge: weights[edge, op]))
        np.testing.assert_array_equal(choice[kind], best)
        for node in range(2, 6):
            into = [edge for edge in range(len(found.edges)) if found.edges[edge][1] == node]
            two = sorted(into, key=lambda edge: -weights[edge, best[edge]])[:2]
            assert [edge for edge in into if kept[kind][edge]] == sorted(two)


def test_the_strongest_hurts_most_and_loss_breaks_ties_of_accuracy():
    scores = scores_of([[0.9, 0.6, 0.6, 0.8], [0.5, 0.9, 0.9, 0.9]], [[0.1, 0.5, 0.7, 0.9], [0.2, 0.1, 0.1, 0.1]])
    np.testing.assert_array_equal(selection.strongest(scores, "accuracy"), [2, 0])
    np.testing.assert_array_equal(selection.strongest(scores, "loss"), [3, 0])
    may = jnp.asarray([[True, True, False, False], [False, True, True, True]])
    np.testing.assert_array_equal(selection.strongest(scores, "accuracy", may), [1, 1])
    np.testing.assert_array_equal(selection.strongest(scores, "loss", may), [1, 1])
    with pytest.raises(ValueError, match="unknown criterion 'f1'; known: accuracy, loss"):
        selection.strongest(scores, "f1")


def test_projection_decides_every_edge_once_and_restarts_momentum():
    state = selection.init(jax.random.key(3), toy_state(), SPACE)
    assert sorted(np.asarray(state.order)) == list(range(6))
    strongest = np.array([3, 1, 4, 1, 0, 2])
    for number in range(6):
        edge = int(selection.next_edge(state)[0])
        assert state.search.choice[edge] == search.UNDECIDED
        loss = np.zeros((1, 5))
        loss[0, strongest[edge]] = 1.0
        state, info = selection.decide(state, scores_of(0.9 - loss, loss), criterion="loss")
        assert (int(info["edge"]), int(info["op"])) == (edge, strongest[edge])
        np.testing.assert_allclose([info["accuracy_drop"], info["loss_rise"]], [1.0, 0.9], atol=1e-6)
        assert int(state.num_decided) == number + 1
        np.testing.assert_array_equal(state.search.momentum["w"], 0.0)
    np.testing.assert_array_equal(state.search.choice, strongest)
    np.testing.assert_array_equal(state.search.alpha, toy_state().alpha)


def test_the_order_of_edges_is_random_given_or_by_gap():
    orders = {tuple(np.asarray(selection.init(jax.random.key(i), toy_state(), SPACE).order)) for i in range(20)}
    assert len(orders) > 10
    given = selection.init(jax.random.key(0), toy_state(), SPACE, [5, 0, 1, 2, 4, 3]).order
    np.testing.assert_array_equal(given, [5, 0, 1, 2, 4, 3])
    with pytest.raises(ValueError, match=r"order=\[5, 0\]: nas_bench_201 has the rows 0 to 5, each once"):
        selection.init(jax.random.key(0), toy_state(), SPACE, [5, 0])
    with pytest.raises(ValueError, match="order='reverse': need 'random' or the rows"):
        selection.init(jax.random.key(0), toy_state(), SPACE, "reverse")
    cells = selection.init(jax.random.key(0), toy_state(tiny.CELLS_SPACE), tiny.CELLS_SPACE).order
    assert sorted(np.asarray(cells)) == list(range(10))
    assert [int(row) // 5 for row in cells] == [0, 1] * 5


def test_the_gap_order_against_sorting():
    rng = np.random.default_rng(0)
    # two levels of accuracy: many ties, which the loss must break
    accuracy, loss = rng.integers(0, 2, (6, 5)) / 10, rng.normal(size=(6, 5))
    scores = scores_of(accuracy, loss)
    lead = np.sort(loss)[:, -1] - np.sort(loss)[:, -2]
    ties = np.sort(-accuracy)[:, -1] - np.sort(-accuracy)[:, -2]
    np.testing.assert_array_equal(selection.gap_order(scores, SPACE, "loss"), np.argsort(-lead))
    expected = sorted(range(6), key=lambda row: (-ties[row], -lead[row]))
    np.testing.assert_array_equal(selection.gap_order(scores, SPACE), expected)
    cells = selection.gap_order(scores_of(rng.normal(size=(10, 2)), rng.normal(size=(10, 2))), tiny.CELLS_SPACE)
    assert [int(row) // 5 for row in cells] == [0, 1] * 5


def toy_apply(params, weights, x, *, space, **_):
    """Returns logits of a network that compiles at once, in place of the supernet.

    Every weight has its own effect, that of `none` has none.
    """
    rows = edges.flat(weights)
    effect = jnp.sin(1.0 + jnp.arange(rows.size, dtype=rows.dtype)).reshape(rows.shape)
    effect = jnp.where(edges.holding(space, "none"), 0.0, effect)
    return (x.reshape(len(x), -1) @ params["w"]) * (1 + jnp.sum(rows * effect))


@pytest.fixture(params=["stages", "cells"])
def toy_run(request, monkeypatch):
    """Returns (space, start, step, images): a whole selection with fine-tuning of the toy network."""
    monkeypatch.setattr(search.supernet, "apply", toy_apply)
    found = tiny.STAGES_SPACE if request.param == "stages" else tiny.CELLS_SPACE
    params = {"w": jax.random.normal(jax.random.key(1), (16, 3))}
    state = toy_state(found)._replace(params=params, momentum=jax.tree.map(jnp.zeros_like, params))
    x, y = jax.random.normal(jax.random.key(2), (40, 4, 4, 1)), jnp.arange(40) % 3
    images = search.Images(x, y, *search.halves(40))
    tune = functools.partial(
        search.tune, settings=search.Settings(), batch_size=5, num_steps=4, learning_rate=0.1, num_calls=2, space=found
    )
    step = jax.jit(
        functools.partial(
            selection.step,
            space=found,
            score_fn=functools.partial(selection.removal, space=found, batch_size=5),
            tune_fn=lambda key, state, images, call: tune(key, state, images, call),
            tune_calls=2,
        )
    )
    return found, selection.init(jax.random.key(4), state, found), step, images


def run_steps(step, state, images, num_steps):
    """Returns the state and the info of every step; the key is drawn anew as a resumed run would."""
    infos = []
    for _ in range(num_steps):
        state, info = step(jax.random.key(5), state, images)
        infos.append(info)
    return state, infos


def test_a_selection_projects_tunes_and_resumes_in_the_middle(toy_run):
    found, start, step, images = toy_run
    total = selection.num_steps(found, 2)
    end, infos = run_steps(step, start, images, total)
    turns = [int(info["edge"]) >= 0 for info in infos]
    one_turn = [True] * len(found.kinds)
    assert turns == [*one_turn, False, False] * (len(found.edges) - 1) + one_turn
    choice = np.asarray(edges.flat(end.search.choice))
    for info in infos:
        if int(info["edge"]) >= 0:
            assert choice[int(info["edge"])] == int(info["op"])
    assert (choice >= 0).all()
    assert selection.allowed(found)[np.arange(len(choice)), choice].all()
    # stopped after a projection and one call of two, written down and read back
    for stop in (len(found.kinds) + 1, total - 2):
        half, _ = run_steps(step, start, images, stop)
        leaves, form = jax.tree.flatten(half)
        read = jax.tree.unflatten(form, [jnp.asarray(np.array(leaf)) for leaf in leaves])
        again, _ = run_steps(step, read, images, total - stop)
        assert jax.tree.all(jax.tree.map(np.array_equal, again, end))
    assert not np.array_equal(end.search.params["w"], start.search.params["w"])
    moved = jax.tree.map(lambda a, b: not np.array_equal(a, b), end.search.alpha, start.search.alpha)
    assert all(jax.tree.leaves(moved))


def test_without_a_trace_only_what_comes_next_runs_and_it_is_the_same(toy_run):
    found, start, step, images = toy_run
    traced, told = run_steps(step, start, images, len(found.kinds) + 3)
    plain, infos = run_steps(step.__wrapped__, start, images, len(found.kinds) + 3)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), plain, traced)
    for info, expected in zip(infos, told):
        assert info.keys() == expected.keys()
        assert int(info["edge"]) == int(expected["edge"])
        np.testing.assert_allclose(info["loss"], expected["loss"], rtol=1e-5)


def test_the_calls_of_the_fine_tuning_are_numbered_and_share_a_key():
    def tune_fn(key, state, images, call):
        return state, {"loss": call.astype(jnp.float32), "accuracy": jax.random.uniform(key)}

    def score_fn(key, state, rows, images):
        return scores_of([[0.1, 0.2, 0.3, 0.4, 0.5]], [[0.5, 0.4, 0.3, 0.2, 0.1]])

    step = jax.jit(functools.partial(selection.step, space=SPACE, score_fn=score_fn, tune_fn=tune_fn, tune_calls=3))
    _, infos = run_steps(step, selection.init(jax.random.key(0), toy_state(), SPACE), None, 8)
    tuned = [info for info in infos if int(info["edge"]) < 0]
    assert [int(info["loss"]) for info in tuned] == [0, 1, 2, 0, 1, 2]
    keys = [float(info["accuracy"]) for info in tuned]
    assert len(set(keys[:3])) == len(set(keys[3:])) == 1
    assert keys[0] != keys[3]


def test_one_shot_leaves_the_weights_and_decides_as_a_plain_loop(toy_run):
    found, start, _, images = toy_run
    score = functools.partial(selection.removal, space=found, batch_size=5)
    step = jax.jit(functools.partial(selection.step, space=found, score_fn=score, criterion="loss"))
    end, infos = run_steps(step, start, images, selection.num_steps(found))
    assert np.array_equal(end.search.params["w"], start.search.params["w"])
    x, y = images.x[images.alpha_rows], images.y[images.alpha_rows]
    rows = np.array(edges.flat(jax.tree.map(jax.nn.softmax, start.search.alpha)))

    def loss_of(rows):
        logits = toy_apply(start.search.params, jnp.asarray(rows), x, space=found)
        return float(-jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], axis=1).mean())

    for row, info in zip(np.asarray(start.order), infos):
        without = []
        for op in range(rows.shape[1]):
            mask = rows.copy()
            mask[row, op] = 0.0
            without.append(loss_of(mask) if selection.allowed(found)[row, op] else -np.inf)
        best = int(np.argmax(without))
        assert (int(info["edge"]), int(info["op"])) == (row, best)
        assert float(info["loss_rise"]) == pytest.approx(without[best] - loss_of(rows), abs=1e-5)
        rows[row] = np.eye(rows.shape[1])[best]


def test_a_batch_larger_than_the_held_out_images_is_refused(toy_run):
    found, start, _, images = toy_run
    with pytest.raises(ValueError, match="batch_size=21 is larger than the 20 held-out images"):
        selection.removal(jax.random.key(0), start.search, jnp.asarray([0]), images, space=found, batch_size=21)


def test_where_the_topology_goes_on_the_last_turn_is_tuned_too():
    found = space.get("darts")
    assert selection.num_steps(found) == 28
    assert selection.num_steps(found, 5) == 28 + 13 * 5
    assert selection.num_steps(found, 5, tune_last=True) == 28 + 14 * 5
    # 3 nodes with edges to spare in either cell
    assert topology.num_steps(found, 5) == 6 + 2 * 5
