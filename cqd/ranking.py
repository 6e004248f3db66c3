"""Filtered ranking metrics of hard answers, with ties at their middle.

Each hard answer is ranked against the entities that are no answer; easy and other hard answers are left out. Metrics
are averaged over a query's hard answers, then over queries, then over types.

References:
    arXiv 2010.11465, section 5.1; Berrendorf et al., arXiv 2002.06914 (the realistic rank); arXiv 2410.12537 (metrics
    by missing links).
"""

import itertools

import numpy as np

HITS = (1, 3, 10)
METRICS = ("mrr", *(f"hits_at_{k}" for k in HITS))


def filtered_ranks(scores, easy, hard):
    """Returns [hard] float: 1 + (non-answers above) + (non-answers level) / 2 for each hard answer.

    Args:
        scores: [N].
        easy, hard: entity ids; easy ones may include hard ones.

    Raises:
        ValueError: a score that is not a number.
    """
    return batch_ranks(np.asarray(scores)[None], [easy], [hard])[0]


def batch_ranks(scores, easy, hard):
    """Returns a list of [hard] float arrays of filtered ranks, one a query.

    All scores of a query are sorted; a score's place counts what is above, and less the answers above it is the rank.

    Args:
        scores: [B, N], of any float type.
        easy, hard: lists of B arrays of entity ids; easy ones may include hard ones.

    Raises:
        ValueError: a score that is not a number, or lists of another length.
    """
    scores = np.asarray(scores)
    if not len(scores) == len(easy) == len(hard):
        raise ValueError(f"scores of {len(scores)} queries, easy answers of {len(easy)}, hard answers of {len(hard)}")
    if scores.dtype not in (np.float32, np.float64):  # a sort of these is many times faster than of bfloat16
        scores = scores.astype(np.float64)
    ordered = np.sort(scores, axis=1)
    if np.isnan(ordered[:, -1]).any():  # where a sort puts them
        raise ValueError("scores: not a number among them; ranks are undefined")
    return [_ranks(*of_query) for of_query in zip(scores, ordered, easy, hard)]


def _ranks(scores, ordered, easy, hard):
    wanted = scores[hard]
    ids = np.sort(np.concatenate([easy, hard]).astype(np.int64))
    answers = np.sort(scores[ids[np.append(True, ids[1:] != ids[:-1])[: len(ids)]]])  # each once
    # Twice what is above, plus what is level: the places from the end on either side, less those of answers.
    above = _from_end(ordered, wanted) - _from_end(answers, wanted)
    return 1 + above / 2


def _from_end(ordered, wanted):
    return 2 * len(ordered) - ordered.searchsorted(wanted, "left") - ordered.searchsorted(wanted, "right")


def stream_ranks(batches, easy, hard):
    """Returns a list of [hard] arrays of filtered ranks; no more than one batch of scores is kept.

    Args:
        batches: iterable of scores [B, N], which together are those of the queries in order; B may vary.
        easy, hard: lists of arrays of entity ids, one a query.

    Raises:
        ValueError: a score that is not a number, or another number of scores than of queries.
    """
    ranks = []
    for scores in batches:
        part = slice(len(ranks), len(ranks) + len(scores))
        ranks += batch_ranks(scores, easy[part], hard[part])
    if len(ranks) != len(hard):
        raise ValueError(f"scores of {len(ranks)} queries, answers of {len(hard)}")
    return ranks


def by_query(ranks):
    """Returns {metric: [Q]}: means over each query's hard answers, nan for a query without any.

    Args:
        ranks: list of arrays of ranks, one a query.
    """
    sizes = np.array([len(of_query) for of_query in ranks], dtype=np.int64)
    owner = np.repeat(np.arange(len(ranks)), sizes)
    flat = np.concatenate([np.zeros(0), *ranks])
    values = (1 / flat, *(flat <= k for k in HITS))
    with np.errstate(invalid="ignore"):
        return {name: np.bincount(owner, value, len(ranks)) / sizes for name, value in zip(METRICS, values)}


def metrics(ranks):
    """Returns {"mrr", "hits_at_1", "hits_at_3", "hits_at_10"}: means over queries of the mean over their hard answers.

    Args:
        ranks: list of arrays of ranks, one a query, none of them empty.
    """
    return {name: float(np.mean(values)) for name, values in by_query(ranks).items()}


def by_missing_links(ranks, missing):
    """Returns {k: metrics, "queries" and "answers"}: of those hard answers that need k missing links at the least.

    A query counts for every k that some hard answer of it needs.

    Args:
        ranks: list of arrays of ranks, one a query.
        missing: list of arrays of the missing links of the same answers.
    """
    result = {}
    for k in sorted(set(itertools.chain.from_iterable(np.asarray(of_query).tolist() for of_query in missing))):
        chosen = [of_query[np.asarray(links) == k] for of_query, links in zip(ranks, missing)]
        chosen = [of_query for of_query in chosen if len(of_query)]
        result[k] = {**metrics(chosen), "queries": len(chosen), "answers": sum(map(len, chosen))}
    return result


def mean_over_types(by_type):
    """Returns the metrics averaged over types with equal weight, of a dict {type: metrics}."""
    names = next(iter(by_type.values()))
    return {name: float(np.mean([of_type[name] for of_type in by_type.values()])) for name in names}


def report(by_type):
    """Returns {"types": {type: metrics}, "average": metrics, "missing_links": {type: {k: as `by_missing_links`}}}.

    Args:
        by_type: {type: (ranks, missing)}, each a list of arrays, one a query: ranks as from `stream_ranks`, and the
            missing links of the same answers.
    """
    types = {name: metrics(ranks) for name, (ranks, _) in by_type.items()}
    links = {name: by_missing_links(*of_type) for name, of_type in by_type.items()}
    return {"types": types, "average": mean_over_types(types), "missing_links": links}
