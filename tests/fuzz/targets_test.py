"""Every target under hypothesis: its seeds, inputs of its grammar with small changes, and bytes at random."""

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fuzz import grammars
from tests.fuzz.grammars import changed
from tests.fuzz.targets import TARGETS

STRATEGIES = {  # {target: (strategy, pieces to put in, number of examples)}
    "tree": (grammars.TREES, grammars.TREE_SIGNS, 400),
    "question": (grammars.QUESTIONS, grammars.QUESTION_WORDS, 150),
    "genotype": (grammars.GENOTYPES, grammars.GENOTYPE_SIGNS, 300),
    "search_space": (grammars.SPACES, grammars.JSON_SIGNS, 200),
    "tab_separated": (grammars.TABLES, grammars.SIGNS, 250),
    "openke": (grammars.openke(), grammars.SIGNS, 150),
    "id_arrays": (grammars.ID_ARRAYS | grammars.packed_ids(), grammars.JSON_SIGNS, 150),
    "pickled_folder": (grammars.pickled_folders(), grammars.SIGNS, 150),
    "query_arrays": (grammars.QUERY_ARRAYS, (), 100),
    "rdf": (grammars.RDF, grammars.SIGNS, 150),
    "any_pickle": (grammars.OPCODES, (), 300),
    "any_npz": (grammars.zipped(), grammars.SIGNS, 60),
    "predictor": (grammars.PREDICTORS, (), 80),
    "table": (grammars.ACCURACIES, (), 60),
    "images": (grammars.IMAGES, (), 80),
    "overrides": (grammars.OVERRIDES, grammars.SIGNS, 120),
    "config_argument": (grammars.ARGUMENTS, (b",", b"=", b"\xff"), 60),
    "metrics": (grammars.METRICS, grammars.JSON_SIGNS, 200),
    "workdir": (grammars.workdirs(), grammars.JSON_SIGNS, 100),
}
RANDOM = 40  # examples of bytes at random


def under(strategy, num_examples):
    """Returns the decorator of a test of one argument, `data`."""

    def decorate(test):
        phases = (Phase.explicit, Phase.generate, Phase.shrink)
        rules = settings(
            max_examples=num_examples,
            deadline=None,
            derandomize=True,
            database=None,
            phases=phases,
            suppress_health_check=list(HealthCheck),
        )
        return rules(given(data=strategy)(test))

    return decorate


def test_every_target_has_a_grammar():
    assert set(STRATEGIES) == set(TARGETS)


@pytest.mark.parametrize("name", TARGETS)
def test_seeds(name):
    for seed in TARGETS[name].seeds():
        TARGETS[name](seed)


@pytest.mark.parametrize("name", TARGETS)
def test_what_a_grammar_makes(name):
    strategy, alphabet, num_examples = STRATEGIES[name]

    @under(changed(strategy, alphabet), num_examples)
    def check(data):
        TARGETS[name](data)

    check()


@pytest.mark.parametrize("name", TARGETS)
def test_bytes_at_random(name):
    @under(st.binary(max_size=60), RANDOM)
    def check(data):
        TARGETS[name](data)

    check()
