"""`cqd-ask`: questions on the command line or from stdin, answers on stdout; the fields of configs/cqd/ask.py as flags.

The predictor is read once, and every question is looked up before the first is answered, so that a mistake in the
last one costs no time.
"""

import argparse
import os
import pathlib
import re
import sys

from experiment import app, errors
from experiment import config as config_files
from experiment.errors import UserError

CONFIG = "configs/cqd/ask.py"
EXAMPLE = """examples:
  cqd --config=configs/cqd/train.py:runlocal --workdir=out/mine          trains a predictor, once
  cqd-ask --predictor=out/mine 'SELECT ?x WHERE { ?x :borders :China, :India }'
  cqd-ask --predictor=out/mine 'borders(China) & !borders(India)' --num_answers=3 --json
  cqd-ask --predictor=out/mine < questions.txt                           one question a line
"""
_HELP = {
    "predictor": "a finished run's workdir, or the predictor.npz in it",
    "method": "exact (default), beam or continuous",
    "tnorm": "product (default), min or lukasiewicz",
    "beam_size": "entities kept a variable by method beam",
    "normalize": "calibrated (default), sigmoid or softmax",
    "known": "certain (default): observed edges have truth 1; '': the predictor's",
    "observed": "all (default) edges of the predictor's file, or known: those of train and valid alone",
    "num_answers": "predicted answers",
    "num_known": "answers that follow from observed edges, shown with a proof",
    "num_proofs": "proofs an answer",
    "min_truth": "leave predicted answers below out",
    "closed": "rule out a second capital where one is observed, and loops of a relation that has none (default)",
    "certificate": "with method beam: each answer's distance to the exact optimum",
}


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise UserError(f"{message}; cqd-ask --help has an example")


def answers(argv, signals, run):
    """Returns the text for stdout: the answers, or the help that was asked for.

    Args:
        argv: as sys.argv.
        signals: experiment.signals.Signals, installed.
        run: (argv, signals) -> summary, `experiment.app.run` of this system.

    Raises:
        UserError: a mistake in a flag, the predictor, or a question.
    """
    parser = _parser(config_files.load(config_files.find(CONFIG)))
    flags = parser.parse_intermixed_args(argv[1:])
    if flags.help:
        return parser.format_help()
    texts = flags.questions or _lines()
    fields = {name: getattr(flags, name) for name in _HELP if getattr(flags, name) is not None}
    if flags.predictor is not None:
        fields["predictor"] = os.path.expanduser(flags.predictor)
    fields |= {"query": texts[0]} if len(texts) == 1 else {"queries": tuple(texts)}
    try:
        if flags.workdir:
            return _by_workdir(flags, fields, signals, run)
        return _at_once(flags, fields, signals)
    except UserError as error:
        raise UserError(_as_flags(str(error))) from error


def _parser(config):
    parser = _Parser(
        prog="cqd-ask",
        description="Answers questions about a knowledge graph, each answer with its probability and proof.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
        allow_abbrev=False,
    )
    parser.add_argument("questions", nargs="*", help="in SPARQL, or as trees; none: stdin is read, one a line")
    for name, words in _HELP.items():
        value = config.get(name)
        if isinstance(value, bool):
            parser.add_argument(f"--{name}", action=argparse.BooleanOptionalAction, default=None, help=words)
        else:
            parser.add_argument(f"--{name}", type=type(value) if value is not None else str, help=words)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--workdir", help="keep answers and figures there; without --predictor train one there")
    parser.add_argument("--compilation_cache", default=app.default_cache(), help="of JAX, a directory or 'off'")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("-h", "--help", action="store_true", help="show this")
    return parser


def _lines():
    """Returns the questions on stdin, one a line, but for empty lines and comments."""
    if sys.stdin is None or sys.stdin.isatty():
        raise UserError("a question is missing; cqd-ask --help has an example")
    try:
        lines = [line.strip() for line in sys.stdin]
    except UnicodeDecodeError as error:
        raise UserError(f"stdin: not UTF-8 text ({error}); save the questions as UTF-8") from None
    found = [line for line in lines if line and not re.match(r"#(?!\d)", line)]
    if not found:
        raise UserError("a question is missing: stdin is empty; cqd-ask --help has an example")
    return found


def _by_workdir(flags, fields, signals, run):
    """Returns what the run in a workdir wrote, now or earlier."""
    words = [
        f"--config.{name}={value!r}" if name == "queries" else f"--config.{name}={value}"
        for name, value in fields.items()
    ]
    where = [f"--workdir={flags.workdir}", f"--compilation_cache={flags.compilation_cache}"]
    run(["cqd-ask", f"--config={CONFIG}:runlocal", *where, *words], signals)
    from cqd.runs import ask

    path = pathlib.Path(flags.workdir).expanduser() / (ask.JSON if flags.json else ask.TEXT)
    with errors.user_errors():
        return path.read_text(encoding="utf-8").rstrip()


def _at_once(flags, fields, signals):
    """Returns the answers, nothing written."""
    if flags.predictor is None:
        raise UserError(
            "--predictor is missing: the workdir of a run such as cqd --config=configs/cqd/train.py:runlocal; "
            "or give --workdir=DIR to train one on the embedded countries there"
        )
    config = config_files.load(config_files.find(CONFIG))
    config.update(fields)
    with signals.deferred():  # as `experiment.app.run` does
        app.start_jax(flags.compilation_cache)
        from cqd.runs import ask
    with errors.user_errors():
        data = ask.load(config)
        found = ask.answer(data, data.trained, data.questions)
    return (ask.to_json(found) if flags.json else ask.to_text(found)).rstrip()


def _as_flags(message):
    """Returns a message about fields of the config in the words of the command line."""
    message = re.sub(r"config\.queries #(\d+)", r"question \1", message)
    message = re.sub(r"config\.query\b(?= is missing|:)", "the question", message)
    return re.sub(r"config\.(?=\w)", "--", message)
