"""A peer that runs in an interpreter of its own and takes turns with us: one JSON line asks, one answers.

`start` is our side, `serve` the peer's, which finds no package but its own library: this module needs none.
"""

import json
import os
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parents[1]


def start(python, module, *words):
    """Returns what a peer says first, and the function of keyword arguments that gives its answer to them.

    The function raises ValueError where the peer answers with an error, or ends.

    Args:
        python: the interpreter.
        module: name of a module of this folder that calls `serve` when run.
        *words: its arguments.

    Raises:
        ValueError: the program has ended.
    """
    command = [python, "-m", module, *words]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)

    def read():
        line = process.stdout.readline()
        if not line:
            raise ValueError(f"{python} ended with status {process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer

    def call(**request):
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        return read()

    return read(), call


def serve(first, answer_fn):
    """Answers requests until the input ends, each answer with the time that it took.

    Args:
        first: what to say first, such as versions.
        answer_fn: keyword arguments of a request -> the function of no arguments that does the work and returns a
            dict; making it is preparation and not timed.
    """
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a library prints is no answer
    print(json.dumps(first), file=answers, flush=True)
    for line in sys.stdin:
        try:
            work = answer_fn(**json.loads(line))
            wall, cpu = time.perf_counter(), time.process_time()
            answer = work()
            answer |= {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
        except Exception as error:  # whatever a library raises is its answer
            answer = {"error": f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"}
        print(json.dumps(answer), file=answers, flush=True)
