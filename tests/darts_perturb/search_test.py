import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from darts_perturb import search, space

SPACE = space.get("nas_bench_201")
ALPHA_STEP, WEIGHT_STEP = True, False


def test_op_weights_are_softmax_until_decided():
    alpha = jnp.arange(30.0).reshape(6, 5) / 7
    choice = jnp.full(6, search.UNDECIDED).at[2].set(4)
    weights = np.asarray(search.op_weights(alpha, choice))
    np.testing.assert_array_equal(weights[2], [0, 0, 0, 0, 1])
    expected = np.exp(alpha) / np.exp(alpha).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(np.delete(weights, 2, axis=0), np.delete(expected, 2, axis=0), atol=1e-6)


def test_batches_take_every_row_once_before_any_twice():
    rows = jnp.arange(10, 22)
    index = np.asarray(search.batches(jax.random.key(0), rows, batch_size=4, num_steps=7))
    assert index.shape == (7, 4)
    for epoch in (index[:3], index[3:6]):
        assert sorted(epoch.ravel()) == list(range(10, 22))
    assert not np.array_equal(index[:3], index[3:6])
    with pytest.raises(ValueError, match="batch_size=13 is larger than the 12 images"):
        search.batches(jax.random.key(0), rows, batch_size=13, num_steps=1)


def test_a_bilevel_plan_alternates_halves_and_follows_the_cosine():
    weight_rows, alpha_rows = search.halves(41)
    assert len(weight_rows) == len(alpha_rows) == 20
    options = {"batch_size": 5, "num_steps": 8, "learning_rate": 0.2, "final_learning_rate": 0.1}
    plan = search.bilevel_plan(jax.random.key(0), weight_rows, alpha_rows, **options)
    np.testing.assert_array_equal(plan.for_alpha, [True, False] * 8)
    assert (np.asarray(plan.index[0::2]) >= 20).all()
    assert (np.asarray(plan.index[1::2]) < 20).all()
    expected = 0.1 + 0.05 * (1 + np.cos(np.pi * np.arange(8) / 8))
    np.testing.assert_allclose(plan.learning_rate[1::2], expected, rtol=1e-6)


def toy_state():
    params = {"w": jnp.asarray([3.0, -4.0]), "v": jnp.asarray([[2.0]])}
    alpha = jnp.asarray([[0.5, -1.0]])
    moments = optax.scale_by_adam().init(alpha)
    return search.State(params, jax.tree.map(jnp.zeros_like, params), alpha, moments, jnp.asarray([-1]))


def test_the_weight_step_clips_then_decays_then_adds_momentum():
    settings = search.Settings(momentum=0.9, weight_decay=0.1, clip=1.0)
    gradient = {"w": np.array([6.0, 0.0]), "v": np.array([[8.0]])}
    weights = {"w": np.array([3.0, -4.0]), "v": np.array([[2.0]])}
    momentum = {"w": np.zeros(2), "v": np.zeros((1, 1))}
    state = toy_state()
    for _ in range(3):
        state = search._move_weights(state, jax.tree.map(jnp.float32, gradient), 0.5, settings)
        for name in weights:
            momentum[name] = 0.9 * momentum[name] + gradient[name] / 10.0 + 0.1 * weights[name]
            weights[name] = weights[name] - 0.5 * momentum[name]
    for name, value in weights.items():
        np.testing.assert_allclose(state.params[name], value, rtol=1e-5)
    np.testing.assert_array_equal(state.alpha, toy_state().alpha)


def test_the_alpha_step_is_adam_with_the_published_betas():
    settings = search.Settings(alpha_learning_rate=0.1, alpha_weight_decay=0.01)
    state, alpha, m, v = toy_state(), np.array([[0.5, -1.0]]), 0.0, 0.0
    for t in range(1, 4):
        gradient = np.array([[1.0, -2.0]]) / t
        state = search._move_alpha(state, jnp.float32(gradient), settings)
        total = gradient + 0.01 * alpha
        m, v = 0.5 * m + 0.5 * total, 0.999 * v + 0.001 * total**2
        alpha = alpha - 0.1 * (m / (1 - 0.5**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    np.testing.assert_allclose(state.alpha, alpha, rtol=1e-4)
    np.testing.assert_array_equal(state.params["w"], toy_state().params["w"])


@pytest.fixture(scope="module")
def case():
    """Returns (state, x, y, run): three classes told apart by their brightness, and four half-steps in one program."""
    y = jnp.arange(48) % 3
    x = (y - 1.0)[:, None, None, None] * jnp.linspace(-1, 1, 4)[None, :, None, None] * jnp.ones((48, 4, 4, 1))
    x = x + 0.1 * jax.random.normal(jax.random.key(7), x.shape)
    state = search.init(jax.random.key(0), SPACE, channels=2, layers=1, num_classes=3)
    compiled = jax.jit(functools.partial(search.steps, space=SPACE, shift=1))

    def run(state, for_alpha, settings=None, start=0, rate=0.05):
        index = jnp.arange(start * 12, start * 12 + 48).reshape(4, 12) % 48
        plan = search.Plan(index, jnp.asarray(for_alpha), jnp.full(4, rate))
        return compiled(jax.random.key(1), state, x, y, plan, settings or search.Settings(), start)

    return state, run


def same(one, other):
    return jax.tree.all(jax.tree.map(lambda a, b: np.array_equal(a, b), one, other))


def test_fixed_alpha_never_moves_and_alpha_steps_leave_the_weights(case):
    state, run = case
    fixed, info = run(state, [WEIGHT_STEP] * 4)
    assert same((fixed.alpha, fixed.alpha_moments), (state.alpha, state.alpha_moments))
    assert not same(fixed.params, state.params)
    assert info["loss"].shape == info["accuracy"].shape == (4,)
    only_alpha, _ = run(state, [ALPHA_STEP] * 4)
    assert same((only_alpha.params, only_alpha.momentum), (state.params, state.momentum))
    assert not same(only_alpha.alpha, state.alpha)
    both, _ = run(state, [ALPHA_STEP, WEIGHT_STEP] * 2)
    assert not same(both.params, state.params)
    assert not same(both.alpha, state.alpha)


def test_steps_are_reproducible_and_draw_by_their_number(case):
    state, run = case
    first, _ = run(state, [ALPHA_STEP, WEIGHT_STEP] * 2)
    again, _ = run(state, [ALPHA_STEP, WEIGHT_STEP] * 2)
    assert same(first, again)
    # four steps further the same images come in the same order, moved differently
    later, _ = run(state, [ALPHA_STEP, WEIGHT_STEP] * 2, start=4)
    assert not same(first.params, later.params)


def test_the_search_learns(case):
    state, run = case
    for call in range(30):
        state, info = run(state, [ALPHA_STEP, WEIGHT_STEP] * 2, start=4 * call)
    assert info["accuracy"].mean() > 0.8


def test_operations_not_chosen_get_no_gradient(case):
    state, run = case
    state = state._replace(choice=jnp.asarray([3, 1, 0, 2, 1, 4], jnp.int32))
    trained, _ = run(state, [WEIGHT_STEP] * 4, search.Settings(weight_decay=0.0))
    before, after = state.params["stage_0"], trained.params["stage_0"]
    moved = {
        name: [
            not same(a, b)
            for a, b in zip(*(np.split(tree[name]["conv"]["kernel"], n, axis=-1) for tree in (before, after)))
        ]
        for name, n in (("from_0_nor_conv_3x3", 3), ("from_0_nor_conv_1x1", 3), ("from_2_nor_conv_3x3", 1))
    }
    assert moved == {
        "from_0_nor_conv_3x3": [True, False, False],
        "from_0_nor_conv_1x1": [False, False, True],
        "from_2_nor_conv_3x3": [False],
    }
