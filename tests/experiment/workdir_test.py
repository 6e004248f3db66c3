import jax.numpy as jnp
import numpy as np
import pytest

from experiment import figures
from experiment.errors import NonFiniteError, UserError
from experiment.workdir import Workdir, read_summary


def test_a_stage_is_computed_once(tmp_path):
    calls = []

    def fn():
        calls.append(1)
        return {"x": jnp.arange(3.0), "inner": {"n": 4, "flag": True}}

    with Workdir(tmp_path / "w", {"seed": 0}) as workdir:
        first = workdir.stage("one", fn)
    with Workdir(tmp_path / "w", {"seed": 0}) as workdir:
        second = workdir.stage("one", fn)
    assert len(calls) == 1
    for result in (first, second):
        np.testing.assert_array_equal(result["x"], [0.0, 1.0, 2.0])
        assert (int(result["inner"]["n"]), bool(result["inner"]["flag"])) == (4, True)


def test_a_stage_returns_numbers_only(tmp_path):
    with Workdir(tmp_path / "w", {}) as workdir:
        with pytest.raises(TypeError, match="one/word"):
            workdir.stage("one", lambda: {"word": "text"})
        with pytest.raises(NonFiniteError, match="two/x"):
            workdir.stage("two", lambda: {"x": jnp.array([1.0, jnp.nan])})


def test_a_loop_goes_on_where_it_was(tmp_path):
    def step_fn(state, step):
        if step >= limit:
            raise RuntimeError("stop")
        return state + step, {"state": state}

    limit = 100
    with Workdir(tmp_path / "whole", {}) as workdir:
        whole = workdir.loop("sum", 0, step_fn, num_steps=20, steps_per_call=2)
        whole_rows = workdir.rows()
        assert workdir.loop("sum", 0, None, num_steps=20, steps_per_call=2) == whole
    limit = 10
    with Workdir(tmp_path / "halved", {}) as workdir, pytest.raises(RuntimeError):
        workdir.loop("sum", 0, step_fn, num_steps=20, steps_per_call=2)
    limit = 100
    with Workdir(tmp_path / "halved", {}) as workdir:
        assert workdir.loop("sum", 0, step_fn, num_steps=20, steps_per_call=2) == whole
        assert workdir.rows() == whole_rows
    with Workdir(tmp_path / "odd", {}) as workdir, pytest.raises(ValueError, match="multiple"):
        workdir.loop("sum", 0, step_fn, num_steps=20, steps_per_call=3)


def test_a_config_is_compared_field_by_field(tmp_path):
    config = {"seed": 0, "model": {"rank": 5}}
    with Workdir(tmp_path / "w", config):
        pass
    assert read_summary(tmp_path / "w", config) is None
    with pytest.raises(UserError, match=r"config\.model\.rank is 5 there and 6 here"):
        read_summary(tmp_path / "w", {"seed": 0, "model": {"rank": 6}})
    with pytest.raises(UserError, match=r"config\.seed is absent here"):
        read_summary(tmp_path / "w", {"model": {"rank": 5}})


def test_a_change_anywhere_in_an_input_folder_is_noticed(tmp_path):
    nested = tmp_path / "images" / "cifar" / "batch.bin"
    nested.parent.mkdir(parents=True)
    nested.write_bytes(b"one")
    with Workdir(tmp_path / "w", {}, inputs=[tmp_path / "images"]):
        pass
    assert read_summary(tmp_path / "w", {}) is None
    nested.write_bytes(b"two")
    with pytest.raises(UserError, match="images has changed"):
        read_summary(tmp_path / "w", {})
    nested.write_bytes(b"one")
    assert read_summary(tmp_path / "w", {}) is None
    nested.parent.rename(tmp_path / "images" / "other")
    with pytest.raises(UserError, match="images has changed"):
        read_summary(tmp_path / "w", {})


def test_a_figure_is_saved_beside_its_points_and_twice_alike(tmp_path):
    def picture():
        figure, axis = figures.new()
        axis.plot([1, 2], [3, 4])
        return figure

    with Workdir(tmp_path / "w", {}) as workdir:
        workdir.save_figure("line", picture(), [{"x": 1, "y": 3}, {"x": 2, "y": 4, "z": "a,b"}])
        first = (tmp_path / "w" / "figures" / "line.png").read_bytes()
        workdir.save_figure("line", picture(), [{"x": 1}])
    assert (tmp_path / "w" / "figures" / "line.png").read_bytes() == first
    assert figures.table([{"x": 1, "y": 3}, {"x": 2, "z": "a,b"}]) == 'x,y,z\n1,3,\n2,,"a,b"\n'


def test_a_config_that_a_sweep_wrote_first_is_kept_to_and_inputs_are_still_noted(tmp_path):
    (tmp_path / "data").write_text("1")
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "config.json").write_text('{"seed": 0}')
    with pytest.raises(UserError, match=r"config\.seed is 0 there and 1 here"):
        Workdir(tmp_path / "w", {"seed": 1})
    with Workdir(tmp_path / "w", {"seed": 0}, inputs=[tmp_path / "data"]):
        pass
    (tmp_path / "data").write_text("22")
    with pytest.raises(UserError, match="data has changed since this run began"):
        read_summary(tmp_path / "w", {"seed": 0})
