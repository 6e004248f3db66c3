import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from darts_perturb import perturb, search, space, supernet

SPACE = space.get("nas_bench_201")


@pytest.fixture(scope="module")
def case():
    keys = jax.random.split(jax.random.key(0), 4)
    params = supernet.init(keys[0], SPACE, channels=2, layers=1, num_classes=3)
    weights = jax.nn.softmax(jax.random.normal(keys[1], (6, 5)))
    x = jax.random.normal(keys[2], (2, 6, 4, 4, 1))
    y = jax.random.randint(keys[3], (2, 6), 0, 3)
    return params, weights, x, y


@pytest.fixture(scope="module")
def by_loops(case):
    """Returns losses and hits of the whole supernet [12] and without each operation [6, 5, 12], one mask at a time."""
    params, weights, x, y = case
    losses = jax.jit(functools.partial(search.losses, space=SPACE))

    def per_image(weights):
        parts = [losses(params, weights, *batch) for batch in zip(x, y)]
        return [np.concatenate([np.asarray(part[i], np.float64) for part in parts]) for i in range(2)]

    table = np.zeros((2, 6, 5, 12))
    for edge, op in np.ndindex(6, 5):
        masked = np.array(weights)
        masked[edge, op] = 0.0
        table[:, edge, op] = per_image(jnp.asarray(masked))
    return per_image(weights), table


@pytest.mark.parametrize(("method", "edges"), [("vmap", None), ("map", (4, 1, 5, 0, 2, 3))])
def test_scores_are_those_of_a_plain_loop(case, by_loops, method, edges):
    compute = jax.jit(functools.partial(perturb.removal_scores, space=SPACE, method=method))
    scores = compute(*case, edges=None if edges is None else jnp.asarray(edges))
    whole, without = by_loops
    without = without[:, list(edges or range(6))]
    np.testing.assert_allclose(scores.loss, without[0].mean(axis=-1), atol=1e-5)
    np.testing.assert_allclose(scores.accuracy, without[1].mean(axis=-1), atol=1e-6)
    np.testing.assert_allclose(scores.baseline_loss, whole[0].mean(), atol=1e-5)
    np.testing.assert_allclose(scores.baseline_accuracy, whole[1].mean(), atol=1e-6)
    for se, total, parts in zip((scores.loss_se, scores.accuracy_se), whole, without):
        difference = parts - total[None, None]
        np.testing.assert_allclose(se, difference.std(axis=-1, ddof=1) / np.sqrt(12), atol=1e-5)
    # `none` is not computed: it is the whole supernet
    np.testing.assert_array_equal(scores.loss[:, 0], np.broadcast_to(scores.baseline_loss, 6))
    assert np.unique(np.asarray(scores.loss)[:, 1:]).size == 24


def test_an_unknown_method_is_refused(case):
    with pytest.raises(ValueError, match="unknown method 'loop'; known: auto, vmap, map"):
        perturb.removal_scores(*case, space=SPACE, method="loop")
