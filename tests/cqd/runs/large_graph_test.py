"""The run on a large graph, at its smallest: phases, sizes, resumption, and every user mistake."""

import functools
import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from configs.cqd import large_graph as config_file
from cqd.runs import large_graph, meter
from experiment import mesh
from tests.experiment import binary, inside

config = functools.partial(inside.smoke_config, config_file)
execute = functools.partial(inside.execute, large_graph)
TIMED = ("cpu_s", "wall_s", "peak_mb", "first_call", "a_query")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole")
    return path, execute(path, config())


def measured(figures):
    """Returns the figures without times and memory, which no two runs share."""
    phases = {
        phase: {name: value for name, value in took.items() if not any(word in name for word in TIMED)}
        for phase, took in figures["phases"].items()
    }
    return {**figures, "phases": phases}


def test_every_phase_is_measured(whole):
    path, figures = whole
    phases = figures["phases"]
    assert list(phases) == ["generate", "load", "index", "train", "rank", "2p", "2i"]
    for took in phases.values():
        assert took["peak_mb"] > 50
        assert took["cpu_s"] > 0
    assert phases["load"]["entities"] == figures["entities"] == 2000
    assert phases["load"]["triples"] == figures["triples"] == 20_000
    assert figures["bytes"]["triples"] == 20_000 * 3 * 4
    assert figures["bytes"]["tables"] == figures["bytes"]["optimiser"]
    np.testing.assert_allclose(phases["train"]["first_loss"], np.log(2000), rtol=1e-3)  # it knows nothing yet
    assert 0 < phases["rank"]["mrr"] <= 1
    for name in large_graph.TYPES:
        assert phases[name]["is_the_same_again"] == phases[name]["is_as_on_one_device"] == 1
    assert (path / "figures" / "phases.png").read_bytes().startswith(b"\x89PNG")
    assert len((path / "figures" / "phases.csv").read_text().splitlines()) == 8


def test_the_start_needs_no_more_room_than_a_step():
    of_size = config(num_entities=50_000)
    start = jax.jit(large_graph._starting(of_size, mesh.over(mesh.MODEL)))
    table = 4 * of_size.num_entities * 2 * of_size.rank
    compiled = start.lower(jax.random.key(0)).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 1.5 * table  # beside the table and its sums of squares
    state = start(jax.random.key(0))
    assert len(np.unique(state.params.entity[:, 0])) > 49_000
    np.testing.assert_allclose(np.std(state.params.entity), 1e-3, rtol=0.01)
    np.testing.assert_allclose(np.std(state.params.relation), 1e-3, rtol=0.2)


def test_questions_have_an_answer(whole):
    world = large_graph._World(config(), whole[0] / "graph.tsv")
    for name in large_graph.TYPES:
        queries = large_graph._questions(config(), world, name)
        assert len(queries) == 4
        assert all(map(len, large_graph.symbolic.answers(world.full, queries)))


def test_resumed_is_uninterrupted(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(large_graph, "_answered", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        execute(tmp_path, config())
    monkeypatch.undo()
    assert measured(execute(tmp_path, config())) == measured(whole[1])


def test_training_learns_the_clusters(tmp_path):
    figures = execute(tmp_path, config(steps=150, batch_size=512, regularization=0.01, num_tested=100))
    assert figures["phases"]["train"]["last_loss"] < 0.93 * np.log(2000)
    assert figures["phases"]["rank"]["mrr"] > 0.03  # .004 is chance


def test_the_binary_over_eight_devices(whole, tmp_path):
    env = binary.environment() | {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "cqd.main", "--config=configs/cqd/large_graph.py:smoke", f"--workdir={tmp_path}"]
    done = subprocess.run(command, cwd=binary.ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    figures, _ = binary.figures(tmp_path)
    assert figures["devices_of_the_table"] == 8
    assert figures["bytes"]["entities_of_a_device"] * 7 < figures["bytes"]["tables"]
    for name in large_graph.TYPES:
        assert figures["phases"][name]["is_as_on_one_device"] == 1
    for name in ("first_loss", "last_loss"):
        np.testing.assert_allclose(figures["phases"]["train"][name], whole[1]["phases"]["train"][name], rtol=1e-5)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rank": 0}, "config.rank=0: at least 1 is due"),
        ({"num_triples": 100}, "num_triples=100: from num_entities=2000"),
        ({"num_clusters": 7}, "is not a multiple of num_clusters=7"),
        ({"num_answers": 3000}, "config.num_answers=3000: 2000 at most"),
        ({"num_tested": 20_000}, "config.num_tested=20000: 19999 at most"),
        ({"learning_rate": -1.0}, "config.learning_rate=-1.0: a number from 0 up is due"),
    ],
)
def test_user_mistakes(fields, message):
    with pytest.raises(ValueError, match=message):
        large_graph.load(config(**fields))


def test_the_peak_is_of_the_phase():
    _, large = meter.measured(lambda: np.ones(2**25).sum())  # 256 MB, and given back
    _, small = meter.measured(lambda: np.ones(2**10).sum())
    assert large["peak_mb"] >= 256
    if os.path.exists("/proc/self/clear_refs"):
        assert small["peak_mb"] < large["peak_mb"] - 200
