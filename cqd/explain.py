"""Explanations: a question's best answers with their proofs in labels, each edge observed or predicted.

References:
    arXiv 2011.03459, section 5.2 (explaining answers).
"""

import itertools
from typing import NamedTuple

from cqd import answer_list, answering, closing, graph, proofs, rooting
from cqd.pattern import Variable
from cqd.proofs import best as prove  # noqa: F401 (one proof each, for many queries and answers at once)
from cqd.proofs import is_true
from cqd.query import Not, fill, row, to_text

_LISTED = 12  # answers named in a line of text
_REASONS = {
    "tail": "{0} is observed, and {relation} has one tail everywhere",
    "head": "{0} is observed, and {relation} has one head everywhere",
    "loop": "no observed edge of {relation} joins an entity to itself",
}


def explain(
    params,
    query,
    *,
    vocabulary,
    observed=None,
    full=None,
    num_answers=4,
    num_known=1,
    num_proofs=3,
    closed=True,
    question=None,
    known=None,
    **options,
):
    """Returns a question's best answers in labels with their proofs, ready for JSON.

    Args:
        params: link predictor.
        query: a tree with ids, or `rooting.Compiled`.
        vocabulary: the labels.
        observed: Index of the observed edges; an atom among them is "observed", any other "predicted".
        full: Index of all true edges, None where they are not known, as for a user's own question.
        num_answers: new answers that are proved, best first.
        num_known: answers that follow from observed edges and are proved too, best first.
        num_proofs: proofs an answer.
        closed: leave out proofs that observed edges rule out, a second tail of a functional relation, as `cqd.closing`
            says; truths stay as they are.
        question: its text; by default that of the tree.
        known: as in `cqd.answer`, None or "certain"; an Index is taken as observed.
        **options: others of `cqd.answer`: method, tnorm, beam_size, normalize and so on.

    Returns:
        A dict: "question"; "known", the answers that follow from observed edges; "to_find", where full is given, those
        that need a missing edge, {"answer", "rank"} with the filtered rank (None for a pair); "answers", none if none
        has a truth above 0; "method", "proved_by", "tnorm", "normalize", "certain"; "notes", sentences.

        An answer: "answer" (a list of two for a pair), "truth", "status" ("known", "right", "not in the graph", or
        "predicted" without full), "proofs", best first, "atoms" and "assignment" of the best one, with full
        "proof_is_true", "ruled_out": None, or a truer proof that is ruled out, with "by", edges {"head", "relation",
        "tail", "kind"} as of `closing.Reason`.

        A proof: "truth", "assignment" {variable: entity}, "from_observed", whether it holds by observed edges alone,
        with full "is_true", "atoms", {"head", "relation", "tail", "truth", "source", "negated"}, and "denials", the
        negated parts: {"not", "of", "truth", "atoms", "denials"}, the last two of what speaks most for what is denied.

    Raises:
        ValueError: as `proofs.prove`; counts below 1, a predictor or edges of another vocabulary.
    """
    if isinstance(known, graph.Index):
        observed, known = known, None
    _check(params, vocabulary, observed, full, num_answers=num_answers, num_known=num_known, num_proofs=num_proofs)
    answering.check_ids(params, [query.at([0] * len(query.cuts)) if isinstance(query, rooting.Compiled) else query])
    options = {"method": "beam", "tnorm": "product", "normalize": "sigmoid", **options}
    options |= {"observed": observed, "known": known}
    answers = answer_list.AnswerList(params, query, full=full, num_answers=num_answers + num_known, **options)
    shown = answers.shown(num_answers, num_known)
    prove_all = closing.prove if closed else _prove_all
    kept, ruled_out = prove_all(params, query, [answer for answer, _ in shown], num_proofs=num_proofs, **options)
    writer = _Writer(vocabulary, observed, full)
    described = [
        writer.answer(answer, truth, answers.status(answer), *of_answer)
        for (answer, truth), *of_answer in zip(shown, kept, ruled_out)
    ]
    found = {"question": question or question_text(query, vocabulary), "known": writer.labels(answers.easy)}
    if full is not None:
        found["to_find"] = [{"answer": writer.label(answer), "rank": rank} for answer, rank in answers.to_find()]
    return found | {"answers": described} | _settings(options) | {"notes": _notes(options, shown)}


def _prove_all(*args, **options):
    found = proofs.prove(*args, **options)
    return found, [None] * len(found)


def _check(params, vocabulary, observed, full, **counts):
    for name, count in counts.items():
        least = 0 if name == "num_known" else 1
        if count < least:
            raise ValueError(f"{name}={count}: at least {least} is due")
    if observed is None:
        raise ValueError("observed=None: the Index of the observed edges is due")
    due = vocabulary.num_entities, vocabulary.num_relations
    sizes = {"the predictor": (params.entity.shape[0], params.relation.shape[0])}
    sizes |= {name: index[-2:] for name, index in (("observed", observed), ("full", full)) if index is not None}
    for name, size in sizes.items():
        if size != due:
            raise ValueError(
                f"{name}: {size[0]} entities and {size[1]} relations, the vocabulary has {due[0]} and {due[1]}: "
                "they belong to different graphs"
            )


def _settings(options):
    method = options["method"]
    settings = {"method": method, "proved_by": "exact" if method == "continuous" else method}
    certain = options["known"] == "certain"
    return settings | {name: options[name] for name in ("tnorm", "normalize")} | {"certain": certain}


def _notes(options, shown):
    notes = []
    if options["method"] == "continuous":
        notes.append("answers by continuous search, whose variables are vectors; proofs by the exact method")
    if options.get("aggregate") == "sum":
        notes.append("truths add up all entities of a variable; a proof has one of them")
    if not shown:
        notes.append("no entity answers the question with a truth above 0")
    return notes


def question_text(query, vocabulary):
    """Returns a query in labels, cut variables as ?name."""
    if isinstance(query, rooting.Compiled):
        names = [f"?{name.name}" if isinstance(name, Variable) else name for name in row(query.template)]
        query = fill(query.template, names)
    return to_text(query, vocabulary)


class _Writer(NamedTuple):
    """Turns ids into labels: the dicts of `explain`."""

    vocabulary: graph.Vocabulary
    observed: graph.Index
    full: graph.Index | None

    def label(self, answer):
        """Returns the label of an entity, a list of two for a pair."""
        return self.labels(answer) if isinstance(answer, tuple) else self.vocabulary.entities[answer]

    def labels(self, answers):
        return [self.label(answer) for answer in answers]

    def answer(self, answer, truth, status, kept, ruled_out):
        described = [self.proof(proof) for proof in kept]
        best = described[0] if described else {"atoms": [], "assignment": {}}
        found = {"answer": self.label(answer), "truth": float(truth), "status": status}
        if self.full is not None:
            found["proof_is_true"] = bool(kept) and is_true(kept[0], self.full)
        if ruled_out:
            proof, reasons = ruled_out
            ruled_out = self.proof(proof) | {"by": [self.edge(*one.edge) | {"kind": one.kind} for one in reasons]}
        best = {"assignment": best["assignment"], "atoms": best["atoms"]}
        return found | best | {"proofs": described, "ruled_out": ruled_out}

    def proof(self, proof):
        assignment = {}
        for variable, entity in proof.assignment:
            assignment[_fresh(self.name(variable), assignment)] = self.label(entity)
        return {
            "truth": proof.truth,
            "assignment": assignment,
            "from_observed": is_true(proof, self.observed),
            **({} if self.full is None else {"is_true": is_true(proof, self.full)}),
            **self.body(proof),
        }

    def body(self, proof):
        """Returns the atoms and denials of a Proof, or of the evidence of a denial."""
        atoms = [
            self.edge(*atom[:3]) | {"truth": atom.truth, "source": atom.source, "negated": atom.negated}
            for atom in proof.atoms
        ]
        return {"atoms": atoms, "denials": [self.denial(denial) for denial in proof.denials]}

    def denial(self, denial):
        denied = to_text(Not(denial.query), self.vocabulary).removeprefix("!")
        found = {"not": denied, "of": self.label(denial.entity), "truth": denial.truth}
        return found | (self.body(denial.evidence) if denial.evidence else {"atoms": [], "denials": []})

    def edge(self, head, relation, tail):
        label = self.vocabulary.relation_label(relation)
        return {"head": self.label(head), "relation": label, "tail": self.label(tail)}

    def name(self, variable):
        if isinstance(variable, Variable):
            return variable.name if variable.name.startswith("_:") else f"?{variable.name}"
        return to_text(variable, self.vocabulary)


def _fresh(name, taken):
    """Returns a name that is not taken: two variables of a tree may have the same condition."""
    return next(each for each in (name, *(f"{name} ({n})" for n in range(2, len(taken) + 3))) if each not in taken)


def rows(explanation):
    """Returns a flat dict for each edge of the answers' proofs, those that speak for a denied part among them."""
    return [
        {"answer": _named(answer["answer"]), "proof": number} | atom
        for answer in explanation["answers"]
        for number, proof in enumerate(answer["proofs"], start=1)
        for atom in all_atoms(proof)
    ]


def all_atoms(proof):
    """Yields the atoms of a proof, those that speak for a denied part among them."""
    yield from proof["atoms"]
    for denial in proof["denials"]:
        yield from all_atoms(denial)


def to_words(explanation):
    """Returns the text of an explanation: what is known, what was to be found and at which rank, and every proof."""
    lines = [explanation["question"], "  follows from observed edges: " + _listed(explanation["known"])]
    if "to_find" in explanation:
        ranks = [f" (rank {item['rank']:g})" if item["rank"] else "" for item in explanation["to_find"]]
        lines.append("  needs a missing edge: " + _listed([item["answer"] for item in explanation["to_find"]], ranks))
    lines += [f"  note: {note}" for note in explanation["notes"]]
    for answer in explanation["answers"]:
        lines += _answer_lines(answer)
    return "\n".join(lines) + "\n"


def _answer_lines(answer):
    caveat = ""
    if answer["status"] in ("known", "right") and not answer.get("proof_is_true", True):
        caveat = ", by a false proof"
    yield f"  {_named(answer['answer'])}: {answer['status']}{caveat}, truth {truth_words(answer['truth'])}"
    out = answer["ruled_out"]
    if out:
        yield f"    its truest proof is ruled out by observed edges, truth {truth_words(out['truth'])}:"
        yield from _proof_lines(out, "      ")
        yield from ("      but " + _REASONS[edge["kind"]].format(edge_words(edge), **edge) for edge in out["by"])
    if not answer["proofs"]:
        yield "    no other proof" if out else "    no single proof: branches of an `or` add up to its truth"
    for number, proof in enumerate(answer["proofs"]):
        same = number == 0 and abs(proof["truth"] - answer["truth"]) <= 1e-3 * answer["truth"]
        alone = ", from observed edges alone" * (proof["from_observed"] and answer["status"] != "known")
        if not same or alone:
            name = "best proof" if number == 0 else f"proof {number + 1}"
            yield f"    {name}, truth {truth_words(proof['truth'])}{alone}:"
        yield from _proof_lines(proof, "      ")


def _proof_lines(proof, indent):
    named = [f"{name} = {entity}" for name, entity in proof.get("assignment", {}).items() if name.startswith("?")]
    if named:
        yield indent + ", ".join(named)
    for atom in proof["atoms"]:
        yield f"{indent}{edge_words(atom)}: {atom['source']}, truth {truth_words(atom['truth'])}"
    for denial in proof["denials"]:
        nothing = not (denial["atoms"] or denial["denials"])
        speaks = "nothing speaks for it" if nothing else "what speaks most for it"
        yield (
            f"{indent}not {denial['not']} for {denial['of']}: "
            f"truth 1 - {truth_words(denial['truth'])}, {speaks}{'' if nothing else ':'}"
        )
        yield from _proof_lines(denial, indent + "  ")


def edge_words(atom):
    """Returns the words for an edge with labels."""
    return f"{atom['head']} -- {atom['relation']} -> {atom['tail']}"


def _named(answer):
    return answer if isinstance(answer, str) else ", ".join(answer)


def _listed(answers, remarks=()):
    """Returns the first of some answers in words, each with its remark."""
    named = [name if isinstance(name, str) else f"({_named(name)})" for name in answers[:_LISTED]]
    named = [name + remark for name, remark in itertools.zip_longest(named, remarks[:_LISTED], fillvalue="")]
    more = [f"and {len(answers) - _LISTED} more"] * (len(answers) > _LISTED)
    return ", ".join(named + more) or "nothing"


def truth_words(truth):
    """Returns the words for a truth."""
    return f"{truth:.3f}" if truth >= 5e-4 or truth == 0 else f"{truth:.1e}"
