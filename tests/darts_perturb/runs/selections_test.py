import json

import numpy as np
import pytest

from configs.darts_perturb import s1_s4, textures
from darts_perturb import edges, genotype, space
from darts_perturb.runs import selections
from experiment.workdir import Workdir
from tests.experiment import inside

SPACE = space.get("nas_bench_201")


def config_of(file=textures, **changes):
    return inside.smoke_config(file, **changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"space": "darts2"}, "config.space: unknown search space 'darts2'; known: "),
        ({"batch_size": 599}, "config.batch_size=599 is larger than the 598 images it is drawn from"),
        ({"eval_batch_size": 241}, "config.eval_batch_size=241 is larger than the 240 images it is drawn from"),
        ({"seeds": ()}, "config.seeds"),
        ({"seeds": (1, 1)}, "config.seeds"),
        ({"seeds": (-1,)}, "config.seeds"),
        ({"searches": ()}, "config.searches=(): known are first_order, second_order, sdarts_rs, sdarts_adv, fixed"),
        ({"searches": ("fixed", "third_order")}, "config.searches=('fixed', 'third_order'): known are"),
        ({"selections": ("magnitude", "magnitude")}, "config.selections"),
        ({"layers": 0}, "config.layers=0: need at least 1"),
        ({"channels": 1}, "config.channels=1: need at least 2"),
        ({"search.epochs": 0}, "config.search.epochs=0"),
        ({"search.epsilon": (0.1,)}, "config.search.epsilon=(0.1,): need two numbers"),
        ({"search.epsilon": (0.1, -0.1)}, "config.search.epsilon=(0.1, -0.1): need two numbers"),
        ({"search.clip": 0.0}, "config.search.clip=0: no gradient is left"),
        ({"retrain.random_seeds": 0}, "config.retrain.random_seeds=0: need at least 1"),
        ({"projection.tune_epochs": -1}, "config.projection.tune_epochs=-1"),
        ({"projection.criterion": "f1"}, "config.projection.criterion='f1': known are accuracy, loss"),
        ({"projection.method": "loop"}, "config.projection.method='loop'"),
        ({"projection.order": "alphabetic"}, "config.projection.order='alphabetic': known are random, gap"),
        ({"projection.topology": "best"}, "config.projection.topology='best'"),
        ({"retrain.network": "ours"}, "config.retrain.network='ours': known are supernet, own"),
        ({"dtype": "int8"}, "config.dtype='int8': known are float32, bfloat16"),
        ({"search.learning_rate": -0.1}, "config.search.learning_rate=-0.1"),
        ({"retrain.learning_rate": float("nan")}, "config.retrain.learning_rate=nan"),
        ({"table": "absent.npz"}, "absent.npz: no such file"),
        ({"table": "absent.npz", "space": "s2"}, "config.table: it has cells of nas_bench_201, config.space is s2"),
        ({"retrain.network": "own", "retrain.auxiliary": 0.4}, "config.retrain.auxiliary=0.4"),
    ],
)
def test_a_config_that_cannot_run_is_one_line_with_its_field(changes, words):
    with pytest.raises((ValueError, OSError)) as caught:
        selections.load(config_of(**changes))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "changes", "words"),
    [
        ({}, {"retrain.network": "own"}, "config.retrain.network='own': cells of a space of your own"),
        ({"ops": ["none", "skip_connect"]}, {}, "own.json: none of its ops has anything to learn"),
        ({"skeleton": "reductions", "edges": [[0, 2], [1, 2]]}, {}, "own.json: cells with reductions are written down"),
        ({"ops": ["conv"]}, {}, "own.json': unknown operation 'conv'"),
        ({}, {"table": "absent.npz"}, "config.table: it has cells of nas_bench_201"),
    ],
)
def test_a_space_of_one_s_own_that_cannot_run_is_one_line(tmp_path, fields, changes, words):
    path = tmp_path / "own.json"
    path.write_text(json.dumps({"ops": ["skip_connect", "nor_conv_3x3"], "edges": [[0, 1]]} | fields))
    with pytest.raises(ValueError, match=r"own\.json|config\.") as caught:
        selections.load(config_of(space_file=str(path), **changes))
    assert words in str(caught.value)


def test_a_space_of_one_s_own_is_loaded(tmp_path):
    path = tmp_path / "own.json"
    path.write_text(json.dumps({"ops": ["skip_connect", "nor_conv_3x3"], "edges": [[0, 1]]}))
    assert selections.load(config_of(space_file=str(path))).space.ops == ("skip_connect", "nor_conv_3x3")
    with pytest.raises(ValueError, match=r"own\.json: a name is due; give a file as config\.space_file"):
        selections.load(config_of(space=str(path)))


@pytest.mark.slow
def test_a_run_decides_every_edge_and_shows_it(tmp_path):
    config = config_of(seeds=(0,), **{"retrain.random_cells": 1})
    with Workdir(tmp_path, config.to_dict()) as workdir:
        found = selections.run(config, selections.load(config), workdir)
        rows = workdir.rows()
    cells = {row["selection"]: row for row in rows if row["stage"] == "cells"}
    ways = ("perturbation of first_order", "one_shot of first_order", "perturbation of fixed", "one_shot of fixed")
    assert set(cells) == {"magnitude of first_order", *ways, "random"} == set(found["selections"])
    for name, row in cells.items():
        assert found["selections"][name]["genotypes"] == [row["genotype"]]
        assert len(row["test_accuracy"]) == 1
    assert found["selections"][ways[0]]["minus_magnitude"]["interval"] is None
    for way in ("perturbation", "one_shot"):
        for name in ("first_order", "fixed"):
            projected = [row for row in rows if row["stage"] == f"{way}_{name}_0"]
            decided = {int(row["edge"]): int(row["op"]) for row in projected if row["edge"] >= 0}
            assert sorted(decided) == list(range(6))
            assert (len(projected) > 6) == (way == "perturbation")
            chosen = genotype.parse(cells[f"{way} of {name}"]["genotype"]).ops
            assert [SPACE.ops[decided[edge]] for edge in range(6)] == list(chosen)
    fixed = [row for row in rows if row["stage"] == "search_fixed_0"]
    assert {row["weight_2_1"] for row in fixed} == {fixed[0]["weight_2_1"]}
    moved = [row["weight_2_1"] for row in rows if row["stage"] == "search_first_order_0"]
    assert len(set(moved)) == len(moved) > 1
    strengths = [row for row in rows if row["stage"] == "strengths_first_order_0"]
    assert len(strengths) == 30
    largest = [max(strengths[5 * e : 5 * e + 5], key=lambda row: row["weight"])["op"] for e in range(6)]
    assert list(genotype.parse(cells["magnitude of first_order"]["genotype"]).ops) == largest
    assert all(row["loss_rise"] == 0.0 for row in strengths if row["op"] == "none")
    assert {path.suffix for path in (tmp_path / "figures").iterdir()} == {".png", ".csv"}


@pytest.mark.slow
def test_a_reduced_space_is_searched_selected_and_retrained(tmp_path):
    changes = {"seeds": (0,), "searches": ("fixed",), "selections": ("perturbation",)}
    config = config_of(s1_s4, **changes, **{"projection.tune_epochs": 0, "retrain.random_cells": 0})
    with Workdir(tmp_path, config.to_dict()) as workdir:
        found = selections.run(config, selections.load(config), workdir)
        rows = workdir.rows()
    (text,) = found["selections"]["perturbation of fixed"]["genotypes"]
    cell = genotype.parse(text, "s2")
    decided = {row["edge"]: row["op"] for row in rows if row["stage"] == "perturbation_fixed_0"}
    assert sorted(decided) == list(range(28))
    rows_of = {tuple(edge[:3]): row for row, edge in enumerate(edges.listed(space.get("s2")))}
    for kind in ("normal", "reduce"):
        for source, target, op in cell.edges(kind):
            assert space.get("s2").ops[int(decided[rows_of[kind, source, target]])] == op
    nodes = [row["node"] for row in rows if row["stage"] == "perturbation_topology_fixed_0"]
    assert len(nodes) == 6  # those with more than two edges, of both kinds of cell
    assert np.isfinite(found["selections"]["perturbation of fixed"]["test_accuracy"]["value"])
