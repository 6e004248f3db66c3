"""One run's directory: config.json, metrics.jsonl, checkpoints/, figures/, summary.json.

A run is a sequence of named stages, each a pure function of the config and of earlier stages. A finished stage is
kept and given back; a loop starts again from its newest checkpoint; so a run started again with the same command
ends as if it had never been stopped.

Of several processes (`experiment.hosts`) the first alone writes and reads the directory, and tells the others what it
read; all make the same calls. What comes back from a stage is the first's, so that all go on alike.
"""

import contextlib
import errno
import fcntl
import functools
import hashlib
import json
import os
import pathlib
import time

import jax
import numpy as np

from experiment import checkpoint, figures, hosts, mesh
from experiment.errors import NonFiniteError, UserError
from experiment.metrics import Metrics, plain
from experiment.profiling import Trace
from experiment.progress import Progress
from experiment.signals import Signals

CHECKPOINT_EVERY_S = 30.0


def read_summary(path, config):
    """Returns the summary of a finished workdir, or None where there is no finished run.

    Args:
        path: the workdir, which need not exist.
        config: the run's config as plain JSON types.

    Raises:
        UserError: the workdir holds another config or files of something else, or an input has changed.
    """
    path = pathlib.Path(path)
    with _naming(path):
        if not (path / "config.json").exists():
            foreign = [name for name in ("metrics.jsonl", "summary.json", "checkpoints") if (path / name).exists()]
            if foreign:
                raise UserError(f"--workdir={path}: has {foreign[0]} but no config.json; choose another directory")
            return None
        saved = _read_json(path / "config.json")
        if saved != config:
            raise UserError(
                f"--workdir={path}: holds a run of another config ({_difference(saved, config)}); "
                "choose another directory, or give that config again to resume it"
            )
        if (path / "inputs.json").exists():
            _check_inputs(path, _read_json(path / "inputs.json"))
        if not (path / "summary.json").exists():
            return None
        summary = _read_json(path / "summary.json", parse_constant=_refuse)
        if "figures" not in summary:
            raise UserError(f"{path / 'summary.json'}: not a summary; remove it to run the end again")
        return summary


class Workdir:
    """What a run writes and where it resumes; a context manager.

    Args:
        path: the directory, made if need be.
        config: the run's config as plain JSON types, written to config.json.
        signals: what handles SIGTERM and SIGINT; without it they do what they did before.
        inputs: files and folders that the run reads; it resumes only while they are as they were.
        tensorboard: whether metrics are copied to PATH/tensorboard.
        profile: window of a trace in PATH/profile, as `profiling.parse` returns it.

    Attributes:
        summary: of the run, if it has finished already.

    Raises:
        UserError: the directory cannot be written, holds another run, or another process is using it.
    """

    def __init__(self, path, config, *, signals=None, inputs=(), tensorboard=False, profile=None):
        self.path = pathlib.Path(path)
        self.signals = signals or Signals()
        self._start = time.monotonic()
        self._earlier_s = 0.0
        self._throughput = {}
        self._is_first = hosts.is_first()
        self._lock = self._metrics = self.summary = None
        if self._is_first:
            self._open(config, inputs, tensorboard)
        self.summary, rows = hosts.tell([self.summary, self._metrics.rows() if self._is_first else None])
        if not self._is_first:
            self._metrics = Metrics(os.devnull, rows=rows)
        self._checkpoints = checkpoint.Checkpoints(self.path / "checkpoints")
        self._trace = Trace(profile if self._is_first else None, self.path / "profile")

    def _open(self, config, inputs, tensorboard):
        """Makes the directory this run's own."""
        with _naming(self.path), contextlib.ExitStack() as undo:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(self.path)
            undo.callback(os.close, self._lock)  # a directory that is refused is free for the next
            self.summary = read_summary(self.path, config)  # again: another process may have been here meanwhile
            if not (self.path / "inputs.json").exists():
                self._write("inputs.json", json.dumps(_digests(inputs), indent=2) + "\n")
            if not (self.path / "config.json").exists():  # a sweep's driver writes it before the run starts
                self._write("config.json", json.dumps(config, indent=2) + "\n")
            self._metrics = Metrics(
                self.path / "metrics.jsonl",
                tensorboard_dir=self.path / "tensorboard" if tensorboard else None,
            )
            undo.pop_all()

    def __enter__(self):
        self._trace.__enter__()
        return self

    def __exit__(self, *_):
        try:
            self._trace.__exit__()
            self._metrics.close()
        finally:
            if self._lock is not None:
                os.close(self._lock)

    def elapsed_s(self):
        """Returns the seconds this run has taken, those of earlier processes up to their last save included."""
        return self._earlier_s + time.monotonic() - self._start

    def throughput(self):
        """Returns {loop: {"steps_per_s", of the median call, and "num_steps" that it is measured over}}.

        A process's first call of a loop, which compiles, is left out, and so is a call that gives its state back.
        """
        return dict(self._throughput)

    def stage(self, name, fn):
        """Returns fn(), computed once in the life of the workdir and kept.

        Args:
            name: unique in the run.
            fn: no arguments; returns nested dicts of arrays and numbers.

        Returns:
            Nested dicts of numpy arrays, the same whether just computed or read back.

        Raises:
            NonFiniteError: a NaN in the result.
        """
        self._is_due()
        self.signals.check()
        saved = self._restore(name)
        if saved is not None:
            return saved[1]
        with Progress(name, silent=not self._is_first):
            result = hosts.tell_arrays(_numpy_dicts(name, fn()))
            with self.signals.deferred():
                self._save(name, 1, result)
        return result

    def loop(self, name, state, step_fn, *, num_steps, steps_per_call=1):
        """Returns the state after num_steps, resumed from the newest checkpoint of this loop.

        Args:
            name: unique in the run; the `stage` of its metrics rows.
            state: pytree of arrays (typed keys included); a checkpoint must have the same shapes.
            step_fn: (state, step) -> (state, info), advancing steps_per_call steps from step. info is a dict of
                scalars, or of arrays [steps_per_call] that are checked one by one and logged by their mean.
            num_steps: a multiple of steps_per_call.

        Raises:
            NonFiniteError: an info value or the state is not finite; the last good checkpoint stays.
            Interrupted: a signal arrived; the state is saved.
        """
        if num_steps % steps_per_call:
            raise ValueError(f"{name}: num_steps {num_steps} is not a multiple of steps_per_call {steps_per_call}")
        state, step = checkpoint.without_weak_types(state), 0
        self._is_due()
        saved = self._restore(name, state)
        if saved is not None:
            step, state = saved
        self.signals.check()
        if step >= num_steps:
            return state
        last_save, seconds = time.monotonic(), []
        progress = Progress(name, total=num_steps, initial=step, silent=not self._is_first)
        with progress, self.signals.deferred():
            while step < num_steps:
                before, since = state, time.perf_counter()
                state, info = step_fn(state, step)
                values = _check_info(name, step, jax.device_get(mesh.gather(info)))
                seconds.append(time.perf_counter() - since if state is not before else np.nan)
                del before
                step += steps_per_call
                self._trace.called(len(seconds), step == num_steps)
                with _naming(self.path):
                    self._metrics.write(name, step, **values)
                progress.update(steps_per_call, values)
                now = time.monotonic()
                if self._is_due(step == num_steps or now - last_save >= CHECKPOINT_EVERY_S):
                    checkpoint.check_finite(name, step, state)
                    self._measure(name, seconds, steps_per_call)
                    self._save(name, step, state)
                    last_save = now
                    self.signals.check()
        return state

    def log(self, stage, step, **values):
        """Appends one row to metrics.jsonl; (stage, step) must be new in this process."""
        self.signals.check()
        with _naming(self.path):
            self._metrics.write(stage, step, **values)

    def rows(self, stage=None):
        """Returns the rows of metrics.jsonl, of one stage or of all."""
        return self._metrics.rows(stage)

    def track(self, iterable, name, total=None):
        """Yields from the iterable and shows progress."""
        total = total if total is not None else len(iterable)
        with Progress(name, total=total, silent=not self._is_first) as progress:
            for item in iterable:
                self.signals.check()
                yield item
                progress.update()

    def save_figure(self, name, figure, rows):
        """Writes figures/NAME.png and, with the plotted points (flat dicts), figures/NAME.csv."""
        self.signals.check()
        if not self._is_first:
            return
        with _naming(self.path):
            (self.path / "figures").mkdir(exist_ok=True)
            self._write(f"figures/{name}.png", figures.png(figure))
            self._write(f"figures/{name}.csv", figures.table(rows))

    def write_file(self, name, content):
        """Writes a file of the workdir, text or bytes, in one piece."""
        with _naming(self.path):
            self._write(name, content)
        hosts.tell()  # the others wait, for they may read the file

    def finish(self, summary):
        """Writes summary.json, which marks the run as finished, and returns what was written."""
        summary = plain(summary)
        with _naming(self.path):
            self._write("summary.json", json.dumps(summary, indent=2, allow_nan=False) + "\n")
        hosts.tell()  # a process that left earlier could not be told of a failure here
        return summary

    def _restore(self, name, target=None):
        saved = self._checkpoints.restore(name, target)
        if saved is None:
            return None
        step, state, notes = saved
        self._earlier_s = max(self._earlier_s, notes.get("elapsed_s", 0.0))
        if notes.get("throughput"):
            self._throughput[name] = notes["throughput"]
        return step, state

    def _save(self, name, step, state):
        notes = {"elapsed_s": self.elapsed_s(), "throughput": self._throughput.get(name)}
        self._checkpoints.save(name, step, state, **notes)

    def _is_due(self, is_due=False):
        """Returns whether a loop has to save: where it is due in the first process, or a signal is pending.

        A signal that any of several processes got becomes pending in all of them here, at the same point.
        """
        arrived, is_due = hosts.agree([self.signals.arrived or 0, int(is_due and self._is_first)])
        self.signals.pending = self.signals.pending or arrived or None
        return bool(is_due) or self.signals.pending is not None

    def _measure(self, name, seconds, steps_per_call):
        """Notes the throughput of a loop whose calls in this process have taken so long, NaN for an idle one."""
        measured = [each for each in seconds[1:] if each == each]
        if measured:
            rate = steps_per_call / float(np.median(measured))
            self._throughput[name] = {"steps_per_s": rate, "num_steps": steps_per_call * len(measured)}

    def _write(self, name, content):
        """Writes a file under a temporary name and renames it; only the first of several processes does."""
        if not self._is_first:
            return
        target = self.path / name
        temporary = target.with_name(f".{target.name}.part")
        try:
            temporary.write_bytes(content.encode() if isinstance(content, str) else content)
            temporary.replace(target)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            error.filename = str(target)
            raise


@contextlib.contextmanager
def _naming(path):
    """Turns an OSError of a write into a UserError that names the workdir."""
    try:
        yield
    except OSError as error:
        where = error.filename or path
        if error.errno in (errno.EEXIST, errno.ENOTDIR):
            raise UserError(f"--workdir={path}: {where} is not a directory; choose another") from error
        raise UserError(
            f"--workdir={path}: cannot use {where}: {error.strerror}; "
            "free space or permissions there, or choose another directory"
        ) from error


def _lock(path):
    """Returns a descriptor that holds the workdir until this process ends, however it ends."""
    descriptor = os.open(path / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise UserError(f"--workdir={path}: another process is running in it; wait for it or choose another") from None
    return descriptor


def _refuse(constant):
    raise ValueError(f"{constant} is no number of JSON")


def _read_json(path, **options):
    try:
        content = json.loads(path.read_text(encoding="utf-8"), **options)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON ({error}); restore the file or choose another --workdir") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: not a JSON object; restore the file or choose another --workdir")
    return content


def _digests(paths):
    """Returns {path: sha256 of a file, or of the files of a folder and of its folders, with their names}."""
    digests = {}
    for path in map(pathlib.Path, paths):
        digest = hashlib.sha256()
        files = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
        for file in files:
            name = b"" if file == path else file.relative_to(path).as_posix().encode()
            status = file.stat()
            digest.update(_digest(file.absolute(), status.st_size, status.st_mtime_ns) + name)
        digests[str(path.absolute())] = digest.hexdigest()
    return digests


@functools.cache
def _digest(file, _size, _mtime_ns):
    """Returns the sha256 of a file, read once in a process while it stays as it is: a sweep asks for every point."""
    return hashlib.sha256(file.read_bytes()).digest()


def _check_inputs(workdir, digests):
    for path, digest in digests.items():
        if pathlib.Path(path).exists() and digest not in _digests([path]).values():
            raise UserError(f"--workdir={workdir}: {path} has changed since this run began; choose another directory")


def _difference(saved, wanted, prefix=""):
    """Returns words for the first field in which two configs differ."""
    for key in sorted(saved.keys() | wanted.keys()):
        there, here = saved.get(key), wanted.get(key)
        if there != here or (key in saved) != (key in wanted):
            if isinstance(there, dict) and isinstance(here, dict):
                return _difference(there, here, f"{prefix}{key}.")
            absent = [word for word, side in (("there", saved), ("here", wanted)) if key not in side]
            if absent:
                return f"config.{prefix}{key} is absent {absent[0]}"
            return f"config.{prefix}{key} is {json.dumps(there)} there and {json.dumps(here)} here"
    return "no difference"


def _check_info(stage, step, info):
    """Returns {name: float}, or raises NonFiniteError at the first step with a value that is not finite."""
    values = {}
    for name, value in info.items():
        value = np.asarray(value)
        finite = np.isfinite(value)
        if not finite.all():
            bad = step + (int(np.argmin(finite)) if value.ndim else 0)
            raise NonFiniteError(f"{stage}: {name} is not finite at step {bad}; the last good checkpoint is kept")
        values[name] = float(value.mean()) if value.ndim else value.item()
    return values


def _numpy_dicts(stage, tree):
    """Returns nested dicts of numpy arrays, checked to be what a stage may return."""
    if isinstance(tree, dict):
        return {str(key): _numpy_dicts(f"{stage}/{key}", value) for key, value in tree.items()}
    array = np.asarray(jax.device_get(mesh.gather(tree)))
    if array.dtype.kind not in "biuf" and array.dtype != jax.numpy.bfloat16:
        raise TypeError(f"{stage}: a stage returns nested dicts of numbers and arrays, not {type(tree).__name__}")
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise NonFiniteError(f"{stage}: not a number")
    return array
