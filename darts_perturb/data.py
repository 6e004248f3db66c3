"""Images for search and retraining: scikit-learn's digits, patches of scikit-image's photographs, or the user's own.

All are arrays that fit the device; augmentation runs inside jit. Host code, but for `augment`.
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
_CHUNK = 1 << 24  # values whose moments are taken at once


class Dataset(NamedTuple):
    """Standardised images, float32 [n, H, W, 1 or 3], and labels, int32 [n]; rows of a split are in random order."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_valid: np.ndarray
    y_valid: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    num_classes: int
    black: tuple = (0.0,)  # what a pixel of value 0 has become, of every channel


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


def scattered_textures(seed, *, size=8, num_train=700, num_valid=20, num_test=400):
    """Returns patches as `textures` does, but each part's from anywhere in the photographs.

    They are of one grid, so that still no pixel is in two parts; but a patch may touch one of another part, and the
    parts look alike, where a photograph's top and bottom may not. The order of cells depends less on the seed then.

    Args:
        seed: see `textures`, as size.
        size: side in pixels, a multiple of 4.
        num_train: training patches of every class.
        num_valid: validation patches of every class.
        num_test: test patches of every class.

    Raises:
        ValueError: a photograph does not have that many patches.
        OSError: scikit-image comes without one of the photographs.
    """
    rng = np.random.default_rng(seed)
    counts = (num_train, num_valid, num_test)
    parts = [[], [], []]
    for file in PHOTOGRAPHS:
        found = _patches(_photograph(file), size, size)
        if sum(counts) > len(found):
            raise ValueError(f"num_train + num_valid + num_test={sum(counts)}: {file} has {len(found)} patches")
        rows = np.split(rng.permutation(len(found)), np.cumsum(counts))
        for part, own in zip(parts, rows):
            part.append(found[own])
    arrays = []
    for part, count in zip(parts, counts):
        order = rng.permutation(len(PHOTOGRAPHS) * count)
        arrays += [np.concatenate(part)[order], np.repeat(np.arange(len(PHOTOGRAPHS)), count)[order]]
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


def split(images, seed, *, valid_fraction=0.2):
    """Returns the `Dataset` of images that come as a training and a test part.

    Args:
        images: anything with x_train, x_test [n, H, W], [n, H, W, 1] or [n, H, W, 3], numbers of any real type, H and W
            multiples of 4; y_train, y_test [n], whole numbers from 0 without gaps. What a loader of published data sets
            returns, pixels 0 to 255, fits.
        seed: which training images are kept for validation, and the order of the others.
        valid_fraction: how many.

    Raises:
        ValueError: an array is of a wrong shape, type or range, or a part is left empty.
    """
    x_train, x_test = (_checked_images(part, getattr(images, f"x_{part}")) for part in ("train", "test"))
    y_train, y_test = (np.asarray(images.y_train), np.asarray(images.y_test))
    for part, x, y in (("train", x_train, y_train), ("test", x_test, y_test)):
        if y.shape != x.shape[:1] or y.dtype.kind not in "ui":
            raise ValueError(f"y_{part} must be {len(x)} whole numbers, it is {y.dtype} of shape {y.shape}")
    if x_train.shape[1:] != x_test.shape[1:]:
        raise ValueError(f"x_train and x_test differ: {x_train.shape[1:]} and {x_test.shape[1:]}")
    classes = np.unique(y_train)
    if len(classes) < 2 or not np.array_equal(classes, np.arange(len(classes))):
        raise ValueError(f"y_train must hold every label from 0 to K - 1, K > 1; it holds {classes[:10].tolist()}")
    if y_test.min() < 0 or y_test.max() >= len(classes):
        raise ValueError(f"y_test has labels outside 0 to {len(classes) - 1}, those of y_train")
    order = np.random.default_rng(seed).permutation(len(y_train))
    num_valid = round(valid_fraction * len(order))
    if not 0 < num_valid < len(order):
        raise ValueError(f"{len(order)} training images leave none for training or none for validation")
    valid, train = np.split(order, [num_valid])
    return _standardised(x_train[train], y_train[train], x_train[valid], y_train[valid], x_test, y_test)


def _checked_images(part, x):
    """Returns images [n, H, W, 1 or 3] after a check of shape, type and values."""
    x = np.asarray(x)
    if x.ndim == 3:
        x = x[..., None]
    if x.ndim != 4 or x.shape[3] not in (1, 3) or x.shape[1] % 4 or x.shape[2] % 4 or 0 in x.shape:
        raise ValueError(f"x_{part} has shape {x.shape}; need [n, H, W, 1 or 3] with H and W multiples of 4")
    if x.dtype.kind not in "uif" or (x.dtype.kind == "f" and not np.isfinite(x).all()):
        raise ValueError(f"x_{part} must be finite numbers, its type is {x.dtype}")
    return x


def _standardised(x_train, y_train, x_valid, y_valid, x_test, y_test):
    """Returns the Dataset, every channel scaled by the mean and standard deviation of the training images."""
    mean, scale = _moments(x_train)
    black = tuple((-mean / scale).tolist())
    mean, scale = mean.astype(np.float32), scale.astype(np.float32)
    images = [(np.asarray(x, np.float32) - mean) / scale for x in (x_train, x_valid, x_test)]
    labels = [np.asarray(y, np.int32) for y in (y_train, y_valid, y_test)]
    pairs = [array for pair in zip(images, labels) for array in pair]
    return Dataset(*pairs, num_classes=int(labels[0].max()) + 1, black=black)


def _moments(x):
    """Returns the mean and standard deviation of every channel, float64 [C], in little memory."""
    x, count = np.asarray(x), np.prod(x.shape[:3])
    chunks = np.array_split(x, max(1, x.size // _CHUNK))
    mean = sum(chunk.sum((0, 1, 2), dtype=np.float64) for chunk in chunks) / count
    variance = sum(np.square(chunk - mean).sum((0, 1, 2)) for chunk in chunks) / count
    return mean, np.maximum(np.sqrt(variance), 1e-6)


def on_devices(dataset, mesh=None):
    """Returns the `Dataset` with its arrays on the device, or whole on every device of a mesh; transferred once.

    A step then draws its batch on the device, x[rows]. Of a mesh let the rows of a batch be spread over its axis: every
    device gathers its own images, and nothing but gradients travels.

    Args:
        dataset: `Dataset`.
        mesh: `jax.sharding.Mesh`; the default device where left out.
    """
    place = None if mesh is None else jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    return Dataset(*jax.device_put(tuple(dataset[:6]), place), *dataset[6:])


def check_batch(name, batch_size, num_images):
    """Checks that a batch can be drawn.

    Raises:
        ValueError: the batch is empty or larger than the data.
    """
    if batch_size < 1:
        raise ValueError(f"{name}={batch_size}: need at least 1")
    if batch_size > num_images:
        raise ValueError(f"{name}={batch_size} is larger than the {num_images} images it is drawn from")


def augment(key, x, *, shift=0, flip=False, cutout=0, fill=0.0):
    """Returns images moved by up to `shift` pixels either way, mirrored half the time, with a square cut out.

    Args:
        key: typed key; every image draws its own.
        x: [B, H, W, C].
        shift: largest move in pixels, in each direction; static. The recipe for CIFAR has 4.
        flip: whether left and right are exchanged with probability 1/2; static.
        cutout: side of the square set to 0, its centre anywhere in the image, so that part of it may lie outside;
            static. The recipe for CIFAR has 16 in retraining (DeVries & Taylor 2017, arXiv:1708.04552).
        fill: what moves in from outside, a number or one for each channel: 0 is the mean colour of the training images,
            `Dataset.black` the black that the public code pads with; static.
    """
    shift_key, flip_key, cutout_key = jax.random.split(key, 3)
    if flip:
        mirrored = jax.random.bernoulli(flip_key, 0.5, (len(x),))
        x = jnp.where(mirrored[:, None, None, None], x[:, :, ::-1], x)
    if shift:
        x = _moved(shift_key, x, shift, np.broadcast_to(np.asarray(fill, x.dtype), x.shape[3:]))
    if cutout:
        x = _cut(cutout_key, x, cutout)
    return x


def _moved(key, x, shift, fill):
    """Returns images moved by up to `shift` pixels, the colour `fill` [C] moving in."""
    batch, height, width, _ = x.shape
    down, right = jax.random.randint(key, (2, batch), 0, 2 * shift + 1)
    size = (batch, height + 2 * shift, width + 2 * shift, len(fill))
    padded = jnp.broadcast_to(fill, size).at[:, shift:-shift, shift:-shift].set(x)
    rows = (jnp.arange(height)[None, :] + down[:, None])[:, :, None]
    columns = (jnp.arange(width)[None, :] + right[:, None])[:, None, :]
    return padded[jnp.arange(batch)[:, None, None], rows, columns]


def _cut(key, x, side):
    """Returns images with a square of a side set to 0; its rows are those from centre - side / 2 on."""
    batch, height, width, _ = x.shape
    row_key, column_key = jax.random.split(key)

    def inside(key, length):
        first = jax.random.randint(key, (batch, 1), 0, length) - side // 2
        place = jnp.arange(length)[None, :]
        return (place >= first) & (place < first + side)

    square = inside(row_key, height)[:, :, None] & inside(column_key, width)[:, None, :]
    return jnp.where(square[..., None], 0.0, x)
