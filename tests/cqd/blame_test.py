"""Blame: the one false edge of a hand-made predictor comes first; counts, shares and places against by-hand values."""

import numpy as np
import pytest

from cqd import answering, blame, graph, predictor, proofs, query, symbolic

NAMES = ("France", "Spain", "Chile", "Paris", "Madrid", "Santiago", "Europe", "America")
SIZES = {"num_entities": 8, "num_relations": 4}
# capital is relation 0, region relation 2
TRUE = [(0, 0, 3), (1, 0, 4), (2, 0, 5), (0, 2, 6), (1, 2, 6), (2, 2, 7)]
observed = graph.build_index(np.array(TRUE[:5]), **SIZES)
FALSE = (2, 2, 6)  # Chile in Europe


@pytest.fixture(scope="module")
def params():
    """A CP whose scores are written down: 4 for the true edges, 5 for the false one, 3 for Chile in America, -9 else.

    Each pair (head, relation) has a dimension, whose entity column holds its scores.
    """
    pairs = [(h, r) for h in range(8) for r in range(4)]
    scores = np.full((8, len(pairs)), -9.0, np.float32)
    for edge, score in {**dict.fromkeys(TRUE, 4.0), TRUE[5]: 3.0, FALSE: 5.0}.items():
        h, r, t = edge
        scores[t, pairs.index((h, r))] = score
        scores[h, pairs.index((t, r + 1))] = score
    subject = np.array([[h == entity for h, _ in pairs] for entity in range(8)], np.float32)
    relation = np.array([[r == number for _, r in pairs] for number in range(4)], np.float32)
    return predictor.CP(entity=scores, relation=relation, subject=subject)


def found(params, texts, *, num_answers=3, **options):
    trees = [query.parse(text) for text in texts]
    full = graph.build_index(np.array(TRUE), **SIZES)
    easy, hard = symbolic.easy_and_hard(observed, full, trees)
    scores = answering.answer(params, trees, observed=observed, **options)
    answers = blame.first_answers(scores, easy, hard, num_answers=num_answers)
    best = proofs.best(
        params, [trees[i] for i in answers.query], answers.entity, observed=observed, **{"method": "exact", **options}
    )
    return answers, blame.candidates(answers, best, observed)


TEXTS = ("#2(#2)", "#2(#1(#5))", "#0(#3(#6))", "#0(#3(#7))")


def test_the_false_edge_comes_first(params):
    answers, candidates = found(params, TEXTS, **answering.BEST)
    assert tuple(candidates.triples[0]) == FALSE
    assert candidates.blame[0] == candidates.blame.max() > 0
    assert candidates.queries[0] == 3, "the region of Chile, that of Santiago's country, the capitals of Europe"
    assert candidates.wrong[0] >= 3
    assert candidates.right[0] == 0
    place = candidates.example[0]
    assert not answers.right[place]
    assert answers.rank[place] == 1
    at = candidates.triples.tolist().index([2, 2, 7])
    assert candidates.right[at] > 0
    assert candidates.blame[at] < 0, "the edge of the right answers is credited"
    assert not observed.contains(candidates.triples).any()


def test_first_answers_leave_out_easy_ones_and_truth_0():
    scores = np.array([[0.9, 0.5, 0.8, 0.0, 0.1], [0.0, 0.0, 0.3, 0.0, 0.0]])
    answers = blame.first_answers(scores, [[0], []], [[1], [0]], num_answers=3)
    assert answers.query.tolist() == [0, 0, 0, 1]
    assert answers.entity.tolist() == [2, 1, 4, 2]
    assert answers.rank.tolist() == [1, 2, 3, 1]
    assert answers.right.tolist() == [False, True, False, False]


def test_blame_is_the_sum_by_hand():
    """A wrong answer's blame is shared by how untrue its predicted edges are; a right one's credit is whole."""
    edges = np.array([(2, 2, 6), (2, 2, 7), (0, 0, 3)])  # predicted, predicted, observed

    def proof(*chosen, truth):
        needed = np.ones(len(chosen), bool)
        return proofs.Best(None, 0, 1.0, edges[list(chosen)], np.array(truth), needed)

    answers = blame.Answers(np.array([0, 0, 1]), np.array([1, 2, 3]), np.array([1, 2, 2]), np.array([0, 1, 0], bool))
    best = [proof(0, 2, truth=[0.5, 1.0]), proof(1, truth=[0.9]), proof(0, 1, truth=[0.5, 0.75])]
    candidates = blame.candidates(answers, best, observed)
    some_false = 1 - 0.5 * 0.75
    assert candidates.triples.tolist() == [[2, 2, 6], [2, 2, 7]]
    np.testing.assert_allclose(candidates.blame, [1 + 0.5 * 0.5 / some_false, 0.5 * 0.25 / some_false - 0.5])
    np.testing.assert_allclose(candidates.truth, [0.5, 0.9])
    assert candidates.wrong.tolist() == [2, 1]
    assert candidates.right.tolist() == [0, 1]
    assert candidates.queries.tolist() == [2, 1]
    assert candidates.example.tolist() == [0, 2]
    assert len(candidates.first(5).blame) == 1, "what is not blamed is not to be judged"
    assert len(candidates.first(0).blame) == 0


def test_an_edge_that_a_proof_needs_twice_counts_once():
    edge = np.array([(2, 2, 6), (2, 2, 6)])
    answers = blame.Answers(np.array([0]), np.array([1]), np.array([1]), np.array([False]))
    best = [proofs.Best(None, 0, 1.0, edge, np.array([0.5, 0.5]), np.ones(2, bool))]
    candidates = blame.candidates(answers, best, observed)
    assert candidates.wrong.tolist() == [1]
    assert candidates.blame[0] <= 1


def test_nothing_to_blame():
    answers = blame.first_answers(np.zeros((1, 8)), [[]], [[]], num_answers=2)
    candidates = blame.candidates(answers, [], observed)
    assert all(len(part) == 0 for part in candidates)
