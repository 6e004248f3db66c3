"""Several processes of one run, as a cluster starts them, with some forced CPU devices each."""

import contextlib
import math
import random
import socket
import subprocess
import sys

from tests.experiment import binary


def environment(devices):
    """Returns `binary.environment` with so many CPU devices."""
    flags = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}", "JAX_PLATFORMS": "cpu"}
    return binary.environment() | flags


def start(module, *args, processes=2, devices=2, cwds=None, by_slurm=False, only=None):
    """Returns the started processes, the first first.

    Args:
        module: of the binary.
        args: of the binary.
        processes: of the job.
        devices: of each.
        cwds: of each.
        by_slurm: whether they are told of each other by SLURM's variables alone.
        only: number of the one process that is started; all where left out.
    """
    port = _free_port()
    job, slurm = [f"--coordinator=localhost:{port}", f"--num_processes={processes}", "--process_id={}"], {}
    if by_slurm:
        slurm = {"SLURM_JOB_ID": port - _SLURM_PORTS[0], "SLURM_STEP_NODELIST": "localhost", "SLURM_NTASKS": processes}
        job, slurm = [], slurm | {"SLURM_PROCID": "{}", "SLURM_LOCALID": "{}"}
    return [
        subprocess.Popen(
            [sys.executable, "-m", module, *map(str, args), "--distributed", *(word.format(number) for word in job)],
            cwd=cwds[number] if cwds else binary.ROOT,
            env=environment(devices) | {name: str(value).format(number) for name, value in slurm.items()},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in (range(processes) if only is None else [only])
    ]


_SLURM_PORTS = range(2**16 - 2**12, 2**16)  # of which JAX takes that of the job's number


def _free_port():
    for port in random.sample(_SLURM_PORTS, 100):
        with socket.socket() as tried, contextlib.suppress(OSError):
            tried.bind(("localhost", port))
            return port
    raise RuntimeError("no port is free")


def finish(processes, timeout=600):
    """Returns [(exit status, stdout, stderr)] of processes; none is left running."""
    try:
        return [
            (process.returncode, out, err)
            for process in processes
            for out, err in [process.communicate(timeout=timeout)]
        ]
    finally:
        for process in processes:
            process.kill()


def run(module, *args, **kwargs):
    """Returns what `finish` does, of processes that were started and left alone."""
    return finish(start(module, *args, **kwargs))


def alone(module, *args, devices=1):
    """Returns (exit status, stdout, stderr) of one process with so many devices."""
    command = [sys.executable, "-m", module, *map(str, args)]
    done = subprocess.run(
        command, cwd=binary.ROOT, env=environment(devices), capture_output=True, text=True, timeout=600, check=False
    )
    return done.returncode, done.stdout, done.stderr


# what a search does before it fine-tunes a supernet, which makes of a last digit another cell
BEFORE_DECISIONS = ("search_", "strengths_", "retrain_")


def assert_near(found, expected, rtol, stages=None, steps=None):
    """Asserts that two workdirs hold the same figures and rows, or some rows, but for float tolerance.

    Args:
        found: workdir.
        expected: workdir.
        rtol: relative tolerance.
        stages: how the stages begin whose rows are compared, where both have them; of all, if left out.
        steps: the last step whose rows are compared; the figures and all rows, if this and stages are left out.
    """
    (figures, rows), (wanted, other_rows) = map(binary.figures, (found, expected))
    if stages is None and steps is None:
        assert not differences(figures, wanted, rtol)
        assert not differences(rows, other_rows, rtol)
        return
    last = math.inf if steps is None else steps
    ours, others = (
        {
            (row["stage"], row["step"]): row
            for row in each
            if row["stage"].startswith(stages or "") and row["step"] <= last
        }
        for each in (rows, other_rows)
    )
    both = ours.keys() & others.keys()
    assert both
    assert len(both) > len(others) / 2
    for key in both:
        assert not differences(ours[key], others[key], rtol), key


def differences(found, expected, rtol, path=""):
    """Returns the places at which two trees of JSON differ by more than float tolerance."""
    if isinstance(expected, dict) and isinstance(found, dict) and found.keys() == expected.keys():
        pairs = [(found[key], expected[key], f"{path}/{key}") for key in expected]
    elif isinstance(expected, list) and isinstance(found, list) and len(found) == len(expected):
        pairs = [(one, other, f"{path}[{place}]") for place, (one, other) in enumerate(zip(found, expected))]
    elif isinstance(expected, float) and isinstance(found, float):
        is_near = abs(found - expected) <= rtol * max(abs(found), abs(expected)) + 1e-6
        return [] if is_near else [f"{path}: {found} and {expected}"]
    else:
        return [] if found == expected else [f"{path}: {found} and {expected}"]
    return [place for one, other, name in pairs for place in differences(one, other, rtol, name)]
