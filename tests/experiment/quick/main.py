"""A system whose runs keep the contract of the binaries without loading jax, for the tests of what starts them."""

import fcntl
import json
import os
import pathlib
import signal
import sys
import time

from experiment import app
from experiment.errors import NonFiniteError, UserError, user_errors

RUNS = {"count": "quick.main"}


def main(argv=None):
    words = list(argv or sys.argv)
    sys.exit(app.guarded(lambda signals: _run(app.checked_flags("quick", RUNS, "", words), signals)))


def _run(options, signals):
    config, path = options.config, pathlib.Path(options.workdir)
    if config.rate < 0:
        raise UserError(f"config.rate={config.rate}: must be positive")
    path.mkdir(parents=True, exist_ok=True)
    lock = os.open(path / ".lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(f"--workdir={path}: another process is running in it") from None
    own = json.loads(config.to_json_best_effort())
    if (path / "config.json").exists() and json.loads((path / "config.json").read_text()) != own:
        raise UserError(f"--workdir={path}: holds a run of another config")
    _write(path / "config.json", json.dumps(own))
    if not (path / "summary.json").exists():
        _count(config, path, signals)
    return (path / "summary.json").read_text()


def _count(config, path, signals):
    """Writes a row a step, goes on behind the last, and ends as the config says."""
    metrics = path / "metrics.jsonl"
    lines = metrics.read_text().splitlines(keepends=True) if metrics.exists() else []
    if lines and not lines[-1].endswith("\n"):  # torn by a crash
        metrics.write_text("".join(lines[:-1]))
    first = "".join(lines).count("\n")
    with (path / "tries.txt").open("a") as tries:
        tries.write(f"{os.getpid()} {first} {os.environ.get('CUDA_VISIBLE_DEVICES', '')}\n")
    ends = config.ends.removeprefix("once_")
    if config.ends == ends or first == 0:
        if ends == "crash":
            metrics.write_text('{"stage": "count", "step": 1}\n')
            raise RuntimeError("something broke")
        if ends == "kill":
            metrics.write_text('{"stage": "count", "step": 1}\n')
            os.kill(os.getpid(), signal.SIGKILL)
        if ends == "mistake":
            raise UserError("config.word: no such word")
        if ends == "nan":
            raise NonFiniteError("count: rate is not finite at step 1")
    with signals.deferred():
        for step in range(first, config.num_steps):
            time.sleep(config.sleep_s)
            with metrics.open("a") as rows:
                rows.write(json.dumps({"stage": "count", "step": step + 1}) + "\n")
            print(f"[count] {step + 1}/{config.num_steps}", file=sys.stderr)
            signals.check()
    risk = config.rate * config.inner.width + config.seed
    figures = {"risk": {"value": risk, "sd": 0.5, "seeds": 3}, "word": config.word, "worst": "inf", "path": [1, 2]}
    device = {"platform": "cpu", "kind": "cpu", "count": 1}
    summary = {"system": "quick", "run": "count", "figures": figures, "wall_time_s": 0.1, "device": device}
    _write(path / "summary.json", json.dumps(summary))


def _write(path, text):
    """Writes a file in one piece."""
    temporary = path.with_name(".part")
    with user_errors():
        temporary.write_text(text)
    temporary.replace(path)


if __name__ == "__main__":
    main()
