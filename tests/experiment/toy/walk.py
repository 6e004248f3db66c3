"""A random walk in calls of ten steps: one stage, one loop, one figure."""

import functools
import pathlib
import sys
import time

import jax
import jax.numpy as jnp

from experiment import figures, unison

INPUTS = ("input",)
VECTORIZED = ("seed", "inner.rate", "nan_at")


def load(config):
    if config.num_steps <= 0:
        raise ValueError(f"config.num_steps={config.num_steps}: must be positive")
    return pathlib.Path(config.input).read_text(encoding="utf-8") if config.input else ""


@functools.partial(jax.jit, static_argnames="num_steps")
def _walk(state, step, num_steps):
    def body(state, i):
        position = state["position"] + jax.random.normal(jax.random.fold_in(state["key"], step + i), (4,))
        return {**state, "position": position}, jnp.mean(position)

    return jax.lax.scan(body, state, jnp.arange(num_steps))


def _start(config, data):
    noise = jax.random.normal(jax.random.key(config.seed + 1), (1000,))  # a checkpoint of more than a block
    return {"position": jnp.arange(4.0), "nested": {"length": len(data), "noise": noise}}


def run(config, data, workdir):
    print("words of a run do not reach stdout")

    start = workdir.stage("start", functools.partial(_start, config, data))

    def step_fn(state, step):
        time.sleep(config.sleep_s)
        state, mean = unison.call(_walk, state, step, num_steps=10)
        return state, {"mean": jnp.where(step + jnp.arange(10) == config.nan_at, jnp.nan, mean)}

    state = {"position": jnp.asarray(start["position"]), "key": jax.random.key(config.seed)}
    state = workdir.loop("walk", state, step_fn, num_steps=config.num_steps, steps_per_call=10)
    workdir.log("end", config.num_steps, total=state["position"].sum())
    rows = workdir.rows("walk")
    figure, axis = figures.new()
    axis.plot([row["step"] for row in rows], [row["mean"] for row in rows])
    workdir.save_figure("walk", figure, rows)
    sys.stdout.write("nor these\n")
    return _figures(config, state["position"], start["nested"]["length"])


def _figures(config, position, length):
    mean = {"value": config.inner.rate * position.mean(), "sd": position.std(), "seeds": 4}
    return {"position": position, "mean": mean, "length": length}
