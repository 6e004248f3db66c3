"""From questions in text to ranked answers with proofs.

A question is SPARQL, as `cqd.sparql` reads it, or a tree, as `cqd.query` does:

    SELECT ?x WHERE { ?x :borders :China, :India }
    borders(China) & borders(India)

`read` looks its names up, `ask` answers it, `cqd.ask_words` writes what a person reads.
"""

import re
from typing import NamedTuple

import numpy as np

from cqd import answering, ask_words, continuous, explain, proof_search, query, rooting, sparql
from cqd.query import And, Entity, Or, Projection, children

EXAMPLE = "SELECT ?x WHERE { ?x :borders :China }, or as a tree, borders(China)"
OBSERVED = ("all", "known")
MAX_NAMES = 128  # in a tree; the time to compile grows faster than they do
_SPARE = 2  # times as many predictions are proved as are shown: some are ruled out
_SPARQL = re.compile(
    r"(\s|#(?!\d)[^\n]*(\n|$))*"  # comments; #12 is an id in a tree
    r"(PREFIX\s+[^\s(]*:|BASE\s*<|\{|(SELECT|ASK|CONSTRUCT|DESCRIBE)\b(?=\s*[?$*]|[^(]*\{"
    r'|[^"{]*[?$]\w[^"{]*\{))',  # (COUNT(?x) AS ?n)
    re.IGNORECASE,
)


class Options(NamedTuple):
    """How a question is answered; the defaults are those of `answering.BEST`.

    Attributes:
        method, tnorm, beam_size, normalize, known: as in `cqd.answer`; known may be "" for None.
        observed: "all" edges of the predictor's file count as observed, or "known", those of train and valid alone.
        num_answers: predicted answers shown.
        num_known: answers shown with a proof that follow from observed edges.
        num_proofs: proofs of an answer.
        min_truth: predicted answers below are left out.
        closed: rule out what observed edges of functional and loopless relations leave no room for (`cqd.closing`).
        certificate: whether each answer of a beam is given its distance to the exact optimum.
    """

    method: str = answering.BEST["method"]
    tnorm: str = "product"
    beam_size: int = 64
    normalize: str = answering.BEST["normalize"]
    known: str = answering.BEST["known"]
    observed: str = "all"
    num_answers: int = 5
    num_known: int = 2
    num_proofs: int = 1
    min_truth: float = 0.01
    closed: bool = True
    certificate: bool = False

    def of_answer(self):
        """Returns the keywords of `cqd.answer`, but observed."""
        fields = {name: getattr(self, name) for name in ("method", "tnorm", "beam_size", "normalize")}
        return fields | {"known": self.known or None}


def check(options, params=None):
    """Raises ValueError for Options that cannot be, or that a link predictor cannot meet."""
    if options.known not in ("", "certain"):
        raise ValueError(f"known={options.known!r}: 'certain' is due, or '' for truths by the predictor alone")
    answering.check_options(**options.of_answer(), observed=())
    for name, least in (("num_answers", 1), ("num_known", 0), ("num_proofs", 1)):
        if getattr(options, name) < least:
            raise ValueError(f"{name}={getattr(options, name)}: at least {least} is due")
    if not 0 <= options.min_truth <= 1:
        raise ValueError(f"min_truth={options.min_truth}: a number from 0 to 1 is due")
    if options.observed not in OBSERVED:
        raise ValueError(f"observed={options.observed!r}: choose one of {', '.join(OBSERVED)}")
    if options.certificate and options.method != "beam":
        raise ValueError("certificate=True: is of a beam's answers; give method='beam', or leave it out")
    if options.method == "continuous" and params is not None:
        continuous.check(params, continuous.PAPER)


def read(text, vocabulary):
    """Returns the question of a text, with ids: a tree, or `rooting.Compiled` of SPARQL.

    Raises:
        ValueError: an empty text, one that neither language reads, an unknown label, a construct of SPARQL that is not
            answered, a question that only denies.
    """
    if not text.strip():
        raise ValueError(f"empty: a question is due, such as {EXAMPLE}")
    try:
        text.encode()
    except UnicodeEncodeError as error:  # what a command line gives for other bytes
        raise ValueError(f"query {text[:40]!r}: not UTF-8 text at column {error.start + 1}") from None
    if _SPARQL.match(text):
        return sparql.compile(text, vocabulary)
    try:
        tree = query.parse(text, vocabulary)
    except ValueError as error:
        lost = re.search(r"[{}?]|:\w", text)
        raise ValueError(f"{error}; a question in SPARQL begins with SELECT" if lost else str(error)) from None
    if (count := len(query.row(tree))) > MAX_NAMES:
        raise ValueError(f"a question of {count} names: at most {MAX_NAMES} are answered; ask several questions")
    if not asserts(tree):
        raise ValueError(f"{text.strip()!r} asks for nothing: a relation that no ! stands before is due in every part")
    return tree


def asserts(tree):
    """Returns whether a tree has an atom outside of every negation, in every branch of an `or`: whether it is safe."""
    match tree:
        case Projection():
            return True
        case And(parts):
            return any(map(asserts, parts))
        case Or(parts):
            return all(map(asserts, parts))
    return False


def ask(trained, text, options=None):
    """Returns the answers of a question with their proofs, ready for JSON: those of `explain.explain`, and more.

    Args:
        trained: `trained.Trained`.
        text: the question, or (text, what `read` gave).
        options: Options.

    Returns:
        A dict as of `explain.explain`, with its best num_answers and num_known, or with the best LIMIT of both. Beside
        that: "tree", the question as a tree; "warnings", sentences; "nothing", why nothing is predicted, or None;
        "ruled_out", answers whose every proof observed edges rule out.

        An answer has "probability": its truth, or where its best proof is ruled out that of the best one that stands;
        predictions are ranked by it. A proof has "others", what its named variables are that were not asked for. With
        options.certificate an answer has "optimum" and "gap", optimum - truth, and the question "best_by_exact".

    Raises:
        ValueError: as `read`, `check` and `explain.explain`.
    """
    options = options or Options()
    check(options, trained.params)
    text, question = (text, read(text, trained.vocabulary)) if isinstance(text, str) else text
    if options.certificate and getattr(question, "cuts", ()):
        raise ValueError("certificate=True: is not for cycles or two variables; leave it out for this question")
    limit, size = getattr(question, "limit", None), trained.vocabulary.num_entities
    few = {"num_answers": options.num_answers, "num_known": options.num_known}
    few = {name: min(limit or count, size) for name, count in few.items()}
    held_out = options.observed == "known" and len(trained.parts["test"])
    observed = trained.known() if options.observed == "known" else trained.full()
    found = explain.explain(
        trained.params,
        question,
        vocabulary=trained.vocabulary,
        observed=observed,
        full=trained.full() if held_out else None,
        num_answers=min(_SPARE * few["num_answers"], size),
        num_known=few["num_known"],
        num_proofs=options.num_proofs,
        closed=options.closed,
        question=" ".join(text.split()),
        **options.of_answer(),
    )
    tree = explain.question_text(question, trained.vocabulary)
    found = {"question": found.pop("question"), "tree": tree, **found}
    _name_others(found["answers"], getattr(question, "select", ()))
    _select(found, options.min_truth, limit, few["num_answers"])
    found["warnings"] = _warnings(trained, question, found["answers"])
    if options.certificate:
        _certify(found, trained, question, options.of_answer() | {"observed": observed})
    return found


def _name_others(answers, select):
    """Adds to every proof what its named variables are that were not asked for."""
    asked = {f"?{name}" for name in select}
    for proof in (proof for one in answers for proof in one["proofs"]):
        named = {name: entity for name, entity in proof["assignment"].items() if name.startswith("?")}
        proof["others"] = {name: entity for name, entity in named.items() if name not in asked}


def _select(found, min_truth, limit, num_answers):
    """Ranks predictions by their probability, leaves out the least, and says so where none is left."""
    for one in found["answers"]:
        best = one["proofs"][0]["truth"] if one["proofs"] else 0.0
        one["probability"] = best if one["ruled_out"] else one["truth"]
    known = [one for one in found["answers"] if one["status"] == "known"]
    guesses = sorted((one for one in found["answers"] if one not in known), key=lambda one: -one["probability"])
    kept = [one for one in guesses if one["probability"] >= max(min_truth, 1e-12)][:num_answers]
    found["nothing"] = None if kept else _why_nothing(guesses, min_truth)
    if limit:
        kept = kept[: max(limit - len(known), 0)]
        found["nothing"] = None if known else found["nothing"]
    found["answers"] = known + kept
    found["ruled_out"] = [one["answer"] for one in guesses if one["ruled_out"] and not one["proofs"]]
    found["notes"] = [note for note in found["notes"] if not note.startswith("no entity answers")]


def _why_nothing(guesses, min_truth):
    """Returns words for no prediction, given those that are left out."""
    if not guesses:
        return "nothing: no other entity has a truth above 0"
    best = guesses[0]
    if best["probability"] > 0:
        named = ask_words.name(best["answer"])
        return f"nothing: no truth of {min_truth:g} or more; the best guess is {named}, {best['probability']:.2g}"
    return "nothing: observed edges rule out what the predictor would say"


def _warnings(trained, question, answers):
    """Returns a sentence for each name of the question, or entity predicted, that the predictor was not trained on.

    Its row of an entity without an edge has only been pushed away from others, and may be near anything, itself above
    all.
    """
    vocabulary, train = trained.vocabulary, trained.parts["train"]
    entities, relations = names(question.template if isinstance(question, rooting.Compiled) else question)
    atoms = [atom for one in answers for proof in one["proofs"] for atom in proof["atoms"]]
    guessed = {atom[end] for atom in atoms if atom["source"] == "predicted" for end in ("head", "tail")}
    entities |= {vocabulary.entity_id(label) for label in guessed}
    unseen = [(vocabulary.entities[i], "edge") for i in sorted(entities - set(train[:, [0, 2]].ravel().tolist()))]
    seen = set((train[:, 1] // 2).tolist())
    unseen += [(vocabulary.relations[i], "edge of it") for i in sorted({r // 2 for r in relations} - seen)]
    return [f"{name}: no {edge} was trained on, so the predictor knows nothing of it" for name, edge in unseen]


def names(tree):
    """Returns (set of entities, set of relations) that a tree with ids names; cut variables are left out."""
    if proof_search.is_anything(tree):
        return set(), set()
    inner = [names(child) for child in children(tree)]
    entities, relations = (set().union(*(each[kind] for each in inner)) for kind in (0, 1))
    match tree:
        case Entity(name) if isinstance(name, int | np.integer):
            return {int(name)}, set()
        case Projection(relation, _):
            return entities, relations | {int(relation)}
    return entities, relations


def _certify(found, trained, question, options):
    """Adds the exact optimum to a beam's answers."""
    tree = question.at() if isinstance(question, rooting.Compiled) else question
    truths = np.asarray(answering.answer(trained.params, tree, **{**options, "method": "exact"}))
    for one in found["answers"]:
        one["optimum"] = float(truths[trained.vocabulary.entity_id(one["answer"])])
        one["gap"] = one["optimum"] - one["truth"]
    best = np.argsort(-truths, kind="stable")[: max(1, len(found["answers"]))]
    found["best_by_exact"] = [
        {"answer": trained.vocabulary.entities[entity], "truth": float(truths[entity])} for entity in best
    ]
