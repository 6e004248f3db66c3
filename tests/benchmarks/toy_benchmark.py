"""A benchmark of a sleep, beside a peer that sleeps ten times as long."""

import functools
import pathlib
import sys
import time

from benchmarks import options, peers, timing


def main():
    """Measures, and writes the row; fails or waits for long where its file is called so."""
    asked_for = options.parser(__doc__, out="toy.json", repeats=3, libraries=("torch",)).parse_args()
    name = pathlib.Path(asked_for.out).stem
    if name == "broken":
        sys.exit("a defect, in words")
    if name == "endless" and not pathlib.Path(asked_for.out).with_suffix(".go").exists():
        time.sleep(60)
    candidates, beside, asked = {"nap": functools.partial(time.sleep, 0.005)}, {}, []
    if asked_for.torch_python:
        first, ask = peers.start(asked_for.torch_python, "tests.benchmarks.toy_peer")
        candidates["toy"] = functools.partial(ask, seconds=0.05)
        beside["toy"] = timing.Beside(timing.LIBRARY, 2.0, f"toy {first['toy']}")
        asked.append("torch")
    times = timing.alternate(candidates, asked_for.repeats)
    rows = [timing.row("cqd", f"a nap, {name}", times, "nap", beside)]
    rows.append(timing.figure("cqd", f"length, {name}", times["nap"]["median_s"], "s", 1e-4))
    timing.write(asked_for.out, rows, size=asked_for.size, peers=asked)


if __name__ == "__main__":
    main()
