"""Every target by its name: a function of bytes that raises only where an input shows a defect, and its seeds.

A seed is an input that is read, or one that once showed a defect. Both engines begin with them.
"""

from collections.abc import Callable
from typing import NamedTuple

from tests.fuzz import graph_files, other_files, run_files, seeds, text_seeds, texts
from tests.fuzz.outcome import bounded


class Target(NamedTuple):
    """A function of bytes, and a function that gives its seeds."""

    function: Callable
    seeds: Callable

    def __call__(self, data):
        """Raises where an input shows a defect."""
        with bounded():
            self.function(data)


TARGETS = {
    "tree": Target(texts.tree, text_seeds.trees),
    "question": Target(texts.question, text_seeds.questions),
    "genotype": Target(texts.genotype, text_seeds.genotypes),
    "search_space": Target(texts.search_space, text_seeds.search_spaces),
    "tab_separated": Target(graph_files.tab_separated, seeds.tables),
    "openke": Target(graph_files.openke, seeds.openke),
    "id_arrays": Target(graph_files.id_arrays, seeds.id_arrays),
    "pickled_folder": Target(graph_files.pickled_folder, seeds.pickled_folders),
    "query_arrays": Target(graph_files.query_arrays, seeds.query_arrays),
    "rdf": Target(graph_files.rdf, seeds.rdf),
    "any_pickle": Target(other_files.any_pickle, seeds.pickles),
    "any_npz": Target(other_files.any_npz, seeds.npz_files),
    "predictor": Target(other_files.a_predictor, seeds.predictors),
    "table": Target(other_files.a_table, seeds.accuracies),
    "images": Target(other_files.some_images, seeds.images),
    "overrides": Target(run_files.overrides, text_seeds.overrides),
    "config_argument": Target(run_files.config_argument, text_seeds.config_arguments),
    "metrics": Target(run_files.metrics_file, seeds.metrics),
    "workdir": Target(run_files.workdir_files, seeds.workdirs),
}
