"""Images as inputs on the unit sphere, with targets +-1 from their classes."""

import numpy as np

from experiment import images


def load(data_path):
    """Returns `images.Images`: those at a path, or scikit-learn's digits, the same as both parts, where it is None."""
    if data_path:
        return images.load(data_path)
    from sklearn import datasets

    digits = datasets.load_digits()
    return images.Images(*(digits.images, digits.target) * 2, num_classes=10)


def on_sphere(field, x, centre):
    """Returns images [n, ..] less the mean of others, flattened and scaled to length 1, float32 [n, d].

    A row of zeros stays, and lies in the unit ball all the same.

    Raises:
        ValueError: images of one pixel, naming the config's field.
    """
    x, centre = (each.reshape(len(each), -1).astype(np.float64) for each in (x, centre))
    if x.shape[1] < 2:
        raise ValueError(f"{field}: images of one pixel lie on no sphere")
    x = x - centre.mean(axis=0)
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    return (x / np.where(norm > 0, norm, 1)).astype(np.float32)


def signs(labels, positive, num_classes):
    """Returns +1 for the positive classes and -1 for the others, float32 [n].

    Raises:
        ValueError: config.positive_classes names no class, all of them, or one that there is not.
    """
    known = all(isinstance(each, int) and 0 <= each < num_classes for each in positive)
    if not known or not 0 < len(set(positive)) < num_classes:
        raise ValueError(
            f"config.positive_classes={positive}: must name some of the classes 0 to {num_classes - 1}, not all"
        )
    return np.where(np.isin(labels, positive), 1, -1).astype(np.float32)
