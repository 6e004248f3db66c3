"""Writes countries.tsv, the embedded graph, from PyPI's countryinfo 1.0.1 and the corrections listed here.

    pip install countryinfo==1.0.1
    python -m cqd.data.make_countries

The package is needed to make the file again, never to use it. Facts the source lacks stay missing (a graph is never
complete) unless the table below says why they are added; facts that are wrong or stale are corrected, each with its
reason. The output is sorted, so that the same source gives the same bytes.
"""

from pathlib import Path

VERSION = "1.0.1"

DROPPED_RECORDS = {
    "antilles néerlandaises": "dissolved in 2010; its islands have records of their own",
    "burma": "a second record of Myanmar",
    "holy see (vatican city state)": "a second record of Vatican City",
    "palestine, state of": "a second record of Palestine",
    "scotland": "part of the United Kingdom, not an ISO 3166 country",
    "serbia and montenegro": "dissolved in 2006; both have records of their own",
    "wales": "part of the United Kingdom, not an ISO 3166 country",
}

RENAMED_COUNTRIES = {
    "Republic of Macedonia": ("North Macedonia", "renamed in 2019"),
    "South Georgia": ("South Georgia and the South Sandwich Islands", "the ISO 3166 name"),
    "Swaziland": ("Eswatini", "renamed in 2018"),
    "The Bahamas": ("Bahamas", "an article is no part of a label"),
    "The Gambia": ("Gambia", "an article is no part of a label"),
    "Vatican City State": ("Vatican City", "the everyday name"),
    "Virgin Islands, British": ("British Virgin Islands", "word order"),
    "Virgin Islands, U.S.": ("United States Virgin Islands", "word order"),
}

# By ISO 3166 code; "" takes the fact out.
CAPITALS = {
    "BDI": ("Gitega", "moved from Bujumbura in 2019"),
    "BES": ("Kralendijk", "three towns in one string; Kralendijk is the seat"),
    "HKG": ("", "the City of Victoria was the seat of the colony, which ended in 1997"),
    "KAZ": ("Astana", "Nur-Sultan took its old name back in 2022"),
    "LKA": ("Sri Jayawardenepura Kotte", "the legal capital; Colombo is the commercial one"),
    "PYF": ("Papeete", "spelling"),
    "SWZ": ("Mbabane", "the seat of government; Lobamba is the royal village"),
    "USA": ("Washington, D.C.", "punctuation"),
    "VAT": ("Vatican City", "a list in the source"),
}

SUBREGIONS = {
    "MNE": ("Southern Europe", "its place in UN M49"),
    "SRB": ("Southern Europe", "its place in UN M49"),
}

RETIRED_CURRENCIES = {  # code -> (successor, reason)
    "BGN": ("EUR", "Bulgaria, 2026"),
    "BYR": ("BYN", "redenominated in 2016"),
    "HRK": ("EUR", "Croatia, 2023"),
    "MRO": ("MRU", "redenominated in 2018"),
    "SLL": ("SLE", "redenominated in 2022"),
    "STD": ("STN", "redenominated in 2018"),
    "VEF": ("VES", "redenominated in 2018"),
    "ZMK": ("ZMW", "redenominated in 2013"),
}
NOT_CURRENCIES = {
    "BOV": "unit of account",
    "CHE": "WIR euro, a cooperative's unit",
    "CHW": "WIR franc, a cooperative's unit",
    "CLF": "unit of account",
    "CUC": "withdrawn in 2021 beside CUP",
    "USN": "next-day settlement code",
    "USS": "same-day settlement code",
    "UYI": "unit of account",
}

LANGUAGE_CODES = {  # (country, code in the source) -> (right code, reason); "" takes the fact out
    ("ABW", "pa"): ("pap", "Papiamento, not Punjabi"),
    ("AZE", "hy"): ("", "no official language there"),
    ("GUM", "es"): ("", "no official language since 1898"),
    ("NOR", "nb"): ("", "a written standard of Norwegian, listed beside it"),
    ("NOR", "nn"): ("", "a written standard of Norwegian, listed beside it"),
    ("SRB", "rs"): ("sr", "no such language code; rs is the country"),
}
ADDED_LANGUAGES = {"MYS": ("ms", "an empty list in the source")}

# Standard time, by ISO 3166 code: (old, new, reason).
TIMEZONES = {
    "KAZ": ("UTC+06:00", "UTC+05:00", "one zone since 2024"),
    "MAR": ("UTC", "UTC+01:00", "summer time made permanent in 2018"),
    "NAM": ("UTC+01:00", "UTC+02:00", "winter time ended in 2017"),
    "SDN": ("UTC+03:00", "UTC+02:00", "changed in 2017"),
    "SRB": ("UTC+02:00", "UTC+01:00", "summer time is not a second zone"),
    "SSD": ("UTC+03:00", "UTC+02:00", "changed in 2021"),
    "SYR": ("UTC+02:00", "UTC+03:00", "summer time made permanent in 2022"),
    "TUR": ("UTC+02:00", "UTC+03:00", "summer time made permanent in 2016"),
    "VEN": ("UTC-04:30", "UTC-04:00", "changed in 2016"),
}

REMOVED_BORDERS = {
    ("CYP", "GBR"): "the sovereign bases on Cyprus are no part of the United Kingdom",
    ("IND", "AFG"): "claimed, not held: Pakistan lies between",
    ("IND", "LKA"): "the sea lies between",
    ("KWT", "IRN"): "Iraq lies between",
    ("MMR", "BTN"): "India lies between",
    ("SRB", "ALB"): "Kosovo lies between",
    ("SUR", "FRA"): "the border is French Guiana's, which has a record",
    ("TCD", "SSD"): "the border is Sudan's since 2011",
}
ADDED_BORDERS = {
    ("MAF", "SXM"): "the two halves of one island, both empty in the source",
}
BORDER_CODES = {"IT": "ITA"}  # a two-letter code among three-letter ones
NO_RECORD = {"KOS", "XKX"}  # Kosovo, under two codes and without a record in the source

# A city that bears its country's or another capital's name.
CAPITAL_LABELS = {
    "DJI": "Djibouti City",
    "GIB": "Gibraltar (city)",
    "LUX": "Luxembourg City",
    "MCO": "Monaco (city)",
    "NFK": "Kingston (Norfolk Island)",
    "SGP": "Singapore (city)",
    "VAT": "Vatican City (city)",
}

# ISO 639 codes that occur.
# fmt: off
LANGUAGES = {
    "af": "Afrikaans", "am": "Amharic", "ar": "Arabic", "ay": "Aymara", "az": "Azerbaijani",
    "be": "Belarusian", "bg": "Bulgarian", "bi": "Bislama", "bn": "Bengali", "bs": "Bosnian",
    "ca": "Catalan", "ch": "Chamorro", "cnr": "Montenegrin", "cs": "Czech", "da": "Danish", "de": "German",
    "dv": "Dhivehi", "dz": "Dzongkha", "el": "Greek", "en": "English", "es": "Spanish", "et": "Estonian",
    "fa": "Persian", "ff": "Fula", "fi": "Finnish", "fj": "Fijian", "fo": "Faroese", "fr": "French",
    "ga": "Irish", "gn": "Guarani", "gv": "Manx", "he": "Hebrew", "hi": "Hindi", "hr": "Croatian",
    "ht": "Haitian Creole", "hu": "Hungarian", "hy": "Armenian", "id": "Indonesian", "is": "Icelandic",
    "it": "Italian", "ja": "Japanese", "ka": "Georgian", "kg": "Kongo", "kk": "Kazakh", "kl": "Greenlandic",
    "km": "Khmer", "ko": "Korean", "ku": "Kurdish", "ky": "Kyrgyz", "la": "Latin", "lb": "Luxembourgish",
    "ln": "Lingala", "lo": "Lao", "lt": "Lithuanian", "lu": "Luba-Kasai", "lv": "Latvian", "mg": "Malagasy",
    "mh": "Marshallese", "mi": "Maori", "mk": "Macedonian", "mn": "Mongolian", "ms": "Malay",
    "mt": "Maltese", "my": "Burmese", "na": "Nauruan", "nd": "Northern Ndebele", "ne": "Nepali",
    "nl": "Dutch", "no": "Norwegian", "nr": "Southern Ndebele", "ny": "Chewa", "oc": "Occitan",
    "pap": "Papiamento", "pl": "Polish", "ps": "Pashto", "pt": "Portuguese", "qu": "Quechua",
    "rn": "Kirundi", "ro": "Romanian", "ru": "Russian", "rw": "Kinyarwanda", "sg": "Sango", "si": "Sinhala",
    "sk": "Slovak", "sl": "Slovene", "sm": "Samoan", "sn": "Shona", "so": "Somali", "sq": "Albanian",
    "sr": "Serbian", "ss": "Swazi", "st": "Sotho", "sv": "Swedish", "sw": "Swahili", "ta": "Tamil",
    "tg": "Tajik", "th": "Thai", "ti": "Tigrinya", "tk": "Turkmen", "tn": "Tswana", "to": "Tongan",
    "tr": "Turkish", "ts": "Tsonga", "uk": "Ukrainian", "ur": "Urdu", "uz": "Uzbek", "ve": "Venda",
    "vi": "Vietnamese", "xh": "Xhosa", "zh": "Chinese", "zu": "Zulu",
}
# fmt: on


def country_labels(records):
    """Returns {ISO 3166 three-letter code: label} of the records that stay."""
    return {
        record["ISO"]["alpha3"]: RENAMED_COUNTRIES.get(record["name"], (record["name"],))[0]
        for name, record in records.items()
        if name not in DROPPED_RECORDS
    }


def border_pairs(records):
    """Returns the set of land borders as sorted pairs of codes, one-way edges of the source made whole."""
    removed = {frozenset(pair) for pair in REMOVED_BORDERS}
    pairs = {frozenset(pair) for pair in ADDED_BORDERS}
    for name, record in records.items():
        if name in DROPPED_RECORDS:
            continue
        for other in record.get("borders") or []:
            if other not in NO_RECORD:
                pairs.add(frozenset((record["ISO"]["alpha3"], BORDER_CODES.get(other, other))))
    return {tuple(sorted(pair)) for pair in pairs - removed}


def timezone_label(text):
    """Returns an offset written one way: "UTC+04" and a typographic minus become "UTC+04:00" and "UTC-...".

    >>> timezone_label("UTC+04"), timezone_label("UTC\u221203:30"), timezone_label("UTC")
    ('UTC+04:00', 'UTC-03:30', 'UTC')
    """
    text = text.replace("\u2212", "-")
    return text + ":00" if len(text) == len("UTC+04") else text


def facts(record):
    """Yields (relation, tail) of one country's record, borders and places apart."""
    code = record["ISO"]["alpha3"]
    capital = CAPITALS[code][0] if code in CAPITALS else record.get("capital")
    if capital:
        yield "capital", CAPITAL_LABELS.get(code, capital)
    for currency in record.get("currencies") or []:
        if currency not in NOT_CURRENCIES:
            yield "currency", RETIRED_CURRENCIES.get(currency, (currency,))[0]
    languages = list(record.get("languages") or [])
    if code in ADDED_LANGUAGES:
        languages.append(ADDED_LANGUAGES[code][0])
    for language in languages:
        right = LANGUAGE_CODES.get((code, language), (language,))[0]
        if right:
            yield "language", LANGUAGES[right]
    old, new, _ = TIMEZONES.get(code, (None, None, None))
    for timezone in map(timezone_label, record.get("timezones") or []):
        yield "timezone", new if timezone == old else timezone


def places(record):
    """Returns (area, subregion, region) of one record, each "" where the source has none."""
    subregion = SUBREGIONS.get(record["ISO"]["alpha3"], (record.get("subregion"),))[0]
    return record.get("intermediateregion") or "", subregion or "", record.get("region") or ""


def make_triples(records):
    """Returns the sorted list of (head, relation, tail) labels."""
    label = country_labels(records)
    triples = set()
    for name, record in records.items():
        if name in DROPPED_RECORDS:
            continue
        head = label[record["ISO"]["alpha3"]]
        triples.update((head, relation, tail) for relation, tail in facts(record))
        area, subregion, region = places(record)
        named = (("area", area), ("subregion", subregion), ("region", region))
        triples.update((head, relation, tail) for relation, tail in named if tail)
        if subregion:
            triples.add((subregion, "part_of", region))
        if area:
            triples.add((area, "part_of", subregion))
    for first, second in border_pairs(records):
        triples.add((label[first], "borders", label[second]))
        triples.add((label[second], "borders", label[first]))
    return sorted(triples)


def check_roles(triples):
    """Raises ValueError where one label would stand for two things, such as a city and its country."""
    kinds = {"capital": "city", "language": "language", "currency": "currency", "timezone": "timezone"}
    kinds |= {"region": "place", "subregion": "place", "area": "place", "part_of": "place", "borders": "country"}
    seen = {}
    for head, relation, tail in triples:
        head_kind = "place" if relation == "part_of" else "country"
        for name, kind in ((head, head_kind), (tail, kinds[relation])):
            if seen.setdefault(name, kind) != kind:
                raise ValueError(f"{name!r} is both {seen[name]} and {kind}")
    capitals = [tail for _, relation, tail in triples if relation == "capital"]
    if twice := sorted({tail for tail in capitals if capitals.count(tail) > 1}):
        raise ValueError(f"one capital of two countries: {twice}")


def main():
    """Writes countries.tsv beside this script."""
    import countryinfo

    triples = make_triples(countryinfo.CountryInfo.all())
    check_roles(triples)
    text = "".join("\t".join(triple) + "\n" for triple in triples)
    (Path(__file__).parent / "countries.tsv").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
