import jax
import jax.numpy as jnp
import numpy as np
import pytest

from darts_perturb import search, space, supernet
from darts_perturb.criteria import zero_cost
from tests.darts_perturb import tiny

SPACE = tiny.STAGES_SPACE


@pytest.fixture(scope="module")
def made():
    """Returns (parameters, op weights, images, labels, the compiled removal)."""
    params = supernet.init(jax.random.key(0), SPACE, channels=2, layers=1, num_classes=3)
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(6, 4, 4, 1)), jnp.float32)
    weights = jnp.asarray(rng.uniform(0.1, 0.5, SPACE.weights_shape), jnp.float32)
    y = jnp.asarray(rng.integers(3, size=6))
    return params, weights, x, y, jax.jit(lambda *args: zero_cost.removal(*args, space=SPACE))


def scores(params, weights, x, y):
    """The three proxies one image, one parameter and one eigenvalue at a time."""

    def loss(params, x):
        return search.losses(params, weights, x, y, space=SPACE)[0].mean()

    @jax.jit
    def gradients(params, x):
        of_x = jax.grad(lambda x: supernet.apply(params, weights, x, space=SPACE).sum())(x)
        return of_x, jax.grad(loss)(params, x)

    of_x, of_params = jax.device_get(gradients(params, x))
    rows = of_x.astype(np.float64).reshape(len(y), -1)
    total = 0.0
    for value in np.linalg.eigvalsh(np.corrcoef(rows)):
        total -= np.log(max(value, 0) + 1e-5) + 1 / (max(value, 0) + 1e-5)
    gradient = [leaf.astype(np.float64) for leaf in jax.tree.leaves(of_params)]
    leaves = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(params)]
    squares = sum(value**2 for leaf in gradient for value in leaf.ravel())
    products = sum(abs(g * w) for a, b in zip(gradient, leaves) for g, w in zip(a.ravel(), b.ravel()))
    return {"jacobian": total, "gradient": np.sqrt(squares), "saliency": products}


def test_scores_are_those_of_plain_loops(made):
    params, weights, x, y, removal = made
    wanted = scores(params, weights.at[1, 2].set(0.0), x, y)
    for place, proxy in enumerate(zero_cost.PROXIES):
        found = removal(params, weights, 1, x, y, place)
        np.testing.assert_allclose(found[2], wanted[proxy], rtol=2e-3)
        assert len(found) == len(SPACE.ops)
    # removing `none` changes nothing: the score of the whole
    whole = zero_cost.PROXIES.index("gradient")
    np.testing.assert_allclose(removal(params, weights, 0, x, y, whole)[0], removal(params, weights, 2, x, y, whole)[0])


def test_uncorrelated_rows_score_highest_and_equal_rows_lowest():
    apart = zero_cost.jacobian_covariance(jnp.asarray([[1.0, -1, 0, 0], [0, 0, 1, -1]]))
    np.testing.assert_allclose(apart, -2, atol=1e-3)
    equal = zero_cost.jacobian_covariance(jnp.asarray([[1.0, -1, 0, 0], [2.0, -2, 0, 0]]))
    assert equal < -1e4
    constant = zero_cost.jacobian_covariance(jnp.ones((2, 4)))
    np.testing.assert_allclose(constant, -2, atol=1e-3)


def test_orders_name_every_edge_once():
    nb201, rng = space.get("nas_bench_201"), np.random.default_rng(0)
    assert zero_cost.groups("fixed", nb201, rng) == [[0], [1], [2], [3], [4], [5]]
    assert zero_cost.groups("reversed", nb201, rng) == [[5], [4], [3], [2], [1], [0]]
    assert zero_cost.groups("nodes", nb201, rng) == [[0], [1, 2], [3, 4, 5]]
    assert sorted(zero_cost.groups("random", nb201, rng)) == [[0], [1], [2], [3], [4], [5]]
    with pytest.raises(ValueError, match="unknown order 'global'"):
        zero_cost.groups("global", nb201, rng)


def test_an_edge_keeps_what_hurts_most_and_is_discrete_for_the_next():
    seen = []

    def removal(weights, row):
        seen.append(weights.copy())
        return {0: [3.0, 1.0, 2.0], 1: [0.0, 5.0, 4.0], 2: [2.0, 2.0, 1.0]}[row]

    may = np.ones((3, 3), bool)
    may[1, 0] = False
    choice, shown = zero_cost.select(removal, [[2], [0, 1]], may)
    np.testing.assert_array_equal(choice, [1, 2, 2])
    np.testing.assert_array_equal(shown[1], [0, 5, 4])
    np.testing.assert_allclose(seen[0], 1 / 3)
    np.testing.assert_allclose(seen[1][2], [0, 0, 1])
    np.testing.assert_allclose(seen[2][:2], 1 / 3)  # edges of one group are scored on the same supernet
