"""A random walk in calls of ten steps: one stage, one loop, one figure."""

import functools
import pathlib
import sys
import time

import jax
import jax.numpy as jnp

from experiment import figures
from experiment.errors import NonFiniteError

INPUTS = ("input",)


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
        state, mean = _walk(state, step, 10)
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


VECTORIZED = ("seed", "inner.rate", "nan_at")


def run_points(configs, datas, workdirs):
    """The figures of `run`, of walks that one program takes."""
    print(f"{len(configs)} walks together")
    starts = [
        workdir.stage("start", functools.partial(_start, config, data))
        for config, data, workdir in zip(configs, datas, workdirs)
    ]
    keys = jax.vmap(jax.random.key)(jnp.array([config.seed for config in configs]))
    state = {"position": jnp.stack([start["position"] for start in starts]), "key": keys}
    for step in range(0, configs[0].num_steps, 10):
        time.sleep(configs[0].sleep_s)
        state, _ = jax.vmap(_walk, (0, None, None))(state, step, 10)
        if any(config.nan_at in range(step, step + 10) for config in configs):
            raise NonFiniteError(f"a mean is not finite at step {step}")
    positions = jax.device_get(state["position"])
    for workdir, position in zip(workdirs, positions):
        workdir.log("end", configs[0].num_steps, total=position.sum())
    lengths = [start["nested"]["length"] for start in starts]
    return [_figures(config, position, length) for config, position, length in zip(configs, positions, lengths)]
