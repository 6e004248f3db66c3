import json

import pytest

from experiment.errors import NonFiniteError
from reproduce import claims, finished, main, report, scales
from reproduce.verdict import FAILS, HOLDS, NOT_DECIDED, NOT_MEASURED, Accepted, Measured, decide

SUMMARY = {
    "seeds": [0],
    "device": {"platform": "cpu", "kind": "cpu", "count": 1, "cpus": 2},
    "wall_time_s": 3.0,
    "versions": {"jax": "0.0"},
    "figures": {"a": {"value": 0.5, "sd": 0.2, "seeds": 4}, "b": {"value": None}, "c": 2.0},
}


def claim(name, path, accepted, **fields):
    return claims.Claim(
        name=name,
        system="cqd",
        run="toy",
        title=f"{name} <b>",
        statement="x < y & z",
        source="Table 1",
        published="0.4",
        measure=claims.at(*path),
        accepted=accepted,
        **fields,
    )


@pytest.fixture
def results(tmp_path):
    run = finished.Finished(scales.Run("cqd", "toy"), "laptop", tmp_path / "cqd" / "toy", SUMMARY, {})
    figures = tmp_path / "cqd" / "toy" / "figures"
    figures.mkdir(parents=True)
    (figures / "plot.png").write_bytes(b"\x89PNG picture")
    (tmp_path / "cqd" / "toy" / "answers.txt").write_text("observed: A -> B\n")
    chosen = [
        claim("holds", ("c",), Accepted(low=1.0), plots=("plot",), texts=("answers.txt",)),
        claim("fails", ("c",), Accepted(high=1.0), plots=("plot", "absent")),
        claim("wide", ("a",), Accepted(0.4, 0.6)),
        claim("missing", ("b",), Accepted(0.4, 0.6)),
    ]
    measured = [item.measure(SUMMARY["figures"]) for item in chosen]
    return [
        finished.Result(item, value, decide(value, item.accepted), "python -m cqd.main", run)
        for item, value in zip(chosen, measured, strict=True)
    ]


def test_figures_are_read_with_their_standard_error():
    assert claims.at("a")(SUMMARY["figures"]) == Measured(0.5, 0.1, 4)
    assert claims.at("c")(SUMMARY["figures"]) == Measured(2.0)
    one_seed = claims.at("a")({"a": {"value": 0.5, "sd": None, "seeds": 1}})
    assert decide(one_seed, Accepted(low=0.4)) == NOT_DECIDED  # no spread is not an exact figure


def test_verdicts_follow_the_figures(results):
    assert [result.verdict for result in results] == [HOLDS, FAILS, NOT_DECIDED, NOT_DECIDED]


def test_the_page_holds_every_claim_once_with_its_plot_inside(results):
    page = report.as_html(results)
    for result in results:
        assert page.count(f'id="{result.claim.name}"') == 1
    assert page.count("data:image/png;base64,") == 1
    assert page.count("plot: above") == 1
    assert "observed: A -&gt; B" in page
    assert "x &lt; y &amp; z" in page
    assert "<b>" not in page
    assert "not measured" in page
    assert "at scale “laptop” in 3 s on 1 cpu device(s), 2 CPU cores" in page
    assert "fails by 1<" in page
    assert 'src="http' not in page


def test_the_json_is_strict_and_complete(results):
    text = report.as_json(results)
    data = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert [entry["verdict"] for entry in data["claims"]] == [HOLDS, FAILS, NOT_DECIDED, NOT_DECIDED]
    assert data["claims"][3]["measured"] is None
    assert [entry["misses_by"] for entry in data["claims"]] == [None, 1.0, None, None]
    assert data["runs"]["cqd/toy"]["versions"] == {"jax": "0.0"}


def test_the_table_counts_verdicts(results):
    lines = report.table(results).splitlines()
    assert lines[-1] == f"4 claims: 1 {HOLDS}, 1 {FAILS}, 2 {NOT_DECIDED}"
    assert len({line.rindex("0.4") for line in lines[2:6]}) == 1


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "--workdir"),
        (["--workdir=w", "--scale=huge"], "scale"),
        (["--workdir=w", "--only=ntk_asgd,nas"], "nas"),
        (["--workdir=w", "--only="], "--only="),
        (["--workdir=w", "more"], "unexpected argument 'more'"),
        (["--workdir=w", "--scale=gpu", "--merge=a"], "--merge=a"),
        (["--workdir=w", "--merge=/nowhere"], "--merge=/nowhere: no such directory"),
        (["--workdir=w", "--input=cqd/umls"], "SYSTEM/RUN:FIELD=PATH"),
        (["--workdir=w", "--input=cqd/nothing:graph=x"], "no such run"),
        (["--workdir=w", "--input=cqd/countries:grap=x"], "grap"),
    ],
)
def test_bad_arguments_are_one_line_and_status_2(capsys, args, words):
    with pytest.raises(SystemExit) as stop:
        main.main(["reproduce", *args])
    out, err = capsys.readouterr()
    assert stop.value.code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert words in err


def test_a_run_that_stops_leaves_a_report_of_the_others(tmp_path, monkeypatch, capsys):
    def run(*, system, argv, **_):
        if system == "cqd":
            raise NonFiniteError("train_0: loss is not finite at step 3")
        return json.loads(json.dumps({**SUMMARY, "figures": {"slope": {"value": -0.5, "se": 0.01, "seeds": 9}}}))

    monkeypatch.setattr(main.scales, "RUNS", (scales.Run("cqd", "toy"), scales.Run("ntk_asgd", "toy")))
    chosen = (
        claim("stopped", ("c",), Accepted(low=1.0)),
        claim("measured", ("slope",), Accepted(-0.6, -0.4))._replace(system="ntk_asgd"),
    )
    monkeypatch.setattr(main.app, "run", run)
    monkeypatch.setattr(main.claims, "CLAIMS", chosen)
    with pytest.raises(SystemExit) as stop:
        main.main(["reproduce", f"--workdir={tmp_path}"])
    assert stop.value.code == 1
    assert "error: cqd toy: train_0: loss is not finite at step 3" in capsys.readouterr().err
    verdicts = {each["claim"]: each["verdict"] for each in json.loads((tmp_path / "report.json").read_text())["claims"]}
    assert verdicts == {"stopped": NOT_MEASURED, "measured": HOLDS}
    assert "not measured" in (tmp_path / "report.html").read_text()
