import jax
import jax.numpy as jnp
import numpy as np
import pytest

from darts_perturb import search
from darts_perturb.analysis import unrolled

LAYERS = 3
ORDER = np.tile(np.arange(LAYERS), (3, 1))
KEEP = np.ones((3, LAYERS), bool)
IMAGES = np.random.default_rng(0).standard_normal((4, 8, 8, 1)).astype(np.float32)
apply = jax.jit(unrolled.apply, static_argnames="by_batch")


def drawn(kind):
    """Returns (parameters, running statistics) of a net, none of them as it is initialised."""
    rng = np.random.default_rng(1)
    shapes = jax.eval_shape(
        lambda: unrolled.init(jax.random.key(0), kind=kind, channels=2, layers=LAYERS, num_classes=5)
    )

    def leaf(path, shape):
        value = rng.standard_normal(shape.shape).astype(np.float32)
        return 0.5 + value**2 if path[-1].key == "variance" else 0.5 * value

    return tuple(jax.tree.map_with_path(leaf, part) for part in shapes[:2])


@pytest.fixture(scope="module", params=unrolled.KINDS)
def net(request):
    return request.param, *drawn(request.param)


def conv(x, kernel, stride=1):
    """Returns the convolution of [C, H, W, B] in numpy, one product a tap."""
    size = kernel.shape[0]
    padded = np.pad(x, ((0, 0), (size // 2,) * 2, (size // 2,) * 2, (0, 0)))
    height, width = x.shape[1:3]
    taps = [
        np.tensordot(kernel[i, j].T, padded[:, i : i + height : stride, j : j + width : stride], axes=1)
        for i in range(size)
        for j in range(size)
    ]
    return sum(taps)


def normalised(x, params, stats, layer=...):
    scale, bias, mean, variance = (
        np.asarray(part[name], np.float64)[layer][:, None, None, None]
        for part, name in ((params, "scale"), (params, "bias"), (stats, "mean"), (stats, "variance"))
    )
    return (x - mean) / np.sqrt(variance + 1e-5) * scale + bias


def by_hand(kind, params, stats, order, keep):
    """Returns the logits by the formulas of the module's docstring, layer by layer, in float64."""
    relu = lambda x: np.maximum(x, 0)  # noqa: E731
    x = np.repeat(IMAGES, 3, axis=3).transpose(3, 1, 2, 0).astype(np.float64)
    for stage in range(3):
        x = conv(x, np.asarray(params[f"enter_{stage}"]["kernel"]), 2 if stage else 1)
        x = relu(normalised(x, params[f"enter_norm_{stage}"], stats[f"enter_norm_{stage}"]))
        own, its = params[f"stage_{stage}"], stats[f"stage_{stage}"]
        for place, layer in enumerate(order[stage]):
            if not keep[stage, place]:
                continue
            out = x
            for name in "ab" if kind == "residual" else "b":
                out = conv(out, np.asarray(own[f"conv_{name}"]["kernel"])[layer])
                out = normalised(out, own[f"norm_{name}"], its[f"norm_{name}"], layer)
                out = relu(out) if name == "a" else out
            x = relu(x + out) if kind == "residual" else relu(out)
    return x.mean((1, 2)).T @ np.asarray(params["classifier_kernel"]) + np.asarray(params["classifier_bias"])


def test_exchanged_and_left_out_layers_are_those_of_a_net_by_hand(net):
    kind, params, stats = net
    swapped, holes = ORDER.copy(), KEEP.copy()
    swapped[0], swapped[2] = [2, 1, 0], [0, 2, 1]
    holes[1, 0] = holes[2, 2] = False
    logits = {}
    for name, (order, keep) in {"whole": (ORDER, KEEP), "swap": (swapped, KEEP), "both": (swapped, holes)}.items():
        logits[name], _, after = apply(params, stats, IMAGES, order, keep)
        np.testing.assert_allclose(logits[name], by_hand(kind, params, stats, order, keep), rtol=2e-4, atol=2e-4)
    assert np.abs(logits["whole"] - logits["swap"]).max() > 1e-2
    jax.tree.map(np.testing.assert_array_equal, after, unrolled.reordered(stats, swapped))


def test_two_layers_that_are_alike_may_change_places(net):
    _, params, stats = net

    def twinned(tree):
        def twin(leaf):
            return np.concatenate([leaf[:2], leaf[:1]])

        return {**tree, "stage_1": jax.tree.map(twin, tree["stage_1"])}

    params, stats = twinned(params), twinned(stats)
    swapped = ORDER.copy()
    swapped[1] = [2, 1, 0]
    whole, other = (apply(params, stats, IMAGES, order, KEEP)[0] for order in (ORDER, swapped))
    np.testing.assert_array_equal(whole, other)


def test_what_every_layer_gives_and_normalisation_by_the_batch(net):
    _, params, stats = net
    logits, given, _ = apply(params, stats, IMAGES, ORDER, KEEP)
    assert [stage.shape for stage in given] == [(3, 2, 8, 8, 4), (3, 4, 4, 4, 4), (3, 8, 2, 2, 4)]
    features = np.asarray(given[2][-1]).mean((1, 2))
    expected = features.T @ params["classifier_kernel"] + params["classifier_bias"]
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)
    by_batch, _, after = apply(params, stats, IMAGES, ORDER, KEEP, by_batch=True)
    other = jax.tree.map(lambda leaf: leaf + 1.0, stats)
    np.testing.assert_array_equal(by_batch, apply(params, other, IMAGES, ORDER, KEEP, by_batch=True)[0])
    moved = np.asarray(after["enter_norm_0"]["mean"]) - stats["enter_norm_0"]["mean"]
    assert np.abs(moved).max() > 0


def test_training_lowers_the_loss_and_a_step_is_sgd_with_momentum():
    state = unrolled.init(jax.random.key(0), kind="plain", channels=2, layers=1, num_classes=2)
    x = jnp.asarray(np.random.default_rng(2).standard_normal((32, 8, 8, 1)), jnp.float32)
    y = (x.mean((1, 2, 3)) > 0).astype(jnp.int32)
    recipe = {"batch_size": 16, "num_steps": 60, "learning_rate": 0.1, "final_learning_rate": 0.0}
    plan = search.weight_plan(jax.random.key(1), jnp.arange(32), **recipe)
    steps = jax.jit(unrolled.steps)
    end, info = steps(jax.random.key(2), state, x, y, plan)
    assert info["loss"][-10:].mean() < 0.5 * info["loss"][:5].mean()
    still, _ = steps(jax.random.key(2), state, x, y, plan._replace(learning_rate=0 * plan.learning_rate))
    jax.tree.map(np.testing.assert_array_equal, still.params, state.params)
    assert any(jax.tree.leaves(jax.tree.map(lambda a, b: bool((a != b).any()), end.stats, state.stats)))


def test_an_unknown_kind_is_named():
    with pytest.raises(ValueError, match="unknown kind of network 'vgg'; known: plain, residual"):
        unrolled.init(jax.random.key(0), kind="vgg", channels=2, layers=1, num_classes=2)


def test_exchanges_are_all_where_there_are_few_and_else_different_ones():
    rng = np.random.default_rng(0)
    every = unrolled.exchanges(rng, [3, 2], 10)
    assert every == [[(0, 1), (0, 1)], [(0, 2), (0, 1)], [(1, 2), (0, 1)]]
    some = unrolled.exchanges(rng, [4, 4, 4], 20)
    assert len({tuple(pairs) for pairs in some}) == 20
    assert all(0 <= i < j < 4 for pairs in some for i, j in pairs)
    assert unrolled.exchanges(rng, [[(1, 5)], [(0, 2), (0, 3)]], 5) == [[(1, 5), (0, 2)], [(1, 5), (0, 3)]]
    with pytest.raises(ValueError, match="row 1 has no two places to exchange"):
        unrolled.exchanges(rng, [3, 1], 5)


def test_agreement_by_hand():
    rng = np.random.default_rng(3)
    m = rng.standard_normal((2, 3, 3, 4))
    outputs = [m + 5.0, m - 3.0, m]
    cosines, distances = unrolled.agreement(outputs)
    # what is the same but for the mean of a channel agrees
    np.testing.assert_allclose(cosines, 1.0, rtol=1e-12)
    np.testing.assert_allclose(distances, 0.0, atol=1e-12)
    noise = rng.standard_normal((3, 8, 10, 10, 20))
    cosines, distances = unrolled.agreement(noise)
    np.testing.assert_allclose(cosines, 0.0, atol=0.03)
    # own norm 1, that of the mean of two others 1 / sqrt 2
    np.testing.assert_allclose(distances, np.sqrt(3), rtol=0.03)
    np.testing.assert_array_equal(unrolled.agreement(np.zeros((2, 1, 2, 2, 2)))[0], 0.0)
