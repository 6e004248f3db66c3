"""Answers a user's questions by a trained predictor, or by one trained here, with probabilities and proofs."""

import contextlib
import json
import pathlib
import sys
from typing import NamedTuple

from cqd import ask, ask_words, drawing, explain, predictor, trained
from cqd.runs import fitting, graphs
from experiment import errors

INPUTS = ("predictor", "graph")
TEXT, JSON = "answers.txt", "answers.json"


class Data(NamedTuple):
    """What was read: the options, the questions as (text, query) and either a predictor or a graph to train one on."""

    options: ask.Options
    questions: tuple
    trained: trained.Trained | None
    world: graphs.World | None
    vocabulary: object


def load(config):
    """Returns Data, every field of the config checked."""
    with _prefixed():
        chosen = options(config)
    if config.predictor is not None:
        if config.graph is not None:
            raise ValueError(f"config.graph={config.graph}: a predictor has its own; give config.predictor or it alone")
        found = open_predictor(config.predictor)
        with _prefixed():
            ask.check(chosen, found.params)
        return Data(chosen, questions(config, found.vocabulary), found, None, found.vocabulary)
    fitting.check(config)
    if config.method == "continuous" and config.model == "cp":
        raise ValueError("config.method='continuous': CP gives an entity two vectors; choose another method or model")
    vocabulary, worlds = graphs.read(config, needs=())
    return Data(chosen, questions(config, vocabulary), None, worlds[config.seeds[0]], vocabulary)


def options(config):
    """Returns the checked `ask.Options` of a config."""
    found = ask.Options(**{name: config[name] for name in ask.Options._fields})
    ask.check(found)
    return found


def open_predictor(path):
    """Returns the `trained.Trained` of config.predictor."""
    try:
        return trained.load(path)
    except ValueError as error:
        raise ValueError(f"config.predictor: {error}") from None


def questions(config, vocabulary):
    """Returns tuple of (text, query), looked up: those of the config, or the embedded graph's own."""
    graphs.check_items(config, queries=str)
    texts = {} if config.query is None else {"config.query": config.query}
    texts |= {f"config.queries #{number}": text for number, text in enumerate(config.queries, start=1)}
    if not texts:
        if config.predictor is not None or config.graph is not None:
            raise ValueError(f"config.query is missing: a question is due, such as {ask.EXAMPLE}")
        texts = {f"config.embedded.queries #{n}": text for n, text in enumerate(config.embedded.queries, start=1)}
    return tuple(question(text, vocabulary, name) for name, text in texts.items())


def question(text, vocabulary, name):
    """Returns (text, query); the name stands before what is wrong with it."""
    try:
        return text, ask.read(text, vocabulary)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def run(config, data, workdir):
    """Returns the figures: of each question the answers with their probabilities, and how many are observed."""
    _check_place(config, workdir)
    found = data.trained or _train(config, data, workdir)
    with errors.user_errors():
        answers = answer(data, found, workdir.track(data.questions, "questions"))
    words = to_text(answers)
    workdir.write_file(TEXT, words)
    workdir.write_file(JSON, to_json(answers))
    for number, one in enumerate(answers, start=1):
        figure = drawing.draw(one if one["answers"] else one | {"notes": [one["nothing"]]})
        workdir.save_figure("proofs" if number == 1 else f"proofs_{number}", figure, list(_rows(one)))
    print(words, file=sys.stderr)
    return {
        "graph": {"entities": found.vocabulary.num_entities, "relations": len(found.vocabulary.relations)},
        "model": next(name for name, kind in predictor.MODELS.items() if isinstance(found.params, kind)),
        "questions": [_figures(one) for one in answers],
    }


def answer(data, found, asked):
    """Returns a list of what `ask.ask` finds for questions (text, query) by a `trained.Trained`."""
    with _prefixed():
        return [ask.ask(found, question, data.options) for question in asked]


def to_text(answers):
    """Returns what a person reads."""
    return "\n".join(map(ask_words.to_words, answers))


def to_json(answers):
    """Returns a list of what `ask.ask` gives, as JSON."""
    return json.dumps(answers, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _train(config, data, workdir):
    """Returns the predictor trained in the workdir, and kept there for other questions."""
    params = fitting.fit(config, data.vocabulary, data.world, config.seeds[0], workdir)
    fitting.save(data.vocabulary, data.world, params, workdir)
    return trained.load(workdir.path)


def _check_place(config, workdir):
    """Raises UserError for a workdir inside the predictor's, which this run would change while it reads it."""
    if config.predictor is not None and workdir.path.resolve().is_relative_to(pathlib.Path(config.predictor).resolve()):
        raise errors.UserError(
            f"--workdir={workdir.path}: lies inside config.predictor={config.predictor}; choose a directory outside"
        )


def _figures(found):
    answers = [{name: one[name] for name in ("answer", "probability", "status")} for one in found["answers"]]
    return {"question": found["question"], "observed": len(found["known"]), "answers": answers}


def _rows(found):
    """Yields a row for each edge of the proofs shown, those that speak for a denied part among them."""
    for one in found["answers"]:
        named = {"answer": ask_words.name(one["answer"]), "status": one["status"], "probability": one["probability"]}
        for number, proof in enumerate(one["proofs"], start=1):
            yield from (named | {"proof": number} | atom for atom in explain.all_atoms(proof))


@contextlib.contextmanager
def _prefixed():
    """Puts "config." before a ValueError that begins with a field."""
    try:
        yield
    except ValueError as error:
        is_field = str(error).partition("=")[0] in ask.Options._fields
        raise ValueError(f"config.{error}" if is_field else str(error)) from None
