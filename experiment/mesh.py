"""Devices and hosts."""

import jax

from experiment.errors import UserError


def initialize_distributed():
    """Joins the processes of a cluster job through jax.distributed; call it before any computation.

    Raises:
        UserError: no cluster is found in the environment, or the job has more than one process.
    """
    try:
        jax.distributed.initialize()
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"--distributed: no cluster found ({reason}); leave the flag out on one machine") from error
    if jax.process_count() > 1:
        raise UserError(
            f"--distributed: this job has {jax.process_count()} processes and a run writes its workdir from one; "
            "start it as a single task"
        )


def describe_devices():
    """Returns what computes: {"platform", "kind", "count"}."""
    devices = jax.devices()
    return {"platform": devices[0].platform, "kind": devices[0].device_kind, "count": len(devices)}
