"""What each system does a second on this device, beside the device's own matrix rate and bandwidth.

    python -m benchmarks.accelerator [--out=FILE] [--repeats=5] [--size=small] [--only=NAME,...]

On a GPU the cases are of the papers' sizes, on a CPU of such that two cores take seconds. The device's rates are
measured once, before all cases. A case that fails, as for want of memory, is left out with a line, and the exit status
is 1; the others are kept. The file is written after every case: what is finished is there, should the command be
killed.
"""

import functools
import logging
import sys

import jax

from benchmarks import device, options, timing
from benchmarks.cqd import throughput as of_cqd
from benchmarks.darts_perturb import throughput as of_darts_perturb
from benchmarks.ntk_asgd import throughput as of_ntk_asgd

OUT = "accelerator.json"
CASES = of_ntk_asgd.CASES | of_cqd.CASES | of_darts_perturb.CASES
_ON_ACCELERATORS = ("step_bfloat16", "search_bfloat16", "retrain_bfloat16")  # a CPU computes them through float32
_LOG = logging.getLogger("benchmarks.accelerator")


def main():
    """Measures, and writes the rows."""
    parser = options.parser(__doc__, out=OUT, repeats=5)
    parser.add_argument("--only", default="", help=f"cases to measure, of {','.join(CASES)}; all without")
    asked_for = parser.parse_args()
    is_cpu = jax.default_backend() == "cpu"
    names = asked_for.only.split(",") if asked_for.only else list(CASES)
    if set(names) - set(CASES):
        parser.error(f"--only={asked_for.only}: choose among {', '.join(CASES)}")
    if is_cpu and not asked_for.only:
        names = [name for name in names if name not in _ON_ACCELERATORS]
    size = "small" if asked_for.size == "small" else "cpu" if is_cpu else "gpu"
    rates = device.measure(size, asked_for.repeats)
    _LOG.info("%s: %s", jax.devices()[0].device_kind, rates)
    write = functools.partial(timing.write, asked_for.out, size=asked_for.size, peers=[], device=rates)
    rows, failed = [], []
    for name in names:
        try:
            rows.append(device.row(CASES[name](size), rates, asked_for.repeats))
        except Exception as error:  # whatever a device lacks
            failed.append(name)
            _LOG.warning("%s is left out: %s", name, (str(error).splitlines() or [type(error).__name__])[0])
            continue
        _LOG.info("%(case)s: %(per_s)s %(unit)s a second, %(of_matrix_rate).3f of the matrix rate", rows[-1])
        write(rows=rows, unfinished=name != names[-1])
    write(rows=rows, failed=failed)
    sys.exit(int(bool(failed)))


if __name__ == "__main__":
    main()
