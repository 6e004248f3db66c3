"""Config files as users write them, mistakes included; they are Python, so no engine makes them of bytes at random."""

from hypothesis import strategies as st

from tests.fuzz import run_files
from tests.fuzz.outcome import bounded
from tests.fuzz.targets_test import under

_STARTS = st.sampled_from(
    [
        "ask.get_config('smoke')",
        "ask.get_config('smoke')",
        "ask.get_config('smoke')",
        "ConfigDict({'run': 'ask'})",
        "ConfigDict()",
        "None",
        "5",
        "{}",
        "1 / 0",
        "exit(3)",
        "ask.get_config('nothing')",
        "recurse()",
        "open('/nowhere')",
    ]
)
_FIELDS = st.sampled_from(
    ["rank", "query", "queries", "closed", "split", "seeds", "seed", "embedded", "embedded.queries", "run"]
)
_VALUES = st.sampled_from(
    [
        "1",
        "1.5",
        "'x'",
        "[1]",
        "{1: 2}",
        "{'a': 1}",
        "object()",
        "float('nan')",
        "10**400",
        "1e300",
        "len",
        "None",
        "b'x'",
        "(1, [2])",
        "((1,),)",
        "set()",
        "1j",
        "config",
        "True",
        "()",
        "'\\udcff'",
        "config.rank",
        "ask",
        "(1, 'a')",
        "[None]",
    ]
)
_LINES = st.one_of(
    st.builds("config.{} = {}".format, _FIELDS, _VALUES),
    st.builds("config[{}] = {}".format, st.sampled_from(["'rank'", "'no\\nthing'", "5", "None", "''"]), _VALUES),
    st.builds("del config.{}".format, _FIELDS),
    st.sampled_from(
        ["config.unlock()", "config.nothing = 1", "raise ValueError('a\\nb')", "raise KeyboardInterrupt.mro", "  x"]
    ),
)
SOURCES = st.builds(
    lambda start, lines, end: "\n".join(
        [
            "from ml_collections import ConfigDict",
            "from configs.cqd import ask",
            "def recurse(): return recurse()",
            "def get_config(arg=''):",
            f"    config = {start}",
            "    getattr(config, 'unlock', int)()",
            *(f"    {line}" for line in lines),
            end,
        ]
    ).encode(),
    _STARTS,
    st.lists(_LINES, max_size=3),
    st.sampled_from(
        ["    return config", "    return config", "    return config", "", "    return (", "\0", "# \xff"]
    ),
)


def test_config_files(tmp_path):
    @under(SOURCES, 150)
    def check(data):
        with bounded():
            run_files.config_file(tmp_path / "mine.py", data)

    check()
