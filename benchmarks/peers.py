"""A peer that runs in an interpreter of its own and takes turns with us: one JSON line asks, one answers."""

import json
import subprocess


def start(python, script):
    """Returns what a script says first, and the function of keyword arguments that gives its answer to them.

    Args:
        python: the interpreter.
        script: path of a program that writes a JSON line, then answers every line it reads with one.

    Raises:
        ValueError: the program has ended.
    """
    process = subprocess.Popen([python, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def read():
        line = process.stdout.readline()
        if not line:
            raise ValueError(f"{python} ended with status {process.wait()}")
        return json.loads(line)

    def call(**request):
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        return read()

    return read(), call
