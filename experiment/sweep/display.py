"""What a sweep shows on stderr: a live table on a terminal, a line for every change otherwise."""

import json
import re
import shutil
import sys
import time
from collections import Counter

from experiment.sweep.driver import DONE, FAILED, RUNNING, tail

_EVERY_S = 0.5
_NARROWEST = 12  # of a shortened column
_ORDER = {FAILED: 0, RUNNING: 1, DONE: 3}  # in a terminal that has too few lines for all


class Display:
    """Shows jobs; a context manager."""

    def __init__(self, stream=None):
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._drawn, self._last = 0, -_EVERY_S
        self._jobs, self._said = [], ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._live:
            self._draw(self._jobs)

    def changed(self, job):
        """Says that a job is in another state."""
        if self._live:
            return
        tries = f", try {job.tries}" if job.tries > 1 else ""
        taken = f" in {job.elapsed_s():.1f} s" if job.state == DONE and job.tries else ""
        reason = f" ({job.reason})" if job.reason and not job.is_active else ""
        print(f"[sweep] {job.name}: {job.state}{taken}{tries}{reason}", file=self._stream, flush=True)

    def say(self, words):
        """Says something of the whole sweep; a terminal shows it beneath the table."""
        self._said = words
        if not self._live:
            print(f"[sweep] {words}", file=self._stream, flush=True)

    def tick(self, jobs):
        """Draws the table anew where it is due."""
        self._jobs = jobs
        now = time.monotonic()
        if self._live and now - self._last >= _EVERY_S:
            self._last = now
            self._draw(jobs)

    def _draw(self, jobs):
        size = shutil.get_terminal_size()
        lines = [*table(jobs, size.lines - 3, size.columns - 1), *filter(None, [self._said])]
        up = f"\x1b[{self._drawn}F\x1b[J" if self._drawn else ""
        self._stream.write(up + "".join(f"{line[: size.columns - 1]}\n" for line in lines))
        self._stream.flush()
        self._drawn = len(lines)


def table(jobs, height, width):
    """Returns the lines of the table: its head, the jobs that fit, and a count of every state.

    Args:
        jobs: of the driver.
        height: lines at most.
        width: characters of a line, for which the longest columns are shortened.
    """
    shown = list(jobs)
    if len(jobs) > height - 2:
        wanted = sorted(jobs, key=lambda job: _ORDER.get(job.state, 2))[: max(1, height - 2)]
        shown = [job for job in jobs if job in wanted]
    rows = [("point", "state", "progress", "elapsed", "tries")]
    for job in shown:
        elapsed = f"{job.elapsed_s():.0f} s" if job.tries else ""
        words = job.reason if job.state == FAILED else progress(job)
        rows.append((job.name, job.state, words, elapsed, str(job.tries or "")))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    while sum(widths) + 2 * 4 > width and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
    lines = ["  ".join(map(_fitted, row, widths)).rstrip() for row in rows]
    return [*lines, ", ".join(f"{count} {state}" for state, count in Counter(job.state for job in jobs).items())]


def _fitted(words, width):
    """Returns words of exactly that width; long ones lose their middle, for names differ at either end."""
    if len(words) > width:
        words = words[: width // 2 - 1] + ".." + words[width // 2 + 1 - width :]
    return words.ljust(width)


def progress(job):
    """Returns how far a job is: the stage and step of its newest metrics row, with a percentage where the log has one.

    Args:
        job: experiment.sweep.driver.Job that has begun.
    """
    if not job.is_active:
        return ""
    rows = [line for line in tail(job.points[0].workdir / "metrics.jsonl").split("\n")[:-1] if line.endswith("}")]
    said = re.findall(r"^\[(.+?)\] (?:(\d+)/(\d+))?", tail(job.log), re.MULTILINE)
    try:
        row = json.loads(rows[-1])
        stage, step = row["stage"], row["step"]
    except (IndexError, ValueError, KeyError):
        return said[-1][0] if said else ""
    totals = [int(total) for name, _, total in said if name == stage and total]
    percent = f" {100 * step // totals[-1]}%" if totals and totals[-1] else ""
    return f"{stage} {step}{percent}"
