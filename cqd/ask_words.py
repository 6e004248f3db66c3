"""The text of an answered question, as a person reads it on a terminal.

Every line of a proof is an edge, with its truth where it is not observed. "not" stands before what the proof denies: it
counts as 1 - the truth of that, and the edges that speak most for it are given.
"""

import textwrap

from cqd.explain import edge_words, truth_words

_LISTED = 12  # answers named in a line
_WIDTH = 62  # columns before a truth


def to_words(found):
    """Returns the text of what `cqd.ask.ask` found."""
    lines = [found["question"]]
    lines += [f"  warning: {warning}" for warning in found["warnings"]]
    lines += [f"  note: {note}" for note in found["notes"]]
    known = [one for one in found["answers"] if one["status"] == "known"]
    predicted = [one for one in found["answers"] if one["status"] != "known"]
    count = len(found["known"])
    lines += _listed(f"follow from observed edges{f' ({count})' * (count > 1)}", map(name, found["known"]))
    if "to_find" in found:
        ranks = [name(item["answer"]) + _rank(item["rank"]) for item in found["to_find"]]
        lines += _listed("need a missing edge (rank by truth)" if ranks else "need a missing edge", ranks)
    for one in known:
        lines += _answer_lines(one)
    if predicted or found["nothing"]:
        lines.append(f"  predicted: {found['nothing'] or ''}".rstrip())
    for one in predicted:
        lines += _answer_lines(one)
    lines += _optimum_lines(found)
    return "\n".join(lines) + "\n"


def name(answer):
    """Returns the words for an answer: an entity's label, or a pair of them."""
    return answer if isinstance(answer, str) else f"({answer[0]}, {answer[1]})"


def _rank(rank):
    return "" if rank is None else f" ({rank:g})"


def _listed(title, names):
    """Returns the lines of a list."""
    names = list(names)
    more = f" and {len(names) - _LISTED} more" * (len(names) > _LISTED)
    text = f"{title}: {', '.join(names[:_LISTED]) or 'nothing'}{more}"
    return textwrap.wrap(text, 100, initial_indent="  ", subsequent_indent="    ", break_long_words=False)


def _answer_lines(one):
    words = {"right": "  right: a held-out edge says so", "not in the graph": "  not in the graph"}.get(
        one["status"], ""
    )
    if one["status"] == "right" and not one["proof_is_true"]:
        words += ", but the proof is false"
    yield _line(4, name(one["answer"]), truth_words(one["probability"]) + words)
    if "gap" in one:
        yield _line(6, "the exact optimum", f"{truth_words(one['optimum'])}  gap {one['gap']:.1e}")
    proofs = one["proofs"]
    if not proofs:
        yield " " * 6 + "no proof by itself: several branches of a union add up"
    for number, proof in enumerate(proofs):
        same = number == 0 and abs(proof["truth"] - one["probability"]) <= 1e-3 * one["probability"]
        if not same:
            yield _line(6, "its best proof" if number == 0 else f"proof {number + 1}", truth_words(proof["truth"]))
        yield from _proof_lines(proof, 6)
    if one["ruled_out"]:
        yield from _ruled_out_lines(one["ruled_out"])


def _proof_lines(proof, indent):
    named = [f"{variable} is {entity}" for variable, entity in proof.get("others", {}).items()]
    if named:
        yield " " * indent + ", ".join(named)
    for atom in proof["atoms"]:
        yield _line(indent, edge_words(atom), _source(atom))
    for denial in proof["denials"]:
        yield from _denial_lines(denial, indent)


def _denial_lines(denial, indent):
    evidence = denial["atoms"]
    if len(evidence) == 1 and not denial["denials"]:
        yield _line(
            indent, f"not {edge_words(evidence[0])}", f"1 - {truth_words(denial['truth'])} {evidence[0]['source']}"
        )
        return
    yield _line(indent, f"not {denial['not']} for {denial['of']}", f"1 - {truth_words(denial['truth'])}")
    if evidence or denial["denials"]:
        yield " " * (indent + 2) + "for which speaks most"
        yield from _proof_lines(denial, indent + 4)


def _ruled_out_lines(out):
    reasons = dict.fromkeys(
        f"{by['relation']} links nothing to itself" if by["kind"] == "loop" else f"{edge_words(by)} is observed"
        for by in out["by"]
    )
    yield _line(6, "left out, a truer proof", truth_words(out["truth"]))
    yield from (_line(8, edge_words(atom), _source(atom)) for atom in out["atoms"])
    yield from (" " * 8 + f"as {reason}" for reason in list(reasons)[:2])


def _optimum_lines(found):
    best = found.get("best_by_exact")
    if not best:
        return
    yield "  best by the exact method:"
    yield from (_line(4, one["answer"], truth_words(one["truth"])) for one in best)


def _source(atom):
    certain = atom["source"] == "observed" and atom["truth"] == 1
    return "observed" if certain else f"{truth_words(atom['truth'])} {atom['source']}"


def _line(indent, words, value):
    """Returns words, and a value in a column of its own."""
    return f"{' ' * indent}{words}".ljust(_WIDTH) + f"  {value}"
