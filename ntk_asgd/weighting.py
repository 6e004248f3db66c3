"""Averages of the iterates g_0 .. g_T as tables of weights.

Axes: T samples, q averages.
"""

import numpy as np

NAMES = ("average", "tail[:share]", "last", "polynomial[:k]", "exponential[:share]")


def weights(scheme, num_samples):
    """Returns the weights of the iterates g_0 .. g_T [T+1], float64, of sum 1.

    - "average": all alike, as in Algorithm 1;
    - "tail:share": all alike over the last share of the T steps (one half where left out);
    - "last": the last iterate alone;
    - "polynomial:k": (t+1)(t+2)..(t+k), about t^k (k = 3 where left out): late iterates count for more;
    - "exponential:share": exp(-(T - t) / (share T)), a window of that share of the T steps (1/4 where left out).

    Args:
        scheme: a name.
        num_samples: T.

    Raises:
        ValueError: an unknown name, or a number that it does not take.

    References:
        Nitanda and Suzuki, arXiv 2006.12297, Algorithm 1 (average); Rakhlin, Shamir and Sridharan, arXiv 1109.5647
        (tail); Shamir and Zhang, arXiv 1212.1824 (polynomial).

    >>> weights("polynomial:1", 2).tolist()
    [0.16666666666666666, 0.3333333333333333, 0.5]
    """
    name, number = _parsed(scheme)
    place = np.arange(num_samples + 1, dtype=np.float64)
    if name == "average":
        shape = np.ones_like(place)
    elif name == "tail":
        shape = (place > num_samples - max(round(number * num_samples), 1)).astype(np.float64)
    elif name == "last":
        shape = (place == num_samples).astype(np.float64)
    elif name == "polynomial":
        shape = np.prod([(place + j) / (num_samples + j) for j in range(1, int(number) + 1)], axis=0)
    else:
        shape = np.exp(-(num_samples - place) / (number * num_samples))
    return shape / shape.sum()


def by_block(table, size):
    """Returns the weights [q, T / size] of the means over blocks of `size` iterates g_1 .. g_T, from a table [q, T+1].

    A block's mean carries the weight of its iterates: exact for weights that are constant within blocks. g_0 = 0 needs
    none.
    """
    table = np.asarray(table)
    return table[:, 1:].reshape(len(table), -1, size).sum(axis=2)


def _parsed(scheme):
    """Returns (name, its number or None)."""
    name, colon, text = str(scheme).partition(":")
    takes = {"tail": 0.5, "polynomial": 3.0, "exponential": 0.25}
    if name in ("average", "last") and not colon:
        return name, None
    if name not in takes:
        raise ValueError(f"average {scheme!r} is unknown (known: {', '.join(NAMES)})")
    try:
        number = float(text) if colon else takes[name]
    except ValueError:
        number = np.nan
    if name == "polynomial" and not (1 <= number <= 100 and number == int(number)):
        raise ValueError(f"average {scheme!r}: the power must be a whole number from 1 to 100, as in 'polynomial:3'")
    if name != "polynomial" and not 0 < number <= 1:
        raise ValueError(f"average {scheme!r}: the share must lie in (0, 1], as in '{name}:{takes[name]}'")
    return name, number
