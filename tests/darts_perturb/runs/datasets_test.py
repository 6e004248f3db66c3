import numpy as np
import pytest
from ml_collections import ConfigDict, FrozenConfigDict

from configs import common
from darts_perturb.runs import datasets


def config_of(dataset="digits", **changes):
    config = ConfigDict()
    common.image_fields(config, dataset)
    config.update_from_flattened_dict(changes)
    return FrozenConfigDict(config)


def write_images(path, num_train=40, num_test=12):
    """Writes images whose pixels tell which they are."""
    rng = np.random.default_rng(0)
    x = np.arange(num_train + num_test, dtype=np.uint8)[:, None, None] + np.zeros((1, 4, 4), np.uint8)
    y = np.concatenate([np.arange(num_train) % 2, rng.integers(2, size=num_test)])
    np.savez(path, x_train=x[:num_train], x_test=x[num_train:], y_train=y[:num_train], y_test=y[num_train:])
    return str(path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dataset": "mnist"}, "config.dataset='mnist': known are textures, digits, files"),
        ({"dataset": "files"}, "config.data_path is empty"),
        ({"dataset": "files", "data_path": "absent.npz"}, "absent.npz: No such file"),
        ({"data_path": "there.npz"}, "config.data_path=there.npz: is read only with config.dataset=files"),
        ({"data_seed": -1}, "config.data_seed=-1"),
        ({"dataset": "textures", "textures.size": 10}, "config.textures={"),
        ({"dataset": "textures", "textures.num_test": 9999}, "config.textures: num_test=9999: brick.png has"),
        ({"valid_fraction": 1.0}, "config.valid_fraction=1.0: need a share between 0 and 1"),
        ({"valid_fraction": float("nan")}, "config.valid_fraction=nan"),
        ({"num_train": -1}, "config.num_train=-1: need a number of images, or 0 for all"),
        ({"num_test": 10}, "config.num_test=10: only config.dataset=files takes a part"),
    ],
)
def test_a_field_that_cannot_be_is_one_line_with_its_name(changes, words):
    with pytest.raises((ValueError, OSError)) as caught:
        datasets.load(config_of(**changes))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_wrong_with_a_file_is_said_with_its_name(tmp_path):
    path = write_images(tmp_path / "images.npz")
    for changes, words in (
        ({"num_train": 41}, f"config.num_train=41: {path} has 40 images in that part"),
        ({"num_test": 13}, f"config.num_test=13: {path} has 12 images in that part"),
        ({"valid_fraction": 0.001}, f"{path}: 40 training images leave none"),
    ):
        with pytest.raises(ValueError, match="^" + words.replace("[", r"\[")):
            datasets.load(config_of("files", data_path=path, **changes))
    np.savez(
        tmp_path / "odd.npz",
        x_train=np.zeros((4, 5, 5)),
        y_train=[0, 1, 0, 1],
        x_test=np.zeros((4, 5, 5)),
        y_test=[0] * 4,
    )
    with pytest.raises(ValueError, match=r"odd.npz: x_train has shape \(4, 5, 5, 1\); need .* multiples of 4"):
        datasets.load(config_of("files", data_path=str(tmp_path / "odd.npz")))


def test_the_embedded_images_come_in_the_sizes_asked_for():
    found = datasets.load(config_of("digits"))
    assert (len(found.y_train), len(found.y_valid), len(found.y_test)) == (1197, 240, 360)
    sizes = {"textures.num_train": 6, "textures.num_valid": 4, "textures.num_test": 5, "textures.size": 12}
    found = datasets.load(config_of("textures", **sizes))
    assert found.x_train.shape == (60, 12, 12, 1)
    assert (len(found.y_valid), len(found.y_test)) == (40, 50)


def test_a_part_of_the_files_is_drawn_by_the_seed_and_keeps_its_labels(tmp_path):
    path = write_images(tmp_path / "images.npz")
    changes = {"data_path": path, "num_train": 20, "num_test": 6, "valid_fraction": 0.25}
    found = datasets.load(config_of("files", **changes))
    assert (len(found.y_train), len(found.y_valid), len(found.y_test)) == (15, 5, 6)

    def which(dataset, part):
        """Returns the numbers of the images: black is number 0, and the pixels of the data rise by one."""
        values = getattr(dataset, f"x_{part}")[:, 0, 0, 0] - dataset.black[0]
        both = np.concatenate([dataset.x_train, dataset.x_valid, dataset.x_test])[:, 0, 0, 0] - dataset.black[0]
        gaps = np.diff(np.unique(both))
        return np.rint(values / gaps.min()).astype(int)

    train, valid, test = (which(found, part) for part in ("train", "valid", "test"))
    assert len({*train, *valid}) == 20
    assert max(*train, *valid) < 40 <= min(test)
    np.testing.assert_array_equal(found.y_train, train % 2)
    again = datasets.load(config_of("files", **changes))
    other = datasets.load(config_of("files", data_seed=1, **changes))
    np.testing.assert_array_equal(again.x_train, found.x_train)
    assert set(which(other, "train")) | set(which(other, "valid")) != {*train, *valid}
    whole = datasets.load(config_of("files", data_path=path))
    assert (len(whole.y_train), len(whole.y_valid), len(whole.y_test)) == (36, 4, 12)
