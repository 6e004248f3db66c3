import shutil
import subprocess
import sys
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiment.checkpoint import Checkpoints, check_finite, without_weak_types
from experiment.errors import NonFiniteError, UserError
from tests.experiment import binary


class State(NamedTuple):
    key: Any
    weights: Any
    count: Any


def state(width=3):
    return State(
        jax.random.key(7), {"a": jnp.arange(float(width)), "b": jnp.ones((2, width), jnp.bfloat16)}, jnp.int32(4)
    )


def test_a_state_with_a_typed_key_comes_back_bit_for_bit(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.restore("train/one") is None
    for step in (3, 9, 12):
        checkpoints.save("train/one", step, state()._replace(count=jnp.int32(step)), elapsed_s=1.5)
    step, restored, notes = Checkpoints(tmp_path).restore("train/one", state())
    assert (step, int(restored.count), notes["elapsed_s"]) == (12, 12, 1.5)
    assert isinstance(restored, State)
    assert restored.key.dtype == state().key.dtype
    assert (jax.random.key_data(restored.key) == jax.random.key_data(state().key)).all()
    assert restored.weights["b"].dtype == jnp.bfloat16
    np.testing.assert_array_equal(restored.weights["a"], state().weights["a"])


def test_another_shape_type_or_structure_is_refused_by_name(tmp_path):
    Checkpoints(tmp_path).save("train", 1, state())
    for other, words in (
        (state(width=4), r"\.weights\['a'\] is float32\[3\] there and float32\[4\]"),
        (state()._replace(count=jnp.float32(1)), r"\.count is int32\[\] there and float32\[\]"),
        (state()._replace(weights={"c": jnp.ones(1)}), r"\.weights\['a'\].*absent"),
    ):
        with pytest.raises(UserError, match=words):
            Checkpoints(tmp_path).restore("train", other)


def test_an_unreadable_checkpoint_is_named_with_the_way_out(tmp_path):
    Checkpoints(tmp_path).save("train", 1, state())
    for path in (tmp_path / "train" / "1" / "state").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    with pytest.raises(UserError, match=r"train/1: unreadable checkpoint .* remove that directory"):
        Checkpoints(tmp_path).restore("train", state())


def test_a_process_killed_while_it_saves_leaves_a_readable_checkpoint(tmp_path):
    program = f"""
import jax.numpy as jnp
from experiment.checkpoint import Checkpoints
checkpoints = Checkpoints({str(tmp_path)!r})
for step in range(1, 10_000):
    checkpoints.save("train", step, dict(x=jnp.full((200, 500), step), y=jnp.int32(step)))
    print(step, flush=True)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        env=binary.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    last = [int(process.stdout.readline()) for _ in range(3)][-1]
    time.sleep(0.037)
    process.kill()
    last = max([last, *map(int, process.communicate()[0].split())])
    step, restored, _ = Checkpoints(tmp_path).restore(
        "train", {"x": jnp.zeros((200, 500), jnp.int32), "y": jnp.int32(0)}
    )
    assert step >= last
    assert (np.asarray(restored["x"]) == step).all()
    assert int(restored["y"]) == step


def test_a_disk_without_room_is_named_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100, 100, 0))
    with pytest.raises(UserError, match=r"train: cannot save a checkpoint \(.*No space left on device\); free space"):
        Checkpoints(tmp_path).save("train", 1, state())
    assert not list(tmp_path.iterdir())


def test_weak_types_do_not_survive_a_loop_start():
    strong = without_weak_types({"a": jnp.asarray(1.0), "b": 2, "key": jax.random.key(0)})
    assert not strong["a"].weak_type
    assert strong["b"].dtype == jnp.int32


def test_a_state_that_is_not_finite_is_named():
    check_finite("train", 3, state())
    with pytest.raises(NonFiniteError, match=r"train: \.weights\['a'\] is not finite at step 3"):
        check_finite("train", 3, state()._replace(weights={"a": jnp.array([1.0, jnp.inf])}))
