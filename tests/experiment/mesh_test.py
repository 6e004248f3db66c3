import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from experiment import mesh
from experiment.errors import UserError
from tests.experiment import binary, team

PROGRAM = """
import jax, jax.numpy as jnp, numpy as np
from experiment import mesh
assert jax.device_count() == 8
placed_on = lambda leaf: len({str(shard.index) for shard in leaf.addressable_shards})
tree = {"even": jnp.arange(32.0).reshape(16, 2), "odd": jnp.arange(9.0), "key": jax.random.split(jax.random.key(0), 8)}
placed = mesh.shard_leading(tree)
assert placed_on(placed["even"]) == 8
assert placed["odd"].is_fully_replicated and not placed["key"].is_fully_replicated
assert len(placed["odd"].sharding.device_set) == 8
double = jax.jit(jax.vmap(lambda row: 2 * row))(placed["even"])
assert not double.is_fully_replicated
np.testing.assert_array_equal(double, 2 * np.arange(32.0).reshape(16, 2))

# ten rows over five of the eight devices, with what stands beside them; a part placed later meets them there
x, scalar, rows = mesh.shard_leading((jnp.arange(20.0).reshape(10, 2), jnp.float32(2), jnp.arange(3.0)))
later = mesh.shard_leading(jax.device_put(jnp.ones(10), jax.devices()[0]))
assert placed_on(x) == placed_on(later) == 5
assert x.sharding.device_set == later.sharding.device_set == scalar.sharding.device_set == rows.sharding.device_set
total = jax.jit(lambda x, later, scalar: scalar * x.sum(axis=1) + later)(x, later, scalar)
np.testing.assert_array_equal(total, 2 * (4 * np.arange(10) + 1) + 1)
for alone in (jnp.arange(11.0), jnp.zeros((0, 2)), jnp.float32(1)):
    assert mesh.shard_leading(alone) is alone

# without --mesh, an axis in use has all devices; with it, each has its own, and the other holds copies
assert dict(mesh.over(mesh.MODEL).shape) == {"data": 1, "model": 8} == dict(mesh.over(mesh.MODEL, 8).shape)
mesh.choose("data:4,model:2")
assert dict(mesh.over().shape) == dict(mesh.over(mesh.MODEL).shape) == {"data": 4, "model": 2}
assert mesh.over().axis_types == (jax.sharding.AxisType.Auto,) * 2
assert dict(mesh.over(mesh.DATA, 2).shape) == {"data": 2, "model": 2}
x = jnp.arange(16.0).reshape(8, 2)
assert placed_on(mesh.shard_leading(x)) == 4 and len(mesh.shard_leading(x).sharding.device_set) == 8
assert placed_on(mesh.shard_leading(x, mesh.MODEL)) == 2
both = mesh.put(x, mesh.over(), "data", "model")
assert both.addressable_shards[0].data.shape == (2, 1)
np.testing.assert_array_equal(both @ both.T, x @ x.T)
assert mesh.describe_devices()["mesh"] == {"data": 4, "model": 2}
assert mesh.most(lambda n: 6 % n == 0) == 3 and mesh.most(lambda n: False) == 1
mesh.choose("model:8")
assert mesh.shard_leading(x) is x and placed_on(mesh.shard_leading(x, mesh.MODEL)) == 8
mesh.choose("")
assert placed_on(mesh.shard_leading(x)) == 8 and "mesh" not in mesh.describe_devices()
"""


def test_a_tree_stays_as_it_is_on_one_device():
    tree = {"x": jnp.arange(4.0)}
    assert jax.device_count() > 1 or mesh.shard_leading(tree) is tree
    assert mesh.gather(tree) is tree
    assert mesh.over().axis_names == ("data", "model")


def test_the_leading_axis_is_spread_over_eight_devices():
    environment = binary.environment() | {"XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("data=4", "'data=4' is not AXIS:DEVICES; write --mesh=data:4,model:2"),
        ("data:2,", "'' is not AXIS:DEVICES"),
        ("data:-1", "'data:-1' is not AXIS:DEVICES"),
        ("data:1,rows:1", "'rows' is no axis; the axes are data and model"),
        ("data:1,data:1", "'data' is there twice"),
        ("data:0", "data has 0 devices; give it at least 1"),
        ("data:4,model:1000", "has 4000 devices, this run has"),
    ],
)
def test_a_mesh_that_cannot_be_is_refused_in_one_line(text, words):
    before = dict(mesh.over().shape)
    with pytest.raises(UserError) as error:
        mesh.choose(text)
    assert words in str(error.value)
    assert str(error.value).startswith(f"--mesh={text}: ")
    assert dict(mesh.over().shape) == before


RUNS = [
    ("cqd", "train", "data:4,model:2"),
    pytest.param("cqd", "train", "", marks=pytest.mark.slow),
    pytest.param("ntk_asgd", "averaging", "", marks=pytest.mark.slow),
    pytest.param("ntk_asgd", "bound", "", marks=pytest.mark.slow),
    pytest.param("ntk_asgd", "eigen_decay", "data:2,model:4", marks=pytest.mark.slow),
    pytest.param("darts_perturb", "retrain", "", marks=pytest.mark.slow),
    pytest.param("darts_perturb", "digits", "", marks=pytest.mark.slow),
]


# A network of its own makes of a last digit of its weights 3e-4 of the loss in 7 steps, 3e-3 in 10, on one device too.
SAME_STEPS = 4


@pytest.mark.parametrize(("system", "run", "axes"), RUNS)
def test_a_run_on_eight_devices_has_the_figures_of_one(tmp_path, system, run, axes):
    command = [f"{system}.main", f"--config=configs/{system}/{run}.py:smoke"]
    if run == "retrain":
        command.append("--config.steps_per_call=1")
    for devices, flags in ((1, []), (8, [f"--mesh={axes}"])):
        status, _, err = team.alone(*command, *flags, f"--workdir={tmp_path / str(devices)}", devices=devices)
        assert status == 0, err
    stages = {"digits": team.BEFORE_DECISIONS, "retrain": ("retrain_",)}.get(run)
    steps = SAME_STEPS if run == "retrain" else None
    team.assert_near(tmp_path / "8", tmp_path / "1", rtol=1e-3, stages=stages, steps=steps)
