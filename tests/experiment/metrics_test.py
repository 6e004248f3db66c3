import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiment.errors import UserError
from experiment.metrics import Metrics, plain


def test_rows_come_back_in_order_and_by_stage(tmp_path):
    metrics = Metrics(tmp_path / "m.jsonl")
    metrics.write("a", 1, loss=np.float32(0.5), words="x", shape=(1, 2))
    metrics.write("b", 1, loss=float("nan"))
    assert metrics.rows("a") == [{"stage": "a", "step": 1, "loss": 0.5, "words": "x", "shape": [1, 2]}]
    assert [json.loads(line) for line in (tmp_path / "m.jsonl").read_text().splitlines()] == metrics.rows()
    assert metrics.rows("b")[0]["loss"] is None


def test_a_second_process_writes_only_what_is_new(tmp_path):
    path = tmp_path / "m.jsonl"
    first = Metrics(path)
    for step in range(5):
        first.write("a", step, v=step)
    first.close()
    before = path.read_bytes()
    second = Metrics(path)
    for step in range(3, 8):
        second.write("a", step, v=step)
    assert path.read_bytes().startswith(before)
    assert [row["step"] for row in second.rows()] == list(range(8))


def test_one_process_writes_a_row_once(tmp_path):
    metrics = Metrics(tmp_path / "m.jsonl")
    metrics.write("a", 1)
    with pytest.raises(ValueError, match="twice"):
        metrics.write("a", 1)


@given(cut=st.integers(min_value=0, max_value=200))
def test_a_file_cut_anywhere_is_completed_to_the_same_bytes(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("m") / "m.jsonl"

    def write_all():
        metrics = Metrics(path)
        for step in range(6):
            metrics.write("stage é", step, value=step / 3)
        metrics.close()

    write_all()
    whole = path.read_bytes()
    path.write_bytes(whole[: min(cut, len(whole))])
    write_all()
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    "line", ["[1]", "{", '{"stage": "a"}', '{"stage": [1], "step": 2}', '{"stage": "a", "step": "2"}']
)
def test_a_malformed_line_is_named(tmp_path, line):
    path = tmp_path / "m.jsonl"
    path.write_text(f'{{"stage": "a", "step": 1}}\n{line}\n')
    with pytest.raises(UserError, match=r"m\.jsonl:2"):
        Metrics(path)


def test_plain_keeps_json_strict():
    value = plain({"a": np.arange(2), 3: (float("inf"), -np.inf, np.nan), "b": {"c": np.bool_(True)}})
    assert value == {"a": [0, 1], "3": ["inf", "-inf", None], "b": {"c": True}}
    json.dumps(value, allow_nan=False)
    with pytest.raises(TypeError, match="object"):
        plain(object())


def test_tensorboard_copy_is_optional(tmp_path):
    pytest.importorskip("tensorboardX", reason="pip install 'remeasured[tensorboard]' to run this")
    metrics = Metrics(tmp_path / "m.jsonl", tensorboard_dir=tmp_path / "tb")
    metrics.write("a", 1, loss=0.5)
    metrics.close()
    assert list((tmp_path / "tb").iterdir())
