"""Images for search and retraining: scikit-learn's digits, patches of scikit-image's photographs, or the user's own.

All are small arrays that fit the device; augmentation runs inside jit. Host code, but for `augment`.
"""

import pathlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

# files inside scikit-image's wheel, one class each
PHOTOGRAPHS = (
    "brick.png",
    "grass.png",
    "gravel.png",
    "camera.png",
    "coffee.png",
    "chelsea.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "retina.jpg",
    "coins.png",
)
_NPZ_ARRAYS = ("x_train", "y_train", "x_test", "y_test")


class Dataset(NamedTuple):
    """Standardised images, float32 [n, H, W, 1 or 3], and labels, int32 [n]; rows of a split are in random order."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_valid: np.ndarray
    y_valid: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    num_classes: int


def digits(seed, *, num_valid=240, num_test=360):
    """Returns scikit-learn's 1,797 grey 8x8 digits, split by a seed.

    Raises:
        ValueError: the held-out parts leave no training images.
    """
    from sklearn import datasets

    source = datasets.load_digits()
    order = np.random.default_rng(seed).permutation(len(source.images))
    if min(num_valid, num_test) < 1 or num_valid + num_test >= len(order):
        raise ValueError(f"num_valid={num_valid} and num_test={num_test}: digits has {len(order)} images in all")
    test, valid, train = np.split(order, [num_test, num_test + num_valid])
    parts = [array[rows] for rows in (train, valid, test) for array in (source.images[..., None], source.target)]
    return _standardised(*parts)


def textures(seed, *, size=8, num_train=1000, num_valid=100, num_test=300):
    """Returns grey patches of ten photographs; the class of a patch is the photograph it is from.

    From the top of each photograph: 45% of its rows train, 15% validate, 40% test, so that no pixel is in two parts.
    Training patches overlap by half, the others do not. The flattest third of each part is dropped, and the mean and
    scale of every patch are taken away, so that only its texture is left to tell.

    Args:
        seed: which patches are taken, and their order.
        size: side in pixels, a multiple of 4.
        num_train: training patches of every class.
        num_valid: validation patches of every class.
        num_test: test patches of every class.

    Raises:
        ValueError: a photograph does not have that many patches.
        OSError: scikit-image comes without one of the photographs.
    """
    rng = np.random.default_rng(seed)
    parts = {"num_train": (0.0, 0.45, num_train), "num_valid": (0.45, 0.6, num_valid), "num_test": (0.6, 1.0, num_test)}
    photographs = [_photograph(name) for name in PHOTOGRAPHS]
    arrays = []
    for name, (top, bottom, wanted) in parts.items():
        chosen = []
        for file, image in zip(PHOTOGRAPHS, photographs):
            rows = image[round(top * len(image)) : round(bottom * len(image))]
            found = _patches(rows, size, size // 2 if name == "num_train" else size)
            if wanted > len(found):
                raise ValueError(f"{name}={wanted}: {file} has {len(found)} patches of {size}x{size} there")
            chosen.append(found[rng.choice(len(found), wanted, replace=False)])
        order = rng.permutation(len(PHOTOGRAPHS) * wanted)
        arrays += [np.concatenate(chosen)[order], np.repeat(np.arange(len(PHOTOGRAPHS)), wanted)[order]]
    return _standardised(*arrays)


def _photograph(name):
    """Returns a photograph of scikit-image's wheel in grey, float64 [H, W] between 0 and 1."""
    import skimage
    from skimage import color, io

    path = pathlib.Path(skimage.__file__).parent / "data" / name
    if not path.exists():
        raise OSError(f"{path}: not in this scikit-image; install scikit-image >= 0.25, < 1, or use dataset=digits")
    image = io.imread(path)
    return color.rgb2gray(image[..., :3]) if image.ndim == 3 else image / 255.0


def _patches(image, size, stride):
    """Returns the patches of a grid, without their flattest third, [n, size, size, 1], mean 0 and variance 1 each."""
    windows = np.lib.stride_tricks.sliding_window_view(image, (size, size))[::stride, ::stride]
    patches = windows.reshape(-1, size, size, 1)
    spread = patches.std((1, 2, 3))
    kept = np.sort(np.argsort(spread, kind="stable")[len(spread) // 3 :])
    patches, spread = patches[kept], spread[kept][:, None, None, None]
    return (patches - patches.mean((1, 2, 3), keepdims=True)) / np.maximum(spread, 1e-6)


def load_npz(path, seed, *, valid_fraction=0.2):
    """Returns the user's own images from an npz file.

    Args:
        path: npz with x_train, x_test [n, H, W], [n, H, W, 1] or [n, H, W, 3], numbers of any real type, H and W
            multiples of 4; y_train, y_test [n], whole numbers from 0 without gaps.
        seed: which training images are kept for validation.
        valid_fraction: how many.

    Raises:
        ValueError: an array is missing, or of a wrong shape, type or range.
        OSError: the file cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [name for name in _NPZ_ARRAYS if name not in file.files]
            if missing:
                raise ValueError(f"no array {missing[0]!r}; it has {', '.join(file.files) or 'none'}")
            arrays = {name: file[name] for name in _NPZ_ARRAYS}
        return _checked(arrays, seed, valid_fraction)
    except OSError as error:
        raise OSError(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # np.load has many ways to fail on what is not an npz of plain arrays
        raise ValueError(f"{path}: {error}") from error


def _checked(arrays, seed, valid_fraction):
    for part in ("train", "test"):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if x.ndim == 3:
            x = x[..., None]
        if x.ndim != 4 or x.shape[3] not in (1, 3) or x.shape[1] % 4 or x.shape[2] % 4 or 0 in x.shape:
            raise ValueError(f"x_{part} has shape {x.shape}; need [n, H, W, 1 or 3] with H and W multiples of 4")
        if x.dtype.kind not in "uif" or not np.isfinite(x).all():
            raise ValueError(f"x_{part} must be finite numbers, its type is {x.dtype}")
        if y.shape != x.shape[:1] or y.dtype.kind not in "ui":
            raise ValueError(f"y_{part} must be {len(x)} whole numbers, it is {y.dtype} of shape {y.shape}")
        arrays[f"x_{part}"] = x
    if arrays["x_train"].shape[1:] != arrays["x_test"].shape[1:]:
        raise ValueError(f"x_train and x_test differ: {arrays['x_train'].shape[1:]} and {arrays['x_test'].shape[1:]}")
    classes = np.unique(arrays["y_train"])
    if len(classes) < 2 or not np.array_equal(classes, np.arange(len(classes))):
        raise ValueError(f"y_train must hold every label from 0 to K - 1, K > 1; it holds {classes[:10].tolist()}")
    if arrays["y_test"].min() < 0 or arrays["y_test"].max() >= len(classes):
        raise ValueError(f"y_test has labels outside 0 to {len(classes) - 1}, those of y_train")
    order = np.random.default_rng(seed).permutation(len(arrays["y_train"]))
    num_valid = round(valid_fraction * len(order))
    if not 0 < num_valid < len(order):
        raise ValueError(f"{len(order)} training images leave none for training or none for validation")
    parts = [arrays[name][rows] for rows in np.split(order, [num_valid]) for name in ("x_train", "y_train")]
    return _standardised(*parts[2:], *parts[:2], arrays["x_test"], arrays["y_test"])


def _standardised(x_train, y_train, x_valid, y_valid, x_test, y_test):
    """Returns the Dataset, every channel scaled by the mean and standard deviation of the training images."""
    x_train = np.asarray(x_train, np.float64)
    mean, scale = x_train.mean((0, 1, 2)), np.maximum(x_train.std((0, 1, 2)), 1e-6)
    images = [((x - mean) / scale).astype(np.float32) for x in (x_train, x_valid, x_test)]
    labels = [np.asarray(y, np.int32) for y in (y_train, y_valid, y_test)]
    pairs = [array for pair in zip(images, labels) for array in pair]
    return Dataset(*pairs, num_classes=int(labels[0].max()) + 1)


def augment(key, x, *, shift=0, flip=False):
    """Returns images moved by up to `shift` pixels either way, zeros moving in, and mirrored half the time.

    Args:
        key: typed key; every image draws its own.
        x: [B, H, W, C].
        shift: largest move in pixels, in each direction; static.
        flip: whether left and right are exchanged with probability 1/2; static.
    """
    shift_key, flip_key = jax.random.split(key)
    batch, height, width, _ = x.shape
    if flip:
        mirrored = jax.random.bernoulli(flip_key, 0.5, (batch,))
        x = jnp.where(mirrored[:, None, None, None], x[:, :, ::-1], x)
    if shift:
        down, right = jax.random.randint(shift_key, (2, batch), 0, 2 * shift + 1)
        padded = jnp.pad(x, ((0, 0), (shift, shift), (shift, shift), (0, 0)))
        rows = (jnp.arange(height)[None, :] + down[:, None])[:, :, None]
        columns = (jnp.arange(width)[None, :] + right[:, None])[:, None, :]
        x = padded[jnp.arange(batch)[:, None, None], rows, columns]
    return x
