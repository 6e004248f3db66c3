"""Runs that share their calls: what they get alone, one at a time, whatever one of them does."""

import functools
import signal
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiment import unison
from experiment.signals import Interrupted, Signals

TRACED = []  # shapes in which `walk` was traced


@functools.partial(jax.jit, static_argnames="count")
def walk(state, rate, step, *, count):
    TRACED.append(jnp.shape(state["at"]))
    noise = jax.random.normal(jax.random.fold_in(state["key"], step), state["at"].shape)
    return {**state, "at": state["at"] + rate * count * noise}, jnp.sum(noise)


def walker(seed, rate, *, steps=3, size=4, count=2, seen=None):
    """Returns a run of some calls, with work of its own between them."""

    def run():
        state, total = {"key": jax.random.key(seed), "at": jnp.zeros(size)}, 0.0
        for step in range(steps):
            if seen is not None:
                seen.append(threading.get_ident())
            state, noise = unison.call(walk, state, rate, step, count=count)
            total += float(noise)
        return np.asarray(state["at"]), total

    return run


def check_as_alone(runs, **options):
    alone = [run() for run in runs]
    for found, wanted in zip(unison.run(runs, options.get("signals") or Signals()), alone, strict=True):
        np.testing.assert_allclose(found[0], wanted[0], rtol=1e-5)
        np.testing.assert_allclose(found[1], wanted[1], rtol=1e-5)


def test_runs_get_what_they_get_alone():
    check_as_alone([walker(seed, rate) for seed, rate in ((0, 0.5), (1, 0.5), (2, 0.25))])


def test_calls_are_one_program():
    runs = [walker(seed, 0.5, size=7) for seed in range(3)]
    TRACED.clear()
    compiled = walk._cache_size()
    unison.run(runs, Signals())
    assert TRACED == [(7,)]  # once, in the shapes of one run
    assert walk._cache_size() == compiled  # and no run had a program of its own
    runs[0]()
    assert walk._cache_size() == compiled + 1


def test_shapes_static_arguments_and_lengths_that_differ_are_computed_apart():
    check_as_alone([walker(0, 1), walker(1, 2, size=5), walker(2, 3, count=3), walker(3, 4, steps=1), walker(4, 5.0)])
    check_as_alone([])


def test_equal_runs_are_computed_once():
    check_as_alone([walker(0, 0.5)] * 3)
    x = jnp.arange(3.0)
    found = unison.run([functools.partial(unison.call, jnp.sum, x)] * 2, Signals())
    assert found == [3.0, 3.0]


def test_equal_numbers_stay_of_a_weak_type():
    times = jax.jit(jnp.multiply)
    halves = [jnp.full(3, scale, jnp.bfloat16) for scale in (1, 2)]
    found = unison.run([functools.partial(unison.call, times, half, 0.5) for half in halves], Signals())
    assert [(each.dtype, float(each[0])) for each in found] == [(jnp.bfloat16, 0.5), (jnp.bfloat16, 1.0)]


@pytest.mark.parametrize("equal", [True, False])
def test_a_branch_on_equal_numpy_arrays_stays_one(equal):
    taken = []

    @jax.jit
    def branch(flag, x):
        def told(name):
            jax.debug.callback(lambda: taken.append(name))
            return x

        return jax.lax.cond(flag[0], lambda: told("yes"), lambda: told("no"))

    flags = [np.array([True]), np.array([equal])]
    runs = [functools.partial(unison.call, branch, flag, jnp.full(2, k)) for k, flag in enumerate(flags)]
    np.testing.assert_array_equal(unison.run(runs, Signals()), [[0, 0], [1, 1]])
    jax.effects_barrier()
    assert set(taken) == ({"yes"} if equal else {"yes", "no"})


def test_what_a_call_gives_comes_back_as_it_is():
    @jax.jit
    def everything(key, x):
        flat = {"key": jax.random.split(key, 3), "flag": x > 1, "count": x.astype(jnp.int8), "none": x[:0]}
        return flat, (x.sum(), x.astype(jnp.bfloat16).reshape(2, 2))

    arguments = [(jax.random.key(k, impl="rbg"), jnp.arange(4.0) + k) for k in range(3)]
    found = unison.run([functools.partial(unison.call, everything, *each) for each in arguments], Signals())
    for own, each in zip(found, arguments, strict=True):
        wanted = everything(*each)
        assert jax.tree.structure(own) == jax.tree.structure(wanted)
        assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), own) == jax.tree.map(
            lambda leaf: (leaf.shape, leaf.dtype), wanted
        )
        raw = jax.tree.map(lambda leaf: unison._raw(leaf).astype(np.float32), (own, wanted))
        jax.tree.map(np.testing.assert_allclose, *raw)


def test_runs_that_end_leave_programs_of_a_few_sizes(monkeypatch):
    sizes = []
    monkeypatch.setattr(unison.logging, "info", lambda _, size, name: sizes.append(size))
    check_as_alone([walker(seed, 0.5, steps=steps, size=9) for seed, steps in enumerate((1, 2, 3, 4, 4, 5, 5, 6))])
    assert sizes == [8, 3]  # that of 8 is also for 7, 6 and 5; one run alone needs none


@pytest.mark.parametrize("meets", [True, False])
def test_runs_that_meet_stay_in_step(meets):
    @jax.jit
    def often(x):
        return x + 1

    @jax.jit
    def seldom(x):
        return x * 2

    def run(count, turns, start):
        x = jnp.float32(start)
        for _ in range(turns):
            for fn, times in ((often, count), (seldom, 1)):
                if meets:
                    unison.meet()
                for _ in range(times):
                    x = unison.call(fn, x)
        return float(x)

    cases = [(1, 2, 0.0), (3, 2, 1.0), (2, 1, 2.0)]
    found = unison.run([functools.partial(run, *case) for case in cases], Signals())
    assert (seldom._cache_size() == 0) == meets  # never of one run alone
    assert found == [run(*case) for case in cases]


def test_one_run_computes_at_a_time_and_each_in_a_thread_of_its_own():
    seen = []
    unison.run([walker(seed, 1.0, seen=seen) for seed in range(3)], Signals())
    assert len(set(seen)) == 3
    assert seen == seen[:3] * 3  # in turn


def test_the_others_end_before_an_error_is_raised():
    ended = []

    def failing():
        unison.call(walk, {"key": jax.random.key(9), "at": jnp.zeros(4)}, 1.0, 0, count=2)
        raise ValueError("of this run")

    def other():
        ended.append(walker(0, 1.0)())

    with pytest.raises(ValueError, match="of this run"):
        unison.run([failing, other], Signals())
    assert len(ended) == 1


def test_an_error_of_a_shared_call_is_one_of_each_run():
    seen = []

    @jax.jit
    def broken(x):
        raise ValueError("no such product")

    def run(x):
        try:
            unison.call(broken, x)
        except ValueError as error:
            seen.append(str(error))

    unison.run([functools.partial(run, jnp.ones(2) * k) for k in range(2)], Signals())
    assert seen == ["no such product"] * 2


def test_a_signal_reaches_every_run():
    signals, seen = Signals(), []

    def run(number):
        for step in range(5):
            unison.call(walk, {"key": jax.random.key(number), "at": jnp.zeros(4)}, 1.0, step, count=2)
            if step == 2 and number == 0:
                signal.raise_signal(signal.SIGTERM)
            try:
                signals.check()
            except Interrupted:
                seen.append((number, step))
                raise

    with signals.installed(), pytest.raises(Interrupted):
        unison.run([functools.partial(run, number) for number in range(3)], signals)
    assert sorted(number for number, _ in seen) == [0, 1, 2]
    assert {step for _, step in seen} <= {2, 3}  # Python runs the handler in the main thread, a moment later
