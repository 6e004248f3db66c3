"""Files of judgements: what is written is read, and every bad line is one error with its place."""

import numpy as np
import pytest

from cqd import blame, graph, judgements, query

VOCABULARY = graph.Vocabulary(("Andorra", "Benin", "Chad"), ("borders", "capital"))


def read(tmp_path, text):
    path = tmp_path / "mine.tsv"
    path.write_text(text, encoding="utf-8")
    return judgements.read(path, VOCABULARY)


def test_what_is_written_is_read(tmp_path):
    due = judgements.judged([(0, 0, 1), (1, 2, 2), (2, 0, 0)], [True, False, False])
    text = judgements.to_lines(due, VOCABULARY)
    assert text.splitlines()[1] == "Andorra\tborders\tBenin\taccept"
    found = read(tmp_path, text)
    np.testing.assert_array_equal(found.accepted, due.accepted)
    np.testing.assert_array_equal(found.rejected, due.rejected)
    assert found.all().tolist() == [[0, 0, 1], [1, 2, 2], [2, 0, 0]]


def test_comments_further_columns_open_lines_and_inverses(tmp_path):
    text = "# a comment\n\nAndorra\tborders^-1\tBenin\treject\t.5\tnote\nBenin\tcapital\tChad\t?\r\n"
    found = read(tmp_path, text)
    assert found.rejected.tolist() == [[1, 0, 0]]
    assert found.accepted.shape == (0, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Andorra\tborders\tBenin\n", r"mine\.tsv:1: has 3 columns"),
        ("# x\nAndorra\tborders\tBenin\tyes\n", r"mine\.tsv:2: judgement 'yes': choose one of accept, reject, \?"),
        ("Andorra\tborders\tBenni\taccept\n", r"mine\.tsv:1: unknown entity 'Benni' \(nearest: 'Benin'"),
        ("Andorra\tborder\tBenin\taccept\n", r"mine\.tsv:1: unknown relation 'border'"),
        (
            "Andorra\tborders\tBenin\taccept\n\nBenin\tborders^-1\tAndorra\treject\n",
            r"mine\.tsv:3: rejects an edge that line 1 accepts; drop one",
        ),
        ("Andorra\tborders\tBenin\t?\n", r"mine\.tsv: judges no edge"),
        ("", "judges no edge"),
    ],
)
def test_mistakes_have_their_place(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, text)


def test_the_same_judgement_twice_is_no_conflict(tmp_path):
    assert len(read(tmp_path, "Andorra\tborders\tBenin\taccept\n" * 2).all()) == 1


def test_candidates_can_be_edited_into_judgements(tmp_path):
    columns = ([[0, 0, 1], [1, 2, 2]], [0.5, 0.25], [2.0, -1.0], [2, 0], [0, 1], [1, 0], [0, -1])
    found = blame.Candidates(*map(np.array, columns))
    text = judgements.candidates_to_lines(found, [(query.parse("#0(#0)"), 1), None], VOCABULARY)
    header, first, second = text.splitlines()
    assert header.split("\t")[:4] == ["# head", "relation", "tail", "judgement"]
    assert first == "Andorra\tborders\tBenin\t?\t0.5\t2\t1\t2\t0\tborders(Andorra) = Benin"
    assert second.endswith("\t1\t")
    with pytest.raises(ValueError, match="judges no edge"):
        read(tmp_path, text)
    assert read(tmp_path, text.replace("?", "accept", 1)).accepted.tolist() == [[0, 0, 1]]
