import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from darts_perturb import data
from experiment import images

SMALL = {"num_train": 20, "num_valid": 10, "num_test": 30}


@pytest.fixture(scope="module")
def textures():
    return data.textures(0, **SMALL)


def test_textures_are_balanced_patches_of_mean_0_and_variance_1(textures):
    assert textures.num_classes == 10
    for x, y, count in (
        (textures.x_train, textures.y_train, 20),
        (textures.x_valid, textures.y_valid, 10),
        (textures.x_test, textures.y_test, 30),
    ):
        assert x.shape == (10 * count, 8, 8, 1)
        assert x.dtype == np.float32
        assert y.dtype == np.int32
        np.testing.assert_array_equal(np.bincount(y), count)
        np.testing.assert_allclose(x.mean((1, 2, 3)), 0.0, atol=1e-5)
        np.testing.assert_allclose(x.std((1, 2, 3)), 1.0, atol=1e-4)
    assert len(np.unique(textures.y_train[:20])) > 4


def test_textures_are_a_function_of_the_seed(textures):
    again, other = data.textures(0, **SMALL), data.textures(1, **SMALL)
    assert all(np.array_equal(a, b) for a, b in zip(textures, again))
    assert not np.array_equal(textures.x_train, other.x_train)


def test_no_row_of_a_photograph_is_in_two_parts(monkeypatch):
    rows_of = []
    cut = data._patches

    def record(image, size, stride):
        rows_of.append(image[:, 0].astype(int).tolist())
        return cut(image + np.random.default_rng(0).normal(size=image.shape), size, stride)

    monkeypatch.setattr(data, "_photograph", lambda name: np.tile(np.arange(200.0)[:, None], (1, 160)))
    monkeypatch.setattr(data, "_patches", record)
    data.textures(0, **SMALL)
    train, valid, test = rows_of[0], rows_of[len(data.PHOTOGRAPHS)], rows_of[-1]
    assert len(rows_of) == 3 * len(data.PHOTOGRAPHS)
    assert train + valid + test == list(range(200))
    assert [len(part) for part in (train, valid, test)] == [90, 30, 80]


def test_patches_are_the_rows_of_the_image_without_the_flattest_third():
    image = np.zeros((8, 24))
    image[:, :8] = np.arange(64).reshape(8, 8)
    image[:, 16:] = np.random.default_rng(0).normal(size=(8, 8))
    found = data._patches(image, 8, 8)
    assert found.shape == (2, 8, 8, 1)
    ramp = np.arange(64) - 31.5
    np.testing.assert_allclose(found[0].ravel(), ramp / ramp.std(), atol=1e-9)
    assert len(data._patches(np.random.default_rng(0).normal(size=(16, 16)), 8, 4)) == 6


def test_more_patches_than_there_are_is_an_error():
    with pytest.raises(ValueError, match=r"num_test=5000: brick.png has \d+ patches of 8x8 there"):
        data.textures(0, num_test=5000)


def test_digits_are_split_without_overlap():
    digits = data.digits(3)
    assert (len(digits.y_train), len(digits.y_valid), len(digits.y_test)) == (1197, 240, 360)
    assert digits.x_train.shape[1:] == (8, 8, 1)
    np.testing.assert_allclose([digits.x_train.mean(), digits.x_train.std()], [0, 1], atol=1e-4)
    images = np.concatenate([digits.x_train, digits.x_valid, digits.x_test])
    assert len({image.tobytes() for image in images}) > 1750
    assert not np.array_equal(digits.y_train, data.digits(4).y_train)
    with pytest.raises(ValueError, match="digits has 1797 images"):
        data.digits(0, num_valid=1000, num_test=900)


def write(tmp_path, **changes):
    rng = np.random.default_rng(0)
    arrays = {
        "x_train": rng.integers(0, 255, (20, 8, 8, 3), np.uint8),
        "y_train": np.arange(20) % 4,
        "x_test": rng.integers(0, 255, (8, 8, 8, 3), np.uint8),
        "y_test": np.arange(8) % 4,
    }
    arrays = {name: value for name, value in {**arrays, **changes}.items() if value is not None}
    np.savez(tmp_path / "images.npz", **arrays)
    return tmp_path / "images.npz"


def test_npz_images_are_scaled_by_the_training_images(tmp_path):
    found = data.split(images.load(write(tmp_path), real=True), 0)
    assert (len(found.y_train), len(found.y_valid), len(found.y_test)) == (16, 4, 8)
    assert found.num_classes == 4
    np.testing.assert_allclose(found.x_train.mean((0, 1, 2)), 0.0, atol=1e-5)
    np.testing.assert_allclose(found.x_train.std((0, 1, 2)), 1.0, atol=1e-4)
    path = write(tmp_path, x_train=np.ones((20, 8, 8)), x_test=np.ones((8, 8, 8)))
    grey = data.split(images.load(path, real=True), 0)
    assert grey.x_train.shape == (16, 8, 8, 1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"y_test": None}, "no array 'y_test'"),
        ({"x_train": np.zeros((20, 7, 8, 3)), "x_test": np.zeros((8, 7, 8, 3))}, r"x_train has shape \(20, 7, 8, 3\)"),
        ({"x_test": np.zeros((8, 8, 8, 2))}, "x_test has shape"),
        ({"x_test": np.zeros((8, 4, 4, 3))}, "x_train and x_test differ"),
        ({"x_train": np.full((20, 8, 8, 3), np.nan)}, "x_train must be finite"),
        ({"y_train": np.arange(19)}, "y_train must be 20 whole numbers"),
        ({"y_train": np.arange(20) / 2}, "every label from 0 to K - 1"),
        ({"y_train": np.arange(20) % 4 + 1}, "every label from 0 to K - 1"),
        ({"y_train": np.zeros(20, int)}, "every label from 0 to K - 1"),
        ({"y_test": np.arange(8)}, "is 4, outside 0 to 3"),
        ({"y_train": np.array([{}] * 20)}, "allow_pickle=False"),
    ],
)
def test_npz_that_does_not_fit_is_refused(tmp_path, changes, words):
    with pytest.raises(ValueError, match=words):
        data.split(images.load(write(tmp_path, **changes), real=True), 0)


def test_augmentation_moves_by_whole_pixels_into_zeros():
    x = np.random.default_rng(0).normal(size=(64, 5, 6, 1)).astype(np.float32)
    found = np.asarray(jax.jit(lambda key, x: data.augment(key, x, shift=1))(jax.random.key(0), x))
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    moves = [
        [np.array_equal(found[n], padded[n, i : i + 5, j : j + 6]) for i in range(3) for j in range(3)]
        for n in range(64)
    ]
    np.testing.assert_array_equal(np.sum(moves, axis=1), 1)
    assert np.sum(moves, axis=0).min() > 0


def test_augmentation_mirrors_about_half():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(64, 4, 4, 3)), jnp.float32)
    found = data.augment(jax.random.key(0), x, flip=True)
    kept = np.array([np.array_equal(a, b) for a, b in zip(found, x)])
    mirrored = np.array([np.array_equal(a, b[:, ::-1]) for a, b in zip(found, x)])
    assert (kept != mirrored).all()
    assert 16 < kept.sum() < 48
    np.testing.assert_array_equal(data.augment(jax.random.key(0), x), x)


def test_what_moves_in_has_the_colour_asked_for():
    x = np.random.default_rng(0).normal(size=(32, 5, 6, 2)).astype(np.float32)
    black = (-1.5, 2.0)
    found = np.asarray(data.augment(jax.random.key(0), x, shift=2, fill=black))
    padded = np.stack([np.pad(x[..., c], ((0, 0), (2, 2), (2, 2)), constant_values=black[c]) for c in range(2)], -1)
    windows = np.stack([padded[:, i : i + 5, j : j + 6] for i in range(5) for j in range(5)], axis=1)
    np.testing.assert_array_equal((windows == found[:, None]).all((2, 3, 4)).sum(axis=1), 1)
    assert (found == -1.5).any()
    # the same images moved by the same amounts, whatever moves in
    plain = np.asarray(data.augment(jax.random.key(0), x, shift=2))
    np.testing.assert_array_equal(np.where(plain == 0, found, plain), found)


@pytest.mark.parametrize("side", [3, 4])
def test_cutout_is_one_square_about_a_uniform_centre(side):
    x = jnp.ones((4000, 6, 7, 3))
    found = np.asarray(jax.jit(lambda key, x: data.augment(key, x, cutout=side))(jax.random.key(0), x))
    assert set(np.unique(found)) == {0.0, 1.0}
    assert (found == found[..., :1]).all()
    holes = found[..., 0] == 0
    rows, columns = holes.any(axis=2), holes.any(axis=1)
    np.testing.assert_array_equal(holes, rows[:, :, None] & columns[:, None, :])
    # the share of images in which a row is cut: of the centres c, uniform, with c - side // 2 <= row < ... + side
    for cut, length in ((rows, 6), (columns, 7)):
        expected = [
            sum(c - side // 2 <= place < c - side // 2 + side for c in range(length)) / length
            for place in range(length)
        ]
        np.testing.assert_allclose(cut.mean(axis=0), expected, atol=0.04)
    assert len(np.unique(holes.reshape(4000, -1), axis=0)) == 42


def test_cutout_changes_neither_the_move_nor_the_mirror():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(64, 8, 8, 3)), jnp.float32)
    plain = data.augment(jax.random.key(3), x, shift=1, flip=True)
    cut = data.augment(jax.random.key(3), x, shift=1, flip=True, cutout=4)
    np.testing.assert_array_equal(jnp.where(cut == 0, 0, plain), cut)
    assert (cut == 0).sum() > (plain == 0).sum()


def published(**changes):
    rng = np.random.default_rng(0)
    arrays = {
        "x_train": rng.integers(0, 256, (50, 8, 8, 3), np.uint8),
        "y_train": np.arange(50) % 5,
        "x_test": rng.integers(0, 256, (10, 8, 8, 3), np.uint8),
        "y_test": np.arange(10) % 5,
    }
    return types.SimpleNamespace(**{**arrays, **changes})


def test_a_split_scales_every_part_by_the_training_part_alone(monkeypatch):
    source = published()
    found = data.split(source, 0, valid_fraction=0.5)
    assert (len(found.y_train), len(found.y_valid), len(found.y_test)) == (25, 25, 10)
    order = np.random.default_rng(0).permutation(50)
    train = source.x_train[order[25:]].astype(np.float64)
    mean, scale = train.mean((0, 1, 2)), train.std((0, 1, 2))
    np.testing.assert_allclose(found.x_test, (source.x_test - mean) / scale, atol=1e-5)
    np.testing.assert_allclose(found.x_valid, (source.x_train[order[:25]] - mean) / scale, atol=1e-5)
    np.testing.assert_array_equal(found.y_train, source.y_train[order[25:]])
    np.testing.assert_allclose(found.black, -mean / scale, rtol=1e-6)
    monkeypatch.setattr(data, "_CHUNK", 500)  # moments in chunks are the moments
    np.testing.assert_allclose(data.split(source, 0, valid_fraction=0.5).x_test, found.x_test, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"x_train": np.zeros((50, 30, 32, 3), np.uint8)},
            r"x_train has shape \(50, 30, 32, 3\); need .* multiples of 4",
        ),
        ({"x_test": np.zeros((10, 12, 12, 3), np.uint8)}, "x_train and x_test differ"),
        ({"y_train": np.arange(50) % 5 * 2}, "every label from 0 to K - 1"),
        ({"y_train": np.arange(49) % 5}, "y_train must be 50 whole numbers"),
        ({"y_test": np.arange(10)}, "y_test has labels outside 0 to 4"),
    ],
)
def test_images_that_do_not_fit_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        data.split(published(**changes), 0)


@pytest.mark.parametrize("fraction", [0.0, 1.0])
def test_a_split_leaves_no_part_empty(fraction):
    with pytest.raises(ValueError, match="leave none for training or none for validation"):
        data.split(published(), 0, valid_fraction=fraction)


def test_data_go_to_the_devices_of_a_mesh_once():
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("data",))
    source = data.split(published(), 0)
    for placed in (data.on_devices(source), data.on_devices(source, mesh)):
        assert all(isinstance(array, jax.Array) for array in placed[:6])
        assert all(np.array_equal(a, b) for a, b in zip(placed[:6], source[:6]))
        assert placed[6:] == source[6:]
    assert placed.x_train.sharding.is_fully_replicated
    assert placed.x_train.sharding.mesh == mesh


def test_a_batch_larger_than_the_data_is_an_error():
    data.check_batch("batch_size", 50, 50)
    with pytest.raises(ValueError, match="batch_size=51 is larger than the 50 images"):
        data.check_batch("batch_size", 51, 50)
    with pytest.raises(ValueError, match="batch_size=0: need at least 1"):
        data.check_batch("batch_size", 0, 50)


def test_scattered_patches_are_as_many_of_every_class_and_of_one_part_each():
    found = data.scattered_textures(0, num_train=40, num_valid=5, num_test=20)
    parts = [(found.x_train, found.y_train, 40), (found.x_valid, found.y_valid, 5), (found.x_test, found.y_test, 20)]
    for x, y, count in parts:
        np.testing.assert_array_equal(np.bincount(y), np.full(10, count))
        assert x.shape == (10 * count, 8, 8, 1)
    every = np.concatenate([x for x, _, _ in parts]).reshape(650, -1)
    assert len(np.unique(every, axis=0)) == 650
    again = data.scattered_textures(1, num_train=40, num_valid=5, num_test=20)
    assert not np.array_equal(found.x_train, again.x_train)
    with pytest.raises(ValueError, match=r"num_train \+ num_valid \+ num_test=1200: .* has \d+ patches"):
        data.scattered_textures(0, num_train=1100, num_valid=50, num_test=50)
