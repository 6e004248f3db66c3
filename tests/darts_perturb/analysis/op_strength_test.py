import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from darts_perturb import search
from darts_perturb import space as spaces
from darts_perturb.analysis import op_strength
from tests.darts_perturb import tiny


def state_of(space):
    rows = {kind: jnp.full((len(space.edges),), search.UNDECIDED, jnp.int32) for kind in space.kinds}
    alpha = {kind: jnp.arange(2.0 * len(space.edges)).reshape(-1, 2) for kind in space.kinds}
    return search.State({"w": jnp.ones(3)}, {"w": jnp.ones(3)}, alpha, None, rows)


def test_one_edge_is_made_discrete_and_the_others_stay():
    state = state_of(tiny.CELLS_SPACE)
    found = op_strength.discretised(state, 7, 1)
    np.testing.assert_array_equal(found.choice["reduce"], [-1, -1, 1, -1, -1])
    np.testing.assert_array_equal(found.choice["normal"], -1)
    np.testing.assert_array_equal(found.momentum["w"], 0.0)
    weights = search.op_weights(found.alpha, found.choice)
    np.testing.assert_array_equal(weights["reduce"][2], [0.0, 1.0])
    before = search.op_weights(state.alpha, state.choice)
    np.testing.assert_array_equal(weights["normal"], before["normal"])


def test_a_discrete_edge_made_discrete_again_is_left_as_it_is():
    once = op_strength.discretised(state_of(tiny.CELLS_SPACE), 3, 0)
    twice = op_strength.discretised(once, 3, 0)
    jax.tree.map(np.testing.assert_array_equal, once._replace(alpha_moments=0), twice._replace(alpha_moments=0))


def test_correlations_are_spearman_s_by_edge():
    measure, strength = np.random.default_rng(0).standard_normal((2, 6, 5))
    expected = [stats.spearmanr(*pair).statistic for pair in zip(measure, strength)]
    np.testing.assert_allclose(op_strength.correlations(measure, strength), expected, rtol=1e-12)
    strength[2] = 0.5
    assert op_strength.correlations(measure, strength)[2] == 0.0


def test_the_best_by_a_measure_and_what_it_gives_up():
    measure = np.array([[0.1, 0.9], [0.6, 0.4], [0.5, 0.5]])
    strength = np.array([[0.5, 0.7], [0.5, 0.7], [0.7, 0.2]])
    np.testing.assert_array_equal(op_strength.same_best(measure, strength), [True, False, True])
    np.testing.assert_allclose(op_strength.given_up(measure, strength), [0.0, 0.2, 0.0])
    np.testing.assert_allclose(op_strength.given_up(-strength, strength), [0.2, 0.2, 0.5])


def test_skip_is_counted_only_where_an_edge_may_take_both():
    s2 = spaces.get("s2")
    values = np.tile([0.3, 0.7], (28, 1))
    values[:5] = [0.7, 0.3]
    found = op_strength.skip_wins(values, s2, "sep_conv_3x3")
    assert (len(found), found.sum()) == (28, 5)
    s1 = spaces.get("s1")
    both = [
        ops
        for kind in ("normal", "reduce")
        for ops in s1.edge_ops(kind)
        if set(ops) == {"skip_connect", "dil_conv_3x3"}
    ]
    assert len(op_strength.skip_wins(values, s1, "dil_conv_3x3")) == len(both) > 0
