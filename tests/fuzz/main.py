"""Fuzzes a target by coverage, with atheris: python -m tests.fuzz.main TARGET [CORPUS] [-libFuzzer_flag=value ...]

    pip install atheris
    python -m tests.fuzz.main question -max_total_time=120
    python -m tests.fuzz.main question crash-1b2c...        runs one input that was found, and shows its traceback

The corpus, by default a folder of the target under the system's folder for temporary files, begins with the target's
seeds and grows by every input that reaches new code. An input that shows a defect is written to the working directory
as crash-DIGEST (or timeout-, oom-DIGEST), and ends the search; put it among the seeds, in `tests/fuzz/seeds.py`
or `text_seeds.py`, with the mend. Without a target their names are listed.
"""

import importlib
import logging
import pathlib
import sys
import tempfile

PACKAGES = ("cqd", "darts_perturb", "experiment", "configs")
LONGEST_SEED = 8192  # bytes; a longer one would make all mutations long and slow


def main(argv):
    """Fuzzes until a defect, a limit among the flags, or a signal; returns the exit status where it does not begin."""
    name, *rest = argv[1:] or [""]
    try:
        import atheris
    except ImportError:
        print("atheris is not installed: pip install atheris", file=sys.stderr)
        return 2
    with atheris.instrument_imports(include=list(PACKAGES), enable_loader_override=False):
        targets = importlib.import_module("tests.fuzz.targets").TARGETS
    if name not in targets:
        print(f"{name or 'TARGET'}: choose one of {', '.join(targets)}", file=sys.stderr)
        return 2
    logging.getLogger("rdflib").setLevel(logging.CRITICAL)
    if not any(not word.startswith("-") for word in rest):
        rest = [str(pathlib.Path(tempfile.gettempdir()) / f"fuzz_{name}"), *rest]
    corpus = pathlib.Path(next(word for word in rest if not word.startswith("-")))
    if not corpus.is_file():
        write_seeds(targets[name].seeds(), corpus)
    atheris.Setup([argv[0], "-timeout=30", *rest], targets[name])
    atheris.Fuzz()
    return 0


def write_seeds(seeds, corpus):
    """Writes the seeds into a folder, made if need be."""
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds):
        if len(seed) <= LONGEST_SEED:
            (corpus / f"seed_{number}").write_bytes(seed)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
