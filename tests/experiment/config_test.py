import pytest
from ml_collections import ConfigDict

from experiment import config as config_files
from experiment.errors import UserError
from tests.experiment import binary


def own(**fields):
    reference = {"run": "walk", "steps": 3, "rate": 0.5, "window": (1, 2), "names": (), "inner": {"deep": True}}
    return ConfigDict({**reference, **fields})


def test_a_config_like_its_reference_passes():
    config_files.check_fields(own(rate=1, window=(), names=("a",)), own())
    config_files.check_fields(own(steps=None), own())


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (own(stepz=1), r"config\.stepz: unknown field; did you mean steps"),
        (ConfigDict({k: v for k, v in own().items() if k != "rate"}), r"config\.rate: missing"),
        (own(inner={"deep": True, "deeper": 1}), r"config\.inner\.deeper: unknown field"),
        (own(inner=3), r"config\.inner=3: must be a group of fields"),
        (own(steps=1.5), r"config\.steps=1\.5: must be an int"),
        (own(steps=True), r"config\.steps=True: must be an int"),
        (own(rate="fast"), r"config\.rate='fast': must be a float"),
        (own(window=(1.5, 2)), r"config\.window=\(1\.5, 2\): must be a tuple of int"),
        (own(window=("a", "b")), r"config\.window"),
    ],
)
def test_a_field_that_is_missing_unknown_or_of_another_type_is_named(config, words):
    with pytest.raises(UserError, match=words):
        config_files.check_fields(config, own())


@pytest.mark.parametrize("seeds", [(0, -1), (2**31,), ("one",), (1.5,)])
def test_impossible_seeds_are_named(seeds):
    with pytest.raises(UserError, match=r"config\.seeds"):
        config_files.check_plain(ConfigDict({"seeds": seeds}))


def test_a_users_own_config_is_held_against_that_of_its_run(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from configs.ntk_asgd import eigen_decay\n\n\ndef get_config():\n"
        "    config = eigen_decay.get_config('smoke')\n    config.widht = 64\n    return config\n"
    )
    status, out, err = binary.run("ntk_asgd.main", f"--config={path}", f"--workdir={tmp_path / 'w'}")
    assert (status, out) == (2, "")
    assert "config.widht: unknown field; did you mean width?" in err
