"""The processes of one run. They compute the same program; the first alone writes the workdir and prints the summary.

`join` makes them one job through jax.distributed. What only the first knows it tells (`tell`, `tell_arrays`); what has
to happen at the same step everywhere is agreed on (`agree`). A process that fails says so, and the others end with its
status within seconds (`end`, and a thread that listens). A single process is the first, and nothing here does anything.

The small values go through the key-value store of jax.distributed, which waits without a limit on a process that has
more to do than the others; the bytes of arrays through the devices.
"""

import atexit
import json
import os
import sys
import threading
import time
import traceback

from experiment.errors import UserError, one_line

HEARTBEAT_S = 30  # after which a process that is not heard of counts as dead
_TIMEOUTS_S = {
    "initialization_timeout": 300,
    "heartbeat_timeout_seconds": HEARTBEAT_S,
    "shutdown_timeout_seconds": 2 * HEARTBEAT_S,
}
_PATIENCE_S = 5.0  # before a process that waits for others says so
_POLL_S = 0.5
_LINGER_S = 5.0  # of a failed first process, whose end is the end of the key-value store
_FOREVER_MS = 7 * 24 * 3600 * 1000
_CHUNK = 2**26  # bytes a broadcast
_LONGEST = 2**20  # characters of a value in the key-value store
_ENDED = "remeasured/ended"
_LOST = ("gloo", "nccl", "connection", "unavailable", "coordination", "heartbeat", "socket", "peer")

_told = 0  # values told so far, the same in every process
_listening = threading.Event()


def join(coordinator="", num_processes=None, process_id=None, check=lambda: None):
    """Makes this process one of a job; call it before any computation. Waits 300 s at most for the other processes.

    Args:
        coordinator: host:port of the first process; where left out, SLURM, Open MPI, Kubernetes or a TPU pod says.
        num_processes: of the job.
        process_id: of this process, from 0.
        check: called while it waits; may raise to give up.

    Raises:
        UserError: no cluster is found in the environment, or the job cannot be joined.
    """
    import jax

    if coordinator and coordinator.count(":") != 1 and not coordinator.startswith("["):
        raise UserError(f"--coordinator={coordinator}: write HOST:PORT, of the first process")
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.config.update("jax_enable_preemption_service", False)  # it would take SIGTERM from `experiment.signals`
    jax.config.update("jax_cpu_enable_async_dispatch", False)  # two programs at once would mix their messages up
    given = {"coordinator_address": coordinator or None, "num_processes": num_processes, "process_id": process_id}
    try:
        _wait_for(lambda: jax.distributed.initialize(**given, **_TIMEOUTS_S), check)
        if jax.process_count() == 1:
            return
    except (ValueError, TypeError, RuntimeError) as error:
        raise UserError(_why_not_joined(given, error)) from error
    _listening.set()
    threading.Thread(target=_listen, daemon=True).start()
    atexit.register(_listening.clear)


def _wait_for(start, check):
    """Calls start() in a thread, since no signal reaches Python while jax waits, and returns when it has returned."""
    failed = []

    def call():
        try:
            start()
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    until = time.monotonic() + _PATIENCE_S
    while thread.is_alive():
        thread.join(_POLL_S)
        check()
        if time.monotonic() > until:
            print("waiting for the other processes of this job to join", file=sys.stderr, flush=True)
            until = float("inf")
    if failed:
        raise failed[0]


def _why_not_joined(given, error):
    reason = one_line(error)[:200]
    if given["coordinator_address"]:
        return (
            f"--coordinator={given['coordinator_address']}: cannot join ({reason}); give each process the same "
            "address and --num_processes, and its own --process_id from 0"
        )
    return (
        f"--distributed: no cluster found ({reason}); give --coordinator=HOST:PORT --num_processes=P --process_id=I, "
        "or leave the flag out on one machine"
    )


def keep_stdout():
    """Leaves stdout to what Python prints; the libraries by which processes talk, which write there too, get stderr."""
    sys.stdout = os.fdopen(os.dup(1), "w", encoding=sys.stdout.encoding)
    os.dup2(2, 1)


def are_many():
    """Returns whether this run has more than one process."""
    if not _listening.is_set():
        return False
    import jax

    return jax.process_count() > 1


def is_first():
    """Returns whether this process is the one that writes."""
    if not are_many():
        return True
    import jax

    return jax.process_index() == 0


def agree(numbers):
    """Returns the largest of what the processes give, number by number; each calls it at the same point.

    Args:
        numbers: whole numbers.
    """
    if not are_many():
        return list(numbers)
    import numpy as np
    from jax.experimental import multihost_utils

    return multihost_utils.process_allgather(np.array(numbers, np.int32)).max(axis=0).tolist()


def tell(value=None):
    """Returns the value of the first process, of JSON's types; what the others give is not looked at."""
    if not are_many():
        return value
    global _told
    _told += 1
    key, text = f"remeasured/told/{_told}", ""
    if is_first():
        text = json.dumps(value)
        _client().key_value_set(key, text if len(text) < _LONGEST else "")
    else:
        text = _client().blocking_key_value_get(key, _FOREVER_MS)
    if is_first() and len(text) < _LONGEST:
        return value
    return json.loads(text if 0 < len(text) < _LONGEST else _broadcast(text.encode()))


def tell_arrays(tree=None):
    """Returns the nested dicts of numpy arrays of the first process; what the others give is not looked at."""
    if not are_many():
        return tree
    import jax
    import numpy as np

    leaves, shapes = [], None
    if is_first():
        leaves = [np.asarray(leaf, order="C") for leaf in jax.tree.leaves(tree)]
        numbered = iter(leaves)
        shapes = jax.tree.map(lambda _: [(leaf := next(numbered)).dtype.name, *leaf.shape], tree)
    shapes = tell(shapes)
    data = _broadcast(b"".join(leaf.tobytes() for leaf in leaves) if is_first() else None)
    start = 0

    def read(shape):
        nonlocal start
        array = np.ndarray(shape[1:], jax.numpy.dtype(shape[0]), data, start)
        start += array.nbytes
        return array

    return jax.tree.map(read, shapes, is_leaf=lambda node: isinstance(node, list))


def _broadcast(data):
    """Returns the bytes of the first process, in pieces whose sizes are powers of two, so that few are compiled."""
    import numpy as np
    from jax.experimental import multihost_utils

    length = tell(len(data) if is_first() else None)
    whole = bytearray(length)
    for start in range(0, length, _CHUNK):
        stop = min(length, start + _CHUNK)
        piece = np.zeros(1 << max(10, (stop - start - 1).bit_length()), np.uint8)
        if is_first():
            piece[: stop - start] = np.frombuffer(data, np.uint8)[start:stop]
        piece = multihost_utils.broadcast_one_to_all(piece)
        whole[start:stop] = piece[: stop - start].tobytes()
    return whole


def end(status, line=None):
    """Ends this process, one of many, at once, and the others after it; returns where it is the only one.

    Args:
        status: the exit status of all.
        line: the error, printed here and named in the line that every other process prints.
    """
    if not are_many():
        return
    import jax

    _listening.clear()
    with _quietly():
        _client().key_value_set(_ENDED, json.dumps([jax.process_index(), status, line]))
    if line:
        _say(line)
    if jax.process_index() == 0:
        _wait_for_others(jax.process_count())
    _exit(status)


def end_unplanned(error):
    """Ends this process, one of many, on an exception: the loss of another process, or a defect with its traceback.

    Returns where it is the only one.
    """
    if not are_many():
        return
    time.sleep(4 * _POLL_S)  # in which the listening thread ends this process if another has said why it ended
    words = one_line(error).replace("Error dispatching computation: ", "")
    if any(word in words.lower() for word in _LOST):
        end(1, f"lost another process of this job ({words[:200]}); the same command resumes")
    traceback.print_exc()
    end(1, f"{type(error).__name__}: {one_line(error)[:200]}")


def _listen():
    """Ends this process once another one has said that it failed."""
    client = _client()
    while _listening.is_set():
        time.sleep(_POLL_S)
        try:
            found = client.key_value_try_get(_ENDED)
        except Exception:  # nothing is there, or the first process is gone: then jax.distributed ends this one
            continue
        if _listening.is_set():
            process, status, line = json.loads(found)
            _say(f"process {process}: {line or 'stopped'}")
            with _quietly():
                client.key_value_increment(f"{_ENDED}/seen", 1)
            _exit(status)


def _wait_for_others(count):
    """Waits until the other processes know why they end, or for _LINGER_S."""
    until = time.monotonic() + _LINGER_S
    while time.monotonic() < until:
        with _quietly():
            if int(_client().key_value_increment(f"{_ENDED}/seen", 0)) >= count - 1:
                return
        time.sleep(0.1)


def _say(line):
    print(f"error: {line}", file=sys.stderr, flush=True)


def _exit(status):
    """Ends the process without the barrier at which jax.distributed would wait for the others."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _quietly():
    import contextlib

    return contextlib.suppress(Exception)


def _client():
    from jax._src import distributed  # the key-value store has no public name

    return distributed.global_state.client
