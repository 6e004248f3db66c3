"""The time that training takes, apart from compilation, kept in its checkpoints so that a resumed run has all of it."""

import time
from typing import NamedTuple

import jax
import jax.numpy as jnp


class _Clocked(NamedTuple):
    """A training's state, and the seconds of this process's processors and of the wall that it has taken."""

    state: NamedTuple
    cpu_s: jax.Array
    wall_s: jax.Array


class Clock:
    """Stands in for a workdir where something is trained, and times its loop.

    Args:
        workdir: whose loops are run.
        prefix: put before the names of the loops.
        program: names the compiled program. The first call of each is made twice in a process, and the first of the two
            is not counted: it compiles.
        warm: set of the programs that this process has called, added to.

    Attributes:
        seconds: {"cpu_s", "wall_s"} of the last loop.
    """

    def __init__(self, workdir, prefix, *, program, warm):
        self._workdir, self._prefix, self._program, self._warm = workdir, prefix, program, warm
        self.seconds = None

    def loop(self, name, state, step_fn, **options):
        """Returns what `Workdir.loop` does."""

        def timed(clocked, number):
            if self._program not in self._warm:
                jax.block_until_ready(step_fn(jax.tree.map(jnp.copy, clocked.state), number))
                self._warm.add(self._program)
            cpu, wall = time.process_time(), time.perf_counter()
            state, info = jax.block_until_ready(step_fn(clocked.state, number))
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            return _Clocked(state, clocked.cpu_s + cpu, clocked.wall_s + wall), info

        start = _Clocked(state, jnp.float32(0), jnp.float32(0))
        end = self._workdir.loop(f"{self._prefix}_{name}", start, timed, **options)
        self.seconds = {"cpu_s": float(end.cpu_s), "wall_s": float(end.wall_s)}
        return end.state
