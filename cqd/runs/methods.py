"""Methods of answering by name, as configs list them: words that a table's row can bear.

    beam k=64                     the paper's: product t-norm, sigmoid of scores
    beam min k=8                  another t-norm
    beam official k=8             product of raw scores, as the public code
    exact                         the true optimum
    exact calibrated certain      QTO's calibration, observed edges certain (`cqd.answering.BEST`)
    continuous                    gradient search over embeddings of variables
    graph search                  a baseline that knows nothing of missing links; BASELINES has the others

The words may stand in any order; product, sigmoid and k=64 are what is meant where none is given.
"""

import functools

from cqd import answering, calibration, tnorm
from cqd.baselines import frequency, graph_search


def _relaxed_then_frequency(index, queries):
    # Values of relaxed search differ by far more than the 1e-3 that breaks their ties.
    return graph_search.relaxed(index, queries) + 1e-3 * frequency.frequency(index, queries)


BASELINES = {
    "relaxed graph search, then frequency": _relaxed_then_frequency,
    "relation frequency": frequency.frequency,
    "graph search": graph_search.exact,
}
BEAM_SIZE = 64


def options(name, num_entities):
    """Returns the keywords of `cqd.answer` that a method's name stands for, but observed.

    Args:
        name: words as above.
        num_entities: N, which k=all stands for.

    Raises:
        ValueError: an unknown word, two of one kind, or options that do not go together.
    """
    kinds = {"method": answering.METHODS, "tnorm": tuple(tnorm.T_NORMS), "normalize": calibration.NORMALIZERS}
    kinds |= {"known": ("certain",), "official": ("official",), "aggregate": ("max", "sum"), "beam_size": ()}
    found = {}
    for word in name.split():
        kind = "beam_size" if word.startswith("k=") else next((k for k, words in kinds.items() if word in words), None)
        if kind is None or kind in found:
            known = ", ".join(word for words in kinds.values() for word in words)
            raise ValueError(f"{name!r}: {word!r} is {'given twice' if kind else 'no word of a method'}; {known}, k=8")
        found[kind] = word
    if "method" not in found:
        raise ValueError(f"{name!r}: one of {', '.join(answering.METHODS)} is due, or {', '.join(BASELINES)}")
    if "official" in found:
        found["official"] = True
    if found["method"] == "beam":
        found["beam_size"] = _beam_size(found.get("beam_size", f"k={BEAM_SIZE}"), num_entities)
    elif "beam_size" in found:
        raise ValueError(f"{name!r}: {found['beam_size']} is the width of a beam")
    answering.check_options(**{**found, "observed": ()})
    return found


def _beam_size(word, num_entities):
    size = word.removeprefix("k=")
    if size == "all":
        return num_entities
    if not size.isdecimal() or int(size) < 1:
        raise ValueError(f"{word}: a number from 1 up is due, or all")
    return int(size)


def scorer(name, params, known, *, batch_size, search):
    """Returns the function of a method, list of Q queries -> scores [Q, N].

    Args:
        name: a method's, or one of BASELINES.
        params: link predictor.
        known: Index of the observed edges.
        batch_size: queries at a time.
        search: `continuous.Search`, of "continuous".
    """
    if name in BASELINES:
        return functools.partial(BASELINES[name], known)
    chosen = options(name, known.num_entities)
    needs_edges = chosen.get("normalize") == "calibrated" or "known" in chosen
    return functools.partial(
        answering.answer,
        params,
        observed=known if needs_edges else None,
        batch_size=batch_size,
        search=search,
        **chosen,
    )


def check(names):
    """Raises ValueError for a name that is no method's, or for one that is listed twice."""
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name!r} is listed twice")
        if name not in BASELINES:
            options(name, num_entities=2**31)
