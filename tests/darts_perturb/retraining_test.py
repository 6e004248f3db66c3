import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from darts_perturb import data, genotype, retraining, search
from darts_perturb.networks import darts

CELL = genotype.parse("|nor_conv_3x3~0|+|none~0|skip_connect~1|+|nor_conv_1x1~0|nor_conv_3x3~1|avg_pool_3x3~2|")
# the least to compile
POOLS = genotype.parse(
    "Genotype(normal=[('skip_connect', 0), ('skip_connect', 1), ('skip_connect', 0), ('dil_conv_3x3', 2), "
    "('skip_connect', 0), ('skip_connect', 1), ('skip_connect', 0), ('skip_connect', 1)], normal_concat=[2, 3], "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), "
    "('skip_connect', 3), ('skip_connect', 2), ('skip_connect', 3)], reduce_concat=[2, 3])"
)
SIZES = {"channels": 4, "layers": 3, "num_classes": 10}
NETWORK = {"genotype": POOLS, "layers": 3}


def toy_state():
    params, choice = {"w": jnp.zeros(2), "v": jnp.zeros((1, 3))}, jnp.full(6, search.UNDECIDED, jnp.int32)
    return search.State(params, params, jnp.zeros((6, 5)), (), choice)


def network_state(cell=POOLS, **options):
    return jax.jit(functools.partial(retraining.init_network, genotype=cell, **SIZES | options))(jax.random.key(0))


@functools.cache
def digits():
    """Returns (x, y) of 96 digits."""
    dataset = data.digits(0)
    return jnp.asarray(dataset.x_train[:96]), jnp.asarray(dataset.y_train[:96])


def assert_trees_close(found, wanted, **tolerance):
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted)):
        np.testing.assert_allclose(one, other, **tolerance)


def test_a_cell_in_training_has_every_edge_decided():
    cell = retraining.init(toy_state(), CELL)
    np.testing.assert_array_equal(search.op_weights(cell.search.alpha, cell.search.choice), genotype.to_weights(CELL))
    assert cell.best_params is cell.search.params


def test_the_first_epoch_with_the_best_validation_accuracy_is_kept():
    cell = retraining.init(toy_state(), CELL)
    for epoch, accuracy in enumerate([0.2, 0.7, 0.7, 0.4], start=1):
        params = jax.tree.map(lambda leaf, epoch=epoch: jnp.full_like(leaf, epoch), cell.search.params)
        cell = retraining.keep_best(cell._replace(search=cell.search._replace(params=params)), accuracy, epoch)
    assert int(cell.best_epoch) == 2
    np.testing.assert_allclose(cell.best_accuracy, 0.7)
    assert all((leaf == 2).all() for leaf in jax.tree.leaves(cell.best_params))
    assert all((leaf == 4).all() for leaf in jax.tree.leaves(cell.search.params))


def test_of_a_network_the_statistics_of_the_best_epoch_are_kept_too():
    params, stats, zero = {"w": jnp.zeros((1, 3))}, {"mean": jnp.zeros(2)}, jnp.zeros((), jnp.int32)
    state = retraining.NetworkState(params, stats, params, params, stats, jnp.float32(-1.0), zero)
    for epoch, accuracy in enumerate([0.0, 0.6, 0.5, 0.6], start=1):
        params, stats = (jax.tree.map(lambda leaf, e=epoch: jnp.full_like(leaf, e), tree) for tree in (params, stats))
        state = retraining.keep_best(state._replace(params=params, stats=stats), accuracy, epoch)
    assert int(state.best_epoch) == 2
    np.testing.assert_allclose(state.best_accuracy, 0.6)
    assert all((leaf == 2).all() for leaf in jax.tree.leaves((state.best_params, state.best_stats)))
    assert all((leaf == 4).all() for leaf in jax.tree.leaves((state.params, state.stats)))
    assert (state.momentum["w"] == 0).all()


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("clip", [1.0, np.inf])
def test_updates_are_those_of_clipped_sgd_with_decay_and_momentum(nesterov, clip):
    rng = np.random.default_rng(0)
    params = {"a": rng.normal(size=3), "b": rng.normal(size=(2, 2))}
    # the first is shorter than the clip
    gradients = [jax.tree.map(lambda leaf, s=s: s * rng.normal(size=leaf.shape), params) for s in (0.1, 3.0, 1.0)]
    recipe = retraining.Recipe(momentum=0.8, weight_decay=0.05, clip=clip)

    wanted, momentum = dict(params), {name: np.zeros_like(leaf) for name, leaf in params.items()}
    for rate, gradient in zip((0.3, 0.2, 0.1), gradients):
        norm = np.sqrt(sum((leaf**2).sum() for leaf in gradient.values()))
        for name in wanted:
            g = gradient[name] * min(1.0, clip / norm) + 0.05 * wanted[name]
            momentum[name] = 0.8 * momentum[name] + g
            wanted[name] = wanted[name] - rate * (g + 0.8 * momentum[name] if nesterov else momentum[name])

    to_device = functools.partial(jax.tree.map, lambda leaf: jnp.asarray(leaf, jnp.float32))
    found, kept = to_device(params), to_device(jax.tree.map(np.zeros_like, params))
    step = jax.jit(functools.partial(retraining.sgd, nesterov=nesterov))
    for rate, gradient in zip((0.3, 0.2, 0.1), gradients):
        found, kept = step(found, kept, to_device(gradient), rate, recipe)
    assert_trees_close(found, wanted, rtol=1e-5, atol=1e-6)
    assert_trees_close(kept, momentum, rtol=1e-5, atol=1e-6)


def test_a_plan_changes_its_rates_once_an_epoch_and_shows_every_image_once():
    plan = retraining.plan(jax.random.key(0), 23, batch_size=5, epochs=3, learning_rate=0.4, drop_path=0.3)
    # 4 batches an epoch, 3 images left over; cosine at 0, 1/3 and 2/3 of the way
    np.testing.assert_allclose(plan.learning_rate, np.repeat([0.4, 0.3, 0.1], 4), rtol=1e-6)
    np.testing.assert_allclose(plan.drop_path, np.repeat([0.0, 0.1, 0.2], 4), rtol=1e-6)
    epochs = plan.index.reshape(3, 20)
    assert all(len(set(epoch.tolist())) == 20 and epoch.max() < 23 for epoch in epochs)
    assert epochs[0].tolist() != epochs[1].tolist()


def test_a_learning_rate_may_end_above_zero_and_a_plan_may_be_without_drop_path():
    plan = retraining.plan(
        jax.random.key(0), 4, batch_size=4, epochs=2, learning_rate=0.3, final_learning_rate=0.1, drop_path=None
    )
    np.testing.assert_allclose(plan.learning_rate, [0.3, 0.2], rtol=1e-6)
    assert plan.drop_path is None


def test_evaluation_counts_every_image_once_whatever_the_batch():
    x, y = digits()
    x, state = x[:23], network_state()
    apply = jax.jit(functools.partial(darts.apply, **NETWORK), static_argnames="train")
    stats = state.stats
    for _ in range(20):  # until they are about those of these images
        stats = apply(state.params, stats, x, train=True).stats
    found = np.asarray(apply(state.params, stats, x).logits.argmax(axis=1))
    assert len(set(found.tolist())) > 1
    # 8 of 23 wrong, one of them in a batch that is not full
    y = jnp.asarray(np.where(np.arange(23) % 3 == 0, (found + 1) % 10, found))
    for size in (5, 40):
        count = jax.jit(functools.partial(retraining.evaluate, batch_size=size, **NETWORK))(state.params, stats, x, y)
        assert int(count) == 23 - 8


def test_steps_are_updates_by_the_gradients_of_their_batches_also_when_they_go_on_from_a_later_one():
    x, y = digits()
    state, recipe, key = network_state(), retraining.Recipe(clip=0.5), jax.random.key(2)
    plan = retraining.plan(jax.random.key(1), len(y), batch_size=16, epochs=1, learning_rate=0.1, drop_path=0.4)
    plan = plan._replace(drop_path=jnp.linspace(0.1, 0.4, 6))
    augmentation = {"shift": 1, "flip": True, "cutout": 2, "fill": (-1.0,)}
    steps = jax.jit(functools.partial(retraining.steps, nesterov=True, **augmentation, **NETWORK))

    @jax.jit
    def by_hand(state, number):
        rows, rate, drop_path = plan.index[number], plan.learning_rate[number], plan.drop_path[number]
        augment_key, network_key = jax.random.split(jax.random.fold_in(key, number))
        images = data.augment(augment_key, x[rows], **augmentation)

        def loss_fn(params):
            options = {"train": True, "key": network_key, "drop_path": drop_path, **NETWORK}
            out = darts.apply(params, state.stats, images, **options)
            return optax.softmax_cross_entropy_with_integer_labels(out.logits, y[rows]).mean(), out

        (loss, out), gradient = jax.value_and_grad(loss_fn, has_aux=True)(state.params)
        params, momentum = retraining.sgd(state.params, state.momentum, gradient, rate, recipe, nesterov=True)
        accuracy = (out.logits.argmax(axis=1) == y[rows]).mean()
        return state._replace(params=params, momentum=momentum, stats=out.stats), {"loss": loss, "accuracy": accuracy}

    wanted = state
    for start in (0, 2, 4):
        part = jax.tree.map(lambda leaf, start=start: leaf[start : start + 2], plan)
        state, info = steps(key, state, x, y, part, recipe, start)
        for number in range(start, start + 2):
            wanted, wanted_info = by_hand(wanted, number)
            for name in ("loss", "accuracy"):
                np.testing.assert_allclose(info[name][number - start], wanted_info[name], rtol=1e-4)
    assert_trees_close(state, wanted, atol=1e-4)


def test_a_darts_cell_learns_digits_with_drop_path():
    x, y = digits()
    plan = retraining.plan(jax.random.key(1), len(y), batch_size=32, epochs=30, learning_rate=0.1, drop_path=0.2)
    steps = jax.jit(functools.partial(retraining.steps, **NETWORK))
    state, info = steps(jax.random.key(2), network_state(), x, y, plan, retraining.Recipe())
    assert info["loss"][:3].mean() > 2 > 1 > info["loss"][-3:].mean()
    assert info["accuracy"][-3:].mean() > 0.7
    evaluate = jax.jit(functools.partial(retraining.evaluate, batch_size=40, **NETWORK))
    assert evaluate(state.params, state.stats, x, y) > 80


@pytest.mark.parametrize("dtype", ["float32", pytest.param("bfloat16", marks=pytest.mark.slow)])
def test_a_nas_bench_201_cell_learns_digits(dtype):
    x, y = digits()
    plan = retraining.plan(jax.random.key(1), len(y), batch_size=32, epochs=20, learning_rate=0.1)
    options = {"genotype": CELL, "layers": 1, "dtype": dtype}
    steps = jax.jit(functools.partial(retraining.steps, nesterov=True, **options))
    state, info = steps(jax.random.key(2), network_state(CELL, layers=1), x, y, plan, retraining.Recipe())
    assert info["loss"][0] > 2 > 0.2 > info["loss"][-1]
    assert {leaf.dtype for leaf in jax.tree.leaves((state.params, state.stats))} == {jnp.dtype("float32")}
    evaluate = jax.jit(functools.partial(retraining.evaluate, batch_size=40, **options))
    assert evaluate(state.params, state.stats, x, y) > 90


@pytest.mark.slow
def test_the_auxiliary_loss_and_drop_path_have_their_part_in_a_step():
    x, y = jax.random.normal(jax.random.key(3), (8, 32, 32, 3)), jnp.arange(8)
    state = network_state(channels=2, auxiliary=True)
    plan = retraining.Plan(jnp.arange(8)[None, :], jnp.full(1, 0.1), jnp.full(1, 0.4))
    key, recipe = jax.random.key(4), retraining.Recipe(clip=np.inf, auxiliary=0.7)
    steps = jax.jit(functools.partial(retraining.steps, **NETWORK))
    after, info = steps(key, state, x, y, plan, recipe, 5)
    _, network_key = jax.random.split(jax.random.fold_in(key, 5))

    def loss_fn(params, weight):
        out = darts.apply(params, state.stats, x, train=True, key=network_key, drop_path=0.4, **NETWORK)
        main, extra = (
            optax.softmax_cross_entropy_with_integer_labels(logits, y).mean() for logits in (out.logits, out.auxiliary)
        )
        return main + weight * extra, main

    gradient, main = jax.jit(jax.grad(loss_fn, has_aux=True))(state.params, 0.7)
    np.testing.assert_allclose(info["loss"], [main], rtol=1e-4)
    params, _ = retraining.sgd(state.params, state.momentum, gradient, 0.1, recipe)
    assert_trees_close(after.params, params, atol=1e-4)


def test_what_a_network_does_not_have_is_refused():
    x, y = digits()
    with pytest.raises(ValueError, match="nas_bench_201 cell has no auxiliary classifier"):
        retraining.init_network(jax.random.key(0), CELL, auxiliary=True, **SIZES)
    with pytest.raises(ValueError, match="at least 3 cells"):
        retraining.init_network(jax.random.key(0), POOLS, **SIZES | {"layers": 2})
    with pytest.raises(ValueError, match="batch_size=97 is larger than the 96 images"):
        retraining.plan(jax.random.key(0), len(y), batch_size=97, epochs=1, learning_rate=0.1)
    plan = retraining.plan(jax.random.key(0), len(y), batch_size=96, epochs=1, learning_rate=0.1, drop_path=0.2)
    state = network_state(CELL, layers=1)
    with pytest.raises(ValueError, match="drop_path: the network of a nas_bench_201 cell"):
        retraining.steps(jax.random.key(1), state, x, y, plan, retraining.Recipe(), genotype=CELL, layers=1)
