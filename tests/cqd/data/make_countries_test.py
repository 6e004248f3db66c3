"""The embedded graph is what its script makes of the source."""

import importlib.resources

import pytest

from cqd.data import make_countries


def test_file_is_what_the_script_makes():
    countryinfo = pytest.importorskip(
        "countryinfo", reason="pip install countryinfo==1.0.1 to make countries.tsv again"
    )
    triples = make_countries.make_triples(countryinfo.CountryInfo.all())
    make_countries.check_roles(triples)
    file = importlib.resources.files("cqd") / "data" / "countries.tsv"
    assert file.read_text(encoding="utf-8") == "".join("\t".join(triple) + "\n" for triple in triples)


def test_every_correction_corrects_something():
    countryinfo = pytest.importorskip("countryinfo", reason="pip install countryinfo==1.0.1 to check its corrections")
    records = countryinfo.CountryInfo.all()
    kept = [record for name, record in records.items() if name not in make_countries.DROPPED_RECORDS]
    by_code = {record["ISO"]["alpha3"]: record for record in kept}
    assert set(make_countries.DROPPED_RECORDS) <= set(records)
    assert set(make_countries.RENAMED_COUNTRIES) <= {record["name"] for record in kept}
    for code, (capital, _) in make_countries.CAPITALS.items():
        assert by_code[code]["capital"] != capital
    currencies = {currency for record in kept for currency in record.get("currencies") or []}
    assert set(make_countries.RETIRED_CURRENCIES) | set(make_countries.NOT_CURRENCIES) <= currencies
    for code, (old, _, _) in make_countries.TIMEZONES.items():
        assert old in map(make_countries.timezone_label, by_code[code]["timezones"])
    for code, language in make_countries.LANGUAGE_CODES:
        assert language in by_code[code]["languages"]
    for first, second in make_countries.REMOVED_BORDERS:
        assert second in by_code[first]["borders"]


def test_one_label_for_two_things_is_an_error():
    with pytest.raises(ValueError, match="'Monaco' is both"):
        make_countries.check_roles([("Monaco", "capital", "Monaco")])
    with pytest.raises(ValueError, match="Kingston"):
        make_countries.check_roles([("A", "capital", "Kingston"), ("B", "capital", "Kingston")])
