"""A library in an interpreter of its own that sleeps as long as it is asked to."""

import time

from benchmarks import peers


def answer(seconds, fails=False):
    """Returns the work of a request."""
    if fails:
        raise KeyError("no such thing\nin two lines")

    def work():
        print("said on stdout, which is no answer")
        time.sleep(seconds)
        return {"slept": seconds}

    return work


if __name__ == "__main__":
    peers.serve({"toy": "1.5"}, answer)
