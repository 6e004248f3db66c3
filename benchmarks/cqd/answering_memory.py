"""Peak memory of answering one query type: prints {"peak_MB", "tables_MB", "seconds"} as a JSON line.

Started by `benchmarks.cqd.answering`, a process a type, for a peak is that of a process's whole life. It is read from
Linux's /proc: getrusage would count what the parent held when it started this one.
"""

import json
import pathlib
import sys
import time

import jax

import cqd
from benchmarks.cqd import answering
from cqd import predictor

BEAM = 64


def main():
    """Answers a batch of the type, at the size, that the command line names."""
    type_name, size = sys.argv[1:]
    sizes = answering.SIZES[size]
    params = predictor.complex_params(*answering.tables(sizes.num_entities, sizes.num_relations, sizes.memory_rank))
    queries = answering.draw(type_name, answering.BATCH, sizes.num_entities, sizes.num_relations)
    start = time.perf_counter()
    jax.block_until_ready(cqd.answer(params, queries, beam_size=BEAM, batch_size=answering.BATCH))
    seconds = time.perf_counter() - start
    status = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
    peak = 1.024e-3 * int(status["VmHWM"].split()[0])  # KiB
    size = sum(table.nbytes for table in params) / 1e6
    print(json.dumps({"peak_MB": peak, "tables_MB": size, "seconds": seconds}))


if __name__ == "__main__":
    main()
