import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from darts_perturb import data, edges, perturb, search, space, supernet
from tests.darts_perturb import tiny

SPACES = {"stages": (tiny.STAGES_SPACE, 1), "cells": (tiny.CELLS_SPACE, 3)}
BATCHES, SIZE = 2, 6


@functools.cache
def draw_case(name):
    found, layers = SPACES[name]
    keys = jax.random.split(jax.random.key(0), 4)
    sizes = {"channels": 2, "layers": layers, "num_classes": 3}
    params = jax.jit(functools.partial(supernet.init, space=found, **sizes))(keys[0])
    rows = jax.nn.softmax(jax.random.normal(keys[1], (len(edges.listed(found)), found.weights_shape[1])))
    x = jax.random.normal(keys[2], (BATCHES, SIZE, 4, 4, 1))
    y = jax.random.randint(keys[3], (BATCHES, SIZE), 0, 3)
    return found, (params, edges.by_cell(found, rows), x, y)


@functools.cache
def plain_losses(name):
    """Returns (space, arguments, per_image): losses and hits [2, 12] of one set of weights by a plain loop."""
    found, args = draw_case(name)
    losses = jax.jit(functools.partial(search.losses, space=found))

    def per_image(weights, x, y):
        parts = [losses(args[0], jax.tree.map(jnp.asarray, weights), *batch) for batch in zip(x, y)]
        return np.stack([np.concatenate([np.asarray(part[i], np.float64) for part in parts]) for i in range(2)])

    return found, args, per_image


def shift_by_one(key, x):
    return data.augment(key, x, shift=1, flip=True)


def masks_of(found, weights):
    """Returns {(row, op): weights with that entry 0}, by a plain loop over kinds, edges and operations."""
    masks, row = {}, 0
    for kind in sorted(found.kinds):
        for number in range(len(found.edges)):
            for op in range(found.weights_shape[1]):
                copy = jax.tree.map(np.array, weights)
                (copy if len(found.kinds) == 1 else copy[kind])[number, op] = 0.0
                masks[row, op] = copy
            row += 1
    return masks


@pytest.mark.parametrize(("name", "method"), [("stages", "vmap"), ("cells", "map"), ("cells", "vmap")])
def test_scores_are_those_of_a_plain_loop(name, method):
    found, (params, weights, x, y), per_image = plain_losses(name)
    key = jax.random.key(9)
    compute = functools.partial(perturb.removal_scores, space=found, method=method, chunk=4, augment=shift_by_one)
    scores = jax.jit(compute)(params, weights, x, y, key=key)
    moved = [shift_by_one(jax.random.split(jax.random.fold_in(key, 1 + k), 2)[0], x[k]) for k in range(BATCHES)]
    whole = per_image(weights, moved, y)
    for (row, op), mask in masks_of(found, weights).items():
        without = per_image(mask, moved, y)
        np.testing.assert_allclose(scores.loss[row, op], without[0].mean(), atol=1e-5)
        np.testing.assert_allclose(scores.accuracy[row, op], without[1].mean(), atol=1e-6)
        se = (without - whole).std(axis=1, ddof=1) / np.sqrt(BATCHES * SIZE)
        np.testing.assert_allclose([scores.loss_se[row, op], scores.accuracy_se[row, op]], se, atol=1e-5)
    np.testing.assert_allclose(scores.baseline_loss, whole[0].mean(), atol=1e-5)
    np.testing.assert_allclose(scores.baseline_accuracy, whole[1].mean(), atol=1e-6)
    # removing `none` is the whole supernet; the other losses all differ
    none = edges.holding(found, "none")
    np.testing.assert_allclose(np.asarray(scores.loss)[none], scores.baseline_loss, atol=1e-6)
    assert np.unique(np.asarray(scores.loss)[~none]).size == (~none).sum()


def test_some_edges_are_rows_of_all_and_may_be_traced():
    found, args = draw_case("cells")
    compute = jax.jit(functools.partial(perturb.removal_scores, space=found))
    every, some = compute(*args), compute(*args, edges=jnp.asarray([7, 0]))
    for name in ("accuracy", "loss", "accuracy_se", "loss_se"):
        np.testing.assert_allclose(getattr(some, name), getattr(every, name)[np.asarray([7, 0])], atol=1e-6)


def test_whole_edges_taken_out_one_by_one():
    found, (params, weights, x, y) = draw_case("cells")
    losses = jax.jit(functools.partial(search.losses, space=found))
    rows = [2, 9]
    scores = jax.jit(functools.partial(perturb.edge_scores, space=found))(
        params, weights, x, y, edges=jnp.asarray(rows)
    )
    for place, row in enumerate(rows):
        mask = jax.tree.map(np.array, weights)
        mask["normal" if row < 5 else "reduce"][row % 5] = 0.0
        loss = np.mean([losses(params, jax.tree.map(jnp.asarray, mask), x[k], y[k])[0] for k in range(BATCHES)])
        np.testing.assert_allclose(scores.loss[place], loss, atol=1e-5)


def test_the_official_way_meets_other_batches_every_time():
    found, (params, weights, x, y) = draw_case("stages")
    # weights without any operation but one: all removals but its own leave the same function
    weights = jnp.zeros_like(weights).at[:, 1].set(1.0)
    compute = jax.jit(functools.partial(perturb.removal_scores, space=found, official=True))
    one, again, other = (compute(params, weights, x, y, key=jax.random.key(number)) for number in (0, 0, 1))
    np.testing.assert_array_equal(one.loss, again.loss)
    assert np.abs(one.loss - other.loss).max() > 1e-4
    same_function = np.asarray(one.loss)[:, [0, 2]].ravel()
    assert np.unique(same_function).size == same_function.size
    fair = jax.jit(functools.partial(perturb.removal_scores, space=found))(params, weights, x, y)
    np.testing.assert_allclose(fair.loss[:, np.asarray([0, 2])], fair.baseline_loss, atol=1e-6)
    # the error of a difference of separate samples: twice the variance where the functions are the same
    assert (np.asarray(one.loss_se)[:, [0, 2]] > 0).all()
    np.testing.assert_allclose(fair.loss_se[:, np.asarray([0, 2])], 0.0, atol=1e-7)


def test_in_one_batch_the_order_of_the_images_does_not_matter():
    found, (params, weights, x, y) = draw_case("stages")
    x, y = x.reshape(1, -1, *x.shape[2:]), y.reshape(1, -1)
    official = jax.jit(functools.partial(perturb.removal_scores, space=found, official=True))
    paired = jax.jit(functools.partial(perturb.removal_scores, space=found))
    one, other = official(params, weights, x, y, key=jax.random.key(0)), paired(params, weights, x, y)
    np.testing.assert_allclose(one.loss, other.loss, atol=1e-5)
    np.testing.assert_allclose(one.accuracy, other.accuracy, atol=1e-6)


def test_bad_input_is_one_line():
    found, args = draw_case("stages")
    with pytest.raises(ValueError, match="unknown method 'loop'; known: auto, vmap, map"):
        perturb.removal_scores(*args, space=found, method="loop")
    with pytest.raises(ValueError, match="key is missing: augmentation and official=True"):
        perturb.removal_scores(*args, space=found, official=True)
    with pytest.raises(ValueError, match="darts has op weights for normal, reduce"):
        perturb.removal_scores(*args, space=space.get("darts"))
    with pytest.raises(ValueError, match="nas_bench_201 has op weights of shape"):
        perturb.edge_scores(*args, space=space.get("nas_bench_201"), edges=[0])
