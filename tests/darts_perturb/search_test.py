import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from darts_perturb import search
from darts_perturb import space as spaces
from darts_perturb.training import sdarts, updates
from tests.darts_perturb import tiny

SPACE = tiny.STAGES_SPACE
ALPHA_STEP, WEIGHT_STEP = True, False


@pytest.fixture(scope="module")
def images():
    """Returns (x, y): three classes told apart by their brightness."""
    y = jnp.arange(48) % 3
    x = (y - 1.0)[:, None, None, None] * jnp.linspace(-1, 1, 4)[None, :, None, None] * jnp.ones((48, 4, 4, 1))
    return x + 0.1 * jax.random.normal(jax.random.key(7), x.shape), y


@pytest.fixture(scope="module")
def state():
    return jax.jit(functools.partial(search.init, space=SPACE, channels=2, layers=1, num_classes=3))(jax.random.key(0))


@pytest.fixture(scope="module")
def run(images):
    """Returns a function that runs four half-steps; one program for every list of them."""
    compiled = jax.jit(functools.partial(search.steps, space=SPACE, shift=1, trajectory=True))

    def run(state, for_alpha, settings=None, start=0, rate=0.05):
        index = jnp.arange(start * 12, start * 12 + 48).reshape(4, 12) % 48
        plan = search.Plan(index, jnp.asarray(for_alpha), jnp.full(4, rate))
        return compiled(jax.random.key(1), state, *images, plan, settings or search.Settings(), start)

    return run


def same(one, other):
    return jax.tree.all(jax.tree.map(lambda a, b: np.array_equal(a, b), one, other))


def test_fixed_alpha_never_moves_and_alpha_steps_leave_the_weights(state, run):
    fixed, info = run(state, [WEIGHT_STEP] * 4)
    assert same((fixed.alpha, fixed.alpha_moments), (state.alpha, state.alpha_moments))
    assert not same(fixed.params, state.params)
    assert info["loss"].shape == info["accuracy"].shape == (4,)
    only_alpha, info = run(state, [ALPHA_STEP] * 4)
    assert same((only_alpha.params, only_alpha.momentum), (state.params, state.momentum))
    assert not same(only_alpha.alpha, state.alpha)
    assert info["alpha"].shape == (4, 3, 3)
    np.testing.assert_array_equal(info["alpha"][0], state.alpha)
    both, _ = run(state, [ALPHA_STEP, WEIGHT_STEP] * 2)
    assert not same(both.params, state.params)
    assert not same(both.alpha, state.alpha)


def test_steps_are_reproducible_and_draw_by_their_number(state, run):
    first, _ = run(state, [ALPHA_STEP, WEIGHT_STEP] * 2)
    again, _ = run(state, [ALPHA_STEP, WEIGHT_STEP] * 2)
    assert same(first, again)
    # four steps further the same images come in the same order, moved differently
    later, _ = run(state, [ALPHA_STEP, WEIGHT_STEP] * 2, start=4)
    assert not same(first.params, later.params)


def test_the_search_learns(state, run):
    for call in range(30):
        state, info = run(state, [ALPHA_STEP, WEIGHT_STEP] * 2, start=4 * call)
    assert info["accuracy"].mean() > 0.8


def test_operations_not_chosen_get_no_gradient(state, run):
    state = state._replace(choice=jnp.asarray([2, 1, 2], jnp.int32))
    trained, _ = run(state, [WEIGHT_STEP] * 4, search.Settings(weight_decay=0.0))
    before, after = state.params["stage_0"], trained.params["stage_0"]
    kernels = [tree["from_0_nor_conv_1x1"]["conv"]["kernel"] for tree in (before, after)]
    moved = [not same(*pair) for pair in zip(*(np.split(kernel, 2, axis=-1) for kernel in kernels))]
    assert moved == [True, False]


def toy_apply(params, weights, x, **_):
    """Returns logits of a network that compiles at once, in place of the supernet."""
    pixels = x.reshape(len(x), -1)
    mixed = weights[0, 1] * jnp.tanh(pixels @ params["a"]) + weights[0, 2] * (pixels @ params["b"])
    return weights[1, 1] * mixed + weights[1, 2] * jnp.sin(3 * mixed) + weights[2, 0] * mixed**2


@pytest.fixture
def toy(monkeypatch, state):
    """Returns a state whose supernet is `toy_apply`."""
    monkeypatch.setattr(search.supernet, "apply", toy_apply)
    params = {name: jnp.asarray(np.random.default_rng(3).normal(size=(16, 3)) / 8, jnp.float32) for name in "ab"}
    return state._replace(params=params, momentum=jax.tree.map(jnp.zeros_like, params))


def toy_loss(params, weights, x, y):
    logits = toy_apply(params, weights, x)
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], axis=1).mean()


@pytest.mark.parametrize("method", ["first_order", "sdarts_rs", "sdarts_adv"])
def test_a_search_is_the_plain_loop_over_its_half_steps(images, toy, method):
    x, y = images
    index = jnp.arange(48).reshape(6, 8)
    epsilon, rates = jnp.linspace(0.1, 0.3, 6), jnp.linspace(0.1, 0.05, 6)
    plan = search.Plan(index, jnp.asarray([True, False] * 3), rates, epsilon)
    settings = search.Settings(alpha_learning_rate=0.1)
    compiled = jax.jit(functools.partial(search.steps, space=SPACE, method=method, augment=lambda key, x: 2 * x))
    found, info = compiled(jax.random.key(1), toy, x, y, plan, settings)
    state = toy
    for number in range(6):
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(1), number), 2)
        batch = 2 * x[index[number]], y[index[number]]
        if number % 2 == 0:
            state, loss = alpha_step(state, batch, settings)
        else:
            state, loss = smooth_weight_step(key, state, batch, epsilon[number], rates[number], settings, method)
        np.testing.assert_allclose(info["loss"][number], loss, atol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), found, state)


def alpha_step(state, batch, settings):
    loss, gradient = jax.value_and_grad(lambda alpha: toy_loss(state.params, jax.nn.softmax(alpha), *batch))(
        state.alpha
    )
    return updates.move_alpha(state, gradient, settings), loss


def smooth_weight_step(key, state, batch, epsilon, rate, settings, method):
    weights, free = jax.nn.softmax(state.alpha), jnp.ones(3, bool)
    if method == "sdarts_rs":
        weights = sdarts.uniform(key, weights, epsilon, free=free)
    elif method == "sdarts_adv":
        weights = sdarts.adversarial(
            key, weights, epsilon, lambda weights: toy_loss(state.params, weights, *batch), free=free
        )
    weights = weights / weights.sum(axis=1, keepdims=True)
    loss, gradient = jax.value_and_grad(toy_loss)(state.params, weights, *batch)
    return updates.move_weights(state, gradient, rate, settings), loss


def test_second_order_steps_go_by_pairs_of_the_plan(images, toy):
    x, y = images
    index = jnp.arange(48).reshape(6, 8)
    rates = jnp.repeat(jnp.asarray([0.1, 0.08, 0.05]), 2)
    plan = search.Plan(index, jnp.asarray([True, False] * 3), rates)
    settings = search.Settings(alpha_learning_rate=0.1)
    compiled = jax.jit(functools.partial(search.steps, space=SPACE, method="second_order", trajectory=True))
    found, info = compiled(jax.random.key(1), toy, x, y, plan, settings)
    state = toy
    for number in range(0, 6, 2):
        alpha_batch, batch = ((x[index[i]], y[index[i]]) for i in (number, number + 1))
        np.testing.assert_allclose(info["alpha"][number : number + 2], [state.alpha] * 2, atol=2e-4)
        state, loss = second_order_step(state, alpha_batch, batch, rates[number], settings)
        np.testing.assert_allclose(info["loss"][number], loss, atol=1e-4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-4), found, state)


def second_order_step(state, alpha_batch, batch, rate, settings):
    """Returns the state after a step of alpha by autodiff through the unrolled step, and one of the weights."""

    def unrolled(alpha):
        gradient = jax.grad(toy_loss)(state.params, jax.nn.softmax(alpha), *batch)
        ahead = jax.tree.map(
            lambda w, m, g: w - rate * (0.9 * m + g + 3e-4 * w), state.params, state.momentum, gradient
        )
        return toy_loss(ahead, jax.nn.softmax(alpha), *alpha_batch)

    loss, gradient = jax.value_and_grad(unrolled)(state.alpha)
    state = updates.move_alpha(state, gradient, settings)
    gradient = jax.grad(toy_loss)(state.params, jax.nn.softmax(state.alpha), *batch)
    return updates.move_weights(state, gradient, rate, settings), loss


def test_calls_of_tune_are_one_training(images, toy):

    def blur(key, x):
        return x + jax.random.normal(key, x.shape)

    options = {"batch_size": 4, "num_steps": 4, "learning_rate": 0.01, "space": SPACE, "augment": blur}
    parts = search.Images(*images, jnp.arange(20), jnp.arange(20, 40))
    halved = jax.jit(functools.partial(search.tune, num_calls=2, **options))
    key, settings = jax.random.key(5), search.Settings()
    part, _ = halved(key, toy, parts, 0, settings)
    part, _ = halved(key, part, parts, 1, settings)
    whole, info = jax.jit(functools.partial(search.tune, **options))(key, toy, parts, 0, settings)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), part, whole)
    assert set(info) == {"loss", "accuracy"}
    assert not same(whole.alpha, toy.alpha)
    fixed, _ = jax.jit(functools.partial(search.tune, train_alpha=False, **options))(key, toy, parts, 0, settings)
    assert same(fixed.alpha, toy.alpha)
    assert not same(fixed.params, toy.params)
    with pytest.raises(ValueError, match="num_steps=4 do not divide into num_calls=3"):
        search.tune(key, toy, parts, 0, settings, num_calls=3, **options)
    with pytest.raises(ValueError, match="batch_size=21 is larger than the 20 images"):
        search.tune(key, toy, parts, 0, settings, **{**options, "batch_size": 21})


def test_watch_against_numpy():
    space = tiny.CELLS_SPACE
    rng = np.random.default_rng(0)
    alpha = {name: jnp.asarray(rng.normal(size=(5, 2)), jnp.float32) for name in ("normal", "reduce")}
    choice = {"normal": jnp.asarray([-1, 1, -1, -2, 0]), "reduce": jnp.asarray([-1, -1, 0, 1, -1])}
    found = search.watch(alpha, choice, space)
    rows = np.concatenate([alpha["normal"], alpha["reduce"]]).astype(np.float64)
    p = np.exp(rows) / np.exp(rows).sum(axis=1, keepdims=True)
    free = [0, 2, 5, 6, 9]
    assert found["entropy"] == pytest.approx(-(p * np.log(p)).sum(axis=1)[free].mean(), abs=1e-5)
    # rows with a skip that are not dropped: 0, 1, 4, 5, 6, 7, 8
    assert found["skip_share"] == pytest.approx((p[0, 1] + 1 + 0 + p[5, 1] + p[6, 1] + 0 + 1) / 7, abs=1e-5)
    all_decided = jax.tree.map(lambda leaf: jnp.zeros_like(leaf), choice)
    assert search.watch(alpha, all_decided, space)["entropy"] == 0.0


def test_bad_input_is_one_line(images, state):
    plan = search.Plan(jnp.zeros((3, 2), jnp.int32), jnp.asarray([True, False, True]), jnp.ones(3))
    args = jax.random.key(0), state, *images, plan, search.Settings()
    with pytest.raises(ValueError, match="unknown method 'third_order'; known: first_order, second_order"):
        search.steps(*args, space=SPACE, method="third_order")
    with pytest.raises(ValueError, match="second_order: 3 half-steps"):
        search.steps(*args, space=SPACE, method="second_order")
    with pytest.raises(ValueError, match="the plan has no epsilon"):
        search.steps(*args, space=SPACE, method="sdarts_rs")
    with pytest.raises(ValueError, match=r"weights of shape \(3, 3\): nas_bench_201 has op weights of shape"):
        search.steps(*args, space=spaces.NAS_BENCH_201)
    search.check_finite({"loss": np.ones(3)})
    with pytest.raises(ValueError, match="half-step 12: the loss is nan"):
        search.check_finite({"loss": np.asarray([1.0, 2.0, np.nan])}, start=10)
