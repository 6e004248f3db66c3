"""Ratios, what counts as behind, and the page of it all."""

import csv
import json

import pytest

from benchmarks import causes, comparison, main, options, page, timing

WHERE = {"device": "toy", "threads": 2, "python": "3", "jax": "1", "jaxlib": "1", "numpy": "1", "scipy": "1"}


def times(median, low=None, high=None, cpu=None):
    return {"median_s": median, "low_s": low or median, "high_s": high or median, "median_cpu_s": cpu or median}


def content(*rows, **described):
    return {"where": WHERE, "size": "full", "peers": [], **described, "rows": list(rows)}


def one_row(kind, ours, theirs, target=None, system="cqd"):
    both = {"ours": times(ours), "theirs": times(theirs)}
    return timing.row(system, f"{kind} {ours} {theirs}", both, "ours", {"theirs": timing.Beside(kind, target, "lib 2")})


def test_a_ratio_is_the_others_time_over_ours_and_its_spread_the_extremes():
    both = {"ours": times(2.0, 1.0, 4.0, cpu=3.0), "theirs": times(6.0, 5.0, 8.0, cpu=12.0)}
    row = timing.row("cqd", "case", both, "ours", {"theirs": timing.Beside(timing.LIBRARY, 1.5, "lib 2")})
    (found,) = comparison.comparisons(content(row), "file")
    assert (found.ratio, found.low, found.high, found.cpu_ratio) == (3.0, 5 / 4, 8 / 1, 4.0)
    assert (found.value, found.target, found.our_version, found.peer_version) == (2.0, 1.5, "jax 1", "lib 2")
    assert (found.device, found.threads, found.source) == ("toy", 2, "file")


def test_times_without_a_slowest_call_have_a_ratio_and_half_a_spread():
    both = {"ours": {"median_s": 2.0, "low_s": 1.0}, "theirs": times(6.0, 5.0, 8.0)}
    found = timing.ratio(both, "ours", "theirs")
    assert found == {"value": 3.0, "low": None, "high": 8.0, "cpu": None}


def test_a_figure_stands_beside_what_was_asked_for():
    rows = [timing.figure("cqd", "memory", 2.0, "GB", 8), timing.figure("cqd", "other", 2.0, "GB")]
    asked, free = comparison.comparisons(content(*rows), "file")
    assert (asked.ratio, asked.target, asked.kind) == (4.0, 1.0, comparison.ASKED)
    assert free.ratio is None


def test_behind_is_what_is_slower_than_a_library_or_short_of_what_was_asked_worst_first():
    rows = [
        one_row(timing.LIBRARY, 1.0, 0.9),  # slower
        one_row(timing.LIBRARY, 1.0, 1.2, target=2.0),  # faster, but not as asked: .6 of it
        one_row(timing.LIBRARY, 1.0, 3.0, target=2.0),
        one_row(timing.BOUND, 1.0, 0.45, target=0.5),  # .9 of what was asked: a bound
        one_row(timing.BOUND, 1.0, 0.1),  # nothing asked
        one_row(timing.BOUND, 1.0, 0.6, target=0.5),
        one_row(timing.OWN, 1.0, 0.1),
        timing.figure("cqd", "memory", 16.0, "GB", 4),
    ]
    short = comparison.behind(comparison.comparisons(content(*rows), "file"))
    found = [round(comparison.shortfall(one), 3) for one in short]
    assert found == [0.25, 0.6, 0.9, 0.9]
    assert [one.kind for one in short[:2]] == [comparison.ASKED, timing.LIBRARY]
    assert not comparison.behind(comparison.comparisons(content(rows[2]), "file"))


def test_the_page_opens_with_what_is_behind_and_says_why_where_it_is_known(tmp_path):
    lean = timing.row(
        "darts_perturb",
        "search step, NAS-Bench-201, toy",
        {"ours": times(1.0), "torch, lean": times(0.5)},
        "ours",
        {"torch, lean": timing.Beside(timing.LIBRARY, None, "torch 0")},
    )
    contents = {"a": content(lean), "b": content(one_row(timing.LIBRARY, 4.0, 3.0), one_row(timing.BOUND, 5.0, 4.0))}
    page.write(tmp_path, contents)
    text = (tmp_path / "benchmarks.md").read_text()
    behind, _, rest = text.partition("## Where this project is behind")[2].partition("## cqd")
    worst, less = (behind.index(words) for words in ("toy | ours, 1 s", "library 4.0 3.0 | ours, 4 s"))
    assert worst < less < behind.index("bound 5.0 4.0")
    assert "one compiled gradient" in behind
    assert causes.UNKNOWN in behind
    assert rest.count("library 4.0 3.0") == 1
    assert "| a | toy | 2 |" in rest
    rows = json.loads((tmp_path / "table.json").read_text())
    with open(tmp_path / "table.csv", encoding="utf-8") as file:
        read = list(csv.DictReader(file))
    assert [row["ratio"] for row in rows] == [0.75, 0.8, 0.5]
    assert [float(row["ratio"]) for row in read] == [0.75, 0.8, 0.5]
    assert [row["system"] for row in read] == ["cqd", "cqd", "darts_perturb"]


def test_the_page_names_what_is_ahead_in_the_median_alone():
    both = {"ours": times(1.0, 0.9, 2.0), "theirs": times(1.5, 1.4, 1.6)}
    open_one, clear = (
        timing.row("cqd", case, both, "ours", {"theirs": timing.Beside(kind, None, "lib 2")})
        for case, kind in (("open", timing.LIBRARY), ("bound", timing.BOUND))
    )
    text = page.markdown({"a": content(open_one, clear, one_row(timing.LIBRARY, 1.0, 3.0))})
    ahead = text.partition("Ahead in the median, but not in every call:")[2].partition("## cqd")[0]
    assert "| cqd | open | ours, 1 s | theirs (lib 2) | 1.5 (0.7 to 1.78) |" in ahead
    assert "bound" not in ahead
    assert "library 1.0 3.0" not in ahead


def test_a_page_without_shortfalls_says_so():
    assert page._NOTHING in page.markdown({"a": content(one_row(timing.LIBRARY, 1.0, 3.0))})


def test_a_throughput_stands_in_a_table_of_its_own():
    row = {"system": "cqd", "case": "toy beam", "unit": "queries", "precision": "float32", "first_s": 2.0}
    row |= {"per_s": {"median": 10.0, "low": 9.0, "high": 11.0}, "flops_per_s": 2e12, "bytes_per_s": 3e9}
    row |= {"of_matrix_rate": 0.5, "of_bandwidth": 0.25}
    device = {"matrix_flops_per_s": {"float32": 4e12}, "bytes_per_s": 12e9}
    text = page.markdown({"accelerator": content(row, device=device)})
    assert "toy: 4 TFLOP/s in float32 by products of matrices, 12 GB/s by a triad." in text
    assert "| cqd | toy beam | 10 queries (9 to 11) | 2 | 0.5 (float32) | 3 | 0.25 | 2 s |" in text


@pytest.mark.parametrize("text", ["", "{", "[]", '"text"', '{"where": {}, "rows": []}'])
def test_what_is_not_whole_is_no_result(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    assert comparison.read(path) is None
    assert comparison.read(tmp_path / "none.json") is None


def test_the_page_in_docs_is_what_the_committed_results_give():
    assert main.DOCS.read_text(encoding="utf-8") == page.markdown(main.results(options.RESULTS))


def test_every_committed_result_is_of_a_benchmark_at_full_size():
    found = main.results(options.RESULTS)
    assert found
    assert all(name.startswith(tuple(main.BENCHMARKS)) for name in found)  # or of another device, accelerator_NAME
    assert {one["size"] for one in found.values()} == {"full"}
