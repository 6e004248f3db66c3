"""Checkpoints by orbax.

A checkpoint is written to a temporary name and renamed when it is whole, so a process that is killed while it saves
leaves the one before. Every checkpoint carries the shapes and types of its leaves and is refused where they differ.
"""

import contextlib
import errno
import os
import pathlib
import shutil
from urllib.parse import quote

import jax
import jax.numpy as jnp
import numpy as np

from experiment import hosts, mesh
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
    """The newest two checkpoints of every stage, under DIRECTORY/STAGE/STEP/.

    Of several processes the first alone writes and reads them: a state is gathered there to be saved, and told to the
    others when it is read, so that the memory of the first must hold it and its checkpoints are those of one process.
    """

    def __init__(self, directory):
        self.directory = pathlib.Path(directory).absolute()
        self._managers = {}

    def _manager(self, stage):
        if stage not in self._managers:
            import orbax.checkpoint as ocp

            alone = {"primary_host": 0, "active_processes": {0}, "barrier_sync_key_prefix": "remeasured"}
            options = ocp.CheckpointManagerOptions(
                max_to_keep=2,
                create=not hosts.are_many(),  # orbax leaves it to the caller where not all processes take part
                enable_async_checkpointing=False,
                multiprocessing_options=ocp.options.MultiprocessingOptions(**(alone if hosts.are_many() else {})),
            )
            self._path(stage).mkdir(parents=True, exist_ok=True)
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

        leaves, state = _leaves(state), jax.tree.map(_raw, state)
        if hosts.are_many():
            state = jax.tree.map(np.asarray, mesh.gather(state))
        if not hosts.is_first():
            return
        args = ocp.args.Composite(
            state=ocp.args.StandardSave({"state": state}),
            notes=ocp.args.JsonSave({"leaves": leaves, **notes}),
        )
        try:
            self._check_space(sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(state)))
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
        found = self._read(stage, target) if hosts.is_first() else None
        about = hosts.tell(found and [found[0], found[2]])
        if about is None:
            return None
        (step, notes), state = about, found and found[1]
        if target is None:
            return step, hosts.tell_arrays(state), notes
        leaves, structure = jax.tree.flatten(target)
        numbered = hosts.tell_arrays({str(number): leaf for number, leaf in enumerate(jax.tree.leaves(state))})
        placed = [_like(leaf, numbered[str(number)]) for number, leaf in enumerate(leaves)]
        return step, jax.tree.unflatten(structure, placed), notes

    def _read(self, stage, target):
        """Returns what `restore` does, keys as `_raw` makes them, in the one process that reads."""
        import orbax.checkpoint as ocp

        if not self._path(stage).exists():
            return None
        with _named(self._path(stage)):
            manager = self._manager(stage)
            step = manager.latest_step()
        if step is None:
            return None
        where = self._path(stage) / str(step)

        def read(**items):
            with _named(where):
                return manager.restore(step, args=ocp.args.Composite(**items))

        notes = read(notes=ocp.args.JsonRestore()).notes
        with _named(where):
            notes = dict(notes)
        leaves = notes.get("leaves", {})
        if target is None:
            state, wanted = read(state=ocp.args.StandardRestore(None)).state["state"], leaves
        else:
            _check_same(where, leaves, _leaves(target))
            target = jax.tree.map(_raw, target)
            if hosts.are_many():
                target = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), target)
            state, wanted = read(state=ocp.args.StandardRestore({"state": target})).state["state"], _leaves(target)
        _check_same(where, wanted, _leaves(state))
        return step, state, notes


@contextlib.contextmanager
def _named(where):
    """Turns whatever orbax raises for damaged files into a UserError."""
    try:
        yield
    except Exception as error:
        raise UserError(
            f"{where}: unreadable checkpoint ({one_line(error)[:200]}); "
            "remove that directory to fall back to the one before, or choose another --workdir"
        ) from error


def _is_key(leaf):
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _raw(leaf):
    """Returns the numbers of a key, other leaves as they are."""
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _like(leaf, value):
    """Returns a value, as `_raw` makes it, as an array or key that lies where a leaf of the same shape does."""
    if _is_key(leaf):
        value = jax.random.wrap_key_data(jnp.asarray(value), impl=jax.random.key_impl(leaf))
    if not hosts.are_many():
        return value
    return jnp.asarray(value) if leaf.is_fully_addressable else mesh.put_like(value, leaf.sharding)


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
