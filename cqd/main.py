"""The binary, python -m cqd.main --config=configs/cqd/countries.py:runlocal --workdir=DIR; and `cqd-ask`."""

import functools
import importlib
import sys

from experiment import app, config

GRAPHS = ("countries", "umls", "kinship", "nations", "fb15k237", "nell995")  # one run, six configs
OWN = ("train", "ask", "query_models", "calibration", "refinement", "large_graph")
RUNS = {**dict.fromkeys(GRAPHS, "cqd.runs.complex_queries"), **{name: f"cqd.runs.{name}" for name in OWN}}
DEFAULT = "configs/cqd/countries.py"


def main(argv=None):
    """Runs the binary and ends the process with its exit status."""
    app.main(system="cqd", runs=RUNS, default_config=DEFAULT, argv=argv)


def ask(argv=None):
    """Runs `cqd-ask` and ends the process with its exit status."""
    words = sys.argv if argv is None else argv

    def body(signals):
        console = importlib.import_module("cqd.runs.console")
        run = functools.partial(app.run, system="cqd", runs=RUNS, default_config=DEFAULT)
        return console.answers(words, signals, lambda argv, signals: run(argv=argv, signals=signals))

    sys.exit(app.guarded(body, debug=config.is_asked_for(words, "debug")))


if __name__ == "__main__":
    main()
