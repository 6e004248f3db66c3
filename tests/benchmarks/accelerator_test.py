"""Throughputs: what they count against XLA's own count, and the command on this device."""

import json
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import accelerator, device, peers
from benchmarks.cqd import throughput as of_cqd
from benchmarks.darts_perturb import throughput as of_darts_perturb
from benchmarks.ntk_asgd import throughput as of_ntk_asgd
from configs.darts_perturb import retrain
from cqd import predictor, training
from darts_perturb import space as spaces
from darts_perturb import supernet


def flops(fn, *args):
    """Returns the FLOPs that XLA counts in a program before it is compiled."""
    return jax.jit(fn).lower(*args).cost_analysis()["flops"]


def test_a_gram_counts_half_of_two_products():
    n, _, width = of_ntk_asgd.GRAM["small"]
    h = jnp.zeros((n, width))
    assert 2 * of_ntk_asgd.gram("small").flops == flops(lambda one, two: (one @ two.T, two @ one.T), h, h)


def test_a_training_step_counts_its_products(monkeypatch):
    monkeypatch.setitem(of_cqd.TABLES, "small", (2000, 4, 40))
    monkeypatch.setitem(of_cqd.STEPS, "small", (1, 200))
    params = predictor.complex_params(jnp.zeros((2000, 80)), jnp.zeros((4, 80)))
    triples = jnp.zeros((200, 3), jnp.int32)
    found = flops(jax.grad(training.loss), params, triples, jnp.ones(200), 0.05)
    counted = of_cqd.step("small").flops
    assert counted <= found < 1.1 * counted  # beside the products, exponentials and sums


def test_a_supernet_counts_its_convolutions():
    space = spaces.get("nas_bench_201")
    sizes = {"channels": 16, "layers": 1, "num_classes": 10}
    params = jax.eval_shape(lambda key: supernet.init(key, space, **sizes), jax.random.key(0))
    weights, x = jnp.ones((6, 5)), jnp.zeros((2, 16, 16, 3))
    found = flops(lambda params, weights, x: supernet.apply(params, weights, x, space=space), params, weights, x) / 2
    counted = 2 * of_darts_perturb.supernet_multiply_adds(space, image_size=16, **sizes)
    assert counted < found < 1.15 * counted  # beside the convolutions, normalisation and pools


def test_cells_are_those_of_the_config():
    assert of_darts_perturb.DARTS_V2 == retrain.DARTS_V2
    assert of_darts_perturb.NAS_BENCH_201_CELL == retrain.NAS_BENCH_201_CELL


def test_nothing_is_imported_that_a_bare_machine_lacks():
    program = "import sys, benchmarks.accelerator; assert not {'ml_collections', 'sklearn'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=peers.ROOT, check=False).returncode == 0


def test_rates_are_of_this_device_and_shares_are_ratios_to_them():
    rates = device.measure("small", 2)
    assert set(rates["matrix_flops_per_s"]) == {device.FLOAT32, device.DEFAULT, device.BFLOAT16}
    assert min(rates["matrix_flops_per_s"].values()) > 1e6
    assert rates["bytes_per_s"] > 1e6
    calls = []

    def call():
        time.sleep(0 if calls else 0.3)  # as a compilation
        calls.append(1)
        return np.zeros(3)

    case = device.Case("cqd", "toy", "things", 5, call, 1e6, lambda: 3e3 * len(calls), device.FLOAT32)
    row = device.row(case, rates, 4)
    seconds = 5 / row["per_s"]["median"]
    assert len(calls) == 5
    assert row["first_s"] > 0.3 > 5 / row["per_s"]["low"]  # and is not counted
    assert row["bytes"] == 15e3  # asked for after the calls
    assert row["of_matrix_rate"] == pytest.approx(1e6 / seconds / rates["matrix_flops_per_s"][device.FLOAT32])
    assert row["of_bandwidth"] == pytest.approx(15e3 / seconds / rates["bytes_per_s"])
    assert row["per_s"]["low"] <= row["per_s"]["median"] <= row["per_s"]["high"]


@pytest.mark.parametrize("name", ["gram", "descent", "step", "beam"])
def test_a_case_does_what_it_says(name):
    case = accelerator.CASES[name]("small")
    found = jax.tree.leaves(case.call())
    assert all(np.isfinite(leaf).all() for leaf in found)
    assert min(case.flops, case.bytes, case.count) > 0


@pytest.mark.slow
def test_a_step_in_bfloat16_does_what_it_says():
    test_a_case_does_what_it_says("step_bfloat16")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["search", "search_bfloat16", "retrain", "retrain_bfloat16"])
def test_a_network_trains(name):
    case = accelerator.CASES[name]("small")
    state, info = case.call()
    assert np.isfinite(info["loss"]).all()
    assert case.bytes() > device.num_bytes(state)  # a step reads and writes at least its own state
    assert case.flops > 0


def test_the_command_writes_what_it_measures_and_leaves_out_what_fails(tmp_path, monkeypatch, caplog):
    out = tmp_path / "new" / "here.json"
    monkeypatch.setitem(accelerator.CASES, "broken", lambda size: 1 / 0)
    words = ["--size=small", "--repeats=1", "--only=broken,gram", f"--out={out}"]
    monkeypatch.setattr("sys.argv", ["accelerator", *words])
    with pytest.raises(SystemExit, match="1"):
        accelerator.main()
    assert "broken is left out: division by zero" in caplog.text
    content = json.loads(out.read_text())
    assert content["failed"] == ["broken"]
    assert [row["unit"] for row in content["rows"]] == ["Gram entries"]
    assert "unfinished" not in content
    assert content["device"]["bytes_per_s"] > 0
