"""Checkpoints by orbax.

A checkpoint is written to a temporary name and renamed when it is whole, so a process that is killed while it saves
leaves the one before. Every checkpoint carries the shapes and types of its leaves and is refused where they differ.
"""

import errno
import os
import pathlib
import shutil
from urllib.parse import quote

import jax
import jax.numpy as jnp
import numpy as np

from experiment.errors import NonFiniteError, UserError, one_line

_MARGIN = 2**20  # bytes for what orbax writes beside the arrays
_DISK_REFUSES = (
    "No space left",
    "RESOURCE_EXHAUSTED",
    "Permission denied",
    "Read-only",
    "File too large",
    "quota",
)


def without_weak_types(state):
    """Returns the state with every leaf an array of a definite type, as it will be after a restore."""

    def strong(leaf):
        if _is_key(leaf):
            return leaf
        array = jnp.asarray(leaf)
        return jnp.asarray(array, array.dtype)

    return jax.tree.map(strong, state)


def check_finite(stage, step, state):
    """Raises NonFiniteError, naming the leaf, if any floating point leaf of the state is not finite."""
    for path, leaf in jax.tree.leaves_with_path(state):
        if not _is_key(leaf) and jnp.issubdtype(leaf.dtype, jnp.inexact) and not bool(jnp.isfinite(leaf).all()):
            raise NonFiniteError(f"{stage}: {jax.tree_util.keystr(path)} is not finite at step {step}")


class Checkpoints:
    """The newest two checkpoints of every stage, under DIRECTORY/STAGE/STEP/."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory).absolute()
        self._managers = {}

    def _manager(self, stage):
        if stage not in self._managers:
            import orbax.checkpoint as ocp

            options = ocp.CheckpointManagerOptions(max_to_keep=2, enable_async_checkpointing=False)
            self._managers[stage] = ocp.CheckpointManager(self._path(stage), options=options)
        return self._managers[stage]

    def _path(self, stage):
        return self.directory / quote(stage, safe="")

    def save(self, stage, step, state, **notes):
        """Saves a state and a few JSON-able notes as the checkpoint of a step.

        Raises:
            UserError: the directory cannot be written.
        """
        import orbax.checkpoint as ocp

        args = ocp.args.Composite(
            state=ocp.args.StandardSave({"state": state}),
            notes=ocp.args.JsonSave({"leaves": _leaves(state), **notes}),
        )
        try:
            self._check_space(sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(state) if not _is_key(leaf)))
            self._manager(stage).save(step, args=args)
        except Exception as error:  # tensorstore has error types of its own for what the disk refuses
            if not isinstance(error, OSError) and not any(words in str(error) for words in _DISK_REFUSES):
                raise
            raise UserError(
                f"{self._path(stage)}: cannot save a checkpoint ({one_line(error)[:200]}); "
                "free space or permissions there, then start the same command again"
            ) from error

    def _check_space(self, num_bytes):
        """Raises OSError where the disk is too full; orbax would say so too, but with tracebacks from its threads."""
        self.directory.mkdir(exist_ok=True)
        if shutil.disk_usage(self.directory).free < num_bytes + _MARGIN:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.directory))

    def restore(self, stage, target=None):
        """Returns (step, state, notes) of the newest checkpoint, or None where the stage has none.

        Args:
            target: a state of the same structure; without it nested dicts of numpy arrays come back.

        Raises:
            UserError: the checkpoint is unreadable, or of other shapes or types than the target.
        """
        import orbax.checkpoint as ocp

        if not self._path(stage).exists():
            return None
        manager = self._manager(stage)
        step = manager.latest_step()
        if step is None:
            return None
        where = self._path(stage) / str(step)

        def read(**items):
            try:
                return manager.restore(step, args=ocp.args.Composite(**items))
            except Exception as error:
                raise UserError(
                    f"{where}: unreadable checkpoint ({one_line(error)[:200]}); "
                    "remove that directory to fall back to the one before, or choose another --workdir"
                ) from error

        notes = read(notes=ocp.args.JsonRestore()).notes
        leaves = notes.get("leaves", {})
        if target is not None:
            _check_same(where, leaves, _leaves(target))
        wrapped = None if target is None else {"state": target}
        state = read(state=ocp.args.StandardRestore(wrapped)).state["state"]
        _check_same(where, leaves, _leaves(state))
        return step, state, notes


def _is_key(leaf):
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _leaves(state):
    """Returns {path: "dtype[shape]"} of every leaf."""
    described = {}
    for path, leaf in jax.tree.leaves_with_path(state):
        array = leaf if isinstance(leaf, jax.Array) else np.asarray(leaf)
        described[jax.tree_util.keystr(path)] = f"{array.dtype}{list(array.shape)}"
    return described


def _check_same(where, saved, wanted):
    for path in sorted(saved.keys() | wanted.keys()):
        if saved.get(path) != wanted.get(path):
            raise UserError(
                f"{where}: checkpoint of another shape: {path} is {saved.get(path, 'absent')} there and "
                f"{wanted.get(path, 'absent')} in this run; choose another --workdir"
            )
