"""The answers of any query, a tree or a pattern with names, best first, and those that follow from given edges."""

import functools

import numpy as np

from cqd import answering, cutset, ranking, rooting, symbolic

MAX_PAIRS = 200  # pairs that follow from edges and are listed: there may be millions


class AnswerList:
    """The answers of a query.

    Args:
        params: link predictor.
        query: a tree with ids, or `rooting.Compiled`.
        observed: Index of the observed edges.
        full: Index of all true edges, or None.
        num_answers: how many new answers at least have their right truth.
        **options: of `cqd.answer`, but observed.

    Attributes:
        ranked: list of (entity or pair, truth above 0), best first.
        easy: list of those that follow from observed edges, but for what the full graph refutes.
        hard: list of those that need a missing edge; empty without `full`.
    """

    def __init__(self, params, query, *, observed, full, num_answers, **options):
        self.query = query
        self.observed = observed
        self.full = full
        self.is_compiled = isinstance(query, rooting.Compiled)
        self.is_pair = self.is_compiled and len(query.select) == 2
        self.num_entities = params.entity.shape[0]
        self.easy, self.hard = self._easy_and_hard()
        evaluate = functools.partial(answering.answer, params, observed=observed, **options)
        self.scores, self.ranked = self._ranked(evaluate, num_answers + len(self.easy))
        lists = self.easy, self.hard
        if self.is_pair:  # the lists may be cut short
            lists = self._easy_and_hard(_firsts([pair for pair, _ in self.ranked]))
        self._easy, self._hard = map(frozenset, lists)

    def shown(self, num_answers, num_known):
        """Returns the best items of `ranked`: the known ones, then the new ones."""
        known = [item for item in self.ranked if item[0] in self._easy]
        new = [item for item in self.ranked if item[0] not in self._easy]
        return known[:num_known] + new[:num_answers]

    def status(self, answer):
        """Returns "known", "right" or "not in the graph"; "predicted" where the full graph is not known."""
        if answer in self._easy:
            return "known"
        if self.full is None:
            return "predicted"
        return "right" if answer in self._hard else "not in the graph"

    def to_find(self):
        """Returns a list of (hard answer, its filtered rank, None for a pair)."""
        if self.is_pair:
            return [(pair, None) for pair in self.hard]
        easy, hard = (np.array(part, np.int64) for part in (self.easy, self.hard))
        return list(zip(self.hard, ranking.filtered_ranks(self.scores, easy, hard).tolist()))

    def _ranked(self, evaluate, wanted):
        """Returns ([N] truths, None for pairs; list of (answer, truth above 0), best first)."""
        size = self.num_entities
        if self.is_pair:
            best = cutset.pairs(self.query, evaluate, num_entities=size, num_pairs=wanted)
            return None, [((first, second), truth) for first, second, truth in best]
        if self.is_compiled:
            wanted = min(wanted, size) if self.full is None else None  # ranks take the truths of all
            scores = cutset.answer(self.query, evaluate, num_entities=size, num_answers=wanted)
        else:
            scores = np.asarray(evaluate(self.query))
        best = np.argsort(-scores, kind="stable")
        return scores, [(int(y), float(scores[y])) for y in best if scores[y] > 0]

    def _easy_and_hard(self, firsts=None):
        """Returns (easy, hard) lists, of pairs those with given first entities, or a few of all."""
        easy = self._follow(self.observed, firsts)
        if self.full is None:
            return easy, []
        true = self._follow(self.full, firsts)
        in_observed, in_full = easy, true
        if self.is_pair and firsts is None:  # the lists may be cut short at different pairs
            in_observed, in_full = self._follow(self.observed, _firsts(true)), self._follow(self.full, _firsts(easy))
        in_observed, in_full = set(in_observed), set(in_full)
        return [y for y in easy if y in in_full], [y for y in true if y not in in_observed]

    def _follow(self, index, firsts):
        """Returns the list of answers that follow from the edges of an index."""
        if not self.is_compiled:
            return symbolic.answers(index, [self.query])[0].tolist()
        if firsts is not None and not len(firsts):
            return []

        def evaluate(queries):
            truth_qn = np.zeros((len(queries), self.num_entities), np.float32)
            for truth_n, entities in zip(truth_qn, symbolic.answers(index, queries)):
                truth_n[entities] = 1
            return truth_qn

        if not self.is_pair:
            return np.flatnonzero(cutset.answer(self.query, evaluate, num_entities=self.num_entities)).tolist()
        options = {"num_pairs": MAX_PAIRS}
        if firsts is not None:
            options = {"num_pairs": self.num_entities * len(firsts), "candidates": {self.query.select[0]: firsts}}
        best = cutset.pairs(self.query, evaluate, num_entities=self.num_entities, **options)
        return [(first, second) for first, second, _ in best]


def _firsts(pairs):
    return np.unique(np.array([first for first, _ in pairs], np.int64))
