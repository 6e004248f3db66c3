"""The supernet of the spaces whose cells have two inputs."""

import functools
import os
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from darts_perturb import interop, space, supernet
from darts_perturb.layers import reductions

VECTORS = os.environ.get("VECTORS", "")
IMAGES = jax.random.normal(jax.random.key(1), (3, 8, 8, 3))
# two nodes: the same skeleton at a fraction of the compile time; an edge out of a node stands before one into it
SMALL = space.Space(
    "small",
    ("max_pool_3x3", "skip_connect", "sep_conv_3x3", "noise"),
    ((0, 2), (2, 3), (1, 2)),
    "reductions",
    pool_norm=True,
)


def weights_of(found, seed=0):
    rng = np.random.default_rng(seed)
    return {
        kind: jnp.float32(rng.dirichlet(np.ones(found.weights_shape[1]), found.weights_shape[0]))
        for kind in found.kinds
    }


def test_reductions_stand_at_thirds_of_the_depth():
    kinds = [place.kind for place in reductions.places(16, 8)]
    assert [index for index, kind in enumerate(kinds) if kind == "reduce"] == [2, 5]
    assert [place.channels for place in reductions.places(16, 8)] == [16, 16, 32, 32, 32, 64, 64, 64]
    assert [index for index, place in enumerate(reductions.places(16, 8)) if place.after_reduction] == [3, 6]


@pytest.mark.parametrize("layers", [1, 2, 3, 5, 8, 20])
def test_runs_are_all_cells_in_order(layers):
    runs = reductions.runs(16, layers)
    assert [index for run in runs for index in run] == list(range(layers))
    cells = reductions.places(16, layers)
    assert all(len({(cells[index].kind, cells[index].channels) for index in run}) == 1 for run in runs)


# six layers have normal cells in a row
@pytest.mark.parametrize("layers", [3, pytest.param(6, marks=pytest.mark.slow)])
def test_the_two_forms_of_a_cell_are_one_function(layers):
    params = supernet.init(jax.random.key(0), SMALL, channels=2, layers=layers, num_classes=4)
    weights, key = weights_of(SMALL), jax.random.key(3)

    def value(params, weights, scanned):
        module = reductions.Reductions(SMALL, 2, layers, 4, scanned)
        return jnp.sin(module.apply({"params": params}, weights, IMAGES, key)).sum()

    def outputs(scanned):
        return jax.jit(jax.value_and_grad(functools.partial(value, scanned=scanned), argnums=(0, 1)))(params, weights)

    (one, one_gradients), (other, other_gradients) = outputs(True), outputs(False)
    np.testing.assert_allclose(one, other, atol=1e-5)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-3), one_gradients, other_gradients)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(one_gradients[0]))


def test_noise_is_the_key_s_and_the_same_without_one():
    params = supernet.init(jax.random.key(0), SMALL, channels=2, layers=1, num_classes=4)
    apply = jax.jit(functools.partial(supernet.apply, space=SMALL))
    weights = weights_of(SMALL)
    still, again = apply(params, weights, IMAGES), apply(params, weights, IMAGES)
    np.testing.assert_array_equal(still, again)
    first, second = (apply(params, weights, IMAGES, key=jax.random.key(seed)) for seed in (1, 2))
    assert np.abs(first - second).max() > 1e-4
    silent = jax.tree.map(lambda w: w.at[:, 3].set(0.0), weights)
    np.testing.assert_allclose(
        apply(params, silent, IMAGES, key=jax.random.key(1)),
        apply(params, silent, IMAGES, key=jax.random.key(2)),
        atol=1e-6,
    )


def test_bfloat16_is_near_float32():
    small = space.Space("tiny", ("skip_connect", "sep_conv_3x3"), ((0, 2), (1, 2)), "reductions")
    params = supernet.init(jax.random.key(0), small, channels=4, layers=2, num_classes=4)
    weights = weights_of(small)
    exact = supernet.apply(params, weights, IMAGES, space=small)
    rough = supernet.apply(params, weights, IMAGES, space=small, dtype=jnp.bfloat16)
    assert exact.dtype == rough.dtype == jnp.float32
    np.testing.assert_allclose(rough, exact, atol=0.1)
    assert np.abs(rough - exact).max() > 0


def test_op_weights_that_do_not_fit_are_refused():
    params = supernet.init(jax.random.key(0), SMALL, channels=2, layers=1, num_classes=4)
    with pytest.raises(ValueError, match="small has op weights for normal, reduce"):
        supernet.apply(params, jnp.zeros((3, 4)), IMAGES, space=SMALL)
    wrong = {"normal": jnp.zeros((3, 4)), "reduce": jnp.zeros((4, 3))}
    with pytest.raises(ValueError, match=r"weights of shape \(4, 3\) of 'reduce'"):
        supernet.apply(params, wrong, IMAGES, space=SMALL)


def test_sizes_that_make_no_network_are_refused():
    with pytest.raises(ValueError, match="layers=0"):
        supernet.init(jax.random.key(0), SMALL, channels=2, layers=0, num_classes=4)
    with pytest.raises(ValueError, match="affine=True"):
        supernet.init(jax.random.key(0), SMALL, channels=2, layers=1, num_classes=4, affine=True)


def test_a_state_dict_without_cells_is_refused():
    with pytest.raises(ValueError, match="state dict has no cells"):
        interop.from_reference(space.get("darts"), {})


@pytest.mark.skipif(not VECTORS, reason="VECTORS names no folder")
@pytest.mark.parametrize("name", ["s1", "darts"])
def test_logits_loss_and_gradients_are_the_reference_s(name):
    found = space.get(name)
    with np.load(pathlib.Path(VECTORS) / f"{name}_supernet_a.npz") as file:
        reference = dict(file)
    state = {key.removeprefix("state/"): value for key, value in reference.items() if key.startswith("state/")}
    params = jax.tree.map(jnp.asarray, interop.from_reference(found, state))
    wanted = supernet.init(jax.random.key(0), found, channels=4, layers=3, num_classes=10)
    assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, wanted)
    assert sum(value.size for value in state.values()) == sum(leaf.size for leaf in jax.tree.leaves(wanted))

    def loss_fn(alpha, params, x, y):
        logits = supernet.apply(params, found.map(jax.nn.softmax, alpha), x, space=found)
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean(), logits

    alpha = {kind: jnp.asarray(reference[f"alpha_{kind}"]) for kind in found.kinds}
    compute = jax.jit(jax.value_and_grad(loss_fn, has_aux=True))
    (loss, logits), gradient = compute(alpha, params, jnp.asarray(reference["x_nhwc"]), jnp.asarray(reference["y"]))
    np.testing.assert_allclose(logits, reference["logits"], atol=1e-4)
    np.testing.assert_allclose(loss, reference["loss"], atol=1e-4)
    for kind in found.kinds:
        np.testing.assert_allclose(gradient[kind], reference[f"grad_alpha_{kind}"], atol=1e-4)
