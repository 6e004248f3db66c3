"""What a phase of a run takes: processor seconds, wall seconds, and the peak of the process's memory."""

import contextlib
import resource
import sys
import time

import jax

_MB = 1e6


def measured(fn):
    """Returns (fn(), {"cpu_s", "wall_s", "peak_mb"}), and "device_peak_mb" where a device counts its own.

    The peak is of this phase alone where the system lets a process forget an earlier one (Linux), else of the process
    to date. Devices count theirs to date, the fullest one is told.
    """
    _forget_peak()
    cpu, wall = time.process_time(), time.perf_counter()
    result = jax.block_until_ready(fn())
    took = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall, "peak_mb": _peak() / _MB}
    counted = [stats["peak_bytes_in_use"] for device in jax.local_devices() if (stats := device.memory_stats())]
    return result, {**took, **({"device_peak_mb": max(counted) / _MB} if counted else {})}


def _forget_peak():
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def _peak():
    """Returns the largest resident size, in bytes."""
    with contextlib.suppress(OSError), open("/proc/self/status") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
