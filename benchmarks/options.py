"""The options that every benchmark takes."""

import argparse
import logging
import pathlib

RESULTS = pathlib.Path(__file__).parent / "results"
SIZES = ("full", "small")
DATA = "data"  # stands among the peers of results that were measured with it
LIBRARIES = ("torch", "pykeen", "neural-tangents")  # in interpreters of their own


def parser(doc, *, out, repeats, libraries=()):
    """Returns the parser of a benchmark's command.

    Args:
        doc: its module's docstring.
        out: name of the file of results.
        repeats: counted calls of each candidate.
        libraries: the peers, among LIBRARIES, whose interpreters it takes.
    """
    say()
    made = argparse.ArgumentParser(description=doc.partition("\n")[0])
    made.add_argument("--out", default=str(RESULTS / out), help="where to write the rows")
    made.add_argument("--repeats", type=int, default=repeats, help="counted calls of each candidate")
    made.add_argument("--size", choices=SIZES, default="full", help="small checks that all works; it measures nothing")
    for library in libraries:
        flag = "--" + python_option(library)
        made.add_argument(flag, default="", help=f"an interpreter that has {library}; left out without")
    return made


def say():
    """Shows this package's log on stderr, and no other's."""
    log = logging.getLogger("benchmarks")
    if not log.handlers:
        log.addHandler(logging.StreamHandler())
    log.setLevel(logging.INFO)


def python_option(library):
    """Returns the name of the option that gives a library's interpreter."""
    return library.replace("-", "_") + "_python"


def pythons(options, libraries):
    """Returns {library: interpreter}, an empty text where none was given."""
    return {library: getattr(options, python_option(library)) for library in libraries}
