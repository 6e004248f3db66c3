import itertools
import math

import numpy as np
import pytest

from darts_perturb.criteria import shapley

NUM = 5


def game(seed=0):
    """Returns the value of every coalition of five players, at random, 3 for none, as a function of who is in."""
    values = np.random.default_rng(seed).normal(size=(2,) * NUM)
    values[(0,) * NUM] = 3.0
    return lambda kept: values[tuple(np.asarray(kept, int))]


def brute_force(value):
    """Returns the mean marginal contribution over all orders of joining, counted one by one."""
    found = np.zeros(NUM)
    for order in itertools.permutations(range(NUM)):
        kept = np.zeros(NUM, bool)
        for player in order:
            before = value(kept)
            kept[player] = True
            found[player] += value(kept) - before
    return found / math.factorial(NUM)


def all_orders():
    return np.array(list(itertools.permutations(range(NUM))))


def test_all_orders_give_the_exact_value():
    value = game()
    wanted = brute_force(value)
    np.testing.assert_allclose(shapley.estimate(value, all_orders()).value, wanted, atol=1e-12)
    np.testing.assert_allclose(shapley.exact(value, NUM), wanted, atol=1e-12)


@pytest.mark.parametrize("num_walks", [1, 2, 7])
def test_what_is_shared_out_is_what_all_have_more_than_none(num_walks):
    value, rng = game(1), np.random.default_rng(2)
    found = shapley.estimate(value, shapley.orders(rng, NUM, num_walks))
    np.testing.assert_allclose(found.value.sum(), value(np.ones(NUM)) - value(np.zeros(NUM)), atol=1e-12)
    assert found.evaluations == 1 + num_walks * NUM


def test_the_estimate_is_unbiased_with_the_error_it_states():
    value, rng = game(3), np.random.default_rng(4)
    wanted, errors, stated = shapley.exact(value, NUM), [], []
    for _ in range(200):
        found = shapley.estimate(value, shapley.orders(rng, NUM, 20))
        errors.append(found.value - wanted)
        stated.append(found.se)
    errors = np.array(errors)
    spread = errors.std(axis=0)
    np.testing.assert_array_less(np.abs(errors.mean(axis=0)), 4 * spread / math.sqrt(200))
    np.testing.assert_allclose(np.mean(stated, axis=0), spread, rtol=0.15)


def test_a_null_player_gets_nothing_and_equal_players_the_same():
    values = np.random.default_rng(5).normal(size=(4, 2))  # by how many of players 0 to 2 are in, and by player 3

    def value(kept):
        return values[int(np.sum(kept[:3])), int(kept[3])]

    found = shapley.estimate(value, all_orders()).value
    np.testing.assert_allclose(found[4], 0, atol=1e-12)
    np.testing.assert_allclose(found[1:3], found[0], atol=1e-12)


def test_walks_of_one_step_are_the_removal_of_single_players():
    value = game(6)
    orders = [np.roll(np.arange(NUM), -player) for player in range(NUM)]
    found = shapley.estimate(value, orders, length=1)
    wanted = [value(np.ones(NUM)) - value(np.arange(NUM) != player) for player in range(NUM)]
    np.testing.assert_allclose(found.value, wanted, atol=1e-12)
    assert found.evaluations == 1 + NUM


def test_a_walk_ends_when_little_is_left_to_lose():
    def value(kept):
        return float(np.sum(kept))  # every player is worth 1

    orders = [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0]]
    found = shapley.estimate(value, orders, truncation=0.4)
    # 5, 4, 3, 2: with 2 left the walk ends
    np.testing.assert_allclose(found.value, [0.5, 0.5, 1.0, 0.5, 0.5])
    assert found.evaluations == 2 + 2 * 3


@pytest.mark.parametrize("orders", [[[0, 0, 1]], [[0, 2]], np.zeros((0, 3), int)])
def test_orders_that_are_none(orders):
    with pytest.raises(ValueError, match="need one or more rows"):
        shapley.estimate(lambda kept: 0.0, orders)
    with pytest.raises(ValueError, match="num_players=13"):
        shapley.exact(lambda kept: 0.0, 13)


def test_the_weights_of_those_that_left_are_zero_and_the_strongest_is_chosen():
    live = np.array([[False, True, True], [False, True, True]])
    players = shapley.players(live)
    np.testing.assert_array_equal(players, [[0, 1], [0, 2], [1, 1], [1, 2]])
    weights = np.arange(6.0).reshape(2, 3)
    masked = shapley.weights_of(weights, players, [True, False, False, True])
    np.testing.assert_array_equal(masked, [[0, 1, 0], [3, 0, 5]])
    np.testing.assert_array_equal(weights, np.arange(6.0).reshape(2, 3))
    every = np.ones((2, 3), bool)
    np.testing.assert_array_equal(shapley.strongest([0.1, 0.2, -0.3, -0.1], players, every), [2, 0])
    np.testing.assert_array_equal(shapley.strongest([0.1, 0.2, -0.3, -0.1], players, live), [2, 2])
