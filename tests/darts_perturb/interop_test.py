"""Parity with the public PyTorch supernet: data/nb201_supernet_a.npz holds its weights and what it computed."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from darts_perturb import interop, space, supernet

SPACE = space.get("nas_bench_201")


@pytest.fixture(scope="module")
def reference():
    with np.load(pathlib.Path(__file__).parent / "data" / "nb201_supernet_a.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def state(reference):
    return {name.removeprefix("state/"): value for name, value in reference.items() if name.startswith("state/")}


def test_logits_loss_and_gradients_are_the_reference_s(reference, state):
    params = jax.tree.map(jnp.asarray, interop.from_reference(SPACE, state))

    def loss_fn(params, alpha, x, y):
        logits = supernet.apply(params, jax.nn.softmax(alpha), x, space=SPACE)
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean(), logits

    compute = jax.jit(jax.value_and_grad(loss_fn, argnums=(0, 1), has_aux=True))
    alpha, x, y = (jnp.asarray(reference[name]) for name in ("alpha", "x_nhwc", "y"))
    (loss, logits), (weight_gradient, alpha_gradient) = compute(params, alpha, x, y)
    np.testing.assert_allclose(logits, reference["logits"], atol=1e-4)
    np.testing.assert_allclose(loss, reference["loss"], atol=1e-4)
    np.testing.assert_allclose(alpha_gradient, reference["grad_alpha"], atol=1e-4)
    stem = weight_gradient["stem"]["kernel"].transpose(3, 2, 0, 1)
    np.testing.assert_allclose(stem, reference["grad/stem.0.weight"], atol=1e-4)
    np.testing.assert_allclose(weight_gradient["classifier_kernel"].T, reference["grad/classifier.weight"], atol=1e-4)


def test_logits_without_each_operation_are_the_reference_s(reference, state):
    params = jax.tree.map(jnp.asarray, interop.from_reference(SPACE, state))
    alpha, x = jnp.asarray(reference["alpha"]), jnp.asarray(reference["x_nhwc"])

    @jax.jit
    def without_each_op(params, weights, x):
        masks = 1.0 - jnp.eye(30).reshape(30, 6, 5)
        return jax.lax.map(lambda mask: supernet.apply(params, weights * mask, x, space=SPACE), masks)

    logits = without_each_op(params, jax.nn.softmax(alpha), x).reshape(6, 5, *reference["logits"].shape)
    np.testing.assert_allclose(logits, reference["logits_without_op"], atol=1e-4)


def test_the_structure_is_that_of_init(state):
    found = interop.from_reference(SPACE, state)
    wanted = supernet.init(jax.random.key(0), SPACE, channels=4, layers=1, num_classes=10)
    assert jax.tree.map(np.shape, found) == jax.tree.map(np.shape, wanted)
    assert sum(value.size for value in state.values()) == sum(leaf.size for leaf in jax.tree.leaves(wanted))


def test_a_state_dict_that_does_not_fit_is_refused(state):
    partial = {name: value for name, value in state.items() if name != "cells.2.edges.3<-1.3.op.1.weight"}
    with pytest.raises(ValueError, match=r"no 'cells.2.edges.3<-1.3.op.1.weight'"):
        interop.from_reference(SPACE, partial)
    with pytest.raises(ValueError, match="has 0 cells: need 3 N"):
        interop.from_reference(SPACE, {})
    more = state | {"cells.0.edges.1<-0.4.op.1.weight": np.zeros((4, 4, 3, 3))}
    with pytest.raises(ValueError, match=r"has 'cells.0.edges.1<-0.4.op.1.weight' and 0 more .* of another space"):
        interop.from_reference(SPACE, more)
    wide = state | {"classifier.weight": np.zeros((10, 7)), "classifier.bias": np.zeros(10)}
    with pytest.raises(ValueError, match=r"classifier_kernel the shape \(7, 10\); nas_bench_201 needs \(16, 10\)"):
        interop.from_reference(SPACE, wide)
    with pytest.raises(ValueError, match=r"no 'cells\.0\._ops\.0"):
        interop.from_reference(space.get("darts"), state)
